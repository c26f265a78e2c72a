//! When will what is admitted now be refused, if nothing changes but the time? And whose keys would have to be stolen for
//! something else to be admitted ([`blast`])?
//!
//! Everything signed expires, and exemptions end. A verdict says by itself what it stands on and until when, so nothing
//! is judged once for every day to come: a [`Search`] goes from one instant to the next at which another rule applies,
//! asks for the verdict of that rule, and takes the earliest end. The answer is exact to the instant.
//!
//! Most of what a TUF repository has is signed again every few hours by machines. So there are two answers: if nothing
//! at all is renewed, and if only people are late ([`Supposing`]).

pub mod blast;
mod ends;
mod search;

pub use ends::{Ending, Renewal, Standing};
pub use search::{Outlook, Search};

/// What is supposed about renewals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Supposing {
    /// Everything stays as it is now.
    NothingIsRenewed,
    /// What machines sign is renewed in time, as it was until now: only what people have to renew comes to an end.
    MachinesGoOn,
}
