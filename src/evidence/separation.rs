//! T1 as a warning: does a key that is online also meet the threshold of a role that signs layouts?

use std::{collections::BTreeSet, fmt};

use crate::tuf::{Delegated, RoleChain, TopLevel, Trusted};

/// The keys of `online` suffice for the role `layout_role`: whoever steals them can write layouts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoSeparation {
    /// The role whose keys are online: `timestamp`, `snapshot` or a role chain that signs images.
    pub online: String,
    /// The role that signs layouts.
    pub layout_role: RoleChain,
}

impl fmt::Display for NoSeparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keys of {} also meet the threshold of {}, which signs layouts", self.online, self.layout_role)
    }
}

/// Compares the key material of timestamp, snapshot and every delegated role outside `layout_roles` that is known so far
/// (each can be given images to sign) with the keys of the layout roles.
pub fn separation(trusted: &Trusted, roles: &Delegated, layout_roles: &BTreeSet<RoleChain>) -> BTreeSet<NoSeparation> {
    let mut online = vec![
        ("timestamp".to_owned(), trusted.signers(TopLevel::Timestamp).materials),
        ("snapshot".to_owned(), trusted.signers(TopLevel::Snapshot).materials),
    ];
    let delegated = roles.delegations(trusted).into_iter().filter(|(chain, _)| !layout_roles.contains(chain));
    online.extend(delegated.map(|(chain, signers)| (chain.to_string(), signers.materials)));
    let mut warnings = BTreeSet::new();
    for layout_role in layout_roles {
        let Some(signers) = roles.signers(trusted, layout_role) else { continue };
        let threshold = u64::from(signers.threshold.get());
        for (name, materials) in &online {
            let shared = signers.materials.intersection(materials).count();
            if u64::try_from(shared).is_ok_and(|shared| shared >= threshold) {
                warnings.insert(NoSeparation { online: name.clone(), layout_role: layout_role.clone() });
            }
        }
    }
    warnings
}
