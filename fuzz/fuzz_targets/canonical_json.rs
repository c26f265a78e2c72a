//! Reading canonical JSON in place takes exactly what reading and writing it takes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::crypto::{canonical::Reader, json};

fuzz_target!(|text: &str| {
    let mut reader = Reader::new(text, 0);
    let is_taken = reader.skip().is_some() && reader.at() == text.len();
    let parsed = json::parse(text.as_bytes());
    let is_canonical = parsed.as_ref().is_ok_and(|value| json::canonical(value) == text.as_bytes());
    assert_eq!(is_taken, is_canonical);
    if let Ok(value) = parsed {
        let written = json::canonical(&value);
        // Control characters are canonical and no JSON.
        if !written.iter().any(|byte| *byte < b' ') {
            assert_eq!(json::parse(&written), Ok(value));
        }
    }
});
