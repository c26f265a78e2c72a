//! Completions and manual pages.

use std::process::Command;

fn pratique(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_pratique")).args(args).output().unwrap()
}

#[test]
fn every_shell_gets_its_completions_and_bash_takes_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = pratique(&["completion", shell]);
        assert!(script.status.success() && script.stdout.len() > 1000, "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pratique");
    std::fs::write(&file, pratique(&["completion", "bash"]).stdout).unwrap();
    let asked =
        "source \"$0\"; COMP_WORDS=(pratique doc); COMP_CWORD=1; _pratique pratique doc pratique; echo ${COMPREPLY[@]}";
    let answer = Command::new("bash").args(["-c", asked]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(answer.stdout).unwrap().trim(), "doctor");
    assert_eq!(pratique(&["completion", "csh"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    assert!(pratique(&["man", dir.path().to_str().unwrap()]).status.success());
    for page in ["pratique.1", "pratique-serve.1", "pratique-policy-check.1", "pratique-repo-init.1"] {
        let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(".TH "), "{page}");
    }
    let missing = pratique(&["man", dir.path().join("missing").to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(2));
}
