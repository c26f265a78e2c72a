//! References of images: a normal form is its own normal form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::image::Reference;

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        let written = reference.to_string();
        assert_eq!(Reference::parse(&written).unwrap().to_string(), written);
    }
});
