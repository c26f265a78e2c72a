//! A registry of images, and what is pushed to it: the image of this source, and those that tests run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::machine::{ADDRESS, Machine};

/// The name by which containers' images are known. containerd alone is told where that is.
pub(crate) const HOST: &str = "registry.example";
/// The pause container.
pub(crate) const PAUSE: &str = "registry.example/tests/pause:1";

const PORT: u16 = 5000;

/// Where the registry really is.
pub(crate) fn url() -> String {
    format!("http://{ADDRESS}:{PORT}")
}

/// The settings of docker-registry with its files in this folder.
pub(crate) fn settings(folder: &Path) -> Value {
    json!({
        "version": "0.1", "log": {"level": "warn"}, "storage": {"filesystem": {"rootdirectory": folder}},
        "http": {"addr": format!("{ADDRESS}:{PORT}"), "secret": "of no use"},
    })
}

/// A builder of images, with a store of its own.
pub(crate) struct Registry<'a> {
    machine: &'a Machine,
    store: PathBuf,
}

/// An image that the registry has.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// `registry.example/shop/api:1.0`.
    pub(crate) name: String,
    /// `sha256:…`.
    pub(crate) digest: String,
    /// What the digest is of.
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    /// By tag and digest.
    pub(crate) fn reference(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }
}

impl<'a> Registry<'a> {
    pub(crate) fn new(machine: &'a Machine) -> Self {
        Self { machine, store: machine.directory.join("buildah") }
    }

    /// Builds the image of this source as the Dockerfile says, from a static release binary, and pushes it.
    /// Where PRATIQUE_IMAGE_ROOT names what `.ci/image-root` made, that goes into it.
    pub(crate) fn pratique(&self, name: &str) -> Image {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let context = self.machine.directory.join("context");
        let image = context.join("target/image");
        match std::env::var_os("PRATIQUE_IMAGE_ROOT") {
            Some(made) => {
                fs::create_dir_all(context.join("target")).unwrap();
                run(Command::new("cp").arg("--recursive").args([&made, image.as_os_str()]));
            }
            None => drop(run(Command::new(root.join(".ci/image-root")).arg(image))),
        }
        self.build(name, &root.join("Dockerfile"), &context, &["--target=prebuilt"])
    }

    /// Builds an image of `wait.c`, told apart from others by its label, and pushes it.
    pub(crate) fn sample(&self, name: &str) -> Image {
        let context = self.machine.directory.join("sample");
        if !context.join("wait").exists() {
            fs::create_dir_all(&context).unwrap();
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/tools/wait.c");
            run(Command::new("cc").args(["-static", "-O2", "-s", "-o"]).arg(context.join("wait")).arg(source));
            let text =
                "FROM scratch\nARG NAME\nLABEL name=$NAME\nCOPY wait /wait\nUSER 65532:65532\nENTRYPOINT [\"/wait\"]\n";
            fs::write(context.join("Dockerfile"), text).unwrap();
        }
        self.build(name, &context.join("Dockerfile"), &context, &[&format!("--build-arg=NAME={name}")])
    }

    fn build(&self, name: &str, file: &Path, context: &Path, options: &[&str]) -> Image {
        let tag = format!("localhost/{}", name.split_once('/').unwrap().1);
        run(self
            .buildah("bud")
            .args(["--quiet", "--pull-never", "--tag", &tag, "--file"])
            .arg(file)
            .args(options)
            .arg(context));
        let digest = self.store.join("digest");
        let place = name.replacen(HOST, &format!("docker://{ADDRESS}:{PORT}"), 1);
        let mut push = self.buildah("push");
        push.args(["--quiet", "--tls-verify=false", "--digestfile"]).arg(&digest).args([&tag, &place]);
        run(&mut push);
        let digest = fs::read_to_string(digest).unwrap();
        let (algorithm, hex) = digest.split_once(':').unwrap();
        let blobs = self.machine.directory.join("registry/docker/registry/v2/blobs");
        let manifest = fs::read(blobs.join(algorithm).join(hex.get(..2).unwrap()).join(hex).join("data")).unwrap();
        Image { name: name.to_owned(), digest, manifest }
    }

    fn buildah(&self, what: &str) -> Command {
        let mut command = self.machine.command(Path::new("buildah"));
        command.arg("--storage-driver=vfs");
        for (option, folder) in [("--root", "root"), ("--runroot", "run")] {
            command.arg(option).arg(self.store.join(folder));
        }
        command.arg(what);
        command
    }
}

/// Runs a command that has to succeed; its stdout.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
