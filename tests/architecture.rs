//! Does the code keep to the layers? Who may use whom, the purity of the core and the length of files, held against
//! every file under `src/`.
//!
//! The compiler proves the core free of IO crates (`cargo check --no-default-features`) and clippy's
//! `disallowed-methods` guard the calls; what neither can see is held here. Code under `#[cfg(test)]` is exempt.
//! When the code wants another shape, change [`TABLE`] in the same commit and say why.

#![cfg(test)]
#![allow(clippy::disallowed_methods, clippy::string_slice, reason = "tests read files and fail by panicking")]

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use architecture::source::{Declared, Source};

mod architecture {
    mod samples;
    pub(crate) mod source;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Core,
    Shell,
}
use Layer::{Core, Shell};

/// Stands for "every module" in a row.
const ALL: &[&str] = &["*"];

/// One row per module, in the order of the layers: a module uses only what its row names. A row may stand here before
/// its module exists.
const TABLE: &[(Layer, &str, &[&str])] = &[
    (Core, "crypto", &[]),
    (Core, "parallel", &[]),
    (Core, "pattern", &[]),
    (Core, "image", &["crypto"]),
    (Core, "tuf", &["crypto", "pattern"]),
    (Core, "in_toto", &["crypto", "parallel", "pattern"]),
    (Core, "evidence", &["image", "tuf", "in_toto", "crypto", "pattern"]),
    (Core, "policy", &["evidence", "tuf", "image", "crypto", "pattern"]),
    (Core, "verdict", &["policy", "evidence", "in_toto", "tuf", "image", "crypto"]),
    (Core, "forecast", &["verdict", "policy", "evidence", "in_toto", "tuf", "image", "crypto"]),
    (Core, "admission", &["verdict", "policy", "image", "crypto"]),
    (Shell, "telemetry", &["verdict"]),
    // One of its transports is a registry of images, which is named as images are.
    (Shell, "repository", &["policy", "evidence", "tuf", "image", "crypto", "telemetry"]),
    // It is reached as a repository is: TLS, credentials bound to their host, addresses.
    (Shell, "registry", &["repository", "image", "tuf", "crypto", "telemetry"]),
    (
        Shell,
        "verifier",
        &["repository", "registry", "verdict", "policy", "evidence", "in_toto", "tuf", "image", "crypto", "telemetry"],
    ),
    (Shell, "cluster", &["repository", "policy", "tuf", "image", "telemetry"]),
    (Shell, "certs", &["cluster", "telemetry"]),
    (Shell, "server", &["admission", "verifier", "cluster", "policy", "verdict", "certs", "telemetry"]),
    (
        Shell,
        "audit",
        &["verifier", "forecast", "admission", "cluster", "policy", "verdict", "image", "crypto", "telemetry"],
    ),
    (Shell, "publish", &["evidence", "in_toto", "tuf", "image", "crypto", "pattern"]),
    (Shell, "cli", ALL),
];

/// What a core module must not name, and what it does instead.
const NOT_IN_CORE: &[(&[&str], &str)] = &[
    (&["tokio"], "the core does no IO"),
    (&["hyper"], "the core does no IO"),
    (&["reqwest"], "the core does no IO"),
    (&["axum"], "the core does no IO"),
    (&["axum_server"], "the core does no IO"),
    (&["rustls"], "the core does no IO"),
    (&["tempfile"], "the core does no IO"),
    (&["kube", "Client"], "the core does no IO"),
    (&["kube", "Api"], "the core does no IO"),
    (&["kube", "client"], "the core does no IO"),
    (&["kube", "api"], "the core does no IO; plain types are in kube::core"),
    (&["kube", "runtime"], "the core does no IO"),
    (&["std", "fs"], "bytes come in as values"),
    (&["std", "net"], "the core opens no socket; plain addresses are in core::net"),
    (&["std", "os"], "the core does no IO"),
    (&["std", "env"], "settings come in as values"),
    (&["std", "time", "SystemTime"], "`now` comes in as a value"),
    (&["std", "time", "Instant"], "`now` comes in as a value"),
    (&["Timestamp", "now"], "`now` comes in as a value"),
    (&["Zoned", "now"], "`now` comes in as a value"),
    (&["TimeZone", "system"], "the machine's time zone must not matter"),
    (&["TimeZone", "get"], "the machine's time zones must not matter"),
    (&["aws_lc_rs", "rand"], "the same input gives the same answer"),
    (&["std", "collections", "HashMap"], "the same input gives the same message: BTreeMap"),
    (&["std", "collections", "HashSet"], "the same input gives the same message: BTreeSet"),
    (&["disallowed_methods"], "no exception from clippy's disallowed-methods in the core"),
];

