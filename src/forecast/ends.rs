//! What a verdict stands on that comes to an end by itself, and who has to renew it.

use core::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    evidence::{Ends, Proof, requirement::is_offline},
    in_toto,
    tuf::{self, Role, RoleChain, Trusted, Visit},
    verdict::Cause,
};

/// Who renews something before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Renewal {
    /// A machine, all the time: what online keys sign.
    Machine,
    /// People, with keys that are offline, or by an edit of the policy.
    People,
}

impl Renewal {
    /// The word in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::People => "people",
        }
    }
}

/// The first refusal of an image that is admitted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// From this instant on it is refused.
    pub at: Timestamp,
    /// With this code, one of the closed list of `verdict::codes`.
    pub code: &'static str,
    /// In these words.
    pub what: String,
    /// Who can prevent it.
    pub renewal: Renewal,
}

/// The repository that a verdict was read from, as far as time ends it. Its four files are looked at anew in every
/// judgement and are no part of a [`Proof`].
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    /// Root, timestamp, snapshot and top-level targets.
    pub trusted: &'a Trusted,
    /// `maxAge` of the policy counted from the last refresh that succeeded: the instant, and the refusal then.
    pub too_old: Option<&'a (Timestamp, Cause)>,
    /// The other repositories that the rule asks about the image.
    pub others: Vec<Self>,
    /// How many of those have to say the same.
    pub needed: usize,
}

/// The ends that come of all that a proof stands on, in the order in which a judgement looks at it. Of the other
/// repositories of a rule the one that leaves too few.
pub(super) fn of(
    proof: &Proof,
    layout_roles: &BTreeSet<RoleChain>,
    standing: &Standing<'_>,
    comes: impl Fn(&Ending) -> bool,
) -> Vec<Ending> {
    let mut endings = of_repository(layout_roles, standing);
    endings.extend(proof.visited().iter().map(|visit| {
        let Visit { chain, version, expires, .. } = &**visit;
        expired(Role::Targets(chain.clone()), *version, *expires, renewal_of(chain, layout_roles))
    }));
    for (end, at) in proof.ends() {
        endings.push(match end {
            Ends::Layout(_) => {
                let error = in_toto::Error::LayoutExpired { expires: *at, now: *at };
                Ending { at: *at, code: error.code(), what: error.to_string(), renewal: Renewal::People }
            }
            Ends::Key { keyid, step } => {
                let (code, signed) = match step {
                    Some(step) => ("in-toto/threshold-not-met", format!("step {step:?}")),
                    None => ("in-toto/layout-signature", "the layout".to_owned()),
                };
                let what = format!("key {keyid}, which signed {signed}, expired at {at}");
                Ending { at: *at, code, what, renewal: Renewal::People }
            }
        });
    }
    endings.retain(&comes);
    let first = |other: &Standing<'_>| {
        of_repository(layout_roles, other).into_iter().filter(&comes).min_by_key(|ending| ending.at)
    };
    let mut others: Vec<Option<Ending>> = standing.others.iter().map(first).collect();
    // Those that last longest first, and for ever longer than any instant.
    others.sort_by_key(|ending| Reverse(ending.as_ref().map_or(Timestamp::MAX, |ending| ending.at)));
    let last_needed = standing.needed.checked_sub(1).and_then(|index| others.into_iter().nth(index));
    endings.extend(last_needed.flatten());
    endings
}

fn of_repository(layout_roles: &BTreeSet<RoleChain>, standing: &Standing<'_>) -> Vec<Ending> {
    let mut endings = Vec::new();
    if let Some((at, cause)) = standing.too_old {
        let what = cause.to_string();
        endings.push(Ending { at: *at, code: cause.code(), what, renewal: Renewal::Machine });
    }
    for (role, file) in standing.trusted.top_level() {
        let renewal = match &role {
            Role::Root => Renewal::People,
            Role::Timestamp | Role::Snapshot => Renewal::Machine,
            Role::Targets(chain) => renewal_of(chain, layout_roles),
        };
        endings.push(expired(role, file.version, file.expires, renewal));
    }
    endings
}

fn expired(role: Role, version: u64, expires: Timestamp, renewal: Renewal) -> Ending {
    let error = tuf::Error::Expired { role, version, expires, now: expires };
    Ending { at: expires, code: error.code(), what: error.to_string(), renewal }
}

fn renewal_of(chain: &RoleChain, layout_roles: &BTreeSet<RoleChain>) -> Renewal {
    if is_offline(chain, layout_roles) { Renewal::People } else { Renewal::Machine }
}
