//! The order in which delegations are searched, and where a search ends.

use serde_json::json;

use crate::tuf::{
    Error, FetchError, Lookup, RoleChain, TargetPath,
    testing::{Client, Repo, chain, found, is_absent, keyid},
};

struct Edge(&'static str, &'static str, bool, &'static [&'static str]);

fn graph(edges: &[Edge]) -> Repo {
    let mut repo = Repo::new();
    for Edge(delegator, name, terminating, paths) in edges {
        let seed = name.bytes().next().unwrap();
        let role =
            json!({"name": name, "keyids": [keyid(seed)], "threshold": 1, "terminating": terminating, "paths": paths});
        repo.delegate_as(delegator, role, &[seed]);
    }
    repo.publish_all();
    repo
}

/// The roles that a search for `missing` fetches, in order.
fn order(edges: &[Edge]) -> Vec<String> {
    let repo = graph(edges);
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.asked();
    assert!(is_absent(client.lookup(&repo, &trusted, "missing")));
    client.asked().iter().map(|path| path.split('.').nth(1).unwrap().to_owned()).collect()
}

const ALL: &[&str] = &["*"];
const PY: &[&str] = &["*.py"];

#[test]
fn the_search_is_pre_order_and_depth_first() {
    let t = "targets";
    let cases: &[(&[Edge], &[&str])] = &[
        (&[Edge(t, "A", false, ALL)], &["A"]),
        (&[Edge(t, "A", false, ALL), Edge(t, "B", false, ALL)], &["A", "B"]),
        (&[Edge(t, "B", false, ALL), Edge(t, "A", false, ALL)], &["B", "A"]),
        (&[Edge(t, "A", false, ALL), Edge(t, "B", false, ALL), Edge("B", "C", false, ALL)], &["A", "B", "C"]),
        (
            &[
                Edge(t, "A", false, ALL),
                Edge(t, "B", false, ALL),
                Edge("A", "C", false, ALL),
                Edge("A", "D", false, ALL),
            ],
            &["A", "C", "D", "B"],
        ),
        (
            &[
                Edge(t, "A", false, ALL),
                Edge(t, "B", false, ALL),
                Edge("A", "C", false, ALL),
                Edge("C", "D", false, ALL),
            ],
            &["A", "C", "D", "B"],
        ),
    ];
    for (edges, expected) in cases {
        assert_eq!(order(edges), *expected);
    }
}

#[test]
fn nothing_after_a_terminating_role_is_searched_but_what_is_below_it_is() {
    let t = "targets";
    let siblings =
        [Edge(t, "A", false, ALL), Edge(t, "B", false, ALL), Edge("A", "C", true, ALL), Edge("A", "D", false, ALL)];
    assert_eq!(order(&siblings), ["A", "C"]);
    let below =
        [Edge(t, "A", false, ALL), Edge(t, "B", false, ALL), Edge("A", "C", true, ALL), Edge("C", "D", false, ALL)];
    assert_eq!(order(&below), ["A", "C", "D"]);
    let before = [Edge(t, "A", false, ALL), Edge(t, "B", true, ALL), Edge(t, "C", false, ALL)];
    assert_eq!(order(&before), ["A", "B"]);
    let elsewhere = [Edge(t, "A", true, PY), Edge(t, "B", false, ALL)];
    assert_eq!(order(&elsewhere), ["B"], "a terminating role for other paths ends nothing");
}

#[test]
fn branches_for_other_paths_are_not_searched() {
    let t = "targets";
    assert_eq!(order(&[Edge(t, "A", false, PY), Edge(t, "B", false, ALL), Edge("A", "C", false, ALL)]), ["B"]);
    let deeper =
        [Edge(t, "A", false, ALL), Edge(t, "B", false, ALL), Edge("A", "C", false, PY), Edge("C", "D", false, ALL)];
    assert_eq!(order(&deeper), ["A", "B"]);
}

#[test]
fn circles_end_and_a_shared_role_is_visited_on_the_way_of_higher_priority() {
    let t = "targets";
    let circle = [
        Edge(t, "A", false, ALL),
        Edge(t, "B", false, ALL),
        Edge("B", "C", false, ALL),
        Edge("C", "D", false, ALL),
        Edge("D", "B", false, ALL),
        Edge("D", "D", false, ALL),
    ];
    assert_eq!(order(&circle), ["A", "B", "C", "D"]);
    let shared =
        [Edge(t, "A", false, ALL), Edge(t, "B", false, ALL), Edge("B", "C", false, ALL), Edge("A", "C", false, ALL)];
    assert_eq!(order(&shared), ["A", "C", "B"]);
    let by_path =
        [Edge(t, "A", false, ALL), Edge(t, "B", false, ALL), Edge("B", "C", false, ALL), Edge("A", "C", false, PY)];
    assert_eq!(order(&by_path), ["A", "B", "C"]);
}

