//! Keys as files and as objects: PEM, JSON, OpenPGP; and certificates.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pratique::{
    crypto::{PublicKey, openpgp, x509},
    in_toto::LayoutKey,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = LayoutKey::parse(bytes);
    if let Ok(certificate) = openpgp::Certificate::from_file(bytes) {
        let signature = openpgp::Signature { headers: vec![4, 0, 22, 8, 0, 0], value: bytes.to_vec() };
        let _ = certificate.master().verify(b"message", &signature, Timestamp::UNIX_EPOCH);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = PublicKey::from_pem(text) {
        let _ = key.verify(b"message", bytes);
    }
    if let Ok(certificate) = x509::Certificate::from_pem(text) {
        let itself = x509::Authorities { roots: vec![certificate.clone()], intermediates: vec![certificate.clone()] };
        let _ = itself.verify(&certificate, "2026-06-01T00:00:00Z".parse().unwrap());
    }
    let mut parts = text.splitn(3, '\n');
    if let (Some(keytype), Some(scheme), Some(public)) = (parts.next(), parts.next(), parts.next()) {
        let _ = PublicKey::from_parts(keytype, scheme, public);
    }
});
