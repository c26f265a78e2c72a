//! What the tests stand on: a cluster with a node, a registry, a project's repository, helm, and a stream of reviews.

pub(crate) mod helm;
pub(crate) mod http;
pub(crate) mod machine;
pub(crate) mod node;
pub(crate) mod registry;
pub(crate) mod releases;
pub(crate) mod stream;

#[path = "../../cluster/support/control_plane.rs"]
pub(crate) mod control_plane;
#[path = "../../cluster/support/kubectl.rs"]
pub(crate) mod kubectl;
#[path = "../../cluster/support/objects.rs"]
#[expect(dead_code, reason = "the cluster without a node uses more of it")]
pub(crate) mod objects;
#[path = "../../cluster/support/pki.rs"]
pub(crate) mod pki;
#[path = "../../cluster/support/process.rs"]
#[expect(dead_code, reason = "the cluster without a node uses more of it")]
pub(crate) mod process;
#[path = "../../cluster/support/project.rs"]
pub(crate) mod project;
#[path = "../../cluster/support/tools.rs"]
pub(crate) mod tools;
#[path = "../../cluster/support/wait.rs"]
pub(crate) mod wait;
