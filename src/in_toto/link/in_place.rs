//! A link read from its canonical bytes, without a tree of values in between.
//!
//! Links hold thousands of artifacts. What is as usual is read here in one pass; whatever is not makes
//! [`read`] give up, and the link is read in the ordinary way, which says what is wrong.

use std::sync::Arc;

use super::{Artifacts, Link, Recorded, artifacts::Builder, is_digest, unclean};
use crate::{
    crypto::canonical::{Reader, rewrite},
    in_toto::limits::Limits,
};

/// A link whose artifacts are known by their places in a text.
pub(in crate::in_toto) struct Found {
    name: String,
    command: Vec<String>,
    materials: Builder,
    products: Builder,
}

impl Found {
    /// The link, over the text from whose beginning its places are counted.
    pub(in crate::in_toto) fn over(self, text: &Arc<String>) -> Link {
        let Self { name, command, materials, products } = self;
        let over = |list: Builder| -> Artifacts { list.over(text.clone()) };
        Link { name: Some(name), recorded: Recorded { materials: over(materials), products: over(products) }, command }
    }
}

/// Reads a link that is canonical and stands where `reader` is, if [`Link::parse`] would read the same from it in either
/// form. Its places are those in the text of `reader`.
pub(in crate::in_toto) fn read(reader: &mut Reader<'_>, limits: &Limits) -> Option<Found> {
    let mut members = Members::default();
    reader.object(|reader, name| members.read(name.plain()?, reader, limits))?;
    members.link()
}

/// Reads a link that is the whole of a canonical text, which stands `depth` containers deep in its document.
pub(in crate::in_toto) fn read_canonical(text: &Arc<String>, depth: usize, limits: &Limits) -> Option<Link> {
    let mut reader = Reader::of_canonical(text, depth);
    let found = read(&mut reader, limits)?;
    reader.peek().is_none().then(|| found.over(text))
}

/// Reads a link that is a whole document, which stands in `text` from `at` on.
pub(in crate::in_toto) fn read_document(text: &Arc<String>, at: usize, limits: &Limits) -> Option<Link> {
    let mut reader = Reader::of_spaced(text, 0).from(at);
    match read(&mut reader, limits) {
        Some(found) if reader.peek().is_none() => Some(found.over(text)),
        _ => read_canonical(&Arc::new(rewrite(text.get(at..)?, 0)?), 0, limits),
    }
}

#[derive(Default)]
struct Members {
    is_link: bool,
    name: Option<String>,
    materials: Option<Builder>,
    products: Option<Builder>,
    command: Option<Vec<String>>,
    has_byproducts: bool,
    has_environment: bool,
}

impl Members {
    fn read(&mut self, name: &str, reader: &mut Reader<'_>, limits: &Limits) -> Option<()> {
        match name {
            "_type" => self.is_link = reader.string()?.plain()? == "link",
            "name" => self.name = Some(reader.string()?.plain()?.to_owned()),
            "materials" => self.materials = Some(artifacts(reader, limits)?),
            "products" => self.products = Some(artifacts(reader, limits)?),
            "command" => {
                let mut words = Vec::new();
                reader.array(|reader| {
                    words.push(reader.string()?.plain()?.to_owned());
                    Some(())
                })?;
                self.command = Some(words);
            }
            "byproducts" => self.has_byproducts = object(reader)?,
            "environment" => self.has_environment = object(reader)?,
            _ => return None,
        }
        Some(())
    }

    fn link(self) -> Option<Found> {
        let is_whole = self.is_link && self.has_byproducts && self.has_environment;
        let (materials, products) = (self.materials?, self.products?);
        is_whole.then_some(Found { name: self.name?, command: self.command?, materials, products })
    }
}

fn object(reader: &mut Reader<'_>) -> Option<bool> {
    (reader.peek()? == b'{').then_some(())?;
    reader.skip()?;
    Some(true)
}

