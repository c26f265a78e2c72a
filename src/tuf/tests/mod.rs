//! The client against a repository in memory: one module for each thing that an attacker, or an accident, may do to it.

mod attacks;
mod basic;
mod delegations;
mod expiry;
mod hostile;
mod join;
mod remembered;
mod rollback;
mod roots;
mod search;
mod signatures;
mod stored;
mod substitution;
mod tolerance;
