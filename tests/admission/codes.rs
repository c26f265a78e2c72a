//! The list of codes is closed: no module refuses with a code that the list does not explain.

use std::{fs, path::Path};

use pratique::verdict::codes;

#[test]
fn every_code_that_a_module_gives_is_on_the_list() {
    let mut found = 0;
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        for code in codes_in(text) {
            assert!(codes::lookup(code).is_some(), "{}: {code} is not in verdict::codes", path.display());
            found += 1;
        }
    });
    assert!(found > 10, "only {found} codes were found: the search is broken");
}

#[test]
fn every_code_on_the_list_is_given_by_a_module() {
    let mut source = String::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        if !path.ends_with("verdict/codes.rs") {
            source.push_str(text);
        }
    });
    for info in codes::CODES {
        assert!(source.contains(&format!("\"{}\"", info.code)), "no module gives {}", info.code);
    }
}

#[test]
fn what_the_tuf_client_calls_an_outage_is_one_on_the_list_and_nothing_else_is() {
    use pratique::{
        tuf::{Error, FetchError, Role, What},
        verdict::{Cause, Class},
    };
    let what = || What::Role(Role::Timestamp);
    let role = Role::Timestamp;
    for error in [
        Error::Fetch { what: what(), cause: FetchError::TimedOut },
        Error::Missing { what: what() },
        Error::NotStored { role: role.clone() },
        Error::RootRotations { limit: 1, reached: 2 },
        Error::TooLarge { what: what(), limit: 1 },
        Error::LengthMismatch { what: what(), expected: 1, actual: 2 },
        Error::VersionMismatch { role: role.clone(), expected: 1, actual: 2 },
        Error::Rollback { role: role.clone(), stored: 2, offered: 1 },
        Error::BelowMinimum { role, version: 1, minimum: 2 },
    ] {
        let class = Cause::Tuf(error.clone()).class();
        assert_eq!(class == Class::Unavailable, error.is_outage(), "{error}");
        assert_ne!(class, Class::Misconfigured, "{error}");
    }
    assert_eq!(Cause::Tuf(Error::PinnedRoot(Box::new(Error::Unfinished))).class(), Class::Misconfigured);
    assert_eq!(Cause::Tuf(Error::Unfinished).class(), Class::Misconfigured);
    let unknown = Error::Fetch { what: what(), cause: FetchError::Credentials("there is no Secret".into()) };
    assert!(!unknown.is_outage());
    assert_eq!(Cause::Tuf(unknown).class(), Class::Misconfigured);
}

/// `<area>/<name>` as the value of a match arm, which may stand in a block of its own.
fn codes_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("=>").skip(1).filter_map(|arm| {
        let arm = arm.trim_start().trim_start_matches('{').trim_start();
        let (code, _) = arm.strip_prefix('"')?.split_once('"')?;
        let (area, name) = code.split_once('/')?;
        let areas =
            ["admission", "evidence", "image", "in-toto", "inspection", "internal", "layout", "policy", "trust", "tuf"];
        let kebab = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        (areas.contains(&area) && kebab).then_some(code)
    })
}

fn visit(folder: &Path, each: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, each);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            each(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_search_finds_codes_in_both_shapes_of_a_match_arm() {
    let text = r#"Self::A => "tuf/expired", Self::B { .. } => { "in-toto/threshold-not-met" } other => "text/x Y""#;
    assert_eq!(codes_in(text).collect::<Vec<_>>(), ["tuf/expired", "in-toto/threshold-not-met"]);
}
