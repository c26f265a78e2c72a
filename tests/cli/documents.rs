//! Every command that the documentation shows is run, in the order in which it stands there.

use std::{env, fs, path::Path};

use pratique::{policy::Policy, verdict::codes};

use crate::{
    pages::{documents, parse, read, root},
    support::shell,
};

/// Run elsewhere: by `.ci/run` itself, or on the API server of the cluster tests.
const ELSEWHERE: &[&str] = &["cargo run -- demo", "tests/run", "cargo bench"];

/// Pages whose commands also need the reference implementations.
const WITH_PYTHON: &[&str] = &["attestations.md", "ite-3.md", "predicates.md", "publisher-in-toto-run.md"];

/// Pages whose commands also need a token: SoftHSM and OpenSC.
const WITH_TOKEN: &[&str] = &["publisher-hsm.md"];

/// The page whose commands stand around a workflow, and are run with that.
const WITH_WORKFLOW: &[&str] = &["releasing.md"];

/// Runs the commands of a page in a folder of its own and says how many there were.
fn run_page(document: &Path, programs: Option<&Path>) -> usize {
    let temp = tempfile::tempdir().unwrap();
    run_page_in(temp.path(), document, programs)
}

pub(crate) fn run_page_in(folder: &Path, document: &Path, programs: Option<&Path>) -> usize {
    let mut count = 0;
    for block in parse(&read(document)).0 {
        if let Some(name) = block.file() {
            fs::write(folder.join(name), &block.text).unwrap();
        } else if block.language == "sh" {
            for command in block.commands() {
                let (line, code) = command.split_once("# exit code ").unwrap_or((&command, "0"));
                let line = line.trim();
                if ELSEWHERE.contains(&line) {
                    continue;
                }
                let wanted: i32 = code.trim().parse().unwrap();
                let ran = shell(folder, line, programs);
                assert_eq!(ran.code, Some(wanted), "{}: {line}\n{}{}", document.display(), ran.out, ran.err);
                count += 1;
            }
        }
    }
    count
}

fn is_among(document: &Path, pages: &[&str]) -> bool {
    document.file_name().is_some_and(|name| pages.iter().any(|page| name == *page))
}

#[test]
fn every_command_does_what_the_text_says() {
    let elsewhere =
        |document: &Path| [WITH_PYTHON, WITH_TOKEN, WITH_WORKFLOW].iter().any(|pages| is_among(document, pages));
    let pages = documents().into_iter().filter(|document| !elsewhere(document));
    let count: usize = pages.map(|document| run_page(&document, None)).sum();
    assert!(count > 60, "only {count} commands were found: the search is broken");
}

#[test]
#[ignore = "needs INTEROP_PYTHON"]
fn every_command_of_the_reference_implementations_does_what_the_text_says() {
    let python = env::var("INTEROP_PYTHON").expect("INTEROP_PYTHON names a python with tests/interop/requirements.txt");
    let programs = Path::new(&python).parent().unwrap();
    let pages: Vec<_> = documents().into_iter().filter(|document| is_among(document, WITH_PYTHON)).collect();
    assert_eq!(pages.len(), WITH_PYTHON.len());
    for document in pages {
        assert!(run_page(&document, Some(programs)) > 10, "{}", document.display());
    }
}

#[test]
#[ignore = "needs softhsm2-util and pkcs11-tool"]
fn every_command_with_a_token_does_what_the_text_says() {
    let pages: Vec<_> = documents().into_iter().filter(|document| is_among(document, WITH_TOKEN)).collect();
    assert_eq!(pages.len(), WITH_TOKEN.len());
    for document in pages {
        assert!(run_page(&document, None) > 5, "{}", document.display());
    }
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
    let text = read(&root().join("docs/codes.md"));
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| <a id=")).collect();
    let wanted: Vec<String> = codes::CODES
        .iter()
        .map(|info| {
            let anchor = info.code.replace('/', "-");
            format!("| <a id=\"{anchor}\"></a>`{}` | {} | {} | {} |", info.code, info.class, info.meaning, info.cure)
        })
        .collect();
    assert_eq!(rows, wanted, "docs/codes.md and verdict::codes differ");
}
