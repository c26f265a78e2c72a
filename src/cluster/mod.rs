//! What do we read from the API server, and what do we write there?
//!
//! The policy ([`policies`]) and the roots of trust ([`roots`]) come from ConfigMaps, or from files where there is no
//! cluster; trouble that an administrator should see goes into Events ([`events`]).

pub mod events;
pub mod policies;
pub mod roots;
#[cfg(test)]
mod testing;
