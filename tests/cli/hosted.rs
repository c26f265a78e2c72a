//! The pipelines that the pages of hosted CI services show, without the services: each job in a folder of its own, its
//! scripts with the environment that it declares, and artifacts, secrets and checkouts as the services hand them on. What
//! a builder has of its own (`make`, `skopeo`, `pip`) is played.

use std::{collections::BTreeMap, env, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Scheme,
    publish::{Format, KeyRing, Layout, NewLayout, Plan, Publisher, SigningKey, Step},
};
use serde_json::Value;

use crate::pages::{parse, read, root};

pub(crate) const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[],
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":
"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}"#;

/// What a service has before the first job: the project, the repository of TUF, and secrets.
pub(crate) struct Service {
    temp: tempfile::TempDir,
    image: String,
    pub(crate) secrets: BTreeMap<&'static str, String>,
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}");
    text
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) fn program(path: &Path, text: &str) {
    write(path, &format!("#!/bin/sh\nset -eu\n{text}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Service {
    /// One whose folder holds all that jobs are to find, but for secrets.
    pub(crate) fn of(temp: tempfile::TempDir, image: &str) -> Self {
        Self { temp, image: image.to_owned(), secrets: BTreeMap::new() }
    }

    /// `workspace` is where the last job will have checked the repository of TUF out.
    fn new(image: &str, workspace: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        for (name, text) in [("pip", ":"), ("make", "cat src/main.c >\"$1\""), ("skopeo", "cat >/dev/null")] {
            program(&dir.join("programs").join(name), text);
        }
        write(&dir.join("project/src/main.c"), "int main(void) { return 0; }\n");
        write(&dir.join("project/manifest.json"), MANIFEST);
        fs::create_dir_all(dir.join("project/bin")).unwrap();
        program(&dir.join("project/push"), "cp manifest.json \"$2\"");

        let now = Timestamp::now();
        // PKCS#8 of a kind that the reference implementation reads.
        let key = || SigningKey::generate(Scheme::EcdsaP256Sha256).unwrap();
        let (owner, builder, pusher) = (key(), key(), key());
        let create = format!("CREATE {image}");
        let build = Step::new("build").functionary(&builder).unwrap();
        let push = Step::new("push").functionary(&pusher).unwrap();
        let layout = Layout::new(now + SignedDuration::from_hours(24))
            .step(build.materials(&["ALLOW src/*", "DISALLOW *"]).products(&["CREATE bin/api", "DISALLOW *"]))
            .step(
                push.materials(&["MATCH bin/api WITH PRODUCTS FROM build", "DISALLOW *"])
                    .products(&[&create, "DISALLOW *"]),
            );
        let plan = Plan::default();
        let mut keys = plan.generate_keys(Scheme::Ed25519).unwrap();
        keys.save_to(&dir.join("keys")).unwrap();
        Publisher::init(&dir.join("tuf/repository"), keys, &plan, now).unwrap().commit().unwrap();
        let keys = KeyRing::open(&dir.join("keys")).unwrap();
        let mut publisher = Publisher::open(&dir.join("tuf/repository"), keys, now).unwrap();
        publisher
            .add_layout(NewLayout {
                path: format!("layouts/{image}/root.layout"),
                bytes: layout.sign(Format::Metablock, &[&owner]).unwrap(),
                keys: vec![owner.public_pem().unwrap().into_bytes()],
                images: Vec::new(),
                role: "targets".to_owned(),
            })
            .unwrap();
        publisher.commit().unwrap();
        drop(publisher);
        let policy = format!(
            "version: 1\nrepositories:\n  acme: {{url: \"file://{}\", root: acme.root.json}}\nrules:\n  - name: own\n    \
             match: {{images: [\"{image}\"]}}\n    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\"}}\n",
            dir.join(workspace).join("tuf/repository").display()
        );
        write(&dir.join("tuf/production/policy.yaml"), &policy);
        fs::copy(dir.join("tuf/repository/metadata/1.root.json"), dir.join("tuf/production/acme.root.json")).unwrap();

        // As the page says: the folder of keys, without those of people.
        fs::rename(dir.join("keys/offline"), dir.join("offline")).unwrap();
        let packed = done(Command::new("sh").current_dir(dir).args(["-c", "tar --create --directory keys . | base64"]));
        let secrets = BTreeMap::from([
            ("BUILDER_KEY", builder.to_pem().unwrap()),
            ("PUSHER_KEY", pusher.to_pem().unwrap()),
            ("TUF_ONLINE_KEYS", packed),
            ("TUF_TOKEN", "token".to_owned()),
            ("GITHUB_TOKEN", "token".to_owned()),
        ]);
        let service = Self { temp, image: image.to_owned(), secrets };
        service.git(&["init", "--quiet", "--bare", "--initial-branch=main", "tuf.git"]);
        service.git(&["-C", "tuf", "init", "--quiet", "--initial-branch=main"]);
        service.git(&["-C", "tuf", "add", "."]);
        service.git(&[
            "-C",
            "tuf",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.example",
            "commit",
            "--quiet",
            "-m",
            "a",
        ]);
        service.git(&["-C", "tuf", "push", "--quiet", "../tuf.git", "main"]);
        service
    }

    pub(crate) fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        done(self.command("git", self.dir()).args(args))
    }

    /// A command in a folder, with the played programs and without anybody's settings.
    fn command(&self, name: &str, at: &Path) -> Command {
        let python = env::var("INTEROP_PYTHON").expect("INTEROP_PYTHON");
        let own = Path::new(env!("CARGO_BIN_EXE_pratique")).parent().unwrap();
        let folders = [&self.dir().join("programs"), own, Path::new(&python).parent().unwrap()];
        let folders = folders.map(|folder| format!("{}:", folder.display())).concat();
        let mut command = Command::new(name);
        command.current_dir(at).env("PATH", folders + &env::var("PATH").unwrap());
        command
            .env("HOME", self.dir())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_CONFIG_COUNT")
            .env_remove("CARGO_TARGET_DIR");
        command.env("GIT_CONFIG_GLOBAL", self.dir().join("gitconfig"));
        command
    }

    fn script(&self, at: &Path, script: &str, environment: &BTreeMap<String, String>) {
        done(self.command("bash", at).args(["-euo", "pipefail", "-c", script]).envs(environment));
    }

    /// What the last job published is judged by a policy on what the repository of TUF has now.
    fn published(&self, commit: &str) {
        let log = self.git(&["-C", "tuf.git", "log", "--format=%s", "main"]);
        assert_eq!(log.lines().next(), Some(commit), "{log}");
        self.git(&["clone", "--quiet", "tuf.git", "served"]);
        let policy = fs::read_to_string(self.dir().join("tuf/production/policy.yaml")).unwrap();
        let url = policy.split('"').nth(1).unwrap();
        let served = format!("file://{}", self.dir().join("served/repository").display());
        write(&self.dir().join("served/production/local.yaml"), &policy.replace(url, &served));
        let image = format!("{}:v1.0", self.image);
        let args = ["verify", "--policy", "served/production/local.yaml", &image];
        let said = done(self.command("pratique", self.dir()).args(args));
        assert!(said.contains("by rule \"own\": verified"), "{said}");
        fs::remove_dir_all(self.dir().join("served")).unwrap();
    }
}

/// The documents of YAML of a page that are pipelines.
fn pipelines(page: &str) -> Vec<Value> {
    let (blocks, _) = parse(&read(&root().join("docs").join(page)));
    let yaml = blocks.iter().filter(|block| block.language == "yaml");
    yaml.map(|block| serde_saphyr::from_str(&block.text).unwrap()).collect()
}

/// Copies what a pattern of a list names, with the folders that it stands in.
pub(crate) fn copy(from: &Path, patterns: impl Iterator<Item = String>, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for pattern in patterns {
        let line = format!("cp -r --parents -- {pattern} \"$0\"");
        done(Command::new("sh").current_dir(from).args(["-c", &line]).arg(to));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// `${{ secrets.NAME }}` in the values of an environment.
fn github_environment(service: &Service, declared: &Value) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("RUNNER_TEMP".to_owned(), service.dir().display().to_string()),
        ("GITHUB_REF_NAME".to_owned(), "v1.0".to_owned()),
        ("GITHUB_ACTOR".to_owned(), "somebody".to_owned()),
    ]);
    for (name, value) in declared.as_object().into_iter().flatten() {
        let value = text(value);
        let secret = value.strip_prefix("${{ secrets.").and_then(|rest| rest.strip_suffix(" }}"));
        let secret = secret.unwrap_or_else(|| panic!("{name} is no secret: {value}"));
        environment.insert(name.clone(), service.secrets[secret].clone());
    }
    environment
}

