//! Reviews, and the workloads in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pratique::admission::{Limits, Request, Workload};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        let _ = Workload::read(&request, &[], &Limits::default());
    }
});
