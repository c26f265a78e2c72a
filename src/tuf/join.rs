//! What several places remember of one repository, brought together: the least upper bound.
//!
//! Replicas and disks may each have seen more than the others. [`Stored::join`] is commutative, associative and
//! idempotent, so it does not matter who writes first, how often, or in which order it is read back.

use std::{cmp::Reverse, sync::Arc};

use super::{
    Error,
    limits::Settings,
    metadata::{Body, Root, Signed},
    name::Role,
    roots::{Roots, Seen},
    stored::{FileBytes, Notice, Stored},
};

impl Stored {
    /// The roots, the timestamp and the snapshot that are the newest in either. What does not verify from `pinned_root`
    /// on is left out, so nobody without keys can raise a floor; what a root of either made forgotten (TUF 5.3.11) is
    /// forgotten in both. The targets file is a cache and takes no part: the first that is there is kept.
    ///
    /// # Errors
    /// The pinned root cannot be used, or the two hold different roots of one version ([`Error::RootFork`]).
    pub fn join(pinned_root: &[u8], one: Self, other: Self) -> Result<(Self, Vec<Notice>), Error> {
        let settings = Arc::new(Settings::default());
        let mut notices = Vec::new();
        let targets = one.targets.clone().or_else(|| other.targets.clone());
        let mut load = |stored: Self| {
            let mut roots = Roots::pinned(pinned_root, settings.clone())?;
            notices.extend(roots.remember(Self { targets: None, ..stored }));
            Ok::<_, Error>(roots)
        };
        let (one, other) = (load(one)?, load(other)?);
        let (mut long, mut short) = if one.chain.len() >= other.chain.len() { (one, other) } else { (other, one) };
        // Where they are the same in content but not in bytes, as after a signature was added, the choice is by digest.
        for (mine, theirs) in long.chain.iter_mut().zip(&short.chain) {
            *mine = same_root(mine, theirs)?;
        }
        // The one that is behind goes through the roots that it has not seen, and forgets what they make forgotten.
        for bytes in long.chain.iter().skip(short.chain.len()) {
            short.step(bytes)?;
        }
        short.settle();
        let timestamp = newest(&Role::Timestamp, long.timestamp, short.timestamp, &mut notices);
        let snapshot = newest(&Role::Snapshot, long.snapshot, short.snapshot, &mut notices);
        let joined = Self {
            roots: long.chain.iter().map(|bytes| bytes.to_vec()).collect(),
            timestamp: timestamp.map(|seen| seen.kept.bytes.to_vec()),
            snapshot: snapshot.map(|seen| seen.kept.bytes.to_vec()),
            targets,
        };
        Ok((joined, notices))
    }
}

fn same_root(one: &FileBytes, other: &FileBytes) -> Result<FileBytes, Error> {
    if one == other {
        return Ok(one.clone());
    }
    let (first, second) = (Signed::<Root>::parse(&Role::Root, one)?, Signed::<Root>::parse(&Role::Root, other)?);
    if first.canonical != second.canonical {
        let (one, other) = (first.sha256.min(second.sha256), first.sha256.max(second.sha256));
        return Err(Error::RootFork { version: first.body.header().version, one, other });
    }
    Ok(if first.sha256 < second.sha256 { one.clone() } else { other.clone() })
}

/// The higher version. Of two contents of one version the one that is signed as the newest root demands, then the one
/// with the lower digest: any choice will do that does not depend on the order.
fn newest<T: Body>(
    role: &Role,
    one: Option<Seen<T>>,
    other: Option<Seen<T>>,
    notices: &mut Vec<Notice>,
) -> Option<Seen<T>> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    let rank = |seen: &Seen<T>| (seen.kept.file.header().version, seen.is_current, Reverse(seen.kept.file.sha256()));
    let (kept, left) = if rank(&one) >= rank(&other) { (one, other) } else { (other, one) };
    let (version, stored, offered) =
        (kept.kept.file.header().version, kept.kept.file.sha256(), left.kept.file.sha256());
    if version == left.kept.file.header().version && stored != offered {
        notices.push(Notice::Equivocation { role: role.clone(), version, stored, offered: Some(offered) });
    }
    Some(kept)
}
