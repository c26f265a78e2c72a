//! Why can a policy not be put in force?

use std::fmt;

use crate::{
    cluster::roots, evidence::RepositoryName, repository::memory::MemoryError, verdict::Cause, verifier::Unbuilt,
};

/// What it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack {
    /// The refusal code, one of the closed list of `verdict::codes`.
    code: &'static str,
    text: String,
    /// Whether the policy is right, and the disk is not.
    is_of_disk: bool,
}

impl Lack {
    /// Replicas cannot remember together what this repository shows.
    pub(super) fn of_memory(name: &RepositoryName, error: &MemoryError) -> Self {
        Self { code: error.code(), text: format!("repository {name}: {error}"), is_of_disk: false }
    }

    /// Why images are refused while there is no other policy.
    pub(super) fn cause(&self) -> Cause {
        if self.is_of_disk {
            return Cause::Store { code: self.code, what: self.text.clone() };
        }
        Cause::NoPolicy { reason: self.to_string() }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.text)
    }
}

impl From<Unbuilt> for Lack {
    fn from(error: Unbuilt) -> Self {
        Self { code: error.code(), text: error.to_string(), is_of_disk: matches!(error, Unbuilt::Store { .. }) }
    }
}

impl From<roots::Error> for Lack {
    fn from(error: roots::Error) -> Self {
        Self { code: error.code(), text: error.to_string(), is_of_disk: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::store;

    #[test]
    fn a_disk_is_refused_for_by_its_own_code_and_all_else_by_that_of_the_policy() {
        let repository: RepositoryName = "acme".parse().unwrap();
        let why = || "Permission denied (os error 13)".to_owned();
        let error = store::Error::Io { path: "/state/acme".into(), why: why() };
        let lack = Lack::from(Unbuilt::Store { repository: repository.clone(), error });
        assert_eq!(lack.to_string(), "[internal/store] repository acme: /state/acme: Permission denied (os error 13)");
        assert_eq!(lack.cause().code(), "internal/store");
        let file = "acme.root.json".to_owned();
        for (lack, text) in [
            (
                Unbuilt::NoFile { repository, file }.into(),
                "[policy/no-such-file] repository acme: there is no acme.root.json",
            ),
            (
                roots::Error::Unreadable { place: "/roots".into(), why: why() }.into(),
                "[internal/root-unreadable] /roots: ",
            ),
        ] {
            let lack: Lack = lack;
            assert!(lack.to_string().starts_with(text), "{lack}");
            assert_eq!(lack.cause().code(), "policy/not-in-force");
            assert!(lack.cause().to_string().contains(text), "{}", lack.cause());
        }
    }
}
