//! Reading canonical JSON in place takes exactly what reading and writing it takes, and rewriting or white space changes
//! nothing that is meant.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::crypto::{
    canonical::{Reader, rewrite},
    json,
};

fuzz_target!(|text: &str| {
    let mut reader = Reader::new(text, 0);
    let is_taken = reader.skip().is_some() && reader.at() == text.len();
    let parsed = json::parse(text.as_bytes());
    let is_canonical = parsed.as_ref().is_ok_and(|value| json::canonical(value) == text.as_bytes());
    assert_eq!(is_taken, is_canonical);
    // What is taken in another form means what the ordinary way reads.
    let mut spaced = Reader::of_spaced(text, 0);
    if spaced.skip().is_some() && spaced.peek().is_none() {
        assert!(parsed.is_ok());
    }
    if let Some(rewritten) = rewrite(text, 0) {
        assert_eq!(parsed.as_ref().map(json::canonical), Ok(rewritten.into_bytes()));
    }
    if let Ok(value) = parsed {
        let written = json::canonical(&value);
        // Control characters are canonical and no JSON.
        if !written.iter().any(|byte| *byte < b' ') {
            assert_eq!(json::parse(&written), Ok(value));
        }
    }
});
