//! What the tests stand on: a cluster, kubectl, and what is installed into it.

pub(crate) mod audit;
pub(crate) mod chain;
pub(crate) mod cluster;
pub(crate) mod control_plane;
pub(crate) mod deploy;
pub(crate) mod helm;
pub(crate) mod images;
pub(crate) mod kubectl;
pub(crate) mod lab;
pub(crate) mod memory;
pub(crate) mod namespaces;
pub(crate) mod objects;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod project;
pub(crate) mod tools;
pub(crate) mod wait;
pub(crate) mod webhook;
pub(crate) mod wire;
