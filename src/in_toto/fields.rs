//! Reads members of a document strictly: what is required is there, what is there is known.

use serde_json::{Map, Value};

use super::{
    error::{Error, Problem},
    limits::Limits,
};

/// How a payload was wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"signed": …, "signatures": […]}`. The reference fills in what is absent and drops what it does not know before
    /// it computes the signed bytes; so here exactly the specification's members are accepted.
    Metablock,
    /// A DSSE envelope signs the bytes as they are: further members may stand beside the known ones.
    Dsse,
}

/// The document being read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub form: Form,
    pub limits: &'a Limits,
}

impl Source<'_> {
    pub(super) fn malformed(&self, at: impl Into<String>, problem: impl Into<Problem>) -> Error {
        Error::Malformed { file: self.file.to_owned(), at: at.into(), problem: problem.into() }
    }

    pub(super) fn limit(&self, what: &'static str, found: usize, limit: usize) -> Result<(), Error> {
        if found > limit {
            return Err(Error::Limit { file: self.file.to_owned(), what, limit, found });
        }
        Ok(())
    }
}

/// An object of a document, with the place where it stands.
pub(super) struct Object<'a> {
    source: Source<'a>,
    at: String,
    members: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn open(source: Source<'a>, at: impl Into<String>, value: &'a Value) -> Result<Self, Error> {
        let at = at.into();
        match value.as_object() {
            Some(members) => Ok(Self { source, at, members }),
            None => Err(source.malformed(at, Problem::NotA("an object"))),
        }
    }

    /// Checks which members there are: `required` always, `usual` in a Metablock; others never in a Metablock, and in a
    /// DSSE payload only when they cannot be taken for a known one.
    pub(super) fn check(&self, required: &[&'static str], usual: &[&'static str]) -> Result<(), Error> {
        let needed = if self.source.form == Form::Metablock { usual } else { &[] };
        if let Some(missing) = required.iter().chain(needed).find(|name| !self.members.contains_key(**name)) {
            return Err(self.source.malformed(&*self.at, Problem::Missing(missing)));
        }
        let known = [required, usual].concat();
        self.no_case_variants(&known)?;
        let unknown = self.members.keys().find(|name| !known.contains(&name.as_str()));
        match unknown {
            Some(name) if self.source.form == Form::Metablock => {
                Err(self.source.malformed(&*self.at, Problem::Unknown(name.clone())))
            }
            _ => Ok(()),
        }
    }

    /// Checks that there are exactly these members, whatever the form.
    pub(super) fn exactly(&self, required: &[&'static str], optional: &[&'static str]) -> Result<(), Error> {
        self.check(required, optional)?;
        let is_known = |name: &String| required.iter().chain(optional).any(|known| known == name);
        match self.members.keys().find(|name| !is_known(name)) {
            Some(name) => Err(self.source.malformed(&*self.at, Problem::Unknown(name.clone()))),
            None => Ok(()),
        }
    }

    /// Refuses members that some readers, which compare names without case, take for a known one.
    pub(super) fn no_case_variants(&self, known: &[&'static str]) -> Result<(), Error> {
        let folded: Vec<(&'static str, String)> = known.iter().map(|known| (*known, fold(known))).collect();
        // A letter that folds to one of ASCII takes three bytes at most.
        let longest = known.iter().map(|known| known.len()).max().unwrap_or_default().saturating_mul(3);
        for name in self.members.keys().filter(|name| name.len() <= longest && !known.contains(&name.as_str())) {
            let found = fold(name);
            if let Some((known, _)) = folded.iter().find(|(_, folded)| *folded == found) {
                return Err(self.source.malformed(&*self.at, Problem::CaseVariant { found: name.clone(), known }));
            }
        }
        Ok(())
    }

    pub(super) fn at(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(super) fn optional(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    pub(super) fn get(&self, name: &'static str) -> Result<&'a Value, Error> {
        self.optional(name).ok_or_else(|| self.source.malformed(&*self.at, Problem::Missing(name)))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, Error> {
        self.get(name)?.as_str().ok_or_else(|| self.not_a(name, "a string"))
    }

    pub(super) fn list(&self, name: &'static str) -> Result<&'a [Value], Error> {
        Ok(self.get(name)?.as_array().ok_or_else(|| self.not_a(name, "a list"))?)
    }

    pub(super) fn object(&self, name: &'static str) -> Result<&'a Map<String, Value>, Error> {
        self.get(name)?.as_object().ok_or_else(|| self.not_a(name, "an object"))
    }

    /// A list of strings.
    pub(super) fn words(&self, name: &'static str) -> Result<Vec<String>, Error> {
        let words = self.list(name)?.iter().map(|word| word.as_str().map(str::to_owned));
        words.collect::<Option<_>>().ok_or_else(|| self.not_a(name, "a list of strings"))
    }

    /// `_type`, which a DSSE payload may leave out where the place says it already.
    pub(super) fn check_type(&self, expected: &'static str) -> Result<(), Error> {
        if self.source.form == Form::Dsse && !self.has("_type") {
            return Ok(());
        }
        let found = self.text("_type")?;
        if found != expected {
            let problem = Problem::WrongType { expected, found: found.to_owned() };
            return Err(self.source.malformed(self.at("_type"), problem));
        }
        Ok(())
    }

    pub(super) fn not_a(&self, name: &str, what: &'static str) -> Error {
        self.source.malformed(self.at(name), Problem::NotA(what))
    }
}

fn fold(name: &str) -> String {
    // Through upper case, so that the long s and the Kelvin sign fold as well.
    name.to_uppercase().to_lowercase()
}
