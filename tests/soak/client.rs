//! Who sends reviews, each answer of which is held against what it must be; and who sends worse.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Body, Client, Response, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use crate::{
    Soak,
    oracle::{Answer, State},
    reviews::{self, Review},
};

/// Between two reviews of one caller. So many are about eight hundred a second from all.
const PACE: Duration = Duration::from_millis(8);

/// Reviews after which a caller comes over a new connection.
const ON_ONE_CONNECTION: usize = 300;

/// What is refused unread: more than any body may have.
const TOO_LARGE: usize = 8 << 20;

/// A client that has no connection yet.
pub(crate) fn client(authorities: &[u8], protocol: &str) -> Client {
    let mut tls = pratique::certs::client_config(authorities).unwrap();
    tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let client = Client::builder().no_proxy().tls_info(true).tls_backend_preconfigured(tls).pool_max_idle_per_host(1);
    if protocol == "h2" { client } else { client.http1_only() }.build().unwrap()
}

/// Waits until the webhook takes reviews.
pub(crate) async fn ready(soak: &Soak) {
    soak.settles(0, "the start", async || {
        let answer = soak.monitor.get(format!("{}/readyz", soak.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

/// Sends reviews until it is over.
pub(crate) async fn call(soak: Arc<Soak>, number: u64) {
    let mut random = fastrand::Rng::with_seed(number);
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !soak.is_over() {
        let came = Instant::now();
        let client = client(&soak.authorities, if random.bool() { "h2" } else { "http/1.1" });
        soak.counts.connections.fetch_add(1, Ordering::Relaxed);
        for place in 0..ON_ONE_CONNECTION {
            if soak.is_over() {
                return;
            }
            ticks.tick().await;
            let review = reviews::next(&mut random, &soak.images);
            let asked = Instant::now();
            match post(&soak, &client, &review).await {
                Ok((leaf, answer)) => {
                    if place == 0 && !soak.certificate.between(came, Instant::now()).iter().any(|known| **known == leaf)
                    {
                        soak.fails("a new connection has shown another certificate".to_owned());
                    }
                    hold(&soak, &review, &answer, asked);
                }
                Err(error) => soak.fails(format!("a review got no answer: {error:?}\n{}", review.body)),
            }
        }
    }
}

/// The certificate that is shown, and the answer.
async fn post(soak: &Soak, client: &Client, review: &Review) -> Result<(Vec<u8>, Value), reqwest::Error> {
    let request = client.post(format!("{}{}", soak.url, review.path)).header(CONTENT_TYPE, "application/json");
    let response = request.body(review.body.clone()).send().await?;
    let (leaf, status) = (shown(&response), response.status());
    let text = response.text().await?;
    let parsed = serde_json::from_str(&text).ok().filter(|_| status == 200);
    let answer = parsed.unwrap_or_else(|| Value::String(format!("{status}: {text}")));
    Ok((leaf, answer))
}

/// The certificate of the server, in DER.
fn shown(response: &Response) -> Vec<u8> {
    let tls = response.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    tls.peer_certificate().unwrap().to_vec()
}

/// Holds an answer against every state that it may rest on.
fn hold(soak: &Soak, review: &Review, said: &Value, asked: Instant) {
    let answered = Instant::now();
    let found = read(said);
    let (repositories, policies) = (soak.repository.between(asked, answered), soak.policy.between(asked, answered));
    let mut right: Vec<Answer> = Vec::new();
    for repository in &repositories {
        for policy in &policies {
            let state = State { images: &soak.images, repository, policy: **policy };
            let answer = state.answer(&review.question);
            if !right.contains(&answer) {
                right.push(answer);
            }
        }
    }
    if !found.as_ref().is_some_and(|found| right.contains(found)) {
        let versions: Vec<_> = repositories.iter().map(|repository| (repository.version, repository.layout)).collect();
        soak.fails(format!(
            "a wrong answer to {:?}\nby {policies:?} and {versions:?}\nright: {right:#?}\ngiven: {said:#}",
            review.question
        ));
        return;
    }
    let count = if right.len() == 1 { &soak.counts.exact } else { &soak.counts.either };
    count.fetch_add(1, Ordering::Relaxed);
    if found.is_some_and(|found| found.allowed) {
        soak.counts.admitted.fetch_add(1, Ordering::Relaxed);
    }
}

/// What an answer says.
fn read(said: &Value) -> Option<Answer> {
    let response = said.get("response")?;
    let annotation = |name: &str| response["auditAnnotations"][name].as_str().unwrap_or_default().to_owned();
    let patch = match response.get("patch") {
        None => Vec::new(),
        Some(patch) => {
            let decoded = BASE64_STANDARD.decode(patch.as_str()?).ok()?;
            let changes: Vec<Value> = serde_json::from_slice(&decoded).ok()?;
            let change = |change: &Value| Some((change["path"].as_str()?.into(), change["value"].as_str()?.into()));
            changes.iter().map(change).collect::<Option<Vec<_>>>()?
        }
    };
    Some(Answer {
        allowed: response["allowed"].as_bool()?,
        status: response.pointer("/status/code").and_then(Value::as_u64),
        verdict: annotation("verdict"),
        codes: annotation("code"),
        rules: annotation("rule"),
        is_weak: !annotation("weak").is_empty(),
        warns: response.get("warnings").is_some(),
        patch,
    })
}

/// The number of the policy that answers now.
pub(crate) async fn policy(soak: &Soak) -> u64 {
    let answer = post(soak, &soak.monitor, &reviews::seal(&soak.images)).await.unwrap().1;
    let rule = answer.pointer("/response/auditAnnotations/rule").and_then(Value::as_str).unwrap_or_default();
    rule.strip_prefix("policy-").and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

/// The version of the timestamp that is trusted now.
pub(crate) async fn trusted_timestamp(soak: &Soak) -> u64 {
    let name = "pratique_repository_version{repository=\"acme\",role=\"timestamp\"}";
    metric(soak, name).await.unwrap_or_default()
}

/// The value of a metric with its labels, if it is there.
pub(crate) async fn metric(soak: &Soak, name: &str) -> Option<u64> {
    let answer = soak.monitor.get(format!("{}/metrics", soak.url)).send().await.ok()?;
    let text = answer.text().await.ok()?;
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// The certificate that a new connection gets.
pub(crate) async fn leaf(soak: &Soak) -> Vec<u8> {
    let client = client(&soak.authorities, "http/1.1");
    shown(&client.get(format!("{}/healthz", soak.url)).send().await.unwrap())
}

/// Sends what is no review, and leaves in the middle, until it is over.
pub(crate) async fn be_rude(soak: Arc<Soak>) {
    let mut random = fastrand::Rng::with_seed(99);
    let address = soak.url.strip_prefix("https://").unwrap().to_owned();
    let mut ticks = tokio::time::interval(PACE * 4);
    let mut client = client(&soak.authorities, "h2");
    while !soak.is_over() {
        ticks.tick().await;
        soak.counts.rude.fetch_add(1, Ordering::Relaxed);
        let post = |kind: &str| client.post(format!("{}/verify", soak.url)).header(CONTENT_TYPE, kind);
        let wanted = match random.u8(..120) {
            // Not TLS, or nothing at all.
            0..15 => {
                let mut stream = TcpStream::connect(&address).unwrap();
                let _ = if random.bool() { stream.write(b"GET /verify HTTP/1.1\r\n\r\n") } else { Ok(0) };
                continue;
            }
            // A body that ends in the middle.
            15..30 => {
                let half = futures::stream::iter([Ok("{\"apiVersion\""), Err("no more")]);
                let _ = post("application/json").body(Body::wrap_stream(half)).send().await;
                continue;
            }
            // Gone before the answer.
            30..60 => {
                let review = reviews::next(&mut random, &soak.images);
                let request = post("application/json").body(review.body).send();
                let _ = tokio::time::timeout(Duration::from_micros(random.u64(..2000)), request).await;
                continue;
            }
            60..65 => {
                client = self::client(&soak.authorities, if random.bool() { "h2" } else { "http/1.1" });
                continue;
            }
            65 => {
                let answer = post("application/json").body(vec![b' '; TOO_LARGE]).send().await;
                // It need not read what it refuses.
                if answer.is_ok_and(|answer| answer.status() != 413) {
                    soak.fails("a body that is too large is not refused as such".to_owned());
                }
                continue;
            }
            66..90 => (post("application/json").body("{\"apiVersion\": \"v1\"}").send().await, 400),
            _ => (post("text/plain").body("{}").send().await, 415),
        };
        let (Ok(answer), status) = wanted else {
            continue;
        };
        if answer.status() != status {
            soak.fails(format!("{status} was to come, and {} came", answer.status()));
        }
    }
}
