//! Functionaries by certificate, made and judged by in-toto-golang.

use std::{path::Path, process::Command};

#[test]
#[ignore = "needs go and its modules"]
fn certificates_are_judged_as_in_go() {
    let temp = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/in-toto-golang");
    let made =
        Command::new("go").args(["run", "./certificates"]).arg(temp.path()).current_dir(source).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout).unwrap();
    let verdicts: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(verdicts.len() > 15 && verdicts.iter().any(|(_, verdict)| *verdict == "fail"), "{text}");
    for (name, verdict) in verdicts {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_pratique"));
        verify.args(["in-toto", "verify", "-l", "root.layout", "-k", "owner.pub"]).current_dir(temp.path().join(name));
        assert_eq!(verify.output().unwrap().status.code(), Some(1), "{name}: nobody asked for certificates");
        let output = verify.arg("--certificates").output().unwrap();
        let wanted = if verdict == "pass" { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(wanted), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
