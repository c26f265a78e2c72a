//! Layers: what is packed how, archives, and what layers make together.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use pratique::{
    crypto::Sha256,
    image::{
        Descriptor,
        layer::{Limits, files, read},
    },
};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { bytes: 1 << 20, entries: 1000, ..Limits::default() };
    let kinds = ["", "+gzip", "+zstd"];
    // Two layers of the two halves: what the second does to the first is half of it.
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for kind in kinds {
        let layer = |blob: &[u8]| {
            let media_type = format!("application/vnd.oci.image.layer.v1.tar{kind}");
            let (digest, size) = (Sha256::of(blob), blob.len() as u64);
            read(&Descriptor { media_type, digest, size }, blob, &limits).map(Arc::new)
        };
        for blobs in [&[bytes][..], &[first, second]] {
            let layers: Vec<_> = blobs.iter().filter_map(|blob| layer(blob).ok()).collect();
            if let Ok(files) = files(&layers, &limits) {
                assert!(files.keys().all(|name| !name.starts_with('/') && name.split('/').all(|part| part != "..")));
            }
        }
    }
});
