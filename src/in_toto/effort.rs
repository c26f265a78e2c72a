//! What the rules of one supply chain may cost, those of its sublayouts and inspections included.
//!
//! Each list of rules is capped, and so is each list of artifacts and each name; their product is not of any use as a cap.
//! Nobody measures time here, so comparisons are counted.

use std::cell::Cell;

use super::{error::Error, limits::Limits, name::StepName};
use crate::pattern::Fnmatch;

/// Counts what rules compare. Once there is too much, nothing fits any more, and [`Self::check`] refuses.
pub(super) struct Effort {
    most: usize,
    spent: Cell<usize>,
}

impl Effort {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { most: limits.rule_steps, spent: Cell::new(0) }
    }

    /// Whether a name fits a pattern.
    pub(super) fn fits(&self, pattern: &Fnmatch, name: &str) -> bool {
        if self.spent.get() > self.most {
            return false;
        }
        // What tells at once costs something as well.
        let mut steps = 8;
        let fits = pattern.matches_counted(name, &mut steps);
        self.spend(steps);
        fits
    }

    /// A name is put together, or looked for in a list: as much as some comparisons, and some characters at once.
    pub(super) fn look_up(&self, name: &str) {
        const AT_LEAST: usize = 24;
        const AT_ONCE: usize = 4;
        self.spend((name.len() / AT_ONCE).saturating_add(AT_LEAST));
    }

    fn spend(&self, steps: usize) {
        self.spent.set(self.spent.get().saturating_add(steps));
    }

    /// Refuses where there was too much.
    pub(super) fn check(&self, item: &StepName) -> Result<(), Error> {
        let (found, limit) = (self.spent.get(), self.most);
        if found > limit {
            return Err(Error::Limit { file: item.to_string(), what: "comparisons by rules", limit, found });
        }
        Ok(())
    }
}
