//! Writing in-toto layouts (in-toto 4.3).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Format, SigningKey, SigningKeyError,
    metadata::{instant, set},
    sign,
};
use crate::crypto::KeyId;

/// A layout being written.
#[derive(Debug, Clone)]
pub struct Layout {
    expires: Timestamp,
    readme: String,
    keys: BTreeMap<KeyId, Value>,
    steps: Vec<Value>,
    inspections: Vec<Value>,
}

/// A step being written.
#[derive(Debug, Clone)]
pub struct Step {
    name: String,
    threshold: u32,
    functionaries: Vec<(KeyId, Option<Value>)>,
    materials: Vec<Vec<String>>,
    products: Vec<Vec<String>>,
    command: Vec<String>,
}

impl Layout {
    /// An empty layout.
    pub fn new(expires: Timestamp) -> Self {
        Self { expires, readme: String::new(), keys: BTreeMap::new(), steps: Vec::new(), inspections: Vec::new() }
    }

    /// Text for people.
    pub fn readme(mut self, text: &str) -> Self {
        text.clone_into(&mut self.readme);
        self
    }

    /// Adds a step and lists the keys of its functionaries.
    pub fn step(mut self, step: Step) -> Self {
        for (keyid, object) in &step.functionaries {
            if let Some(object) = object {
                self.keys.insert(keyid.clone(), object.clone());
            }
        }
        let pubkeys: Vec<&str> = step.functionaries.iter().map(|(keyid, _)| keyid.as_str()).collect();
        self.steps.push(json!({
            "_type": "step", "name": step.name, "threshold": step.threshold, "pubkeys": pubkeys,
            "expected_materials": step.materials, "expected_products": step.products,
            "expected_command": step.command,
        }));
        self
    }

    /// Adds an inspection that runs `command`.
    pub fn inspection(mut self, name: &str, command: &[&str], materials: &[&str], products: &[&str]) -> Self {
        self.inspections.push(json!({
            "_type": "inspection", "name": name, "run": command,
            "expected_materials": rules(materials), "expected_products": rules(products),
        }));
        self
    }

    /// Lists a key object as it is, under any id.
    pub fn key(mut self, keyid: &KeyId, object: Value) -> Self {
        self.keys.insert(keyid.clone(), object);
        self
    }

    /// The layout itself, not signed.
    pub fn to_value(&self) -> Value {
        let keys: serde_json::Map<_, _> =
            self.keys.iter().map(|(keyid, object)| (keyid.as_str().to_owned(), object.clone())).collect();
        json!({
            "_type": "layout", "expires": instant(self.expires), "readme": self.readme, "keys": keys,
            "steps": self.steps, "inspect": self.inspections,
        })
    }

    /// The file, signed by the project owners' `keys`.
    pub fn sign(&self, format: Format, keys: &[&SigningKey]) -> Result<Vec<u8>, SigningKeyError> {
        sign::in_toto(&self.to_value(), format, keys)
    }
}

impl Step {
    /// A step with threshold 1 and no rules, which nobody may do yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            threshold: 1,
            functionaries: Vec::new(),
            materials: Vec::new(),
            products: Vec::new(),
            command: Vec::new(),
        }
    }

    /// Lets the holder of `key` do the step.
    pub fn functionary(mut self, key: &SigningKey) -> Result<Self, SigningKeyError> {
        let keyid = key.keyid()?;
        let object = listed_key(key)?;
        self.functionaries.push((keyid, Some(object)));
        Ok(self)
    }

    /// Lets the holder of a key do the step that the layout lists by [`Layout::key`], or does not list at all.
    pub fn functionary_id(mut self, keyid: &KeyId) -> Self {
        self.functionaries.push((keyid.clone(), None));
        self
    }

    /// How many functionaries must have done the step.
    pub fn threshold(mut self, threshold: u32) -> Self {
        self.threshold = threshold;
        self
    }

    /// Rules on materials, each one text: `MATCH app WITH PRODUCTS FROM build`.
    pub fn materials(mut self, texts: &[&str]) -> Self {
        self.materials = rules(texts);
        self
    }

    /// Rules on products, each one text: `CREATE app`.
    pub fn products(mut self, texts: &[&str]) -> Self {
        self.products = rules(texts);
        self
    }

    /// The command that functionaries are expected to run; a difference is only a warning in in-toto.
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|&word| word.to_owned()).collect();
        self
    }
}

/// The key object of a layout: it repeats the key id within itself.
fn listed_key(key: &SigningKey) -> Result<Value, SigningKeyError> {
    let mut object = key.key_object()?;
    set(&mut object, "keyid", Value::from(key.keyid()?.as_str()));
    Ok(object)
}

/// Splits texts of rules at white space. Patterns with white space in them cannot be written this way.
fn rules(texts: &[&str]) -> Vec<Vec<String>> {
    texts.iter().map(|text| text.split_whitespace().map(str::to_owned).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{PublicKey, dsse::Envelope, json as strict};

    fn layout(builder: &SigningKey) -> Layout {
        Layout::new("2027-01-01T00:00:00Z".parse().unwrap())
            .readme("line one\nline two")
            .step(Step::new("build").functionary(builder).unwrap().products(&["CREATE app", "DISALLOW *"]))
    }

    fn owner() -> (SigningKey, PublicKey) {
        let key = SigningKey::ed25519_from_seed([1; 32]);
        let public = key.public().unwrap();
        (key, public)
    }

    #[test]
    fn a_metablock_is_signed_over_its_canonical_form() {
        let (owner, public) = owner();
        let builder = SigningKey::ed25519_from_seed([2; 32]);
        let bytes = layout(&builder).sign(Format::Metablock, &[&owner]).unwrap();
        let document = strict::parse(&bytes).unwrap();
        let signature = hex::decode(document.pointer("/signatures/0/sig").unwrap().as_str().unwrap()).unwrap();
        assert!(public.verify(&strict::canonical(&document["signed"]), &signature).is_ok());
        let keyid = builder.keyid().unwrap();
        assert_eq!(document["signed"]["keys"][keyid.as_str()]["keyid"], keyid.as_str());
        assert_eq!(document["signed"]["steps"][0]["pubkeys"][0], keyid.as_str());
    }

    #[test]
    fn an_envelope_is_signed_over_its_encoding_and_holds_readable_json() {
        let (owner, public) = owner();
        let layout = layout(&SigningKey::ed25519_from_seed([2; 32]));
        let bytes = layout.sign(Format::Dsse, &[&owner]).unwrap();
        let envelope = Envelope::from_value(&strict::parse(&bytes).unwrap()).unwrap();
        assert!(public.verify(&envelope.signed, &envelope.signatures[0].sig).is_ok());
        assert_eq!(strict::parse(envelope.payload()).unwrap(), layout.to_value());
    }
}
