//! Writing in-toto links (in-toto 4.4).

use serde_json::{Map, Value, json};

use super::{Format, SigningKey, SigningKeyError, sign};
use crate::crypto::{KeyId, Sha256};

/// A link being written: what one functionary did in one step.
#[derive(Debug, Clone)]
pub struct Link {
    name: String,
    materials: Map<String, Value>,
    products: Map<String, Value>,
    command: Vec<String>,
    byproducts: Map<String, Value>,
    environment: Map<String, Value>,
}

impl Link {
    /// A link of `step` without artifacts.
    pub fn new(step: &str) -> Self {
        Self {
            name: step.to_owned(),
            materials: Map::new(),
            products: Map::new(),
            command: Vec::new(),
            byproducts: Map::new(),
            environment: Map::new(),
        }
    }

    /// Records a material by its SHA-256.
    pub fn material(mut self, name: &str, digest: Sha256) -> Self {
        self.materials.insert(name.to_owned(), digest_map(digest));
        self
    }

    /// Records a product by its SHA-256. For an image: the canonical repository name and the image digest.
    pub fn product(mut self, name: &str, digest: Sha256) -> Self {
        self.products.insert(name.to_owned(), digest_map(digest));
        self
    }

    /// The command that was run.
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The link itself, not signed.
    pub fn to_value(&self) -> Value {
        json!({
            "_type": "link", "name": self.name, "materials": self.materials, "products": self.products,
            "command": self.command, "byproducts": self.byproducts, "environment": self.environment,
        })
    }

    /// The file, signed by the functionary.
    pub fn sign(&self, format: Format, key: &SigningKey) -> Result<Vec<u8>, SigningKeyError> {
        sign::in_toto(&self.to_value(), format, &[key])
    }

    /// The name under which verifiers look for this link by `key`.
    pub fn file_name(&self, key: &SigningKey) -> Result<String, SigningKeyError> {
        Ok(file_name(&self.name, &key.keyid()?))
    }
}

/// `<step>.<first eight characters of the key id>.link`.
pub fn file_name(step: &str, keyid: &KeyId) -> String {
    format!("{step}.{}.link", keyid.short())
}

fn digest_map(digest: Sha256) -> Value {
    json!({"sha256": digest.to_string()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::json as strict;

    #[test]
    fn a_link_is_named_by_its_step_and_signed_by_its_functionary() {
        let key = SigningKey::ed25519_from_seed([3; 32]);
        let link = Link::new("build").product("registry.example/team/app", Sha256::of(b"manifest"));
        let bytes = link.sign(Format::Metablock, &key).unwrap();
        let document = strict::parse(&bytes).unwrap();
        let signature = hex::decode(document.pointer("/signatures/0/sig").unwrap().as_str().unwrap()).unwrap();
        assert!(key.public().unwrap().verify(&strict::canonical(&document["signed"]), &signature).is_ok());
        assert_eq!(
            document["signed"]["products"]["registry.example/team/app"]["sha256"],
            Sha256::of(b"manifest").to_string()
        );
        assert_eq!(
            link.file_name(&key).unwrap(),
            format!("build.{}.link", &document["signatures"][0]["keyid"].as_str().unwrap()[..8])
        );
    }
}
