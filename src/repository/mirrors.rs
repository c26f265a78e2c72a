//! A refresh where a repository has several copies: which of them may say what?
//!
//! The files of one refresh come from one copy. Whatever is wrong with it, the whole refresh is made anew with the next
//! one, and what was verified until then stays a floor: what one copy has shown, no other can take back.
//!
//! A copy can keep new files from us for as long as its timestamp lasts, as TUF allows whoever is in the network. It must
//! not be able to do more. Whoever holds one copy and stolen online keys would sign one timestamp after the other, and be
//! asked first for ever: so after each refresh the other copies are asked whether there is a newer root, which alone can
//! take those keys away. It is believed by its signatures, wherever it comes from.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    live::{Error, Repository},
    store::Writer,
    transport::Mirror,
};
use crate::tuf::{self, FetchError, Persist, Refresh, Role, Trusted};

/// How long the other copies have to say whether there is a newer root.
const ROOT_PATIENCE: Duration = Duration::from_secs(3);

/// One refresh, by `deadline`. Its error is the gravest of those of the copies.
pub(super) async fn refresh(
    repository: &Repository,
    now: Timestamp,
    writer: Option<&Writer>,
    deadline: Instant,
) -> Result<Trusted, Error> {
    let mut turns = repository.transport.turns(deadline);
    let mut gravest: Option<Error> = None;
    let mut compared = false;
    while let Some((mirror, until)) = turns.next() {
        match repository.refresh_from(mirror, now, writer, until).await {
            Ok(trusted) => {
                mirror.served();
                let others = if compared { Vec::new() } else { repository.transport.others(mirror) };
                let Some(holder) = newer_root(repository, &trusted, &others, now, writer, deadline).await? else {
                    return Ok(trusted);
                };
                tracing::warn!(
                    repository = %repository.name(), mirror = mirror.name(), newer = holder.name(),
                    "a mirror does not have the newest root"
                );
                // It found one root more. All that follows holds under that, so nothing of this set is used unseen.
                compared = true;
                turns = repository.transport.turns_from(holder, deadline);
            }
            // Nothing to do with the copy.
            Err(error @ (Error::Store(_) | Error::Internal(_))) => return Err(error),
            Err(error) => {
                mirror.failed();
                if repository.transport.has_mirrors() {
                    tracing::warn!(
                        repository = %repository.name(), mirror = mirror.name(), code = error.code(), %error,
                        "a mirror failed, the next one is asked"
                    );
                }
                if gravest.as_ref().is_none_or(|known| gravity(known) < gravity(&error)) {
                    gravest = Some(error);
                }
            }
        }
    }
    Err(gravest.unwrap_or(Error::NotYet))
}

/// Which of two errors is told. What goes on where only something fresh is lacking (trust.md A4) goes on only if that is
/// so of every copy, and knows of the newest timestamp that any of them has.
fn gravity(error: &Error) -> (u8, u64) {
    match error {
        error if error.is_outage() => (0, 0),
        Error::Tuf(tuf::Error::Expired { role: Role::Timestamp, version, .. }) => (1, *version),
        Error::Tuf(error) if error.is_lack_of_freshness() => (1, 0),
        _ => (2, 0),
    }
}

/// Which of `others` has a root after that of `trusted`. It is kept before this returns.
async fn newer_root<'a>(
    repository: &Repository,
    trusted: &Trusted,
    others: &[&'a Mirror],
    now: Timestamp,
    writer: Option<&Writer>,
    deadline: Instant,
) -> Result<Option<&'a Mirror>, Error> {
    let begin = || Refresh::after(trusted, repository.settings.clone(), now);
    let Some(request) = begin().next() else { return Ok(None) };
    let until = deadline.min(Instant::now() + ROOT_PATIENCE);
    let asked = others.iter().map(|mirror| async { (*mirror, mirror.fetch(&request, until).await) });
    for (mirror, answer) in futures::future::join_all(asked).await {
        match answer {
            Err(FetchError::NotFound) => mirror.served(),
            Err(_) => mirror.failed(),
            Ok(bytes) => match begin().supply(Ok(bytes)) {
                Ok(changes) => {
                    for change in &changes {
                        if let Persist::Store { bytes, .. } = change {
                            repository.transport.keep(&request, bytes);
                        }
                    }
                    repository.learn(trusted, changes, writer).await?;
                    return Ok(Some(mirror));
                }
                Err(error) => {
                    mirror.failed();
                    tracing::warn!(
                        repository = %repository.name(), mirror = mirror.name(), code = error.code(), %error,
                        "a mirror has a root that does not verify"
                    );
                }
            },
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
