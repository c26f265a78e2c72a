//! For each check one test in which exactly that check refuses: every test starts from the same supply chain, which is
//! accepted, and changes one thing.

mod certificates;
mod envelopes;
mod hostile;
mod layouts;
mod links;
mod lints;
mod openpgp;
mod predicates;
mod rules;
mod statements;
mod sublayouts;

use std::{collections::BTreeMap, num::NonZeroU32};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{
    crypto::{KeyId, dsse, json as strict},
    publish::SigningKey,
};

pub(super) const OWNER: u8 = 1;
pub(super) const ALICE: u8 = 2;
pub(super) const BOB: u8 = 3;
pub(super) const CAROL: u8 = 4;

pub(super) fn signer(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed([seed; 32])
}

pub(super) fn keyid(seed: u8) -> KeyId {
    signer(seed).keyid().unwrap()
}

pub(super) fn key_object(seed: u8) -> Value {
    let mut object = signer(seed).key_object().unwrap();
    object["keyid"] = json!(keyid(seed));
    object
}

pub(super) fn owner_key(seed: u8) -> LayoutKey {
    LayoutKey::new(keyid(seed), signer(seed).public().unwrap())
}

pub(super) fn metablock(payload: &Value, signers: &[u8]) -> Vec<u8> {
    let message = strict::canonical(payload);
    let signatures: Vec<Value> = signers
        .iter()
        .map(|seed| json!({"keyid": keyid(*seed), "sig": hex::encode(signer(*seed).sign(&message).unwrap())}))
        .collect();
    json!({"signed": payload, "signatures": signatures}).to_string().into_bytes()
}

pub(super) fn envelope(payload_type: &str, payload: &[u8], signers: &[u8]) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let message = dsse::pae(payload_type, payload);
    let signatures: Vec<Value> = signers
        .iter()
        .map(|seed| json!({"keyid": keyid(*seed), "sig": STANDARD.encode(signer(*seed).sign(&message).unwrap())}))
        .collect();
    json!({"payloadType": payload_type, "payload": STANDARD.encode(payload), "signatures": signatures})
}

pub(super) fn in_dsse(payload: &Value, signers: &[u8]) -> Vec<u8> {
    envelope("application/vnd.in-toto+json", payload.to_string().as_bytes(), signers).to_string().into_bytes()
}

pub(super) fn step(name: &str, pubkeys: &[u8], threshold: u32, materials: Value, products: Value) -> Value {
    let pubkeys: Vec<KeyId> = pubkeys.iter().map(|seed| keyid(*seed)).collect();
    json!({
        "_type": "step", "name": name, "pubkeys": pubkeys, "threshold": threshold, "expected_command": [],
        "expected_materials": materials, "expected_products": products,
    })
}

pub(super) fn layout(keys: &[u8], steps: Vec<Value>) -> Value {
    let keys: BTreeMap<String, Value> = keys.iter().map(|seed| (keyid(*seed).to_string(), key_object(*seed))).collect();
    json!({
        "_type": "layout", "expires": "2030-01-01T00:00:00Z", "readme": "", "keys": keys, "inspect": [], "steps": steps,
    })
}

pub(super) fn link(name: &str, materials: Value, products: Value) -> Value {
    json!({
        "_type": "link", "name": name, "materials": materials, "products": products,
        "command": [], "byproducts": {}, "environment": {},
    })
}

/// A supply chain in the making.
pub(super) struct Chain {
    pub layout: Value,
    pub layout_signers: Vec<u8>,
    pub keys: Vec<LayoutKey>,
    pub options: Options,
    pub limits: Limits,
    pub now: Timestamp,
    /// Path to payload and signers.
    pub links: BTreeMap<String, (Value, Vec<u8>)>,
    /// Files as they are, in place of or beside the made ones.
    pub raw: BTreeMap<String, Vec<u8>>,
    pub raw_layout: Option<Vec<u8>>,
    pub attestations: Vec<(String, Vec<u8>)>,
}

