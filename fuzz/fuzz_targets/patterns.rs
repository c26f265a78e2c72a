//! The three kinds of patterns, on a first line, against the text of a second.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::pattern::{Fnmatch, ImagePattern, TufPattern};

fuzz_target!(|text: &str| {
    let Some((pattern, name)) = text.split_once('\n') else { return };
    if TufPattern::new(pattern).matches(name) {
        let slashes = |text: &str| text.matches('/').count();
        assert_eq!(slashes(pattern), slashes(name), "a wildcard went over a slash");
    }
    let _ = Fnmatch::new(pattern).matches(name);
    if let Ok(parsed) = ImagePattern::new(pattern) {
        let _ = (parsed.matches(name), parsed.captures(name), parsed.wildcards());
        assert!(parsed.covers(&parsed));
        if let Ok(other) = ImagePattern::new(name)
            && parsed.covers(&other)
            && other.is_literal()
        {
            assert!(parsed.matches(name));
        }
    }
});
