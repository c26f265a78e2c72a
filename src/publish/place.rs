//! Which role is to list a target path, and reading the roles that it takes to know.

use super::{
    Error, Publisher,
    delegations::{all, bin_for, covering},
    verify::{verify_below, verify_role},
};
use crate::tuf::RoleName;

/// Delegations below one another. Clients follow no more (`tuf::Limits`).
const MAX_DEPTH: usize = 16;

impl Publisher {
    /// The role that is to list a path.
    ///
    /// Without a name it is found as clients find it: from `targets` down, each time the first delegation that covers
    /// the path. A role that is named lists it itself or, if it delegates to bins, by the bin of the path; `targets`
    /// always lists itself what it is told to.
    pub(super) fn place(&mut self, named: Option<&str>, path: &str) -> Result<RoleName, Error> {
        let mut role = RoleName::from(named.unwrap_or("targets"));
        if let Some(name) = named {
            self.load(&role)?;
            self.check_delegated(name, path)?;
            if name == "targets" {
                return Ok(role);
            }
        }
        for _ in 0..MAX_DEPTH {
            let signed = self.editor.signed(role.as_str())?;
            let next = match named {
                Some(_) => bin_for(signed, path),
                None => covering(signed, path).into_iter().next(),
            };
            let Some(next) = next else { break };
            self.load(&next)?;
            role = next;
        }
        if named.is_none() && role.as_str() == "targets" {
            return Err(Error::NoRoleFor(path.to_owned()));
        }
        Ok(role)
    }

    /// Reads and verifies a role that was not read yet.
    pub(super) fn load(&mut self, role: &RoleName) -> Result<(), Error> {
        if self.editor.load(role)? {
            verify_role(&self.editor, &self.keys, role)?;
            self.keys.meet_all(&self.editor);
        }
        Ok(())
    }

    /// Reads and verifies the roles that may list a path.
    pub(super) fn load_for(&mut self, path: &str) -> Result<(), Error> {
        let mut wanted = vec![(RoleName::from("targets"), 0)];
        while let Some((role, depth)) = wanted.pop() {
            self.load(&role)?;
            if depth < MAX_DEPTH
                && let Ok(signed) = self.editor.signed(role.as_str())
            {
                wanted.extend(covering(signed, path).into_iter().map(|role| (role, depth + 1)));
            }
        }
        Ok(())
    }

    /// Reads and verifies every role, all bins too.
    pub(super) fn load_all(&mut self) -> Result<(), Error> {
        let mut parents: Vec<RoleName> = self.editor.roles().into_iter().collect();
        while let Some(parent) = parents.pop() {
            let Ok(signed) = self.editor.signed(parent.as_str()) else { continue };
            let mut read = Vec::new();
            for role in all(signed) {
                if self.editor.load(&role)? {
                    read.push(role);
                }
            }
            verify_below(&self.editor, &self.keys, &parent, &read)?;
            parents.extend(read);
        }
        self.keys.meet_all(&self.editor);
        Ok(())
    }
}
