//! The rules themselves, held against sources that break exactly one of them.

use crate::violations;

/// What is found in one file, each as `line: rule`.
fn found(file: &str, text: &str) -> Vec<String> {
    violations(&[(file, text)]).iter().map(|violation| format!("{}: {}", violation.line, violation.rule)).collect()
}

fn refused(file: &str, text: &str, line: usize, rule: &str) {
    let found = found(file, text);
    assert_eq!(found.len(), 1, "{found:?} in {text:.200}");
    assert!(found[0].starts_with(&format!("{line}: ")) && found[0].contains(rule), "{found:?} in {text:.200}");
}

fn accepted(file: &str, text: &str) {
    assert_eq!(found(file, text), Vec::<String>::new(), "{text}");
}

#[test]
fn accepts_what_a_row_names() {
    accepted("src/tuf/mod.rs", "use crate::{crypto::{self, Sha256}, pattern::TufPattern};\nuse crate::tuf::name;");
    accepted("src/cli/serve.rs", "use crate::{server, verifier};\nuse anyhow::Context;\nuse std::process::ExitCode;");
    accepted("src/image/reference.rs", "pub(crate) fn f() {}\npub(in crate::image) fn g() {}");
}

#[test]
fn refuses_a_module_that_a_row_does_not_name() {
    let rule = "`tuf` may not use `in_toto`; it may use crypto, pattern";
    refused("src/tuf/mod.rs", "use crate::in_toto::Layout;", 1, rule);
    refused("src/tuf/a/b.rs", "\n\nfn f() -> crate::in_toto::Layout {}", 3, rule);
    refused("src/tuf.rs", "use crate::{\n    crypto,\n    in_toto::{Layout, Link as _},\n};", 3, "in_toto");
    refused("src/tuf/mod.rs", "type T = Vec::<crate::in_toto::Layout>;", 1, rule);
    refused("src/tuf/mod.rs", "const R: Range<u8> = 0..crate::in_toto::LIMIT;", 1, rule);
    refused("src/tuf/mod.rs", "macro_rules! m { () => { $crate::in_toto::f() } }", 1, rule);
    refused("src/crypto/mod.rs", "use crate::pattern;", 1, "no other module");
}

#[test]
fn refuses_the_same_when_it_climbs_to_the_root() {
    refused("src/tuf/mod.rs", "use super::in_toto;", 1, "may not use `in_toto`");
    refused("src/tuf/name.rs", "use super::super::in_toto::Layout;", 1, "may not use `in_toto`");
    refused("src/tuf/name.rs", "mod inner { use super::super::super::in_toto; }", 1, "may not use `in_toto`");
    accepted("src/tuf/name.rs", "use super::in_toto;");
    accepted("src/tuf/name.rs", "mod inner { use super::super::in_toto; }");
}

#[test]
fn refuses_names_taken_from_the_root_of_the_crate() {
    refused("src/tuf/mod.rs", "use crate::*;", 1, "name the module");
    refused("src/tuf/mod.rs", "use crate::{self as root};", 1, "name the module");
    refused("src/tuf/mod.rs", "use crate::Error;", 1, "`crate::Error` is no module of the table");
}

#[test]
fn refuses_a_module_without_a_row() {
    refused("src/helpers/mod.rs", "", 1, "`helpers` has no row");
    refused("src/lib.rs", "mod helpers;", 1, "`helpers` has no row");
}

#[test]
fn refuses_io_clock_and_chance_in_the_core() {
    for (text, what) in [
        ("use tokio::sync::watch;", "tokio"),
        ("fn f() { ::tokio::spawn(g()); }", "tokio"),
        ("use kube::{core::ObjectMeta, Client};", "kube::Client"),
        ("fn f(api: kube::Api<Pod>) {}", "kube::Api"),
        ("use kube::runtime::watcher;", "kube::runtime"),
        ("use std::{fmt, fs};", "std::fs"),
        ("fn f() { std::fs::read(p) }", "std::fs"),
        ("use std::net::TcpStream;", "std::net"),
        ("use std::env;", "std::env"),
        ("use std::time::{Duration, Instant};", "Instant"),
        ("use std::time::SystemTime;", "SystemTime"),
        ("fn f() { let now = Timestamp::now(); }", "Timestamp::now"),
        ("fn f() { let now = jiff::Timestamp::now(); }", "Timestamp::now"),
        ("use std::collections::{BTreeMap, HashMap};", "HashMap"),
        ("#![expect(clippy::disallowed_methods, reason = \"r\")]", "disallowed_methods"),
    ] {
        refused("src/evidence/mod.rs", text, 1, what);
        accepted("src/server/mod.rs", text);
    }
    accepted("src/evidence/mod.rs", "use std::{fmt, time::Duration};\nuse core::net::IpAddr;\nuse kube::core::Status;");
}

#[test]
fn refuses_processes_and_anyhow_outside_the_command_line() {
    refused("src/verifier/mod.rs", "use std::process::Command;", 1, "only `cli` may name `std::process`");
    refused("src/in_toto/inspection.rs", "fn f() { std::process::abort() }", 1, "only `cli` may name `std::process`");
    refused("src/server/mod.rs", "fn f() -> anyhow::Result<()> {}", 1, "only `cli` may name `anyhow`");
    refused("src/server/mod.rs", "fn f() { println!(\"a\") }", 1, "only `cli` may name `println!`");
}

