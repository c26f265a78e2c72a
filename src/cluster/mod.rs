//! What do we read from the API server, and what do we write there?
//!
//! How it is reached, and given up, is in [`connect`].
//! The policy ([`policies`]) and the roots of trust ([`roots`]) come from ConfigMaps, or from files where there is no
//! cluster; credentials for repositories are in Secrets ([`secrets`]); trouble that an administrator should see goes into Events ([`events`]).
//! What all replicas remember of a repository together is in ConfigMaps ([`memory`]).
//! Whether somebody may break the glass the API server says ([`access`]), and what time it is there ([`clock`]); which images
//! run the audit does ([`digests`]).
//! A certificate that the webhook issued itself is in a Secret, its authority in `caBundle` ([`serving`]);
//! the configurations that hold it come and go with the pods ([`configurations`]). Whether all that fits together and
//! into its cluster is examined by [`doctor`].

pub mod access;
pub mod clock;
pub mod configurations;
pub mod connect;
pub mod digests;
pub mod doctor;
pub mod events;
pub mod memory;
mod one;
pub mod policies;
pub mod roots;
pub mod secrets;
pub mod serving;
#[cfg(test)]
pub(crate) mod testing;
