//! What is to be done about what is there, given what is known here (trust.md §5, R2, R3, R6, R7). No IO.

use std::num::NonZeroU64;

use super::{Alert, Kept};
use crate::tuf::{self, MemoryFault, Notice, Remembered, Stored};

/// What is to be done about what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// Why nothing is judged.
    pub(super) fault: Option<tuf::Error>,
    pub(super) write: Option<Remembered>,
    /// What is there from now on.
    pub(super) last: Option<Remembered>,
    /// All that is known, where that is more than was known here.
    pub(super) floors: Option<Stored>,
    pub(super) alerts: Vec<Alert>,
}

/// What two contents of one version are called, wherever they are met.
pub(in crate::repository) fn equivocation(notice: &Notice) -> Option<Alert> {
    let Notice::Equivocation { role, version, stored, offered } = notice else { return None };
    let offered = offered.map_or_else(|| "another".to_owned(), |offered| offered.to_string());
    let text = format!("two contents were signed for {role} v{version}: {stored} is kept, {offered} is not");
    Some(Alert { code: "trust/equivocation", text })
}

/// R2, R3, R6, R7. `mine` is what is known here, `established` whether this process once knew all that was there: then
/// what it knows is put right, and otherwise nothing is judged by half a memory.
pub(super) fn decide(kept: &Kept, mine: &Stored, pinned_root: &[u8], epoch: NonZeroU64, established: bool) -> Decision {
    let refuse = |fault: tuf::Error| Decision { fault: Some(fault), ..Decision::default() };
    if let (Err(place), false) = (&kept.born, established) {
        return refuse(MemoryFault::NotBorn(place.clone()).into());
    }
    // What is not believed here is no sign of anything there.
    let mine = Stored { targets: None, ..mine.clone() };
    let mine = match Stored::join(pinned_root, mine, Stored::default()) {
        Ok((mine, _)) => mine,
        Err(error) => return refuse(error),
    };
    let knows = established || mine != Stored::default();
    let tampered = |text: String| Alert { code: "trust/tampered", text };
    let heal = |why: &str| match Remembered::join(None, mine.clone(), pinned_root, epoch) {
        Ok(joined) => Decision {
            write: Some(joined.remembered.clone()),
            last: Some(joined.remembered),
            alerts: vec![tampered(format!("{why}; what is known here was put back"))],
            ..Decision::default()
        },
        Err(error) => refuse(error),
    };
    let there = match &kept.remembered {
        Ok(there) => there,
        Err(why) if knows => return heal(why),
        Err(why) => return refuse(MemoryFault::Lost(why.clone()).into()),
    };
    let joined = match Remembered::join(Some(there), mine.clone(), pinned_root, epoch) {
        Ok(joined) => joined,
        // The policy that counts on is on its way here.
        Err(tuf::Error::Memory(MemoryFault::Epoch { .. })) if established => return Decision::default(),
        Err(error @ tuf::Error::RootReplaced { .. }) if established => return heal(&error.to_string()),
        Err(error) => return refuse(error),
    };
    let first = joined.notices.iter().find_map(|notice| match notice {
        Notice::Ignored { role, error } => Some(format!("the remembered {role} does not verify: {error}")),
        Notice::Equivocation { .. } => None,
    });
    match (&joined.reset, established) {
        (Some(before), true) => return heal(&format!("epoch {before} was put back after epoch {epoch}")),
        _ if joined.unusable && knows => return heal(&first.unwrap_or_default()),
        _ if joined.unusable => return refuse(MemoryFault::Lost(first.unwrap_or_default()).into()),
        _ => {}
    }
    let mut alerts: Vec<Alert> = joined.notices.iter().filter_map(equivocation).collect();
    alerts.extend(first.map(tampered));
    alerts.extend(joined.reset.map(|before| Alert {
        code: "trust/reset",
        text: format!("epoch {epoch} begins: what was remembered in epoch {before} is forgotten, as the policy says"),
    }));
    Decision {
        fault: None,
        write: (joined.remembered != *there).then(|| joined.remembered.clone()),
        last: Some(joined.remembered),
        floors: joined.more.then_some(joined.floors),
        alerts,
    }
}