#[test]
fn refuses_code_that_hides() {
    refused("src/tuf/mod.rs", "#[path = \"../in_toto/layout.rs\"]\nmod layout;", 1, "`path =`");
    refused("src/tuf/mod.rs", "include!(\"code.rs\");", 1, "`include!`");
    accepted("src/tuf/mod.rs", "fn f() { let path = include_str!(\"a\"); }");
}

#[test]
fn refuses_a_long_file_but_does_not_count_its_tests() {
    let long = "const A: u8 = 1;\n".repeat(401);
    refused("src/tuf/mod.rs", &long, 400, "401 lines that are not tests; at most 400");
    let mut tested = "const A: u8 = 1;\n".repeat(400);
    accepted("src/tuf/mod.rs", &tested);
    tested += &format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    accepted("src/tuf/mod.rs", &tested);
    refused("src/main.rs", &"\n".repeat(41), 40, "at most 40");
}

#[test]
fn leaves_tests_alone_and_nothing_behind_them() {
    for test in [
        "#[cfg(test)]\nmod tests { use crate::publish::SigningKey; fn f() {} }",
        "#[cfg(all(test, feature = \"shell\"))]\n#[derive(Debug)]\nstruct S { a: crate::publish::A }",
        "#[cfg(test)]\nuse crate::publish::{SigningKey};",
        "#[cfg(test)]\npub(crate) fn f(a: [u8; 2]) -> crate::publish::B { std::fs::read() }",
        "#[cfg(test)]\nimpl S {\n fn f() { crate::publish::f() }\n}",
    ] {
        accepted("src/tuf/mod.rs", test);
        let line = test.lines().count() + 1;
        refused("src/tuf/mod.rs", &format!("{test}\nuse crate::publish::A;"), line, "may not use `publish`");
    }
    refused("src/tuf/mod.rs", "#[cfg(not(test))]\nuse crate::publish::A;", 2, "may not use `publish`");
    refused("src/tuf/mod.rs", "#[cfg(any(test, unix))]\nuse crate::publish::A;", 2, "may not use `publish`");
}

#[test]
fn leaves_the_files_of_test_modules_alone_and_only_those() {
    let breaking = "use crate::publish::A;";
    let declared = ("src/tuf/mod.rs", "#[cfg(test)]\nmod testing;\nmod name;");
    assert_eq!(violations(&[declared, ("src/tuf/testing.rs", breaking)]), []);
    assert_eq!(violations(&[declared, ("src/tuf/testing/forger.rs", breaking)]), []);
    assert_eq!(violations(&[("src/tuf/a.rs", "#![cfg(test)]\nuse crate::publish::A;")]), []);
    assert_eq!(violations(&[declared, ("src/tuf/name.rs", breaking)]).len(), 1);
    assert_eq!(violations(&[("src/tuf/tests.rs", breaking)]).len(), 1, "nobody declared it a test");
}

#[test]
fn is_not_misled_by_comments_strings_and_lifetimes() {
    accepted("src/tuf/mod.rs", "//! [`crate::in_toto`]\n/* use crate::in_toto; /* use std::fs; */ std::fs */");
    accepted("src/tuf/mod.rs", "const A: &str = \"use crate::in_toto; \\\" std::fs\";");
    accepted(
        "src/tuf/mod.rs",
        "const A: &str = r#\"use crate::in_toto; \" std::fs\"#;\nconst B: &[u8] = b\"std::fs\";",
    );
    for before in [
        "const A: char = '\"';",
        "const A: char = '\\'';",
        "const A: u8 = b'\\\\';",
        "fn f<'a>(a: &'a str) {}",
        "const A: &str = \"\\\\\";",
        "const A: &str = r\"\\\";",
        "const A: &str = \"http://\";",
        "const A: &str = \"{\";",
        "const r#type: u8 = 1;",
        "/* \" */",
        "fn f<'a>() -> impl Sized + use<'a> {}",
        "struct S {\n    #[cfg(test)]\n    a: u8,\n}",
    ] {
        let line = before.lines().count() + 1;
        refused("src/tuf/mod.rs", &format!("{before}\nuse crate::in_toto::A;"), line, "may not use `in_toto`");
    }
}

#[test]
fn holds_the_order_and_the_feature_of_the_modules() {
    accepted("src/lib.rs", "pub mod tuf;\npub mod policy;\n#[cfg(feature = \"shell\")]\npub mod server;");
    refused("src/lib.rs", "pub mod policy;\npub mod tuf;", 2, "`tuf` stands below `policy`");
    refused("src/lib.rs", "pub mod server;", 1, "must be behind the feature");
    refused("src/lib.rs", "#[cfg(feature = \"shell\")]\npub mod registry;\npub mod server;", 3, "must be behind");
    refused("src/lib.rs", "#[cfg(feature = \"shell\")]\npub mod tuf;", 2, "may not be behind the feature");
}
