//! Our own release, from the keys to a verdict on the image: the commands of docs/releasing.md, and between them the jobs
//! of `.github/workflows/release.yml` as GitHub runs them. Compiler, buildah and skopeo are played, and what is released
//! as the program is this very program.

use std::{
    env, fs,
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use pratique::{crypto::Scheme, publish::SigningKey};
use serde_json::Value;

use crate::{
    documents::run_page_in,
    hosted::{MANIFEST, Service, copy, github, program, write},
    pages::{read, root},
    support::{Ran, run},
};

const IMAGE: &str = "ghcr.io/pratique/pratique:v1.0";

/// What the workflow needs of the sources; the whole would have to be built.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Dockerfile",
    ".ci/image-root",
    ".ci/release",
    ".ci/release-layout",
    "charts/pratique/examples/own-image-policy.yaml",
];

/// Everything before the tag is pushed, by the page.
fn before() -> Service {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for (name, text) in [
        ("pip", ":"),
        ("rustup", ":"),
        (
            "cargo",
            "case $1 in\n  build) mkdir -p \"target/$7/release\" && cp \"$(command -v pratique)\" \"target/$7/release\" ;;\n  \
             cyclonedx) echo '{\"bomFormat\": \"CycloneDX\"}' >pratique.json ;;\nesac",
        ),
        ("buildah", "if [ \"$1\" = login ]; then cat >/dev/null; fi"),
        ("skopeo", "if [ \"$1\" = login ]; then cat >/dev/null; else cat \"$RUNNER_TEMP/manifest.json\"; fi"),
    ] {
        program(&dir.join("programs").join(name), text);
    }
    write(&dir.join("manifest.json"), MANIFEST);
    write(&dir.join("project/src/main.c"), "int main(void) { return 0; }\n");
    copy(root(), SOURCES.iter().map(|source| (*source).to_owned()), &dir.join("project"));
    let mut service = Service::of(temp, "ghcr.io/pratique/pratique");
    let dir = service.dir().to_owned();
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"];
    let commit = |service: &Service, folder: &str| {
        service.git(&["-C", folder, "init", "--quiet", "--initial-branch=main"]);
        service.git(&["-C", folder, "add", "."]);
        service.git(&[&["-C", folder][..], &identity, &["commit", "--quiet", "-m", "a"]].concat());
    };
    commit(&service, "project");
    service.git(&["clone", "--quiet", "project", "pratique"]);

    let python = env::var("INTEROP_PYTHON").expect("INTEROP_PYTHON");
    let count = run_page_in(&dir, &root().join("docs/releasing.md"), Some(Path::new(&python).parent().unwrap()));
    assert!(count > 8, "only {count} commands were found");

    service.git(&["init", "--quiet", "--bare", "--initial-branch=main", "tuf.git"]);
    commit(&service, "tuf");
    service.git(&["-C", "tuf", "push", "--quiet", "../tuf.git", "main"]);
    for name in ["TUF_ONLINE_KEYS", "BUILDER_KEY", "IMAGER_KEY"] {
        service.secrets.insert(name, read(&dir.join(name)));
    }
    service.secrets.extend([("GITHUB_TOKEN", "token".to_owned()), ("TUF_TOKEN", "token".to_owned())]);
    service
}

fn job(service: &Service, workflow: &Value, name: &str) {
    github(service, name, &workflow["jobs"][name]["steps"], "pratique/pratique");
}

fn workflow() -> Value {
    serde_saphyr::from_str(&read(&root().join(".github/workflows/release.yml"))).unwrap()
}

/// What is said of the image by whoever has the policy and the root, about what is in the repository of TUF now.
fn verdict(service: &Service) -> Ran {
    let served = service.dir().join("served");
    let _ = fs::remove_dir_all(&served);
    service.git(&["clone", "--quiet", "tuf.git", "served"]);
    let policy = read(&root().join("charts/pratique/examples/own-image-policy.yaml"));
    let url = format!("file://{}", served.join("repository").display());
    write(&served.join("policy.yaml"), &policy.replace("https://tuf.pratique.example", &url));
    run(&served, &["verify", "--policy", "policy.yaml", IMAGE])
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn our_own_release_is_admitted_by_our_own_policy() {
    let (service, workflow) = (before(), workflow());
    for name in ["build", "image", "publish"] {
        job(&service, &workflow, name);
    }
    let log = service.git(&["-C", "tuf.git", "log", "--format=%s", "main"]);
    assert_eq!(log.lines().next(), Some("v1.0"), "{log}");
    let said = verdict(&service);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("by rule \"pratique-itself\": verified"), "{said:?}");
    // What it is made of, by a client of TUF that knows the root and nothing more.
    let served = service.dir().join("served");
    let url = |folder: &str| format!("file://{}", served.join("repository").join(folder).display());
    let (metadata, targets) = (url("metadata"), url("targets"));
    let client = ["tuf", "--metadata-dir", "client", "--metadata-url", &metadata, "--target-base-url", &targets];
    let [name, into] = ["--target-name=sbom/v1.0/pratique.cdx.json", "--target-dir=downloads"];
    let mut said = run(&served, &[&client[..], &["init", "pratique.root.json"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::create_dir(served.join("downloads")).unwrap();
    said = run(&served, &[&client[..], &[name, into, "download"]].concat());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(find(&served.join("downloads")).contains("CycloneDX"));
}

/// The one file in a folder.
fn find(folder: &Path) -> String {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    read(&files[0])
}

/// A release with one lie, which the job that publishes finds, so that nothing is published.
fn refused(lie: impl Fn(&mut Service, &str), code: &str) {
    let (mut service, workflow) = (before(), workflow());
    for name in ["build", "image"] {
        lie(&mut service, name);
        job(&service, &workflow, name);
    }
    let published = catch_unwind(AssertUnwindSafe(|| job(&service, &workflow, "publish")));
    let said = *published.expect_err("it was published").downcast::<String>().unwrap();
    assert!(said.contains(code), "{said}");
    let log = service.git(&["-C", "tuf.git", "log", "--format=%s", "main"]);
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn a_release_of_other_sources_than_a_maintainer_signed_for_is_not_published() {
    let lie = |service: &mut Service, job: &str| {
        if job == "build" {
            write(&service.dir().join("project/src/main.c"), "int main(void) { return 1; }\n");
        }
    };
    refused(lie, "in-toto/disallowed-artifact");
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn a_release_of_another_binary_than_was_built_is_not_published() {
    let lie = |service: &mut Service, job: &str| {
        if job == "image" {
            let built = service.dir().join("artifacts/build/target/image/pratique");
            fs::OpenOptions::new().append(true).open(built).unwrap().write_all(b"more").unwrap();
        }
    };
    refused(lie, "in-toto/disallowed-artifact");
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn a_release_by_a_builder_whom_the_layout_does_not_name_is_not_published() {
    let lie = |service: &mut Service, _: &str| {
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        service.secrets.insert("BUILDER_KEY", key.to_pem().unwrap());
    };
    refused(lie, "in-toto/threshold-not-met");
}
