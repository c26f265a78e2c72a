//! A network in which packets are lost: the webhook has one of its own, with one cable to its repository and one to
//! whoever asks it. A cable that is pulled out at the far end loses everything and says nothing.

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use pratique::certs::issue::Authority;

use super::{
    namespaces::{cables, is_inside, sh},
    server::{Fault, Server, policy},
};
use crate::serving::{Serving, demo_of_both};

/// Where the webhook listens.
const WEBHOOK: &str = "192.0.2.2";
/// Where the repository is.
const REPOSITORY: &str = "198.51.100.1";

/// The webhook in its network, whose certificate names it there.
fn over(dir: &Path, policy: &str) -> Serving {
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    let authority = Authority::generate("partition", now, day).unwrap();
    let pair = authority.issue(&[WEBHOOK.to_owned()], now, day).unwrap();
    for (name, text) in [("ca.crt", authority.certificate()), ("tls.crt", &pair.certificate), ("tls.key", &pair.key)] {
        fs::write(dir.join("kept/tls").join(name), text).unwrap();
    }
    let script = format!("program=$1; shift 4; exec \"$program\" serve --listen {WEBHOOK}:0 \"$@\"");
    Serving::by_script(dir, &["nsenter", "--net=/run/netns/webhook"], &script, &["--policy", policy])
}

#[tokio::test]
#[ignore = "needs to make namespaces, and ip"]
async fn a_partition_is_named_stops_no_image_that_is_known_and_is_over_when_it_is_over() {
    let name = "a_partition_is_named_stops_no_image_that_is_known_and_is_over_when_it_is_over";
    if !is_inside(&format!("faults::partition::{name}")) {
        return;
    }
    cables([["reviews", "192.0.2", "02:00:00:00:01"], ["news", "198.51.100", "02:00:00:00:02"]]);
    let temp = tempfile::tempdir().unwrap();
    let (good, bad) = demo_of_both(temp.path());
    let server = Server::at(REPOSITORY, &temp.path().join("kept/repository"));
    let policy = policy(temp.path(), "partition", &server.url);

    // No way there: said at once.
    sh("ip -n webhook link set news down");
    let serving = over(temp.path(), &policy);
    for image in [&good, &bad] {
        let answer = serving.says(image, "[tuf/unreachable]").await;
        assert_eq!(answer["status"]["code"], 503, "{answer}");
        assert!(answer["status"]["message"].as_str().unwrap().contains("nreachable"), "{answer}");
    }
    sh("ip -n webhook link set news up");
    serving.recovers("no way to the repository", &good).await;

    // In the middle of a file: whatever is sent is lost, also that the server has hung up.
    server.becomes(Fault::Stalls);
    assert!(server.is_asked(0, || false));
    sh("ip link set news down");
    server.becomes(Fault::None);
    let answer = serving.says(&bad, "[admission/fetching]").await;
    assert_eq!(answer["status"]["code"], 503, "{answer}");
    serving.says(&good, "admitted").await;
    let answer = serving.says(&bad, "[tuf/unreachable]").await;
    assert_eq!(answer["status"]["code"], 503, "{answer}");
    serving.says(&good, "admitted").await;
    serving.fails_to_refresh().await;
    serving.says(&good, "admitted").await;
    assert_eq!(server.asked(), 0);

    // What is known goes on for as long as the policy lets it.
    let path = temp.path().join(&policy);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("refresh: 1s", "refresh: 1s\n    maxAge: 1s")).unwrap();
    serving.becomes(&good, "[tuf/max-age]").await;
    fs::write(&path, text).unwrap();
    serving.recovers("partition, and maxAge", &good).await;

    sh("ip link set news up");
    serving.says(&bad, "[evidence/not-bound]").await;
    serving.says(&good, "admitted").await;
    assert!(server.is_asked(3, || false));
}