fn tree() -> Repo {
    let mut repo = graph(&[
        Edge("targets", "A", false, &["*.doc", "*.md", "foo-?.tgz"]),
        Edge("targets", "B", false, &["releases/*/*"]),
        Edge("B", "C", false, &["releases/x/*"]),
        Edge("B", "D", false, &["releases/y/*.zip"]),
    ]);
    for (role, path) in [
        ("targets", "targetfile"),
        ("A", "README.md"),
        ("A", "releases/README.md"),
        ("A", "foo-1.tgz"),
        ("A", "foo-alpha.tgz"),
        ("C", "releases/x/x_v1"),
        ("D", "releases/y/y_v1.zip"),
        ("D", "releases/z/z_v1.zip"),
    ] {
        repo.add_target(role, path, path.as_bytes());
    }
    repo.publish_all();
    repo
}

#[test]
fn a_target_is_found_only_where_every_role_of_the_chain_has_the_path() {
    let repo = tree();
    for (path, expected) in [
        ("targetfile", Some("targets")),
        ("README.md", Some("targets/A")),
        ("releases/x/x_v1", Some("targets/B/C")),
        ("releases/y/y_v1.zip", Some("targets/B/D")),
        ("releases/z/z_v1.zip", None),
        ("releases/README.md", None),
        ("foo-1.tgz", Some("targets/A")),
        ("foo-alpha.tgz", None),
        ("README.MD", None),
    ] {
        let mut client = Client::new(&repo);
        let trusted = client.refresh(&repo).unwrap();
        let outcome = client.lookup(&repo, &trusted, path);
        match expected {
            Some(at) => assert_eq!(found(outcome).chain, chain(at), "{path}"),
            None => assert!(is_absent(outcome), "{path}"),
        }
    }
}

#[test]
fn the_first_role_that_lists_a_target_is_the_one_that_counts() {
    let mut repo = graph(&[Edge("targets", "A", false, ALL), Edge("targets", "B", false, ALL)]);
    repo.add_target("B", "x", b"by B");
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(found(client.lookup(&repo, &trusted, "x")).chain, chain("targets/B"));
    repo.add_target("A", "x", b"by A");
    repo.publish_all();
    let trusted = client.refresh(&repo).unwrap();
    let resolved = found(client.lookup(&repo, &trusted, "x"));
    assert_eq!(resolved.chain, chain("targets/A"));
    assert_eq!(resolved.target.verify(b"by A"), Ok(()));
    let visited: Vec<String> = resolved.visited.iter().map(|visit| visit.chain.to_string()).collect();
    assert_eq!(visited, ["targets", "targets/A"]);
}

#[test]
fn more_roles_than_allowed_are_an_error_and_no_absence() {
    let mut repo = Repo::new();
    for index in 0..30 {
        repo.delegate("targets", &format!("r{index}"), 50, &["*"]);
    }
    repo.add_target("r8", "x", b"x");
    repo.add_target("r9", "y", b"y");
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.settings.limits.roles_visited = 10;
    let trusted = client.refresh(&repo).unwrap();
    found(client.lookup(&repo, &trusted, "x"));
    client.asked();
    let error = client.lookup(&repo, &trusted, "y").unwrap_err();
    assert_eq!(error, Error::TooManyRoles { path: TargetPath::from("y"), limit: 10 });
    assert!(client.asked().is_empty(), "the role beyond the limit is not even fetched");
}

#[test]
fn a_chain_deeper_than_allowed_is_an_error_and_no_absence() {
    let mut repo = Repo::new();
    repo.delegate("targets", "r1", 50, &["*"]);
    for depth in 1..6 {
        repo.delegate(&format!("r{depth}"), &format!("r{}", depth + 1), 50, &["*"]);
    }
    repo.add_target("r3", "x", b"x");
    repo.publish_all();
    let mut client = Client::new(&repo);
    client.settings.limits.delegation_depth = 3;
    let trusted = client.refresh(&repo).unwrap();
    found(client.lookup(&repo, &trusted, "x"));
    let too_deep = chain("targets/r1/r2/r3/r4");
    let error = client.lookup(&repo, &trusted, "y").unwrap_err();
    assert_eq!(error, Error::TooDeep { path: TargetPath::from("y"), chain: too_deep.clone(), limit: 3 });
    let error = client.lookup_in(&repo, &trusted, "targets/r1/r2/r3/r4", "x").unwrap_err();
    assert_eq!(error, Error::TooDeep { path: TargetPath::from("x"), chain: too_deep, limit: 3 });
}

