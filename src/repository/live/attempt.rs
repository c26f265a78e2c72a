//! One refresh from one copy of the repository.

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Error, Repository, persist};
use crate::{
    repository::{store::Writer, transport::Mirror},
    tuf::{Persist, Refresh, Stored, Trusted},
};

impl Repository {
    /// The same with one copy of the repository.
    pub(in super::super) async fn refresh_from(
        &self,
        mirror: &Mirror,
        now: Timestamp,
        writer: Option<&Writer>,
        deadline: Instant,
    ) -> Result<Trusted, Error> {
        let seen = self.seen();
        let current = self.current.load_full();
        if current.is_none() {
            self.check_disk().await?;
        }
        if let Some(writer) = writer {
            writer.put_root(self.pinned_version, self.pinned_root.clone()).await?;
        }
        let mut refresh = match (&seen, &current) {
            (Some(seen), _) => Refresh::start(&self.pinned_root, seen.clone(), self.settings.clone(), now)?,
            (None, Some(current)) => Refresh::after(&current.trusted, self.settings.clone(), now),
            (None, None) => Refresh::start(&self.pinned_root, self.stored().await, self.settings.clone(), now)?,
        };
        let mut verified = Vec::new();
        let result = self.drive(&mut refresh, (mirror, deadline), writer, &mut verified).await;
        self.tell(refresh.notices());
        if result.is_ok() {
            self.with_state(|state| state.seen = None);
        } else if !verified.is_empty() {
            // TUF 5.3.8, 5.4.5, 5.5.7: what was verified is trusted from now on, though the refresh ended without a set.
            // Else whoever makes one refresh fail could have the next one take an older root or timestamp.
            let before = self.known().await;
            self.with_state(|state| state.seen = Some(verified.into_iter().fold(before, Stored::with)));
        }
        result?;
        let trusted = refresh.finish()?;
        if let (Some(writer), None) = (writer, &current) {
            // Whatever the disk said of it: the next process compares.
            let newest = trusted.memory().roots.pop().unwrap_or_else(|| self.pinned_root.clone());
            writer.put("root.json", newest).await?;
        }
        Ok(trusted)
    }

    /// Keeps what was verified beyond `trusted`, also as a floor for the next refresh.
    pub(in super::super) async fn learn(
        &self,
        trusted: &Trusted,
        changes: Vec<Persist>,
        writer: Option<&Writer>,
    ) -> Result<(), Error> {
        let seen = changes.iter().cloned().fold(trusted.memory(), Stored::with);
        self.with_state(|state| state.seen = Some(seen));
        let Some(writer) = writer else { return Ok(()) };
        for change in changes {
            persist(writer, change).await?;
        }
        Ok(())
    }
}
