//! Names of steps and inspections, and the file names that are made of them.

use std::{borrow::Borrow, fmt, sync::Arc};

use crate::crypto::KeyId;

/// The name of a step or an inspection (in-toto 4.3.1). It becomes part of file names, so it has no `/` and no
/// control character and is not empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepName(Arc<str>);

impl StepName {
    /// Reads a name; `None` when it cannot be part of a file name.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_control());
        fits.then(|| Self(text.into()))
    }

    /// The name as the layout writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for StepName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a link file: `<step>.<first eight characters of the key id>.link` (in-toto 4.4; both reference
/// implementations use eight characters where the text says six bytes).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkName {
    /// The step that the link is about.
    pub step: StepName,
    /// The first eight characters of the functionary's key id.
    pub keyid_prefix: String,
}

impl LinkName {
    /// The link of one functionary about one step.
    pub fn new(step: &StepName, keyid: &KeyId) -> Self {
        Self { step: step.clone(), keyid_prefix: keyid.short().to_owned() }
    }

    /// Reads a file name without folders; `None` when it is not that of a link.
    pub fn parse(file_name: &str) -> Option<Self> {
        let (step, prefix) = file_name.strip_suffix(".link")?.rsplit_once('.')?;
        let is_prefix = prefix.len() == 8 && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
        let step = StepName::parse(step)?;
        is_prefix.then(|| Self { step, keyid_prefix: prefix.to_owned() })
    }

    /// The folder with the links of a sublayout that stands in for this link (in-toto 4.5.2).
    pub fn folder(&self) -> String {
        format!("{}.{}", self.step, self.keyid_prefix)
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.link", self.step, self.keyid_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_are_read_from_the_right() {
        let name = LinkName::parse("a.b.0123abcd.link").unwrap();
        assert_eq!((name.step.as_str(), name.keyid_prefix.as_str()), ("a.b", "0123abcd"));
        assert_eq!(name.to_string(), "a.b.0123abcd.link");
        assert_eq!(name.folder(), "a.b.0123abcd");
        for other in ["build.link", "build.0123abc.link", "build.0123abcz.link", ".0123abcd.link", "root.layout"] {
            assert_eq!(LinkName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_step_name_cannot_leave_its_folder() {
        for name in ["", "a/b", "../x", "a\0b", "a\nb"] {
            assert_eq!(StepName::parse(name), None, "{name:?}");
        }
        for name in ["build", "..", "b\u{e9} t", "build[1]", "*"] {
            assert!(StepName::parse(name).is_some(), "{name:?}");
        }
    }
}
