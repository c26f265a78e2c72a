//! Where in the text does a path of the document stand, and which path stands at a place of the text?

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

use super::{Error, Fault, Place, raw};

/// The key of the ConfigMap that holds the policy.
const FILE: &str = "policy.yaml";

/// A path in the document: `rules[1].verify.layout`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(String);

impl Path {
    /// The document itself.
    pub(super) fn document() -> Self {
        Self(String::new())
    }

    /// A member of the mapping at this path.
    pub(super) fn key(&self, key: &str) -> Self {
        // A role chain or a parameter may be a key, so a key is not always one plain word.
        let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        match (plain, self.0.is_empty()) {
            (true, true) => Self(key.to_owned()),
            (true, false) => Self(format!("{}.{key}", self.0)),
            (false, _) => Self(format!("{}[{key:?}]", self.0)),
        }
    }

    /// An entry of the list at this path.
    pub(super) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// A fault at this path.
    pub(super) fn fault(&self, fault: Fault) -> Located {
        Located { path: self.clone(), fault: Box::new(fault) }
    }
}

/// A fault that knows its path but not yet its line.
#[derive(Debug)]
pub(super) struct Located {
    path: Path,
    fault: Box<Fault>,
}

/// The places of all paths of a document.
#[derive(Debug)]
pub(super) struct Outline {
    /// Keys stand for their members, and entries of lists for themselves.
    places: BTreeMap<Path, (u64, u64)>,
    /// Which path begins where: keys, entries and values, the innermost last.
    starts: BTreeMap<(u64, u64), Path>,
    empty: Option<Path>,
}

impl Outline {
    /// Reads the outline of a document.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let document: Spanned<Node> = match serde_saphyr::from_str_with_options(text, raw::options()) {
            Ok(document) => document,
            Err(error) => return Err(Self::nothing().error_of(&error)),
        };
        let mut outline = Self::nothing();
        outline.places.insert(Path::document(), (1, 1));
        outline.add(&Path::document(), &document);
        match &outline.empty {
            Some(path) if *path == Path::document() => Err(Self::unread(Fault::Yaml("is empty".to_owned()))),
            Some(path) => Err(outline.error(path.fault(Fault::NoValue))),
            None => Ok(outline),
        }
    }

    /// Gives a fault the line of its path, or of the nearest path above it that is in the text.
    pub(super) fn error(&self, located: Located) -> Error {
        let place = self.place(&located.path);
        Error { file: FILE.to_owned(), place, fault: located.fault }
    }

    /// The place of a path, or of the nearest path above it that is in the text.
    pub(super) fn place(&self, path: &Path) -> Place {
        let mut known = path.0.as_str();
        let (line, column) = loop {
            if let Some(found) = self.places.get(&Path(known.to_owned())) {
                break *found;
            }
            match known.rfind(['.', '[']).and_then(|end| known.get(..end)) {
                Some(parent) => known = parent,
                None => break (1, 1),
            }
        };
        Place { line, column, path: path.0.clone() }
    }

    /// The keys of the document, and the line of each, counted from 0; `None` if one does not begin its line.
    pub(super) fn top_level_lines(&self) -> Option<Vec<(&str, usize)>> {
        let keys = self.places.iter().filter(|(path, _)| !path.0.is_empty() && !path.0.contains(['.', '[']));
        let mut lines = BTreeSet::new();
        keys.map(|(path, (line, column))| {
            let line = usize::try_from(*line).ok()?.checked_sub(1)?;
            (*column == 1 && lines.insert(line)).then_some((path.0.as_str(), line))
        })
        .collect()
    }

    /// Rewords an error of the YAML reader, and finds the path that it is about.
    pub(super) fn error_of(&self, error: &serde_saphyr::Error) -> Error {
        let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
        let path =
            self.starts.range(..=(line, column)).next_back().map_or_else(Path::document, |(_, path)| path.clone());
        let fault = raw::fault_of(error);
        if let Fault::MissingKey(_) = fault {
            // The reader points at the last key of the mapping in which another is missing, or at an empty mapping.
            let at_key = self.places.get(&path) == Some(&(line, column));
            let parent = path.0.rfind('.').and_then(|end| path.0.get(..end)).unwrap_or_default();
            let mapping = if at_key { parent } else { path.0.as_str() };
            return self.error(Path(mapping.to_owned()).fault(fault));
        }
        Error { file: FILE.to_owned(), place: Place { line, column, path: path.0 }, fault: Box::new(fault) }
    }

    /// A fault of a document that is not even looked at.
    pub(super) fn unread(fault: Fault) -> Error {
        Self::nothing().error(Path::document().fault(fault))
    }

    fn nothing() -> Self {
        Self { places: BTreeMap::new(), starts: BTreeMap::new(), empty: None }
    }

    fn add(&mut self, path: &Path, node: &Spanned<Node>) {
        match &node.value {
            Node::Empty => {
                self.empty.get_or_insert_with(|| path.clone());
            }
            Node::Scalar => {}
            Node::List(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    self.start(path.index(index), &entry.referenced, entry);
                }
            }
            Node::Mapping(members) => {
                for (key, member) in members {
                    self.start(path.key(&key.value), &key.referenced, member);
                }
            }
        }
    }

    fn start(&mut self, path: Path, at: &Location, node: &Spanned<Node>) {
        let at = (at.line(), at.column());
        self.places.insert(path.clone(), at);
        self.starts.insert(at, path.clone());
        self.starts.insert((node.referenced.line(), node.referenced.column()), path.clone());
        self.add(&path, node);
    }
}

/// A document of which only the shape matters.
#[derive(Debug)]
enum Node {
    Empty,
    Scalar,
    List(Vec<Spanned<Self>>),
    Mapping(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Empty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_element()? {
            entries.push(entry);
        }
        Ok(Node::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Node::Mapping(members))
    }
}
