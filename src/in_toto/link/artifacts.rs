//! Artifacts as a table over the text that they were read from.
//!
//! A link lists thousands of artifacts, and what was verified is kept. An artifact takes a few numbers here, that say where
//! in the text its name and its digests stand; there is no memory of its own for each, and a copy of the list is a copy of
//! three pointers.

use std::{cmp::Ordering, collections::BTreeMap, fmt, ops::Range, sync::Arc};

use serde::{Serialize, Serializer};

/// The digests of one artifact by algorithm, in hex; in Statements those of algorithms that are not known here may be other
/// text. Two are equal when the whole maps are, to the case of the hex digits.
pub type Digests = BTreeMap<String, String>;

/// Artifacts in the order of their names. Cheap to clone.
#[derive(Clone)]
pub struct Artifacts {
    text: Arc<String>,
    listed: Arc<[Listed]>,
    digests: Arc<[Digest]>,
}

/// Where something stands in the text: the first byte, and the one behind the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    from: usize,
    to: usize,
}

/// One artifact.
#[derive(Debug, Clone, Copy)]
struct Listed {
    name: Span,
    /// How many digests this artifact and those before it have.
    digests: usize,
}

/// One digest of an artifact.
#[derive(Debug, Clone, Copy)]
struct Digest {
    algorithm: Span,
    hex: Span,
}

/// The digests of one artifact where they stand, in the order of the algorithms.
#[derive(Clone, Copy)]
pub struct DigestsOf<'a> {
    text: &'a str,
    listed: &'a [Digest],
}

/// A list that is being read, in the order of names and algorithms.
#[derive(Debug, Default)]
pub(super) struct Builder {
    listed: Vec<Listed>,
    digests: Vec<Digest>,
}

/// Artifacts of one list, by their place in it.
#[derive(Clone)]
pub struct Chosen {
    of: Artifacts,
    /// In order.
    places: Vec<usize>,
}

impl Span {
    fn of(self, text: &str) -> &str {
        // Both ends were found in this very text.
        text.get(self.from..self.to).unwrap_or_default()
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { from: range.start, to: range.end }
    }
}

impl Builder {
    /// How many artifacts there are.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// The next digest of the artifact that is added next.
    pub(super) fn digest(&mut self, algorithm: Span, hex: Span) {
        self.digests.push(Digest { algorithm, hex });
    }

    /// The next artifact.
    pub(super) fn artifact(&mut self, name: Span) {
        self.listed.push(Listed { name, digests: self.digests.len() });
    }

    /// The list, over the text in which all spans are.
    pub(super) fn over(self, text: Arc<String>) -> Artifacts {
        Artifacts { text, listed: self.listed.into(), digests: self.digests.into() }
    }
}

impl Artifacts {
    /// No artifacts.
    pub fn new() -> Self {
        Builder::default().over(Arc::default())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The digests of the artifact of this name, if it is there.
    pub fn get(&self, name: &str) -> Option<DigestsOf<'_>> {
        self.digests_at(self.place(name)?)
    }

    /// Whether an artifact of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.listed.iter().map(|listed| listed.name.of(&self.text))
    }

    /// Names and digests, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, DigestsOf<'_>)> {
        (0..self.len()).filter_map(|place| self.at(place))
    }

    pub(in crate::in_toto) fn at(&self, place: usize) -> Option<(&str, DigestsOf<'_>)> {
        Some((self.name_at(place)?, self.digests_at(place)?))
    }

    pub(in crate::in_toto) fn name_at(&self, place: usize) -> Option<&str> {
        self.listed.get(place).map(|listed| listed.name.of(&self.text))
    }

    pub(in crate::in_toto) fn digests_at(&self, place: usize) -> Option<DigestsOf<'_>> {
        let end = self.listed.get(place)?.digests;
        let start = match place.checked_sub(1) {
            Some(before) => self.listed.get(before)?.digests,
            None => 0,
        };
        Some(DigestsOf { text: &self.text, listed: self.digests.get(start..end)? })
    }

    /// The first place from `from` on whose name is not before `name`, and whether it is that.
    pub(in crate::in_toto) fn seek(&self, from: usize, name: &str) -> (usize, bool) {
        const STEPS: usize = 8;
        let ahead = self.listed.get(from..).unwrap_or_default();
        for (step, listed) in ahead.iter().take(STEPS).enumerate() {
            match listed.name.of(&self.text).cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return (from + step, true),
                Ordering::Greater => return (from + step, false),
            }
        }
        // It is far away.
        match ahead.binary_search_by(|listed| listed.name.of(&self.text).cmp(name)) {
            Ok(place) => (from + place, true),
            Err(place) => (from + place, false),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.listed.binary_search_by(|listed| listed.name.of(&self.text).cmp(name)).ok()
    }
}

