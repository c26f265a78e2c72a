//! What each command of the publisher writes, python-tuf and go-tuf read; and what python-tuf has made goes on here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use pratique::crypto::Sha256;
use tempfile::TempDir;

use crate::python;

/// A folder in which the program is run, line by line.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("file"), b"content").unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, line: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pratique"));
        let output = command.arg("repo").args(line.split_whitespace()).current_dir(self.0.path()).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}\n{out}{}", String::from_utf8_lossy(&output.stderr));
        out
    }

    /// Lists the file under a path and has it fetched by every client, from the root of the beginning.
    fn fetch(&self, path: &str, clients: &[Client]) {
        self.run(&format!("add repo file --path {path}"));
        self.clients(path, clients);
    }

    fn clients(&self, path: &str, clients: &[Client]) {
        let wanted = format!("{} {path}\n", Sha256::of(b"content"));
        for client in clients {
            assert_eq!(client(&self.path("repo"), &self.path("root.json"), path), Ok(wanted.clone()));
        }
    }

    fn keep_root(&self) {
        fs::copy(self.path("repo/metadata/1.root.json"), self.path("root.json")).unwrap();
    }
}

type Client = fn(&Path, &Path, &str) -> Result<String, String>;

fn answer(output: std::process::Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn python_tuf(repository: &Path, root: &Path, path: &str) -> Result<String, String> {
    answer(python("targets.py", &[repository, root, Path::new(path)]))
}

/// Built once, from the module proxy.
fn go_tuf(repository: &Path, root: &Path, path: &str) -> Result<String, String> {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let temp = tempfile::tempdir().unwrap();
        let program = temp.path().join("go-tuf");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go-tuf");
        let built =
            Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        (temp, program)
    });
    answer(Command::new(program).args([repository, root]).arg(path).output().unwrap())
}

const BOTH: &[Client] = &[python_tuf, go_tuf];

/// go-tuf 2.4.2 compares hash prefixes with base64 and so finds nothing below them.
const WITH_HASH_PREFIXES: &[Client] = &[python_tuf];

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn other_clients_read_every_tree_of_roles() {
    for (tree, path, clients) in [
        ("init repo", "registry.example/team/app:1", WITH_HASH_PREFIXES),
        ("init repo --preset ite-2", "registry.example/team/app:1", BOTH),
        ("init repo --preset ite-3", "simple/nginx/nginx-1.0-py3-none-any.whl", BOTH),
        ("init repo --preset ite-2 --scheme ecdsa-p256 --root-keys 3 --root-threshold 2", "a/b", BOTH),
        ("init repo --preset ite-2 --scheme rsa", "a/b", BOTH),
    ] {
        let folder = Folder::new();
        folder.run(tree);
        folder.keep_root();
        folder.fetch(path, clients);
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn other_clients_read_bins() {
    for (bins, clients) in [("--succinct-bits 6", BOTH), ("--hash-bins 64 --terminating", WITH_HASH_PREFIXES)] {
        let folder = Folder::new();
        folder.run("init repo --preset ite-2");
        folder.keep_root();
        folder.run(&format!("delegate repo bin --parent images {bins}"));
        folder.fetch("some/file", clients);
        folder.run("rotate repo bin");
        folder.clients("some/file", clients);
        folder.run("renew repo --within 15d");
        folder.clients("some/file", clients);
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn other_clients_read_what_was_signed_elsewhere() {
    let folder = Folder::new();
    folder.run("init repo --preset ite-2 --targets-keys 3 --targets-threshold 2 --root-keys 2 --root-threshold 2");
    folder.keep_root();
    for (person, keys) in [("alice", ["root-1", "targets-1"]), ("bob", ["root-2", "targets-3"])] {
        fs::create_dir_all(folder.path(person).join("offline")).unwrap();
        fs::copy(folder.path("root.json"), folder.path(person).join("root.json")).unwrap();
        for key in keys {
            let key = format!("offline/{key}.pem");
            fs::rename(folder.path("repo.keys").join(&key), folder.path(person).join(&key)).unwrap();
        }
    }
    for (number, change) in [
        "revoke repo sha256:0000000000000000000000000000000000000000000000000000000000000000 --reason x",
        "rotate repo root",
        "delegate repo team --path team/*",
    ]
    .iter()
    .enumerate()
    {
        let request = format!("request-{number}");
        folder.run(&format!("{change} --export {request}"));
        for person in ["alice", "bob"] {
            folder.run(&format!("sign {request} --keys {person}"));
        }
        folder.run(&format!("import-signatures repo {request}"));
        folder.fetch(&format!("some/file-{number}"), BOTH);
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn what_python_tuf_has_made_is_adopted_and_goes_on() {
    for delegation in ["bins", "succinct", "paths", "nested"] {
        let folder = Folder::new();
        let args = ["--delegation", delegation, "--keys", "keys"]
            .map(|arg| if arg == "keys" { folder.path("repo.keys/online") } else { PathBuf::from(arg) });
        let repository = folder.path("repo");
        let args: Vec<&Path> = [repository.as_path()].into_iter().chain(args.iter().map(PathBuf::as_path)).collect();
        let made = python("make_repository.py", &args);
        assert!(made.status.success(), "{delegation}: {}", String::from_utf8_lossy(&made.stderr));
        folder.keep_root();
        folder.run("adopt repo --root root.json");
        let clients = if delegation == "bins" { WITH_HASH_PREFIXES } else { BOTH };
        folder.fetch("registry.example/team/new:1", clients);
        let out = folder.run("renew repo --within 2y");
        assert!(out.contains("signed root v2"), "{delegation}: {out}");
        folder.clients("registry.example/team/new:1", clients);
    }
}
