//! Keys as files and as objects.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::{crypto::PublicKey, in_toto::LayoutKey};

fuzz_target!(|bytes: &[u8]| {
    let _ = LayoutKey::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = PublicKey::from_pem(text) {
        let _ = key.verify(b"message", bytes);
    }
    let mut parts = text.splitn(3, '\n');
    if let (Some(keytype), Some(scheme), Some(public)) = (parts.next(), parts.next(), parts.next()) {
        let _ = PublicKey::from_parts(keytype, scheme, public);
    }
});