pub(crate) fn github(service: &Service, job: &str, steps: &Value, own: &str) {
    let workspace = service.dir().join(job);
    for step in steps.as_array().unwrap() {
        let with = &step["with"];
        let to = |key: &str| with[key].as_str().map_or_else(|| workspace.clone(), |path| workspace.join(path));
        let artifacts = service.dir().join("artifacts");
        match step["uses"].as_str().map(|action| action.split('@').next().unwrap()) {
            None => service.script(&workspace, &text(&step["run"]), &github_environment(service, &step["env"])),
            Some("actions/checkout") => {
                let repository = with["repository"].as_str().unwrap_or(own);
                if repository.ends_with("/tuf") {
                    let place = to("path");
                    service.git(&["clone", "--quiet", "tuf.git", place.to_str().unwrap()]);
                } else {
                    copy(&service.dir().join("project"), [".".to_owned()].into_iter(), &to("path"));
                }
            }
            Some("actions/upload-artifact") => {
                let paths = text(&with["path"]);
                copy(&workspace, paths.lines().map(str::to_owned), &artifacts.join(text(&with["name"])));
            }
            Some("actions/download-artifact") => {
                let names = match &with["name"] {
                    Value::String(name) => vec![artifacts.join(name)],
                    _ => fs::read_dir(&artifacts).unwrap().map(|entry| entry.unwrap().path()).collect(),
                };
                names.iter().for_each(|from| copy(from, [".".to_owned()].into_iter(), &to("path")));
            }
            Some(other) => panic!("nobody plays {other}"),
        }
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn the_workflows_for_github_publish_an_image_that_is_admitted() {
    let service = Service::new("ghcr.io/acme/api", "publish");
    let [release, sign] = &pipelines("publisher-github-actions.md")[..] else { panic!("the page has two workflows") };
    for job in ["build", "push", "publish"] {
        github(&service, job, &release["jobs"][job]["steps"], "acme/api");
    }
    service.published("v1.0");
    github(&service, "sign", &sign["jobs"]["sign"]["steps"], "acme/tuf");
    service.published("signed again");
}

fn gitlab(service: &Service, name: &str, job: &Value, workspace: &Path) {
    let mut environment = BTreeMap::from([
        ("CI_COMMIT_TAG".to_owned(), "v1.0".to_owned()),
        ("CI_COMMIT_BRANCH".to_owned(), "main".to_owned()),
        ("CI_REGISTRY".to_owned(), "registry.acme.example".to_owned()),
        ("CI_REGISTRY_USER".to_owned(), "ci".to_owned()),
        ("CI_REGISTRY_PASSWORD".to_owned(), "token".to_owned()),
        ("TUF_TOKEN".to_owned(), "token".to_owned()),
    ]);
    // Variables of type file: the name of a file with the value.
    for secret in ["BUILDER_KEY", "PUSHER_KEY", "TUF_ONLINE_KEYS"] {
        let file = service.dir().join("variables").join(secret);
        write(&file, &service.secrets[secret]);
        environment.insert(secret.to_owned(), file.display().to_string());
    }
    // One shell for all lines of a job.
    let script: Vec<String> = job["script"].as_array().unwrap().iter().map(text).collect();
    service.script(workspace, &script.join("\n"), &environment);
    if let Some(paths) = job["artifacts"]["paths"].as_array() {
        copy(workspace, paths.iter().map(text), &service.dir().join("artifacts").join(name));
    }
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn the_pipelines_for_gitlab_publish_an_image_that_is_admitted() {
    let service = Service::new("registry.acme.example/team/api", "publish");
    let bare = service.dir().join("tuf.git");
    let instead = "insteadOf = https://ci:token@git.acme.example/acme/tuf.git";
    write(&service.dir().join("gitconfig"), &format!("[url \"{}\"]\n{instead}\n", bare.display()));
    let [release, sign] = &pipelines("publisher-gitlab-ci.md")[..] else { panic!("the page has two pipelines") };
    let stages: Vec<String> = release["stages"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(stages, ["build", "push", "publish"]);
    for (number, name) in stages.iter().enumerate() {
        let workspace = service.dir().join(name);
        copy(&service.dir().join("project"), [".".to_owned()].into_iter(), &workspace);
        for earlier in &stages[..number] {
            let artifacts = service.dir().join("artifacts").join(earlier);
            if artifacts.exists() {
                copy(&artifacts, [".".to_owned()].into_iter(), &workspace);
            }
        }
        gitlab(&service, name, &release[name.as_str()], &workspace);
    }
    service.published("v1.0");

    let workspace = service.dir().join("sign");
    service.git(&["clone", "--quiet", "tuf.git", "sign"]);
    // GitLab checks a commit out, and no branch.
    service.git(&["-C", "sign", "checkout", "--quiet", "--detach"]);
    gitlab(&service, "sign", &sign["sign"], &workspace);
    service.published("signed again");
}
