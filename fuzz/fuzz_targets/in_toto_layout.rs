//! A signed layout and signed links, one signed part a line, and unsigned files as they are: Metablocks, DSSE envelopes.

#![no_main]

use std::collections::BTreeMap;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pratique::in_toto::{Inspections, LayoutKey, Limits, LinkFile, Options, Sublayouts, SupplyChain, lint, verify};
use pratique_fuzz::{KEYID, key_object, sign};

fuzz_target!(|text: &str| {
    let key = LayoutKey::from_object(&key_object()).unwrap();
    let files: Vec<Vec<u8>> =
        text.lines().take(8).map(|line| sign(line).unwrap_or_else(|| line.as_bytes().to_vec())).collect();
    let Some((layout, links)) = files.split_first() else { return };
    let step = |at: usize| ["build", "fetch", "test"][at % 3];
    let links = links.iter().enumerate().map(|(at, bytes)| LinkFile {
        dir: if at < 3 { Vec::new() } else { vec![format!("build.{}", &KEYID[..8])] },
        name: format!("{}.{}.link", step(at), &KEYID[..8]),
        bytes,
    });
    let chain = SupplyChain { layout, keys: vec![key], links: links.collect(), attestations: Vec::new() };
    for parameters in [None, Some(BTreeMap::from([("tag".to_owned(), "1.0".to_owned())]))] {
        let options = Options {
            parameters,
            certificates: true,
            sublayouts: Sublayouts::Allow { depth: 2 },
            inspections: Inspections::Skip,
            ..Options::default()
        };
        let _ = verify(&chain, &options, Timestamp::UNIX_EPOCH, &Limits::default());
    }
    let _ = pratique::in_toto::is_layout(layout);
    let _ = lint(layout, &Limits::default());
});