#[test]
fn a_role_that_the_snapshot_does_not_list_ends_the_search() {
    let mut repo = graph(&[Edge("targets", "A", false, ALL), Edge("targets", "B", false, ALL)]);
    repo.add_target("B", "x", b"x");
    repo.publish_all();
    repo.role("snapshot")["meta"].as_object_mut().unwrap().remove("A.json");
    repo.publish(&["snapshot", "timestamp"]);
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    client.asked();
    let error = client.lookup(&repo, &trusted, "x").unwrap_err();
    assert_eq!(error, Error::NotInSnapshot { chain: chain("targets/A"), snapshot: 4 });
    assert!(client.asked().is_empty());
}

#[test]
fn a_role_that_cannot_be_fetched_ends_the_search() {
    let mut repo = graph(&[Edge("targets", "A", false, ALL), Edge("targets", "B", false, ALL)]);
    repo.add_target("B", "x", b"x");
    repo.publish_all();
    for (outage, code) in [(FetchError::NotFound, "tuf/missing"), (FetchError::TimedOut, "tuf/unreachable")] {
        let mut client = Client::new(&repo);
        let trusted = client.refresh(&repo).unwrap();
        client.outages.insert("2.A.json".to_owned(), outage);
        let error = client.lookup(&repo, &trusted, "x").unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.is_outage());
    }
}

#[test]
fn paths_that_could_lead_out_of_the_targets_are_refused() {
    let mut repo = Repo::new();
    for path in ["../x", "a/../x", "/x", "a//b", "a/./b", "a\\b", "a\nb", "", "."] {
        repo.add_target("targets", path, b"x");
    }
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    for path in ["../x", "a/../x", "/x", "a//b", "a/./b", "a\\b", "a\nb", "", "."] {
        assert!(matches!(client.lookup(&repo, &trusted, path), Err(Error::UnsafePath { .. })), "{path:?}");
        assert!(matches!(client.lookup_in(&repo, &trusted, "targets", path), Err(Error::UnsafePath { .. })));
    }
}

#[test]
fn one_role_can_be_asked_alone() {
    let mut repo = graph(&[
        Edge("targets", "A", true, ALL),
        Edge("targets", "B", false, &["x", "y"]),
        Edge("B", "C", false, &["x"]),
    ]);
    for (role, path) in [("A", "x"), ("C", "x"), ("C", "y"), ("B", "y")] {
        repo.add_target(role, path, role.as_bytes());
    }
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    assert_eq!(found(client.lookup(&repo, &trusted, "x")).chain, chain("targets/A"));
    client.asked();
    let resolved = found(client.lookup_in(&repo, &trusted, "targets/B/C", "x"));
    assert_eq!((resolved.chain, resolved.target.verify(b"C")), (chain("targets/B/C"), Ok(())));
    assert_eq!(resolved.visited.len(), 3);
    assert_eq!(client.asked(), ["2.B.json", "2.C.json"]);
    for (role, path) in [
        ("targets/B/C", "y"),    // B does not delegate it to C, which lists it
        ("targets/B", "x"),      // delegated, not listed
        ("targets/B/A", "x"),    // no such delegation
        ("targets/nobody", "x"), // no such role
        ("targets", "x"),        // listed further down
    ] {
        assert!(is_absent(client.lookup_in(&repo, &trusted, role, path)), "{role} {path}");
    }
    assert!(client.asked().is_empty());
}

#[test]
fn asking_for_a_role_says_what_to_fetch_and_under_which_name_to_keep_it() {
    let mut repo = Repo::new();
    for (seed, name) in [(60, "?"), (61, "#"), (62, "/role"), (63, "../role")] {
        repo.delegate("targets", name, seed, &["*"]);
    }
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    let Lookup::Needs(request) = trusted.lookup(&client.roles, &TargetPath::from("x"), client.now).unwrap() else {
        panic!("no role is loaded");
    };
    assert_eq!((request.fetch.path.as_str(), request.file_name.as_str()), ("1.%3F.json", "%3F.json"));
    client.asked();
    assert!(is_absent(client.lookup(&repo, &trusted, "x")));
    assert_eq!(client.asked(), ["1.%3F.json", "1.%23.json", "1.%2Frole.json", "1...%2Frole.json"]);
    assert_eq!(RoleChain::top().child(&"/role".into()).to_string(), "targets/%2Frole");
}