/// `fetch` by alice makes `src/a`; `build` by bob, who may be joined or replaced by carol, makes `app` of it.
pub(super) fn good() -> Chain {
    let fetch = step("fetch", &[ALICE], 1, json!([["DISALLOW", "*"]]), json!([["CREATE", "src/*"], ["DISALLOW", "*"]]));
    let materials = json!([["MATCH", "src/*", "WITH", "PRODUCTS", "FROM", "fetch"], ["DISALLOW", "*"]]);
    let products = json!([["CREATE", "app"], ["REQUIRE", "log"], ["CREATE", "log"], ["DISALLOW", "*"]]);
    let build = step("build", &[BOB, CAROL], 1, materials, products);
    let mut chain = Chain {
        layout: layout(&[ALICE, BOB, CAROL], vec![fetch, build]),
        layout_signers: vec![OWNER],
        keys: vec![owner_key(OWNER)],
        options: Options::default(),
        limits: Limits::default(),
        now: "2029-01-01T00:00:00Z".parse().unwrap(),
        links: BTreeMap::new(),
        raw: BTreeMap::new(),
        raw_layout: None,
        attestations: Vec::new(),
    };
    chain.add("fetch", ALICE, link("fetch", json!({}), json!({"src/a": {"sha256": "aa"}})));
    chain.add("build", BOB, build_link());
    chain
}

pub(super) fn build_link() -> Value {
    link("build", json!({"src/a": {"sha256": "aa"}}), json!({"app": {"sha256": "bb"}, "log": {"sha256": "cc"}}))
}

pub(super) fn path(step: &str, seed: u8) -> String {
    LinkName::new(&StepName::parse(step).unwrap(), &keyid(seed)).to_string()
}

impl Chain {
    pub(super) fn add(&mut self, step: &str, seed: u8, payload: Value) {
        self.links.insert(path(step, seed), (payload, vec![seed]));
    }

    pub(super) fn link(&mut self, step: &str, seed: u8) -> &mut Value {
        &mut self.links.get_mut(&path(step, seed)).unwrap().0
    }

    pub(super) fn build(&mut self) -> &mut Value {
        &mut self.layout["steps"][1]
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) fn verify_with(&self, inspector: &mut dyn Inspector) -> Result<Verified, Error> {
        let layout = self.raw_layout.clone().unwrap_or_else(|| metablock(&self.layout, &self.layout_signers));
        let mut files: BTreeMap<String, Vec<u8>> =
            self.links.iter().map(|(path, (payload, signers))| (path.clone(), metablock(payload, signers))).collect();
        files.extend(self.raw.clone());
        let links = files
            .iter()
            .map(|(path, bytes)| {
                let mut dir: Vec<String> = path.split('/').map(str::to_owned).collect();
                let name = dir.pop().unwrap();
                LinkFile { dir, name, bytes }
            })
            .collect();
        let attestations = self.attestations.iter();
        let attestations = attestations.map(|(name, bytes)| AttestationFile { name: name.clone(), bytes }).collect();
        let chain = SupplyChain { layout: &layout, keys: self.keys.clone(), links, attestations };
        verify_with(&chain, &self.options, inspector, self.now, &self.limits)
    }

    pub(super) fn verify(&self) -> Result<Verified, Error> {
        self.verify_with(&mut self.options.inspections.clone())
    }

    pub(super) fn refusal(&self) -> Error {
        self.verify().unwrap_err()
    }

    pub(super) fn code(&self) -> &'static str {
        self.refusal().code()
    }

    /// What is wrong with a malformed file, and where.
    pub(super) fn problem(&self) -> (String, String, Problem) {
        match self.refusal() {
            Error::Malformed { file, at, problem } => (file, at, problem),
            other => panic!("{other}"),
        }
    }
}

pub(super) fn threshold(number: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(number)
}

#[test]
fn a_good_supply_chain_is_verified_and_says_what_was_checked() {
    let verified = good().verify().unwrap();
    assert_eq!(verified.layout_signers(), [keyid(OWNER)]);
    assert_eq!(verified.earliest_expiry(), "2030-01-01T00:00:00Z".parse().unwrap());
    let (name, build) = verified.last_step().unwrap();
    assert_eq!(name.as_str(), "build");
    assert_eq!(build.functionaries, [keyid(BOB)]);
    assert_eq!(build.findings[1], FunctionaryFinding { keyid: keyid(CAROL), finding: Finding::NoLink });
    assert!(build.is_consumed(Side::Materials, "src/a") && build.materials.len() == 1);
    assert!(["app", "log"].into_iter().all(|name| build.is_consumed(Side::Products, name)));
    let trail: Vec<_> = build.product_rules.iter().map(|rule| (rule.rule.to_string(), rule.consumed.len())).collect();
    assert_eq!(trail[0], ("CREATE app".to_owned(), 1));
    assert_eq!(trail[3], ("DISALLOW *".to_owned(), 0));
    assert_eq!(verified.summary().products, build.products);
}