/// What of the core only `parallel` may name, whose answers do not depend on it.
const ONLY_IN_PARALLEL: &[(&[&str], &str)] = &[(&["std", "thread"], "the core neither waits nor forks")];

/// What only `cli` (and `main.rs`) may name.
const ONLY_IN_CLI: &[(&[&str], &str)] = &[
    (&["std", "process"], "no process is ever started for a verdict"),
    (&["anyhow"], "errors are data"),
    (&["print", "!"], "what is to be said is a value"),
    (&["println", "!"], "what is to be said is a value"),
    (&["eprint", "!"], "what is to be said is a value"),
    (&["eprintln", "!"], "what is to be said is a value"),
];

/// What would hide code from this test: macros and attributes.
const NOWHERE: &[(&[&str], &str)] =
    &[(&["include", "!"], "code stands in its own file"), (&["path", "="], "a module's file is where its name says")];

const MAX_LINES: usize = 400;
const MAX_LINES_OF_MAIN: usize = 40;

#[test]
fn the_code_keeps_to_the_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(!files.is_empty(), "no source found under {}", root.display());
    let files: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let found = violations(&files);
    let lines: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} violations of the architecture:\n{}", found.len(), lines.join("\n"));
}

#[test]
fn each_row_names_only_modules_that_stand_above_it() {
    for (at, (layer, module, uses)) in TABLE.iter().enumerate() {
        let above = &TABLE[..at];
        assert!(above.iter().all(|(_, name, _)| name != module), "{module} has two rows");
        if *uses == ALL {
            continue;
        }
        for used in *uses {
            let row = above.iter().find(|(_, name, _)| name == used);
            let Some((used_layer, ..)) = row else { panic!("{module} may use {used}, which does not stand above it") };
            assert!(*layer == Shell || *used_layer == Core, "{module} is core and may not use {used}");
        }
    }
}

