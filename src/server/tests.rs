//! Over real sockets, with handlers of the tests' own.

use axum::{
    extract::{FromRef, State},
    routing::post,
};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use super::*;
use crate::certs::{self, Certificate, Resolver, issue::Authority};

fn now() -> Timestamp {
    Timestamp::now()
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A running server.
struct Running {
    address: SocketAddr,
    observe: SocketAddr,
    authority: Authority,
    resolver: Arc<Resolver>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), Error>>,
}

fn limits() -> Limits {
    Limits { lame_duck: Duration::ZERO, ..Limits::default() }
}

async fn run(limits: Limits, entries: impl FnOnce(Gate) -> Router) -> Running {
    let authority = Authority::generate("test", now(), DAY).unwrap();
    let resolver = Arc::new(Resolver::default());
    resolver.replace(certificate(&authority, DAY), now()).unwrap();
    let (health, metrics) = (Arc::new(Health::new([Part::Policy])), Arc::new(Metrics::default()));
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let entries = entries(Gate::new(&limits));
    let settings = Settings { listen: loopback, observe: Some(loopback), limits };
    let tls = certs::server_config(resolver.clone()).unwrap();
    let server = Server::bind(&settings, tls, health.clone(), metrics.clone()).await.unwrap();
    let (address, observe) = (server.address(), server.observe_address().unwrap());
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(entries, async {
        let _ = stopped.await;
    }));
    Running { address, observe, authority, resolver, health, metrics, stop: Some(stop), ended }
}

fn certificate(authority: &Authority, lifetime: SignedDuration) -> Certificate {
    let pair = authority.issue(&["127.0.0.1".to_owned()], now(), lifetime).unwrap();
    Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
}

/// The handler of the tests: says what it got.
async fn echo(call: Call) -> String {
    let left = call.deadline.saturating_duration_since(tokio::time::Instant::now()).as_millis();
    format!("{:?} {} {}", call.entry, call.body.len(), left / 1000)
}

fn echoing(gate: Gate) -> Router {
    Router::new().route("/verify", post(echo)).route("/pin", post(echo)).with_state(gate)
}

impl Running {
    fn client(&self, protocol: &[u8]) -> Client {
        let mut tls = certs::client_config(self.authority.certificate().as_bytes()).unwrap();
        tls.alpn_protocols = vec![protocol.to_vec()];
        Client::builder().no_proxy().tls_info(true).tls_backend_preconfigured(tls).build().unwrap()
    }

    fn post(&self, client: &Client, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = client.post(format!("https://{}{path}", self.address));
        request.header("content-type", "application/json").body(body)
    }

    async fn observed(&self, path: &str) -> (StatusCode, String) {
        let client = self.client(b"http/1.1");
        let response = client.get(format!("http://{}{path}", self.observe)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn counted(&self, line: &str) {
        eventually(line, async || self.metrics.render().lines().any(|found| found == line)).await;
    }

    async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

/// Waits until `holds`, and not for ever.
async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        pause.tick().await;
    }
    panic!("never: {what}");
}

async fn text(response: reqwest::Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Reads until the server closes; fails if it does not.
async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    // A reset is a close too.
    let _ = read.expect("the server closes the connection");
    bytes
}

#[tokio::test]
async fn a_handler_gets_the_whole_body_its_entry_and_its_deadline() {
    let server = run(limits(), echoing).await;
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let client = server.client(protocol);
        let body = vec![b' '; 7 << 20];
        let answer = server.post(&client, "/verify?timeout=30s", body).send().await.unwrap();
        assert_eq!(answer.version() == reqwest::Version::HTTP_2, protocol == b"h2");
        assert_eq!(text(answer).await, (200, format!("Verify {} 28", 7 << 20)));
        let answer = server.post(&client, "/pin", "{}").send().await.unwrap();
        assert_eq!(text(answer).await, (200, "Pin 2 3".to_owned()));
    }
    server.counted("pratique_http_answers_total{path=\"/verify\",status=\"200\"} 2").await;
    server.counted("pratique_review_duration_seconds_count{path=\"/verify\"} 2").await;
}

