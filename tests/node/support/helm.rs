//! `helm` as users run it, with the chart of this source.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    kubectl::{Kubectl, Output},
    machine::Machine,
    tools::tool,
};

/// The release that the tests install, and the namespace it is in.
pub(crate) const RELEASE: &str = "pratique";
/// Its namespace.
pub(crate) const NAMESPACE: &str = "pratique-system";

/// helm of a cluster admin.
pub(crate) struct Helm {
    helm: Kubectl,
    values: PathBuf,
}

impl Helm {
    pub(crate) fn new(machine: &Machine) -> Self {
        let program = PathBuf::from(tool("helm.sh", &[]).pop().unwrap());
        let home = machine.directory.join("helm-home");
        let program = machine.wrapper(&program, &format!("export HOME={}\n", home.display()));
        let kubeconfig = machine.directory.join("admin.kubeconfig");
        let values = machine.directory.join("values.json");
        Self { helm: Kubectl::new(&program, &machine.directory, &kubeconfig).namespace(NAMESPACE), values }
    }

    /// `install` or `upgrade`, perhaps with options, with these values; waits until all is ready. Of stderr it gives what
    /// helm and the API server say to whoever runs it.
    pub(crate) fn apply(&self, command: &str, values: &Value) -> Output {
        fs::write(&self.values, values.to_string()).unwrap();
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/pratique");
        let (chart, values) = (chart.display(), self.values.display());
        let mut output = self.helm.run(&format!("{command} {RELEASE} {chart} --values {values} --wait --timeout 4m"));
        output.stderr = output.stderr.split_inclusive('\n').filter(|line| !is_of_a_watch(line)).collect();
        output
    }

    /// Another command about the release.
    pub(crate) fn run(&self, command: &str) -> Output {
        self.helm.run(&format!("{command} --timeout 4m"))
    }
}

/// Whether client-go logs how a watch ended. helm ends its watches when all is ready, and what one of them reads at that
/// moment becomes an error in the log now and then: `"Warning: watch ended with error" … context canceled`.
fn is_of_a_watch(line: &str) -> bool {
    line.starts_with(['I', 'W', 'E']) && line.contains(" reflector.go:")
}
