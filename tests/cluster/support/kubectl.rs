//! `kubectl` as users run it.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

/// kubectl for one cluster, one user and one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    directory: PathBuf,
    kubeconfig: PathBuf,
    namespace: Option<String>,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// The exit status.
    pub(crate) code: Option<i32>,
    /// What it printed to stdout.
    pub(crate) stdout: String,
    /// What it printed to stderr.
    pub(crate) stderr: String,
}

impl Kubectl {
    /// `directory` keeps the discovery cache: one per cluster, as the cache is kept by address and port.
    pub(crate) fn new(program: &Path, directory: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            namespace: None,
        }
    }

    /// The same in another namespace.
    pub(crate) fn namespace(&self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self.clone() }
    }

    /// Runs a command, given as one text that is split at white space.
    pub(crate) fn run(&self, command: &str) -> Output {
        self.feed(command, "")
    }

    /// Runs a command that has to succeed; its stdout.
    pub(crate) fn ok(&self, command: &str) -> String {
        self.run(command).succeeded()
    }

    /// `get … -o json`.
    pub(crate) fn json(&self, what: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("get {what} -o json"))).unwrap()
    }

    /// `apply` of an object.
    pub(crate) fn apply(&self, object: &Value) -> Output {
        self.feed("apply -f -", &object.to_string())
    }

    /// `apply` of an object, without effect: what would the API server say?
    pub(crate) fn dry_run(&self, object: &Value) -> Output {
        self.feed("apply --dry-run=server -o json -f -", &object.to_string())
    }

    /// `patch` of an object (`kind/name`) with a merge patch.
    pub(crate) fn patch(&self, object: &str, patch: &Value) -> Output {
        self.start(&["patch", object, "--type=merge", "-p", &patch.to_string()], "")
    }

    /// Runs a command that reads `stdin`.
    pub(crate) fn feed(&self, command: &str, stdin: &str) -> Output {
        self.start(&command.split_whitespace().collect::<Vec<_>>(), stdin)
    }

    fn start(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(&self.program)
            .args(self.namespace.iter().flat_map(|namespace| ["--namespace", namespace]))
            .args(args)
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.directory.join("kubectl-cache"))
            .env("KUBERC", "off")
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_owned();
        // A command that does not read everything closes the pipe; what it says counts, not that.
        let writer = thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Output {
    /// Its stdout, of a command that has to succeed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Its stderr, of a command that has to fail.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "not refused: {}{}", self.stdout, self.stderr);
        self.stderr
    }

    /// For [`wait`](super::wait): whether it succeeded.
    pub(crate) fn result(self) -> Result<String, String> {
        if self.code == Some(0) { Ok(self.stdout) } else { Err(self.stderr) }
    }
}