/// The table of attacks in docs/tuf.md names tests that are there, and every numbered one.
#[test]
fn the_attacks_of_the_documentation_are_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/tuf.md")).unwrap();
    let (_, table) = page.split_once("## What is tried against it").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells.get(1).is_some_and(|number| number.parse::<u32>().is_ok()))
        .collect();
    assert_eq!(rows.len(), 30, "rows");
    let code: String = rust_files(&root.join("src")).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_test = |name: &str| {
        ["#[test]\n", "#[tokio::test]\n", "#[tokio::test(start_paused = true)]\n"]
            .iter()
            .flat_map(|attribute| ["fn", "async fn"].map(|word| format!("{attribute}{word} {name}(")))
            .chain([format!("#[test]\n    fn {name}(")])
            .any(|wanted| code.contains(&wanted))
    };
    let mut named = Vec::new();
    for cells in &rows {
        let tests = cells[4].split(", ").filter(|cell| !cell.is_empty());
        for test in tests.map(|cell| cell.trim_matches('`')) {
            assert!(is_test(test), "{test} in row {} is no test", cells[1]);
            named.push(test);
        }
    }
    let numbered = fs::read_to_string(root.join("src/tuf/tests/attacks.rs")).unwrap();
    for line in numbered.lines().filter_map(|line| line.strip_prefix("fn attack_")) {
        let name = format!("attack_{}", line.split('(').next().unwrap());
        assert!(named.contains(&name.as_str()), "{name} is not in docs/tuf.md");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Holds the rules against files given as (path from the package's root, text).
fn violations(files: &[(&str, &str)]) -> Vec<Violation> {
    let sources: BTreeMap<&str, Source<'_>> = files.iter().map(|(file, text)| (*file, Source::parse(text))).collect();
    let mut test_modules = Vec::new();
    for (file, source) in &sources {
        let parent = module_path(file);
        test_modules.extend(source.test_modules.iter().map(|name| [parent.as_slice(), &[*name]].concat()));
        if source.is_test {
            test_modules.push(parent);
        }
    }
    let mut found = Vec::new();
    for (file, source) in &sources {
        let module = module_path(file);
        if test_modules.iter().any(|test| module.starts_with(test)) {
            continue;
        }
        let mut report = |line, rule: String| found.push(Violation { file: (*file).to_owned(), line, rule });
        let max = if *file == "src/main.rs" { MAX_LINES_OF_MAIN } else { MAX_LINES };
        if source.lines > max {
            report(max, format!("{} lines that are not tests; at most {max}", source.lines));
        }
        for_each_forbidden(source, NOWHERE, |line, what, why| report(line, format!("{what} is used nowhere: {why}")));
        match module.as_slice() {
            [] if *file == "src/lib.rs" => modules_in_order(source, &mut report),
            [] => {}
            [name, ..] => match TABLE.iter().find(|(_, row, _)| row == name) {
                None => report(1, format!("`{name}` has no row in the table of tests/architecture.rs")),
                Some(row) => keeps_to_row(row, &module, source, &mut report),
            },
        }
    }
    found.dedup();
    found
}

fn keeps_to_row(
    (layer, name, uses): &(Layer, &str, &[&str]),
    module: &[&str],
    source: &Source<'_>,
    report: &mut impl FnMut(usize, String),
) {
    for path in &source.paths {
        let Some(inside) = path.path_from_root(module) else { continue };
        match inside.first() {
            None | Some(&"*") => report(path.line, "names the crate's root; name the module".to_owned()),
            Some(used) if used == name || *uses == ALL || uses.contains(used) => {}
            Some(used) if TABLE.iter().any(|(_, row, _)| row == used) => {
                let allowed = if uses.is_empty() { "no other module".to_owned() } else { uses.join(", ") };
                report(path.line, format!("`{name}` may not use `{used}`; it may use {allowed}"));
            }
            Some(used) => report(path.line, format!("`crate::{used}` is no module of the table")),
        }
    }
    if *layer == Core {
        for_each_forbidden(source, NOT_IN_CORE, |line, what, why| {
            report(line, format!("`{name}` is core and may not name {what}: {why}"));
        });
    }
    if *layer == Core && *name != "parallel" {
        for_each_forbidden(source, ONLY_IN_PARALLEL, |line, what, why| {
            report(line, format!("of the core only `parallel` may name {what}: {why}"));
        });
    }
    if *name != "cli" {
        for_each_forbidden(source, ONLY_IN_CLI, |line, what, why| {
            report(line, format!("only `cli` may name {what}: {why}"));
        });
    }
}

fn for_each_forbidden(source: &Source<'_>, list: &[(&[&str], &str)], mut report: impl FnMut(usize, String, &str)) {
    for path in &source.paths {
        for (forbidden, why) in list {
            let named = match forbidden {
                [word, "!"] => path.segments == [*word] && path.follower == "!",
                [word, "="] => path.segments == [*word] && path.follower == "=" && path.in_attribute,
                ["disallowed_methods"] => path.segments.ends_with(forbidden),
                [_] => path.segments.starts_with(forbidden),
                _ => path.segments.windows(forbidden.len()).any(|part| part == *forbidden),
            };
            if named {
                report(path.line, format!("`{}`", forbidden.join("::").replace("::!", "!").replace("::=", " =")), why);
            }
        }
    }
}

/// In `lib.rs` the modules stand in the order of the table, and the shell (no more, no less) behind its feature.
fn modules_in_order(source: &Source<'_>, report: &mut impl FnMut(usize, String)) {
    let mut last = 0;
    for Declared { name, line, shell } in &source.declared {
        let Some(at) = TABLE.iter().position(|(_, row, _)| row == name) else {
            report(*line, format!("`{name}` has no row in the table of tests/architecture.rs"));
            continue;
        };
        if at < last {
            report(*line, format!("`{name}` stands below `{}`, against the order of the table", TABLE[last].1));
        }
        last = last.max(at);
        match (TABLE[at].0, shell) {
            (Core, true) => report(*line, format!("`{name}` is core and may not be behind the feature `shell`")),
            (Shell, false) => report(*line, format!("`{name}` is shell and must be behind the feature `shell`")),
            _ => {}
        }
    }
}

/// `src/tuf/name.rs` is `tuf::name`, `src/tuf/mod.rs` is `tuf`, `src/lib.rs` and `src/main.rs` are the root.
fn module_path(file: &str) -> Vec<&str> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Vec<&str> = path.split('/').collect();
    if matches!(path.as_slice(), ["lib" | "main"] | [.., "mod"]) {
        path.pop();
    }
    path
}
