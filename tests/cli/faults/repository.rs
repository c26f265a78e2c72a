//! The repository, and the way there.

use serde_json::Value;

use super::server::{Fault, Server, Tls, policy};
use crate::serving::{Serving, demo_of_both};

fn message(response: &Value) -> &str {
    response["status"]["message"].as_str().unwrap()
}

#[tokio::test]
async fn whatever_is_wrong_with_the_repository_is_named_admits_nothing_and_is_over_when_it_is_mended() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let cases = [
        (Fault::HangsUp, "[tuf/unreachable]", 503),
        (Fault::Broken, "[tuf/unreachable]", 503),
        (Fault::Empty, "[tuf/missing]", 503),
        (Fault::Truncates, "[tuf/unreachable]", 503),
        (Fault::Lies, "[tuf/signature-threshold]", 403),
        (Fault::Endless, "[tuf/too-large]", 403),
    ];
    for (fault, words, code) in cases {
        let server = Server::start(&temp.path().join("kept/repository"));
        server.becomes(fault);
        let policy = policy(temp.path(), &format!("{fault:?}"), &server.url);
        let serving = Serving::with(temp.path(), &["--policy", &policy]);
        for image in [&good, &bad] {
            let answer = serving.says(image, words).await;
            assert_eq!(answer["status"]["code"], code, "{fault:?}: {answer}");
            assert_eq!(message(&answer).starts_with("not a verdict: "), code == 503, "{fault:?}: {answer}");
        }
        server.becomes(Fault::None);
        serving.recovers(&format!("{fault:?}"), &good).await;
        serving.says(&bad, "[evidence/not-bound]").await;
    }
}

#[tokio::test]
async fn a_repository_that_does_not_answer_costs_no_answer_of_ours() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    for fault in [Fault::Silent, Fault::Stalls] {
        let server = Server::start(&temp.path().join("kept/repository"));
        server.becomes(fault);
        let policy = policy(temp.path(), &format!("{fault:?}"), &server.url);
        let serving = Serving::with(temp.path(), &["--policy", &policy]);
        // Before the API server stops waiting, though the refresh goes on.
        let answer = serving.says(&good, "[admission/fetching]").await;
        assert_eq!(answer["status"]["code"], 503, "{answer}");
        server.becomes(Fault::None);
        serving.recovers(&format!("{fault:?}"), &good).await;
        serving.says(&bad, "[evidence/not-bound]").await;
    }
}

/// trust.md A5: not before one attempt has ended, whatever else is edited meanwhile.
#[tokio::test]
async fn a_policy_that_is_edited_before_the_repository_has_answered_makes_nobody_ready() {
    let temp = tempfile::tempdir().unwrap();
    let (good, _) = demo_of_both(temp.path());
    let server = Server::start(&temp.path().join("kept/repository"));
    server.becomes(Fault::Silent);
    let policy = policy(temp.path(), "edited", &server.url);
    let serving = Serving::with(temp.path(), &["--policy", &policy]);
    assert!(server.is_asked(0, || false));
    let text = std::fs::read_to_string(temp.path().join(&policy)).unwrap();
    let rule = "rules:\n  - name: seal\n    match: {namespaces: [prod], images: [\"registry.example/seal\"]}\n    \
                allow: to see that the edit is in force\n";
    std::fs::write(temp.path().join(&policy), text.replace("rules:\n", rule)).unwrap();
    serving.says(&format!("registry.example/seal@{}", good.split_once('@').unwrap().1), "admitted").await;
    let page = serving.page("/readyz").await;
    assert!(page.contains("repositories: not there yet"), "{page}");
    server.becomes(Fault::None);
    serving.recovers("silent, and the policy was edited", &good).await;
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(20));
    while serving.page("/readyz").await.contains("repositories: ") {
        pause.tick().await;
    }
}

#[tokio::test]
async fn a_repository_that_comes_and_goes_is_read_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let server = Server::start(&temp.path().join("kept/repository"));
    server.becomes(Fault::Flaps);
    let policy = policy(temp.path(), "flaps", &server.url);
    let serving = Serving::with(temp.path(), &["--policy", &policy]);
    serving.says(&good, "admitted").await;
    serving.says(&bad, "[evidence/not-bound]").await;
    assert!(server.asked() > 2);
    // Through an outage that comes later, what is known and fresh goes on, and only that.
    for fault in [Fault::HangsUp, Fault::Lies, Fault::Flaps, Fault::Endless] {
        server.becomes(fault);
        assert!(server.is_asked(3, || false));
        serving.says(&good, "admitted").await;
        serving.says(&bad, "[evidence/not-bound]").await;
    }
}

/// Where a name leads, nowhere at first: in a hosts file of its own.
#[tokio::test]
#[ignore = "needs to make namespaces"]
async fn a_name_that_does_not_resolve_is_an_outage_until_it_does() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let server = Server::start(&temp.path().join("kept/repository"));
    let port = server.url.rsplit(':').next().unwrap();
    let policy = policy(temp.path(), "name", &format!("http://repository.invalid:{port}"));
    let write = |name: &str, text: &str| std::fs::write(temp.path().join(name), text).unwrap();
    write("hosts", "127.0.0.1 localhost\n");
    // Nobody listens there.
    write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    let script = r#"mount --bind hosts /etc/hosts; mount --bind resolv.conf /etc/resolv.conf; exec "$@""#;
    let serving = Serving::in_namespaces(temp.path(), script, &["--policy", &policy]);
    let answer = serving.says(&good, "[tuf/unreachable]").await;
    assert!(
        message(&answer).contains("not a verdict: ") && message(&answer).contains("repository.invalid"),
        "{answer}"
    );
    assert_eq!(server.asked(), 0);
    write("hosts", "127.0.0.1 localhost repository.invalid\n");
    serving.recovers("no such name", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;
}

#[tokio::test]
async fn a_repository_whose_certificate_expired_is_not_believed_until_it_has_another() {
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let tls = Tls::new();
    std::fs::write(temp.path().join("kept/acme.ca.pem"), tls.authority()).unwrap();
    let server = Server::with_tls(&temp.path().join("kept/repository"), tls.expired());
    let url = format!("{}\n    caBundle: acme.ca.pem", server.url);
    let policy = policy(temp.path(), "expired", &url);
    let serving = Serving::with(temp.path(), &["--policy", &policy]);
    let answer = serving.says(&good, "[tuf/unreachable]").await;
    assert!(message(&answer).contains("expired"), "{answer}");
    server.shows(tls.good());
    serving.recovers("expired certificate", &good).await;
    serving.says(&bad, "[evidence/not-bound]").await;
}
