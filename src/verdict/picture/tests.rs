use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::{
    crypto::Sha256,
    in_toto::{Inspections, LayoutKey, Limits, LinkFile, Options, SupplyChain, survey},
    publish::{Format, Layout, Link, SigningKey, Step},
};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// `fetch` makes a source of a strange name, `build` an app of it; `name` is what the source is called there.
fn surveyed(name: &str, built_from: &[u8], signed_by: u8) -> Survey {
    let key = |seed| SigningKey::ed25519_from_seed([seed; 32]);
    let (owner, ada, bob, signer) = (key(1), key(2), key(3), key(signed_by));
    let layout = Layout::new(now() + jiff::SignedDuration::from_hours(24))
        .step(Step::new("fetch").functionary(&ada).unwrap().products(&["CREATE *", "DISALLOW *"]))
        .step(
            Step::new("build")
                .functionary(&bob)
                .unwrap()
                .materials(&["MATCH * WITH PRODUCTS FROM fetch", "DISALLOW *"])
                .products(&["CREATE app", "DISALLOW *"]),
        )
        .sign(Format::Dsse, &[&owner])
        .unwrap();
    let fetched = Link::new("fetch").product(name, Sha256::of(b"source"));
    let built = Link::new("build").material(name, Sha256::of(built_from)).product("app", Sha256::of(b"app"));
    let files = [
        (fetched.file_name(&ada).unwrap(), fetched.sign(Format::Dsse, &ada).unwrap()),
        (built.file_name(&bob).unwrap(), built.sign(Format::Dsse, &signer).unwrap()),
    ];
    let links = files.iter().map(|(name, bytes)| LinkFile { dir: Vec::new(), name: name.clone(), bytes });
    let keys = vec![LayoutKey::parse(owner.public_pem().unwrap().as_bytes()).unwrap()];
    let chain = SupplyChain { layout: &layout, keys, links: links.collect(), attestations: Vec::new() };
    survey(&chain, &Options::default(), &mut Inspections::Refuse, now(), &Limits::default())
}

#[test]
fn a_supply_chain_that_holds_is_a_tree_without_a_cross() {
    let text = text(&surveyed("src/main.c", b"source", 3));
    assert!(!text.contains('✗'), "{text}");
    for line in [
        "    ✓ fetch\n",
        "    ✓ build\n      needs 1 functionary\n",
        "      1 materials, 1 products\n",
        "      materials: MATCH * WITH PRODUCTS FROM fetch took src/main.c\n",
        "      src/main.c from products of fetch to materials of build\n",
    ] {
        assert!(text.contains(line), "{line}is not in\n{text}");
    }
}

#[test]
fn where_it_breaks_is_marked_in_every_form() {
    let broken = surveyed("src/main.c", b"another", 3);
    let [flow] = &broken.flows()[..] else { panic!("{:?}", broken.flows()) };
    assert_eq!((flow.from.0.as_str(), flow.to.0.as_str()), ("fetch", "build"));
    assert_eq!(flow.artifacts, BTreeSet::from(["src/main.c".to_owned()]));
    let text = text(&broken);
    assert!(text.contains("    ✓ fetch\n") && text.contains("    ✗ build\n"), "{text}");
    assert!(text.contains("      ✗ src/main.c from products of fetch to materials of build: MATCH"), "{text}");
    let value = json(&broken);
    assert_eq!(value["steps"][0]["failure"], serde_json::Value::Null);
    assert_eq!(value["steps"][1]["failure"]["code"], "in-toto/disallowed-artifact");
    assert!(value["flows"][0]["broken"].as_str().unwrap().contains("found \"src/main.c\" with sha256:"));
    let red = dot(std::slice::from_ref(&broken));
    assert!(red.contains("\"fetch\" -> \"build\" [label=\"src/main.c\", tooltip="), "{red}");
    assert!(red.contains(", color=red, fontcolor=red, style=dashed];\n"), "{red}");
    let picture = svg(&[broken]);
    assert!(picture.contains("<g class=\"step\"><rect") && picture.contains("<g class=\"broken\"><rect"), "{picture}");
    assert!(picture.contains("<path class=\"broken\" marker-end="), "{picture}");
    // What holds has nothing of it.
    let whole = surveyed("src/main.c", b"source", 3);
    assert!(!dot(std::slice::from_ref(&whole)).contains("red"));
    assert!(!svg(&[whole]).contains("class=\"broken\""));
}

#[test]
fn who_did_not_sign_is_marked_and_the_steps_after_are_looked_at_all_the_same() {
    let broken = surveyed("src/main.c", b"source", 9);
    assert_eq!(broken.items.len(), 2);
    let text = text(&broken);
    assert!(text.contains("    ✓ fetch\n"), "{text}");
    assert!(text.contains("no signature\n") && text.contains("✗ [in-toto/threshold-not-met]"), "{text}");
}

#[test]
fn names_are_text_in_every_form() {
    let name = "a\"b\\<script>&\u{202e}\n";
    let survey = surveyed(name, b"another", 3);
    let picture = svg(std::slice::from_ref(&survey));
    assert!(!picture.contains("<script") && !picture.contains('\u{202e}'), "{picture}");
    assert!(picture.contains("a&quot;b\\&lt;script&gt;&amp;\\u{202e}"), "{picture}");
    let graph = dot(std::slice::from_ref(&survey));
    assert!(graph.contains(r#"label="a\"b\\<script>&\\u{202e}\\u{a}""#), "{graph}");
    assert!(!text(&survey).contains('\u{202e}'));
}