#[tokio::test]
async fn a_body_over_the_limit_gets_an_answer_that_says_so() {
    let server = run(limits(), echoing).await;
    let expected = (413, format!("the body has more than {} bytes\n", 7 << 20));
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let client = server.client(protocol);
        let announced = server.post(&client, "/verify", vec![b' '; 8 << 20]).send().await.unwrap();
        assert_eq!(text(announced).await, expected);
        let chunks = (0..8).map(|_| Ok::<_, io::Error>(vec![b' '; 1 << 20]));
        let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
        let chunked = server.post(&client, "/verify", chunked).send().await.unwrap();
        assert_eq!(text(chunked).await, expected);
    }
}

#[tokio::test]
async fn a_review_over_the_limit_is_refused_and_is_no_failed_call() {
    let entries =
        |gate| echoing(Gate::clone(&gate)).merge(Router::new().route("/bootstrap", post(echo)).with_state(gate));
    let server = run(limits(), entries).await;
    let start =
        r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"705ab4f5-6393","object":""#;
    let review = format!("{start}{}", " ".repeat(8 << 20));
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let client = server.client(protocol);
        for path in ["/verify", "/bootstrap"] {
            let chunks = review
                .clone()
                .into_bytes()
                .chunks(1 << 16)
                .map(|chunk| Ok::<_, io::Error>(chunk.to_vec()))
                .collect::<Vec<_>>();
            let chunked = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
            for body in [review.clone().into(), chunked] {
                let (status, answer) = text(server.post(&client, path, body).send().await.unwrap()).await;
                assert_eq!(status, 200, "{answer}");
                let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
                assert_eq!(answer["response"]["uid"], "705ab4f5-6393");
                assert_eq!(answer["response"]["allowed"], false);
                assert_eq!(answer["response"]["status"]["code"], 403);
                let message = answer["response"]["status"]["message"].as_str().unwrap();
                assert!(message.starts_with("object refused: [admission/too-large] "), "{message}");
            }
        }
        // That entry never refuses.
        assert_eq!(server.post(&client, "/pin", review.clone()).send().await.unwrap().status(), 413);
    }
}

