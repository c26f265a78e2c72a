//! Files of any role as they may come over the network, before any signature is looked at.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pratique::tuf::{Refresh, Settings, Stored, root_version};
use pratique_fuzz::{KEYID, key_object, sign_value};
use serde_json::json;

fuzz_target!(|bytes: &[u8]| {
    let _ = root_version(bytes);
    let role = json!({"keyids": [KEYID], "threshold": 1});
    let root =
        sign_value(&json!({"_type": "root", "spec_version": "1.0", "version": 1, "expires": "2100-01-01T00:00:00Z",
        "consistent_snapshot": true, "keys": {KEYID: key_object()},
        "roles": {"root": role, "timestamp": role, "snapshot": role, "targets": role}}));
    let now = Timestamp::UNIX_EPOCH;
    let bytes = bytes.to_vec();
    // From the disk, where a file of each role is read, and from the network.
    let stored = Stored {
        roots: vec![bytes.clone()],
        timestamp: Some(bytes.clone()),
        snapshot: Some(bytes.clone()),
        targets: Some(bytes.clone()),
    };
    let mut refresh = Refresh::start(&root, stored, Settings::default(), now).unwrap();
    let _ = refresh.supply(Ok(bytes));
});