impl Default for Artifacts {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<(String, Digests)> for Artifacts {
    fn from_iter<I: IntoIterator<Item = (String, Digests)>>(artifacts: I) -> Self {
        artifacts.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl<const N: usize> From<[(String, Digests); N]> for Artifacts {
    fn from(artifacts: [(String, Digests); N]) -> Self {
        artifacts.into_iter().collect()
    }
}

impl From<BTreeMap<String, Digests>> for Artifacts {
    fn from(artifacts: BTreeMap<String, Digests>) -> Self {
        let mut text = String::new();
        let mut builder = Builder::default();
        let mut write = |word: &str| {
            let from = text.len();
            text.push_str(word);
            Span::from(from..text.len())
        };
        for (name, digests) in &artifacts {
            for (algorithm, hex) in digests {
                builder.digest(write(algorithm), write(hex));
            }
            builder.artifact(write(name));
        }
        builder.over(Arc::new(text))
    }
}

impl PartialEq for Artifacts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Artifacts {}

impl fmt::Debug for Artifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Artifacts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'a> DigestsOf<'a> {
    /// Algorithms and hex digits, in the order of the algorithms.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.listed.iter().map(move |digest| (digest.algorithm.of(self.text), digest.hex.of(self.text)))
    }

    /// The hex digits of one algorithm.
    pub fn get(self, algorithm: &str) -> Option<&'a str> {
        self.iter().find(|(found, _)| *found == algorithm).map(|(_, hex)| hex)
    }

    /// A copy that stands alone.
    pub fn to_map(self) -> Digests {
        self.iter().map(|(algorithm, hex)| (algorithm.to_owned(), hex.to_owned())).collect()
    }
}

impl PartialEq for DigestsOf<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.listed.len() == other.listed.len() && self.iter().eq(other.iter())
    }
}

impl Eq for DigestsOf<'_> {}

impl fmt::Debug for DigestsOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Digests as messages show them.
pub(in crate::in_toto) fn shown<'a>(digests: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let shown: Vec<String> = digests.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).collect();
    if shown.is_empty() { "no digest".to_owned() } else { shown.join(" ") }
}

impl Serialize for DigestsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Chosen {
    /// `places` are in order.
    pub(in crate::in_toto) fn new(of: &Artifacts, places: Vec<usize>) -> Self {
        Self { of: of.clone(), places }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.places.iter().filter_map(|place| self.of.name_at(*place))
    }

    /// Whether an artifact of this name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.of.place(name).is_some_and(|place| self.places.binary_search(&place).is_ok())
    }
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Chosen {}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Chosen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_artifacts() -> impl Strategy<Value = BTreeMap<String, Digests>> {
        let digests = proptest::collection::btree_map("sha256|sha512|md5", "[0-9a-f]{1,4}", 0..3);
        proptest::collection::btree_map("[a-cé/\\PC]{0,6}", digests, 0..40)
    }

    proptest! {
        #[test]
        fn a_table_says_what_a_map_says(map in any_artifacts(), other in any_artifacts(), wanted in "[a-c]{0,2}") {
            let table = Artifacts::from(map.clone());
            prop_assert_eq!((table.len(), table.is_empty()), (map.len(), map.is_empty()));
            prop_assert!(table.names().eq(map.keys()));
            for (name, digests) in &map {
                let found = table.get(name).unwrap();
                prop_assert_eq!(&found.to_map(), digests);
                prop_assert_eq!(found.get("md5"), digests.get("md5").map(String::as_str));
            }
            prop_assert_eq!(table.contains(&wanted), map.contains_key(&wanted));
            prop_assert_eq!(table.get(&wanted).map(DigestsOf::to_map), map.get(&wanted).cloned());
            prop_assert_eq!(table == Artifacts::from(other.clone()), map == other);
            prop_assert_eq!(serde_json::to_value(&table).unwrap(), serde_json::to_value(&map).unwrap());
        }

        #[test]
        fn what_is_looked_for_in_order_is_found(map in any_artifacts(), wanted in proptest::collection::btree_set("[a-cé]{0,3}", 0..30)) {
            let table = Artifacts::from(map.clone());
            let mut at = 0;
            for name in &wanted {
                let (place, is_there) = table.seek(at, name);
                prop_assert_eq!(is_there, map.contains_key(name));
                prop_assert_eq!(place, map.keys().filter(|known| *known < name).count());
                at = place;
            }
        }

        #[test]
        fn what_is_chosen_is_there_by_name(map in any_artifacts(), chosen: u64) {
            let table = Artifacts::from(map.clone());
            let places: Vec<usize> = (0..table.len()).filter(|place| chosen >> place & 1 == 1).collect();
            let names: Vec<&String> = map.keys().enumerate().filter(|(place, _)| places.contains(place)).map(|(_, name)| name).collect();
            let chosen = Chosen::new(&table, places);
            prop_assert!(chosen.iter().eq(names.iter().copied()));
            prop_assert_eq!((chosen.len(), chosen.is_empty()), (names.len(), names.is_empty()));
            for name in map.keys() {
                prop_assert_eq!(chosen.contains(name), names.contains(&name));
            }
        }
    }
}
