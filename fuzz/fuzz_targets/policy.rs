//! Policies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::policy::Policy;

fuzz_target!(|text: &str| {
    if let Ok(policy) = Policy::parse(text) {
        assert_eq!(Policy::parse(text).unwrap().hash(), policy.hash());
    }
});