#[tokio::test]
async fn only_json_is_read() {
    let server = run(limits(), echoing).await;
    let client = server.client(b"h2");
    let url = format!("https://{}/verify", server.address);
    for wrong in ["text/plain", "application/jsonp", "application/vnd.kubernetes.protobuf", "x; application/json"] {
        let answer = client.post(&url).header("content-type", wrong).body("{}").send().await.unwrap();
        let (status, why) = text(answer).await;
        assert_eq!(status, 415);
        assert!(why.contains(&format!("{wrong:?}")), "{why}");
    }
    assert_eq!(client.post(&url).body("{}").send().await.unwrap().status(), 415);
    for right in ["application/json", "Application/JSON; charset=utf-8"] {
        let answer = client.post(&url).header("content-type", right).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let server = run(limits(), echoing).await;
    let client = server.client(b"h2");
    let get = client.get(format!("https://{}/verify", server.address)).send().await.unwrap();
    assert_eq!(get.status(), 405);
    assert_eq!(get.headers()["allow"], "POST");
    for path in ["/", "/verify/", "/verify/x", "//verify", "/policy"] {
        assert_eq!(server.post(&client, path, "{}").send().await.unwrap().status(), 404, "{path}");
    }
    server.counted("pratique_http_answers_total{path=\"other\",status=\"404\"} 4").await;
}

#[tokio::test]
async fn what_the_body_means_is_the_handlers_business() {
    let server = run(limits(), |gate| {
        let handler = async |call: Call| match serde_json::from_slice::<serde_json::Value>(&call.body) {
            Ok(_) => (StatusCode::OK, "understood".to_owned()),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        };
        Router::new().route("/verify", post(handler)).with_state(gate)
    })
    .await;
    let client = server.client(b"h2");
    for garbage in [&b""[..], b"{", b"\0\xff\xfe", b"<xml/>"] {
        assert_eq!(server.post(&client, "/verify", garbage.to_vec()).send().await.unwrap().status(), 400);
    }
    assert_eq!(server.post(&client, "/verify", "{}").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_not_waited_for() {
    let server = run(limits(), echoing).await;
    let client = server.client(b"h2");
    let never = futures::stream::once(std::future::pending::<Result<Vec<u8>, io::Error>>());
    let body = reqwest::Body::wrap_stream(never);
    let answer = server.post(&client, "/verify?timeout=1s", body).send().await.unwrap();
    assert_eq!(text(answer).await, (408, "the body did not arrive within 500 ms\n".to_owned()));
}

#[tokio::test]
async fn bodies_together_take_no_more_memory_than_allowed() {
    let tight = Limits { body: 1000, bodies: 1500, ..limits() };
    let held = Arc::new(Notify::new());
    let (entered, mut in_handler) = tokio::sync::mpsc::channel(1);
    let server = run(tight, |gate| {
        let held = held.clone();
        let handler = move |call: Call| async move {
            if call.entry == Entry::Pin {
                entered.send(()).await.unwrap();
                held.notified().await;
            }
            call.body.len().to_string()
        };
        Router::new().route("/verify", post(handler.clone())).route("/pin", post(handler)).with_state(gate)
    })
    .await;
    let client = server.client(b"h2");
    let first = tokio::spawn(server.post(&client, "/pin", vec![b' '; 1000]).send());
    in_handler.recv().await.unwrap();
    let second = server.post(&client, "/verify?timeout=1s", vec![b' '; 501]).send().await.unwrap();
    assert_eq!(text(second).await, (503, "too many requests are being read\n".to_owned()));
    let small = server.post(&client, "/verify?timeout=1s", vec![b' '; 500]).send().await.unwrap();
    assert_eq!(text(small).await, (200, "500".to_owned()));
    held.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    let second = server.post(&client, "/verify?timeout=1s", vec![b' '; 501]).send().await.unwrap();
    assert_eq!(second.status(), 200);
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_for_and_takes_nobody_along() {
    let held = Arc::new(Notify::new());
    let (entered, mut in_handler) = tokio::sync::mpsc::channel(1);
    let server = run(limits(), |gate| {
        let held = held.clone();
        let waits = move |_: Call| async move {
            entered.send(()).await.unwrap();
            held.notified().await;
            "fine"
        };
        let panics = async |call: Call| -> String { panic!("{}", call.body.len()) };
        Router::new().route("/verify", post(panics)).route("/pin", post(waits)).with_state(gate)
    })
    .await;
    let client = server.client(b"h2");
    let other = tokio::spawn(server.post(&client, "/pin", "{}").send());
    in_handler.recv().await.unwrap();
    let answer = server.post(&client, "/verify", "{}").send().await.unwrap();
    assert_eq!(text(answer).await, (500, "internal error\n".to_owned()));
    held.notify_one();
    assert_eq!(text(other.await.unwrap().unwrap()).await, (200, "fine".to_owned()));
    server.counted("pratique_http_answers_total{path=\"/verify\",status=\"500\"} 1").await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let server = run(Limits { connections: 2, ..limits() }, echoing).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let _second = TcpStream::connect(server.address).await.unwrap();
    server.counted("pratique_connections 2").await;
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert!(read_to_close(&mut third).await.is_empty());
    server.counted("pratique_connection_errors_total{error=\"limit\"} 1").await;
    drop(first);
    server.counted("pratique_connections 1").await;
    let client = server.client(b"h2");
    assert_eq!(server.post(&client, "/verify", "{}").send().await.unwrap().status(), 200);
    // The other port has a limit of its own: whoever watches still sees.
    assert_eq!(server.observed("/healthz").await.0, 200);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let short = Duration::from_millis(100);
    let server = run(Limits { handshake: short, head: short, ..limits() }, echoing).await;
    // In the handshake.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    read_to_close(&mut silent).await;
    server.counted("pratique_connection_errors_total{error=\"handshake\"} 1").await;
    // Before the first byte, and in the middle of a head.
    let mut silent = TcpStream::connect(server.observe).await.unwrap();
    read_to_close(&mut silent).await;
    let mut slow = TcpStream::connect(server.observe).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    read_to_close(&mut slow).await;
    // After an answer, on the connection that was kept open for more.
    let mut idle = TcpStream::connect(server.observe).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut idle).await.ends_with(b"\r\n\r\nok\n"));
}

#[tokio::test]
async fn plain_text_on_the_tls_port_is_a_failed_handshake() {
    let server = run(limits(), echoing).await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_to_close(&mut plain).await;
    server.counted("pratique_connection_errors_total{error=\"handshake\"} 1").await;
}

#[tokio::test]
async fn is_ready_when_every_part_is_and_stays_so_through_later_trouble() {
    let server = run(limits(), echoing).await;
    assert_eq!(server.observed("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    let unready = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    assert_eq!(server.observed("/readyz").await, unready("policy: not there yet\n"));
    server.health.waiting(Part::Policy, "line 3 does not load");
    assert_eq!(server.observed("/readyz").await, unready("policy: line 3 does not load\n"));
    server.health.ready(Part::Policy);
    assert_eq!(server.observed("/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    server.health.waiting(Part::Policy, "a later edit does not load");
    assert_eq!(server.observed("/readyz").await.0, 200);
    server.health.ready(Part::Clock);
    server.health.waiting(Part::Clock, "3 minutes ahead");
    assert_eq!(server.observed("/readyz").await, unready("clock: 3 minutes ahead\n"));
    // The same answers stand behind TLS.
    let client = server.client(b"h2");
    let get = async |path: &str| client.get(format!("https://{}{path}", server.address)).send().await.unwrap();
    assert_eq!(get("/readyz").await.status(), 503);
    let metrics = get("/metrics").await;
    assert_eq!(metrics.headers()["content-type"], crate::telemetry::metrics::CONTENT_TYPE);
    assert!(metrics.text().await.unwrap().contains("pratique_build_info"));
    assert!(server.observed("/metrics").await.1.contains("pratique_http_answers_total{path=\"/readyz\""));
}

#[tokio::test]
async fn a_shutdown_lets_requests_end_and_takes_no_new_ones() {
    #[derive(Clone)]
    struct Held {
        gate: Gate,
        until: Arc<Notify>,
        entered: tokio::sync::mpsc::Sender<()>,
    }
    impl FromRef<Held> for Gate {
        fn from_ref(held: &Held) -> Self {
            held.gate.clone()
        }
    }
    async fn waits(State(held): State<Held>, _call: Call) -> &'static str {
        held.entered.send(()).await.unwrap();
        held.until.notified().await;
        "done"
    }
    let until = Arc::new(Notify::new());
    let (entered, mut in_handler) = tokio::sync::mpsc::channel(1);
    let mut server = run(limits(), |gate| {
        Router::new().route("/verify", post(waits)).with_state(Held { gate, until: until.clone(), entered })
    })
    .await;
    server.health.ready(Part::Policy);
    let client = server.client(b"h2");
    let request = tokio::spawn(server.post(&client, "/verify", "{}").send());
    in_handler.recv().await.unwrap();
    server.stop().await;
    eventually("the port is closed", async || TcpStream::connect(server.address).await.is_err()).await;
    let (status, why) = server.observed("/readyz").await;
    assert_eq!((status.as_u16(), why.as_str()), (503, "shutting down\n"));
    assert!(!server.ended.is_finished());
    until.notify_one();
    assert_eq!(text(request.await.unwrap().unwrap()).await, (200, "done".to_owned()));
    assert_eq!(server.ended.await.unwrap(), Ok(()));
    assert!(TcpStream::connect(server.observe).await.is_err());
}

/// Closed while idle, it may be closed under a request.
#[tokio::test]
async fn a_connection_that_is_kept_open_ends_with_an_answer_once_a_shutdown_began() {
    let mut server = run(Limits { lame_duck: DAY.unsigned_abs(), ..limits() }, echoing).await;
    let stop = server.stop.take().unwrap();
    let clients = [server.client(b"http/1.1"), server.client(b"h2")];
    let told = async |client: &Client| {
        let answer = server.post(client, "/verify", "{}").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers().get("connection").map(|value| value.to_str().unwrap().to_owned())
    };
    for client in &clients {
        assert_eq!(told(client).await, None);
    }
    stop.send(()).unwrap();
    eventually("the shutdown began", async || server.observed("/readyz").await.1.contains("shutting down")).await;
    let said = [told(&clients[0]).await, told(&clients[1]).await];
    assert_eq!(said, [Some("close".to_owned()), None]);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_request_that_never_ends() {
    let (entered, mut in_handler) = tokio::sync::mpsc::channel(1);
    let mut server = run(Limits { drain: Duration::from_millis(50), ..limits() }, |gate| {
        let hangs = move |_: Call| async move {
            entered.send(()).await.unwrap();
            std::future::pending::<&'static str>().await
        };
        Router::new().route("/verify", post(hangs)).with_state(gate)
    })
    .await;
    let client = server.client(b"h2");
    let request = tokio::spawn(server.post(&client, "/verify", "{}").send());
    in_handler.recv().await.unwrap();
    server.stop().await;
    assert_eq!((&mut server.ended).await.unwrap(), Ok(()));
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let server = run(limits(), echoing).await;
    let settings = Settings { listen: server.address, observe: None, limits: limits() };
    let tls = certs::server_config(server.resolver.clone()).unwrap();
    let bound = Server::bind(&settings, tls, server.health.clone(), server.metrics.clone()).await;
    assert!(matches!(bound, Err(Error::Listen { address, .. }) if address == server.address));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_while_old_ones_go_on() {
    use std::os::unix::fs::symlink;

    let server = run(limits(), echoing).await;
    let dir = tempfile::tempdir().unwrap();
    let mount = |name: &str| {
        let pair = server.authority.issue(&["127.0.0.1".to_owned()], now(), DAY + DAY).unwrap();
        let dir = dir.path();
        std::fs::create_dir(dir.join(name)).unwrap();
        std::fs::write(dir.join(name).join("tls.crt"), &pair.certificate).unwrap();
        std::fs::write(dir.join(name).join("tls.key"), &pair.key).unwrap();
        symlink(name, dir.join("..data_tmp")).unwrap();
        std::fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    };
    mount("..1");
    let mut files = certs::files::Files::new(dir.path(), server.resolver.clone(), server.metrics.clone());
    assert_eq!(files.look(now()).await, Ok(true));
    let following = tokio::spawn(files.follow(Duration::from_millis(5), Timestamp::now));
    let shown = async |client: &Client| {
        let answer = server.post(client, "/verify", "{}").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let tls = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
        tls.peer_certificate().unwrap().to_vec()
    };
    let old = server.client(b"h2");
    let first = shown(&old).await;
    mount("..2");
    server.counted("pratique_certificate_loads_total{outcome=\"loaded\"} 2").await;
    assert_eq!(shown(&old).await, first, "the open connection goes on");
    assert_ne!(shown(&server.client(b"h2")).await, first);
    following.abort();
}
