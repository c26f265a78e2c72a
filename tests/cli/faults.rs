//! What must hold under each fault of `docs/faults.md`: nothing unverified is admitted, the refusal says which fault it
//! is, and what was broken works again without a restart when it is mended.

mod disk;
mod kills;
mod machine;
mod memory;
#[path = "../cluster/support/namespaces.rs"]
mod namespaces;
mod partition;
mod repository;
mod server;
mod several;
mod table;
