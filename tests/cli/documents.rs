//! Every command that the documentation shows is run, in the order in which it stands there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pratique::{policy::Policy, verdict::codes};

use crate::support::shell;

/// Run elsewhere: by `.ci/run` itself, or on the API server of the cluster tests.
const ELSEWHERE: &[&str] = &["cargo run -- demo", "tests/run", "cargo bench"];

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    documents.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.sort();
    documents
}

/// The lines of the blocks that are marked as commands, continued ones joined.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for line in text.lines() {
        match (line.trim(), inside) {
            ("```sh", false) => inside = true,
            ("```", true) => inside = false,
            ("", true) => {}
            (line, true) => {
                let (line, more) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
                match commands.last_mut().filter(|_| continued) {
                    Some(last) => last.push_str(line),
                    None => commands.push(line.to_owned()),
                }
                continued = more;
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn every_command_does_what_the_text_says() {
    let mut count = 0;
    for document in documents() {
        let temp = tempfile::tempdir().unwrap();
        for command in commands(&fs::read_to_string(&document).unwrap()) {
            let (line, code) = command.split_once("# exit code ").unwrap_or((&command, "0"));
            let line = line.trim();
            if ELSEWHERE.contains(&line) {
                continue;
            }
            let wanted: i32 = code.parse().unwrap();
            let ran = shell(temp.path(), line);
            assert_eq!(ran.code, Some(wanted), "{}: {line}\n{}{}", document.display(), ran.out, ran.err);
            count += 1;
        }
    }
    assert!(count > 10, "only {count} commands were found: the search is broken");
}

/// A policy for a list of rules that stands alone.
const AROUND: &str = "version: 1
repositories:
  acme: {url: https://tuf.acme.example, root: acme.root.json}
  vendor: {url: https://tuf.vendor.example, root: vendor.root.json}
rules:
";

#[test]
fn every_policy_in_the_documents_loads() {
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for block in text.split("```yaml\n").skip(1) {
            let (block, _) = block.split_once("```").unwrap();
            let policy = match block {
                block if block.starts_with("version: 1") => block.to_owned(),
                block if block.starts_with("- name: ") => format!("{AROUND}{block}"),
                _ => continue,
            };
            Policy::parse(&policy).unwrap_or_else(|error| panic!("{}: {error}\n{policy}", document.display()));
            count += 1;
        }
    }
    assert!(count > 4, "only {count} policies were found: the search is broken");
}

#[test]
fn every_refusal_code_is_explained() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/codes.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = codes::CODES
        .iter()
        .map(|info| format!("| `{}` | {} | {} | {} |", info.code, info.class, info.meaning, info.cure))
        .collect();
    assert_eq!(rows, wanted, "docs/codes.md and verdict::codes differ");
}
