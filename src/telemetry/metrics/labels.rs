//! What metrics are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

use crate::verdict::Verdict;

/// One decision about one image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Decision {
    /// `verified`, `exempt`, `unenforced`, `break-glass`, `refused`.
    pub verdict: &'static str,
    /// The class of a refusal, or empty.
    pub class: &'static str,
    /// The code of a refusal (a closed list), or empty.
    pub code: &'static str,
    /// The name of the rule; as many as the policy has.
    pub rule: String,
}

impl Decision {
    /// What a verdict counts as.
    pub fn of(verdict: &Verdict) -> Self {
        let refusal = verdict.refusal();
        let (code, class) = refusal.map_or(("", ""), |refusal| (refusal.code(), refusal.class().as_str()));
        let decided = match verdict {
            Verdict::Admitted(admitted) => admitted.kind(),
            Verdict::Refused(_) => "refused",
        };
        Self { verdict: decided, class, code, rule: verdict.rule().unwrap_or_default().to_owned() }
    }
}

/// What became of an attempt to refresh a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshOutcome {
    /// Newer metadata is trusted now.
    Updated,
    /// Everything that is trusted is still the newest.
    Unchanged,
    /// The repository gave no answer.
    Unavailable,
    /// The repository's answer was not believed.
    Refused,
}

impl RefreshOutcome {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// What became of an attempt to load something that is read again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoadOutcome {
    /// It is in force now.
    Loaded,
    /// It is wrong; the last good one stays in force.
    Kept,
    /// It is wrong, and nothing was in force before.
    Missing,
}

impl LoadOutcome {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Kept => "kept",
            Self::Missing => "missing",
        }
    }
}

/// What became of a wish to break the glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Glass {
    /// Something runs that was refused.
    Broken,
    /// Whoever asked may not.
    Refused,
    /// The API server did not say whether they may.
    Failed,
}

impl Glass {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// How a connection ended that brought no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionError {
    /// Too many are open.
    Limit,
    /// The TLS handshake failed or took too long.
    Handshake,
    /// The operating system did not hand it over.
    Accept,
}

impl ConnectionError {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Handshake => "handshake",
            Self::Accept => "accept",
        }
    }
}

/// The answer of the HTTP server to one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answer {
    /// The route, or `other`.
    pub path: &'static str,
    /// The HTTP status.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Path {
    pub(super) path: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Refresh {
    pub(super) repository: String,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Repository {
    pub(super) repository: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Copy {
    pub(super) repository: String,
    pub(super) copy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Role {
    pub(super) repository: String,
    pub(super) role: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Alert {
    pub(super) repository: String,
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Load {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Connection {
    pub(super) error: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Sent {
    pub(super) sent: &'static str,
}
