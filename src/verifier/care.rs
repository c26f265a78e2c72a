//! What people have to look after soon, though the image is admitted: what expires, and what a layout leaves loose.

use jiff::{SignedDuration, Timestamp};

use crate::{
    evidence::{Ends, Proof, Requirement, requirement::is_offline},
    tuf::{Role, RoleChain, Trusted, Visit},
};

/// What ends first of what people renew, if it does within that time. Machines renew the rest in their last hours, and
/// nobody is to be warned of that.
pub(super) fn ends_soon(
    proof: &Proof,
    requirement: &Requirement,
    trusted: &Trusted,
    now: Timestamp,
    within: SignedDuration,
) -> Option<String> {
    let top_level =
        trusted.top_level().into_iter().filter(|(role, _)| !matches!(role, Role::Timestamp | Role::Snapshot));
    let top_level = top_level.map(|(role, file)| (format!("{role} v{}", file.version), file.expires));
    let roles = proof.visited().iter().filter_map(|visit| {
        let Visit { chain, version, expires, .. } = &**visit;
        let signed_by_people = *chain != RoleChain::top() && is_offline(chain, &requirement.layout_roles);
        signed_by_people.then(|| (format!("{} v{version}", Role::Targets(chain.clone())), *expires))
    });
    let others = proof.ends().iter().map(|(end, expires)| match end {
        Ends::Layout(path) => (format!("layout {path}"), *expires),
        Ends::Key { keyid, step } => {
            let signed = step.as_ref().map_or("the layout".to_owned(), |step| format!("step {step:?}"));
            (format!("key {keyid}, which signed {signed},"), *expires)
        }
    });
    let (what, expires) = top_level.chain(roles).chain(others).min_by_key(|(_, expires)| *expires)?;
    let soon = expires.duration_since(now) <= within;
    soon.then(|| {
        format!("{what} of {} expires at {expires:.0}, and the image is refused from then on", proof.repository())
    })
}

/// What the layout of a proof leaves loose, for whoever may mend it.
pub(super) fn loose(proof: &Proof) -> Option<String> {
    let found: Vec<String> = proof.loose().iter().map(ToString::to_string).collect();
    let layout = proof.layout().filter(|_| !found.is_empty())?;
    Some(format!("layout {layout}: {}; pratique repo lint says more", found.join("; ")))
}