fn artifacts(reader: &mut Reader<'_>, limits: &Limits) -> Option<Builder> {
    let mut listed = Builder::default();
    reader.object(|reader, written| {
        let name = written.plain()?;
        if listed.len() == limits.artifacts || name.len() > limits.artifact_name_bytes || unclean(name).is_some() {
            return None;
        }
        reader.object(|reader, algorithm| {
            let hex = reader.string()?;
            algorithm.plain().and(hex.plain()).filter(|hex| is_digest(hex))?;
            listed.digest(algorithm.place().into(), hex.place().into());
            Some(())
        })?;
        listed.artifact(written.place().into());
        Some(())
    })?;
    Some(listed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        crypto::json as strict,
        in_toto::fields::{Form, Source},
    };

    fn ordinary(value: &Value, limits: &Limits) -> Option<Link> {
        let both = [Form::Metablock, Form::Dsse].map(|form| Link::parse(Source { file: "", form, limits }, value).ok());
        let [one, other] = both;
        one.filter(|_| other.is_some())
    }

    fn same(a: &Link, b: &Link) -> bool {
        (&a.name, &a.recorded, &a.command) == (&b.name, &b.recorded, &b.command)
    }

    fn link(artifact: &str, digests: Value) -> Value {
        json!({
            "_type": "link", "name": "build", "command": ["make", "all"], "byproducts": {"stdout": "x\n"}, "environment": {},
            "materials": {"src/a": {"sha256": "AA"}, "z": {"sha256": "00", "sha512": "11"}}, "products": {artifact: digests},
        })
    }

    fn in_place(value: &Value, limits: &Limits) -> Option<Link> {
        read_canonical(&Arc::new(String::from_utf8(strict::canonical(value)).unwrap()), 0, limits)
    }

    #[test]
    fn a_link_as_usual_is_read_in_place() {
        let (limits, value) = (Limits::default(), link("app", json!({"sha256": "00"})));
        let ordinary = ordinary(&value, &limits).unwrap();
        assert!(same(&in_place(&value, &limits).unwrap(), &ordinary));
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap() + "\n"] {
            assert!(same(&read_document(&Arc::new(text), 0, &limits).unwrap(), &ordinary));
        }
    }

    #[test]
    fn what_is_not_as_usual_is_left_to_the_ordinary_way() {
        let limits = Limits { artifacts: 2, artifact_name_bytes: 8, ..Limits::default() };
        for value in [
            link("./a", json!({"sha256": "00"})),
            link("much longer", json!({"sha256": "00"})),
            link("a", json!({"sha256": "xy"})),
            link("a", json!({"sha256": ""})),
            link("a", json!("00")),
            json!([]),
            json!("link"),
        ] {
            assert!(in_place(&value, &limits).is_none() && ordinary(&value, &limits).is_none(), "{value}");
        }
        let good = link("a", json!({"sha256": "00"}));
        for (member, change) in [
            ("_type", json!("layout")),
            ("name", json!(null)),
            ("name", json!("\"")),
            ("command", json!("make")),
            ("command", json!([1])),
            ("byproducts", json!([])),
            ("environment", json!(null)),
            ("materials", json!(null)),
            ("materials", json!({"a": {}, "b": {}, "c": {}})),
            ("Products", json!({})),
            ("further", json!(1)),
        ] {
            let mut value = good.clone();
            value[member] = change;
            assert!(in_place(&value, &limits).is_none(), "{value}");
        }
        for member in ["_type", "name", "materials", "products", "command", "byproducts", "environment"] {
            let mut value = good.clone();
            value.as_object_mut().unwrap().remove(member);
            assert!(in_place(&value, &limits).is_none(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_in_place_is_what_the_ordinary_way_reads(
            names in proptest::collection::vec("[a-c./\"\\\\é]{0,4}", 0..4),
            algorithms in proptest::collection::vec("sha256|sha512|md5|\"", 0..3),
            digest in "[0-9a-fA-F]{0,4}|x",
            at: usize,
            byte in 0u8..128,
        ) {
            let digests: Value = algorithms.iter().map(|name| (name.clone(), json!(digest))).collect::<serde_json::Map<_, _>>().into();
            let mut value = link("a", digests.clone());
            value["products"] = names.iter().map(|name| (name.clone(), digests.clone())).collect::<serde_json::Map<_, _>>().into();
            let limits = Limits::default();
            // As a whole document, with white space anywhere and behind something else.
            for text in [serde_json::to_string_pretty(&value).unwrap(), value.to_string()] {
                let mut text = text.into_bytes();
                for damaged in [false, true] {
                    if damaged {
                        let at = at % text.len();
                        text[at] = byte;
                    }
                    let Ok(document) = String::from_utf8(text.clone()) else { continue };
                    let Some(found) = read_document(&Arc::new(format!("before {document}")), 7, &limits) else { continue };
                    let ordinary = ordinary(&strict::parse(document.as_bytes()).unwrap(), &limits);
                    prop_assert!(ordinary.is_some_and(|ordinary| same(&found, &ordinary)), "{document}");
                }
            }
            let mut bytes = strict::canonical(&value);
            for damaged in [false, true] {
                if damaged {
                    let at = at % bytes.len();
                    bytes[at] = byte;
                }
                let Ok(text) = std::str::from_utf8(&bytes) else { continue };
                let Some(found) = read_canonical(&Arc::new(text.to_owned()), 0, &limits) else { continue };
                // As a document would have them.
                let controls = |c: char| if c < ' ' { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
                let document: String = text.chars().map(controls).collect();
                let ordinary = ordinary(&strict::parse(document.as_bytes()).unwrap(), &limits);
                prop_assert!(ordinary.is_some_and(|ordinary| same(&found, &ordinary)), "{text}");
            }
        }
    }
}
