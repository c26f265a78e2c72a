//! Vectors of single functions: patterns, canonical JSON, DSSE's encoding, key ids, and rules.

use std::{fs, path::Path};

use pratique::{
    crypto::{KeyId, dsse, json},
    in_toto::{self, Error, LayoutKey, Limits, LinkFile, LinkName, Options, StepName, SupplyChain},
    pattern::Fnmatch,
    publish::SigningKey,
};
use serde_json::{Value, json};

fn vectors(name: &str) -> Option<Vec<Value>> {
    let path = crate::corpus()?.join("_vectors").join(name);
    Some(serde_json::from_slice(&fs::read(Path::new(&path)).unwrap()).unwrap())
}

fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn patterns_match_as_in_python() {
    let Some(vectors) = vectors("fnmatch.json") else { return };
    for vector in &vectors {
        let (pattern, name) = (vector[0].as_str().unwrap(), vector[1].as_str().unwrap());
        assert_eq!(Fnmatch::new(pattern).matches(name), vector[2], "{pattern:?} on {name:?}");
    }
    println!("{} patterns", vectors.len());
}

#[test]
fn canonical_json_is_that_of_the_reference_unless_it_is_ambiguous() {
    // Members that stand twice, and numbers that readers round or write differently.
    let ambiguous = [r#"{"a":1,"a":2}"#, r#"{"n":-5,"big":123456789012345678901234567890}"#, "-0"];
    let Some(vectors) = vectors("canonical_json.json") else { return };
    for vector in &vectors {
        let text = vector["json"].as_str().unwrap();
        match json::parse(text.as_bytes()) {
            Ok(value) => assert_eq!(json::canonical(&value), hex(&vector["canonical_hex"]), "{text}"),
            Err(error) => assert!(vector.get("error").is_some() || ambiguous.contains(&text), "{text}: {error}"),
        }
    }
}

#[test]
fn the_encoding_of_envelopes_is_that_of_the_reference() {
    let Some(vectors) = vectors("pae.json") else { return };
    for vector in &vectors {
        let payload_type = vector["payloadType"].as_str().unwrap();
        assert_eq!(dsse::pae(payload_type, &hex(&vector["payload_hex"])), hex(&vector["pae_hex"]));
    }
}

#[test]
fn a_bare_key_goes_by_the_ids_that_python_and_go_compute() {
    let Some(vectors) = vectors("keyids.json") else { return };
    for vector in &vectors {
        let key = LayoutKey::parse(vector["pem"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(key.ids()[0].as_str(), vector["keyid_python"]);
        let go = vector["keyid_go"].as_str().map(KeyId::from);
        assert!(go.is_none_or(|id| key.is_called(&id)), "{}", vector["name"]);
    }
}

/// Rule sets over clean names: the verdict is python's.
#[test]
fn rules_over_clean_names_judge_as_in_python() {
    let Some(vectors) = vectors("rules_clean.json") else { return };
    let bench = Bench::new();
    for vector in &vectors {
        let judged = bench.judge(vector);
        assert_eq!(judged.is_ok(), vector["python"] == "pass", "{vector}\n{judged:?}");
    }
    println!("{} rule sets", vectors.len());
}

/// Rule sets over names that Go cleans: refused, or the verdict is python's.
#[test]
fn rules_over_unclean_names_judge_as_in_python_or_are_refused() {
    let Some(vectors) = vectors("rules_dirty.json") else { return };
    let bench = Bench::new();
    let mut unclean = 0;
    for vector in &vectors {
        match bench.judge(vector) {
            Err(Error::UncleanArtifact { .. }) => unclean += 1,
            judged => assert_eq!(judged.is_ok(), vector["python"] == "pass", "{vector}\n{judged:?}"),
        }
    }
    println!("{} rule sets, {unclean} with unclean names", vectors.len());
}

/// Makes signed supply chains of rule vectors: step `src` has the other artifacts, step `st` the rules.
struct Bench {
    key: SigningKey,
    keyid: KeyId,
}

impl Bench {
    fn new() -> Self {
        let key = SigningKey::ed25519_from_seed([7; 32]);
        let keyid = key.keyid().unwrap();
        Self { key, keyid }
    }

    fn judge(&self, vector: &Value) -> Result<(), Error> {
        let step = |name: &str, materials: &Value, products: &Value| {
            json!({
                "_type": "step", "name": name, "threshold": 1, "pubkeys": [self.keyid], "expected_command": [],
                "expected_materials": materials, "expected_products": products,
            })
        };
        let mut object = self.key.key_object().unwrap();
        object["keyid"] = json!(self.keyid);
        let steps = [
            step("src", &json!([]), &json!([])),
            step("st", &vector["expected_materials"], &vector["expected_products"]),
        ];
        let layout = self.sign(&json!({
            "_type": "layout", "expires": "2099-01-01T00:00:00Z", "readme": "", "inspect": [], "steps": steps,
            "keys": {self.keyid.as_str(): object},
        }));
        let links = [
            self.link("src", &vector["src_materials"], &vector["src_products"]),
            self.link("st", &vector["materials"], &vector["products"]),
        ];
        let links = links.iter().map(|(name, bytes)| LinkFile { dir: Vec::new(), name: name.clone(), bytes }).collect();
        let keys = vec![LayoutKey::new(self.keyid.clone(), self.key.public().unwrap())];
        let chain = SupplyChain { layout: &layout, keys, links, attestations: Vec::new() };
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        in_toto::verify(&chain, &Options::default(), now, &Limits::default()).map(|_| ())
    }

    fn link(&self, step: &str, materials: &Value, products: &Value) -> (String, Vec<u8>) {
        let payload = json!({
            "_type": "link", "name": step, "materials": materials, "products": products, "command": [],
            "byproducts": {}, "environment": {},
        });
        (LinkName::new(&StepName::parse(step).unwrap(), &self.keyid).to_string(), self.sign(&payload))
    }

    fn sign(&self, payload: &Value) -> Vec<u8> {
        let signature = hex::encode(self.key.sign(&json::canonical(payload)).unwrap());
        json!({"signed": payload, "signatures": [{"keyid": self.keyid, "sig": signature}]}).to_string().into_bytes()
    }
}
