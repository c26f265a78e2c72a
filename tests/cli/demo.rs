//! The demonstration, and every command that it suggests.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    process::{Child, Command},
};

use crate::support::{pratique, run, shell};

#[test]
fn everything_is_decided_as_it_must_be() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(temp.path(), &["demo"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("23 of 23 as they must be"), "{}", ran.out);
    assert!(!ran.out.contains("WRONG") && !ran.out.contains('\u{1b}'), "{}", ran.out);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "it left something behind");
}

#[test]
fn every_command_that_it_suggests_does_what_it_says() {
    let temp = tempfile::tempdir().unwrap();
    let ran = run(temp.path(), &["demo", "--keep", "kept"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let (_, commands) = ran.out.split_once("Try next\n").unwrap();
    let commands: Vec<&str> = commands.lines().map(str::trim).collect();
    let expected = [
        ("explain", 0, "step push: 1 of 1 functionaries"),
        ("verify", 1, "[evidence/not-bound]"),
        ("policy check", 0, "1 rules, 0 of them weak, 0 warnings"),
        ("in-toto verify", 0, "verified"),
        ("repo status", 0, "images v"),
        ("repo revoke", 0, "minimum: {targets: "),
        ("verify", 1, "[tuf/revoked]"),
        ("tuf", 0, ""),
        ("tuf", 0, ""),
        ("serve", 0, "listening"),
    ];
    assert_eq!(commands.len(), expected.len(), "{commands:#?}");
    for (command, (name, code, text)) in commands.iter().zip(expected) {
        assert!(command.starts_with(&format!("pratique {name} ")), "{command}");
        if name == "serve" {
            serves(temp.path(), command, text);
            continue;
        }
        let ran = shell(temp.path(), command, None);
        assert_eq!(ran.code, Some(code), "{command}\n{}{}", ran.out, ran.err);
        assert!(ran.out.contains(text), "{command}\n{}{}", ran.out, ran.err);
    }
}

/// Starts the command on a free port, waits for its word, and has it end.
fn serves(dir: &Path, command: &str, word: &str) {
    let args = command.split_whitespace().skip(1).map(|word| word.replace(":8443", ":0"));
    let mut child = pratique(dir).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let seen = log.any(|line| line.contains(word));
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(seen, "{command} never said {word:?}");
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("mine"), "x").unwrap();
    let ran = run(temp.path(), &["demo", "--keep", "."]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("is not empty"), "{}", ran.err);
}
