//! Against real sockets on the loopback interface and real folders.

mod headers;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use tokio::time::Instant;

use super::*;
use crate::{
    repository::credentials::{Credentials, tests::Kept},
    tuf::{FetchError, FetchRequest, fetch::FetchBase},
};

impl Transport {
    /// Asks the first copy alone.
    async fn fetch(&self, request: &FetchRequest, deadline: Instant) -> Result<Vec<u8>, FetchError> {
        self.mirrors[0].fetch(request, deadline).await
    }
}

/// Far away: what must end for another reason than time.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(150)
}

fn metadata(path: &str, max_bytes: u64) -> FetchRequest {
    FetchRequest { base: FetchBase::Metadata, path: path.to_owned(), max_bytes }
}

/// Serves every connection with `talk`, which gets the head of the request; returns the URL.
async fn server<F>(talk: impl Fn(TcpStream, String) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let talk = Arc::new(talk);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let talk = talk.clone();
            tokio::spawn(async move {
                let head = read_head(&mut stream).await;
                talk(stream, head).await;
            });
        }
    });
    url
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A server that gives one answer, whatever it is asked.
async fn answering(answer: impl Into<Vec<u8>>) -> String {
    let answer: Arc<[u8]> = answer.into().into();
    server(move |mut stream, _| {
        let answer = answer.clone();
        async move {
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

fn open(url: &str) -> Transport {
    Transport::open(&Locations::below(url), &Access::default()).unwrap()
}

async fn fetch(url: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
    open(url).fetch(&metadata(path, max_bytes), later()).await
}

/// Credentials for the host of `url`.
fn known_at(url: &str) -> Credentials {
    let host = url.strip_prefix("http://").unwrap();
    Credentials::new(Kept::with(&[("host", host), ("token", "s3cret")]), "tuf", host).in_the_clear()
}

fn unreachable(result: Result<Vec<u8>, FetchError>) -> String {
    match result {
        Err(FetchError::Unreachable(why)) => why,
        other => panic!("expected Unreachable, got {other:?}"),
    }
}

#[tokio::test]
async fn fetches_from_both_folders_with_the_encoding_that_was_asked_for() {
    let url = server(|mut stream, head| async move {
        let line = head.lines().next().unwrap().to_owned();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{line}", line.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let base = format!("{url}/acme");
    let role = fetch(&base, "1...%2Fa%3F.json", 99).await.unwrap();
    assert_eq!(String::from_utf8(role).unwrap(), "GET /acme/metadata/1...%2Fa%3F.json HTTP/1.1");
    let request =
        FetchRequest { base: FetchBase::Targets, path: "r.example/team/00.app@sha256:1".into(), max_bytes: 99 };
    let target = open(&base).fetch(&request, later()).await.unwrap();
    assert_eq!(String::from_utf8(target).unwrap(), "GET /acme/targets/r.example/team/00.app@sha256:1 HTTP/1.1");
}

#[tokio::test]
async fn asks_without_a_proxy_or_an_encoding_and_with_the_given_credentials() {
    let url = server(|mut stream, head| async move {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let access = Access { credentials: Some(known_at(&url)), ..Access::default() };
    let transport = Transport::open(&Locations::below(&url), &access).unwrap();
    let head = transport.fetch(&metadata("root.json", 999), later()).await.unwrap();
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.contains("authorization: bearer s3cret"), "{head}");
    assert!(head.contains("user-agent: pratique/"), "{head}");
    assert!(!head.contains("accept-encoding"), "{head}");
}

#[tokio::test]
async fn keeps_the_connection_for_the_next_file() {
    let connections = Arc::new(AtomicU64::new(0));
    let counted = connections.clone();
    let url = server(move |mut stream, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            loop {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                if read_head(&mut stream).await.is_empty() {
                    return;
                }
            }
        }
    })
    .await;
    let transport = open(&url);
    for _ in 0..5 {
        assert_eq!(transport.fetch(&metadata("timestamp.json", 9), later()).await.unwrap(), b"{}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn takes_404_and_403_as_the_answer_that_there_is_no_such_file() {
    for status in ["404 Not Found", "403 Forbidden"] {
        let url = answering(format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nnope")).await;
        assert_eq!(fetch(&url, "2.root.json", 9).await, Err(FetchError::NotFound), "{status}");
    }
}

#[tokio::test]
async fn takes_every_other_status_as_no_answer_and_names_it() {
    for status in ["500 Oops", "503 Busy", "401 Who", "410 Gone", "206 Part", "204 Nothing"] {
        let url = answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        let why = unreachable(fetch(&url, "2.root.json", 9).await);
        assert!(why.contains(&format!("HTTP {}", &status[..3])), "{why}");
    }
}

#[tokio::test]
async fn does_not_follow_a_redirect_and_names_its_host() {
    let to = "http://user:secret@169.254.169.254/latest/meta-data?token=secret";
    let url = answering(format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")).await;
    let why = unreachable(fetch(&url, "root.json", 9).await);
    assert!(why.contains("redirects to 169.254.169.254 (HTTP 302)"), "{why}");
    assert!(!why.contains("secret"), "{why}");
}

/// A transport that follows redirects from `url` to the host of `to`, which may be this machine.
fn following(url: &str, to: &str, proxy: Option<String>) -> Transport {
    let host = to.strip_prefix("http://").unwrap().to_owned();
    let redirects = Redirects::to([host]).anywhere();
    let credentials = Some(known_at(url));
    let access = Access { credentials, redirects, proxy, ..Access::default() };
    Transport::open(&Locations::below(url), &access).unwrap()
}

/// Answers with the head of the request.
async fn echo() -> String {
    server(|mut stream, head| async move {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await
}

async fn redirecting(to: &str) -> String {
    answering(format!("HTTP/1.1 307 There\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")).await
}

#[tokio::test]
async fn follows_a_redirect_to_a_host_that_is_listed_without_credentials() {
    let blobs = echo().await;
    let url = redirecting(&format!("{blobs}/blob?signature=x")).await;
    let head = following(&url, &blobs, None).fetch(&metadata("root.json", 999), later()).await.unwrap();
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("get /blob?signature=x http/1.1"), "{head}");
    assert!(!head.contains("s3cret") && !head.contains("authorization"), "{head}");
    // The caps hold there, too.
    let limit = FetchError::TooLarge { limit: 9 };
    assert_eq!(following(&url, &blobs, None).fetch(&metadata("root.json", 9), later()).await, Err(limit));
}

#[tokio::test]
async fn does_not_follow_a_redirect_to_where_it_may_not() {
    let blobs = echo().await;
    let url = redirecting(&format!("{blobs}/blob?signature=secret")).await;
    let (_, port) = blobs.rsplit_once(':').unwrap();
    // The same machine by another name, and by an address that is not public.
    let elsewhere = following(&url, "http://blobs.example", None);
    let why = unreachable(elsewhere.fetch(&metadata("root.json", 999), later()).await);
    assert!(why.ends_with(&format!(" redirects to 127.0.0.1:{port}, which is not one of redirects")), "{why}");
    let access = Access { redirects: Redirects::to([format!("127.0.0.1:{port}")]), ..Access::default() };
    let transport = Transport::open(&Locations::below(&url), &access).unwrap();
    let why = unreachable(transport.fetch(&metadata("root.json", 999), later()).await);
    assert!(why.ends_with(", which is not a public address"), "{why}");
    // By a name that leads here.
    let url = redirecting(&format!("http://localhost:{port}/blob?signature=secret")).await;
    let access = Access { redirects: Redirects::to([format!("localhost:{port}")]), ..Access::default() };
    let transport = Transport::open(&Locations::below(&url), &access).unwrap();
    let why = unreachable(transport.fetch(&metadata("root.json", 999), later()).await);
    assert!(why.contains("localhost has no public address") && !why.contains("secret"), "{why}");
}

#[tokio::test]
async fn does_not_follow_redirects_for_ever() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let (counted, answer) =
        (asked.clone(), format!("HTTP/1.1 302 Found\r\nlocation: {url}/again\r\ncontent-length: 0\r\n\r\n"));
    let listener = TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (counted, answer) = (counted.clone(), answer.clone());
            tokio::spawn(async move {
                while !read_head(&mut stream).await.is_empty() {
                    counted.fetch_add(1, Ordering::SeqCst);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let why = unreachable(following(&url, &url, None).fetch(&metadata("root.json", 999), later()).await);
    assert!(why.contains("which is not followed"), "{why}");
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn every_request_goes_through_the_proxy_that_is_given() {
    let proxy = echo().await;
    let access = Access { proxy: Some(proxy), ..Access::default() };
    let transport = Transport::open(&Locations::below("http://tuf.example/acme"), &access).unwrap();
    let head = String::from_utf8(transport.fetch(&metadata("root.json", 999), later()).await.unwrap()).unwrap();
    assert!(head.starts_with("GET http://tuf.example/acme/metadata/root.json HTTP/1.1"), "{head}");
}

#[tokio::test]
async fn refuses_a_body_that_is_announced_too_long_before_it_comes() {
    let url = server(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
        std::future::pending().await
    })
    .await;
    assert_eq!(fetch(&url, "root.json", 999_999).await, Err(FetchError::TooLarge { limit: 999_999 }));
}

#[tokio::test]
async fn cuts_an_endless_body_soon_after_the_limit() {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    let (closed, mut was_closed) = tokio::sync::mpsc::channel(1);
    let url = server(move |mut stream, _| {
        let (counted, closed) = (counted.clone(), closed.clone());
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {
                counted.fetch_add(4096, Ordering::SeqCst);
            }
            let _ = closed.send(()).await;
        }
    })
    .await;
    assert_eq!(fetch(&url, "timestamp.json", 10_000).await, Err(FetchError::TooLarge { limit: 10_000 }));
    was_closed.recv().await.unwrap();
    // What lay in the buffers of both sockets, not the gigabytes of a transfer that goes on.
    assert!(sent.load(Ordering::SeqCst) < 64 << 20);
}

#[tokio::test]
async fn cuts_an_endless_chunked_body() {
    let url = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while stream.write_all(b"4\r\nxxxx\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(fetch(&url, "timestamp.json", 1000).await, Err(FetchError::TooLarge { limit: 1000 }));
}

#[tokio::test]
async fn does_not_take_a_truncated_body_for_the_file() {
    let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"signed\"").await;
    unreachable(fetch(&url, "root.json", 999).await);
    let url = answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"signed\"\r\n").await;
    unreachable(fetch(&url, "root.json", 999).await);
}

#[tokio::test]
async fn reads_no_further_than_the_announced_length() {
    let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}{\"more\": true}").await;
    assert_eq!(fetch(&url, "root.json", 999).await.unwrap(), b"{}");
}

#[tokio::test]
async fn a_file_of_exactly_the_limit_is_not_too_large() {
    let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12345").await;
    assert_eq!(fetch(&url, "root.json", 5).await.unwrap(), b"12345");
    assert_eq!(fetch(&url, "root.json", 4).await, Err(FetchError::TooLarge { limit: 4 }));
}

#[tokio::test]
async fn gives_up_at_the_deadline_on_a_server_that_never_answers() {
    let url = server(|stream, _| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    assert_eq!(open(&url).fetch(&metadata("root.json", 999), soon()).await, Err(FetchError::TimedOut));
}

#[tokio::test]
async fn gives_up_at_the_deadline_on_a_server_that_drips() {
    let url = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while stream.write_all(b"x").await.is_ok() {
            pace.tick().await;
        }
    })
    .await;
    assert_eq!(open(&url).fetch(&metadata("root.json", 9999), soon()).await, Err(FetchError::TimedOut));
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_the_reason_holds_no_credentials() {
    // Bound, so that nobody else is given it, and listening to nothing.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = closed.local_addr().unwrap();
    let why = unreachable(fetch(&format!("http://user:secret@{address}/x"), "root.json", 9).await);
    assert!(why.starts_with(&format!("{address}: ")) && why.contains("refused"), "{why}");
    assert!(!why.contains("secret") && !why.contains("user"), "{why}");
}

#[tokio::test]
async fn refuses_paths_that_lead_out_before_anything_is_contacted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("repo/metadata/a")).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    std::fs::write(folder.path().join("repo/secret"), "secret").unwrap();
    let local = Url::from_directory_path(folder.path().join("repo")).unwrap();
    let url = server(|_, head| async move { panic!("was asked {head}") }).await;
    for path in [
        "..",
        "../secret",
        "a/../../secret",
        "../../secret",
        ".",
        "./secret",
        "/etc/passwd",
        "//etc/passwd",
        "",
        "a//b",
        "%2e%2e/secret",
        "a/%2E%2e/secret",
        "..\\secret",
        "a\0b",
        "a%00b",
        "a\nb",
        "secret?x",
        "secret#x",
    ] {
        for base in [url.as_str(), local.as_str()] {
            if base == local.as_str() && path.contains(['?', '#']) {
                continue;
            }
            let why = unreachable(fetch(base, path, 999).await);
            assert!(why.contains("does not stay below"), "{path:?}: {why}");
        }
    }
    for path in ["..%2Fsecret", "a/..%2f..%2fsecret", "%2Fetc%2Fpasswd", "..%5Csecret"] {
        let why = unreachable(fetch(local.as_str(), path, 999).await);
        assert!(why.contains("does not stay below"), "{path:?}: {why}");
    }
}

#[tokio::test]
async fn reads_a_folder_as_a_web_server_over_it_would() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("metadata");
    std::fs::create_dir_all(dir.join("1.team")).unwrap();
    std::fs::write(dir.join("root.json"), "{}").unwrap();
    std::fs::write(dir.join("1.team/a.json"), "{ }").unwrap();
    let url = Url::from_directory_path(folder.path()).unwrap();
    assert_eq!(fetch(url.as_str(), "root.json", 2).await.unwrap(), b"{}");
    assert_eq!(fetch(url.as_str(), "1.team%2Fa.json", 9).await.unwrap(), b"{ }");
    // As tools write it that keep a folder and no server.
    std::fs::write(dir.join("1.team%2Fa.json"), "{  }").unwrap();
    assert_eq!(fetch(url.as_str(), "1.team%2Fa.json", 9).await.unwrap(), b"{  }");
    assert_eq!(fetch(url.as_str(), "root.json", 1).await, Err(FetchError::TooLarge { limit: 1 }));
    assert_eq!(fetch(url.as_str(), "2.root.json", 9).await, Err(FetchError::NotFound));
    assert_eq!(fetch(url.as_str(), "root.json/x", 9).await, Err(FetchError::NotFound));
    assert_eq!(fetch(url.as_str(), "1.team", 9).await, Err(FetchError::NotFound));
}

#[cfg(unix)]
#[tokio::test]
async fn reads_through_the_links_of_a_mounted_config_map() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("metadata");
    std::fs::create_dir_all(dir.join("..2026_01_01")).unwrap();
    std::fs::write(dir.join("..2026_01_01/root.json"), "{}").unwrap();
    std::os::unix::fs::symlink("..2026_01_01", dir.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/root.json", dir.join("root.json")).unwrap();
    let url = Url::from_directory_path(folder.path()).unwrap();
    assert_eq!(fetch(url.as_str(), "root.json", 9).await.unwrap(), b"{}");
    std::os::unix::fs::symlink("/dev/zero", dir.join("2.root.json")).unwrap();
    assert_eq!(fetch(url.as_str(), "2.root.json", 9).await, Err(FetchError::NotFound));
}

#[test]
fn refuses_locations_that_are_none() {
    let open = |metadata: &str| {
        let locations = Locations { metadata: metadata.to_owned(), targets: None };
        Transport::open(&locations, &Access::default()).map(|_| ())
    };
    assert!(matches!(open("tuf.example"), Err(Error::BadUrl { .. })));
    assert!(matches!(open("https://tuf.example/?x=y"), Err(Error::BadUrl { .. })));
    assert!(matches!(open("file://elsewhere/repo"), Err(Error::BadUrl { .. })));
    assert_eq!(
        open("ftp://user:secret@tuf.example/"),
        Err(Error::UnknownScheme { url: "ftp://tuf.example/".into(), scheme: "ftp".into() })
    );
    let access = |access: Access| Transport::open(&Locations::below("https://tuf.example"), &access).map(|_| ());
    let bundle = |pem: &str| access(Access { ca_bundle: Some(pem.into()), ..Access::default() });
    assert!(matches!(bundle("no certificate"), Err(Error::BadCaBundle { .. })));
    let known = |metadata: &str, targets: &str| {
        let kept = Kept::with(&[]);
        let credentials = Some(Credentials::new(kept, "tuf", "tuf.example"));
        let locations = Locations { metadata: metadata.to_owned(), targets: Some(targets.to_owned()) };
        // Refused before any authority is looked for.
        Transport::open(&locations, &Access { credentials, ..Access::default() }).map(|_| ())
    };
    for (metadata, targets, host) in [
        ("http://tuf.example", "https://tuf.example", "tuf.example"),
        ("https://tuf.example", "https://evil.example", "evil.example"),
        ("https://tuf.example", "https://tuf.example:8443", "tuf.example:8443"),
        ("https://tuf.example", "file:///srv", ""),
    ] {
        let error = known(metadata, targets).unwrap_err();
        assert_eq!(error, Error::Unbound { host: host.into() });
        assert_eq!(error.code(), "policy/bad-credentials");
    }
    // Those of a registry may be for whoever gives its tokens, if that host is listed.
    let of_registry = |tokens: Option<&str>| {
        let credentials = Some(Credentials::new(Kept::with(&[]), "tuf", "auth.example"));
        let access = Access { credentials, tokens: tokens.map(str::to_owned), ..Access::default() };
        let locations = Locations { metadata: "oci://r.example/tuf".to_owned(), targets: None };
        Transport::open(&locations, &access).map(|_| ())
    };
    assert_eq!(of_registry(None), Err(Error::Unbound { host: "r.example".into() }));
    assert_eq!(of_registry(Some("other.example")), Err(Error::Unbound { host: "r.example".into() }));
    assert_ne!(of_registry(Some("auth.example")), Err(Error::Unbound { host: "r.example".into() }));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(bundle(broken), Err(Error::BadCaBundle { .. })));
}

#[test]
fn https_without_any_authority_is_refused_at_once_and_http_needs_none() {
    let url = |text: &str| Url::parse(text).unwrap();
    let (plain, secure) = (url("http://tuf.example/"), url("https://tuf.example:8443/"));
    let found = client::authorities(&[&plain, &secure], &Access::default(), Default::default);
    let Err(error) = found else { panic!("nothing to check certificates with") };
    assert_eq!(error, Error::NoCaCertificates { host: "tuf.example:8443".into(), why: String::new() });
    let found = client::authorities(&[&plain], &Access::default(), || panic!("the machine's are not needed"));
    assert!(found.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_location_of_targets_there_are_none_to_fetch() {
    let locations = Locations { metadata: "http://127.0.0.1:1/".into(), targets: None };
    let transport = Transport::open(&locations, &Access::default()).unwrap();
    let request = FetchRequest { base: FetchBase::Targets, path: "x".into(), max_bytes: 1 };
    unreachable(transport.fetch(&request, later()).await);
}

/// A TLS server with a certificate of its own for `name`, and that certificate.
async fn tls_server(name: &str) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let version = async |request: axum::extract::Request| format!("{:?}", request.version());
    let app = axum::Router::new()
        .route("/metadata/root.json", axum::routing::get(|| async { "{}" }))
        .route("/metadata/version", axum::routing::get(version));
    let handle = axum_server::Handle::new();
    let config = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(config));
    let server =
        axum_server::bind_rustls(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), config).handle(handle.clone());
    tokio::spawn(server.serve(app.into_make_service()));
    (handle.listening().await.unwrap().port(), made.cert.pem())
}

#[tokio::test]
async fn believes_only_the_authorities_of_the_ca_bundle() {
    let (port, pem) = tls_server("localhost").await;
    let (_, other) = tls_server("localhost").await;
    let fetch = async |host: &str, pem: &str| {
        let access = Access { ca_bundle: Some(pem.into()), ..Access::default() };
        let transport = Transport::open(&Locations::below(&format!("https://{host}:{port}")), &access).unwrap();
        transport.fetch(&metadata("root.json", 9), later()).await
    };
    assert_eq!(fetch("localhost", &pem).await.unwrap(), b"{}");
    let why = unreachable(fetch("localhost", &other).await);
    assert!(why.contains("certificate"), "{why}");
    let why = unreachable(fetch("127.0.0.1", &pem).await);
    assert!(why.contains("certificate"), "{why}");
}

#[test]
fn a_client_that_its_library_refuses_to_build_is_an_error_and_no_panic() {
    let refused = client::build(reqwest::Client::builder().user_agent("two\nlines")).unwrap_err();
    assert_eq!(refused.code(), "internal/http-client");
    assert!(matches!(&refused, Error::Client { why } if !why.is_empty()), "{refused}");
}

/// A server that takes one token and counts who came with another.
async fn guarded(token: &'static str) -> (String, Arc<AtomicU64>) {
    let refused = Arc::new(AtomicU64::new(0));
    let counted = refused.clone();
    let url = server(move |mut stream, head| {
        let counted = counted.clone();
        async move {
            let known = head.to_lowercase().contains(&format!("authorization: bearer {token}\r\n"));
            let status = if known { "200 OK" } else { "401 Who" };
            counted.fetch_add(u64::from(!known), Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (url, refused)
}

#[tokio::test]
async fn a_secret_that_was_rotated_is_read_again_when_the_old_one_is_refused() {
    let (url, refused) = guarded("rotated").await;
    let host = url.strip_prefix("http://").unwrap();
    let kept = Kept::with(&[("host", host), ("token", "s3cret")]);
    let credentials = Some(Credentials::new(kept.clone(), "tuf", host).in_the_clear());
    let transport = Transport::open(&Locations::below(&url), &Access { credentials, ..Access::default() }).unwrap();
    // As long as the Secret holds what is refused, it is asked once, and the Secret is read again.
    let error = transport.fetch(&metadata("root.json", 9), later()).await.unwrap_err();
    let wanted = format!("{host} does not take the credentials in Secret tuf (HTTP 401)");
    assert_eq!(error, FetchError::Credentials(wanted));
    assert_eq!((refused.load(Ordering::SeqCst), kept.readings()), (1, 2));

    kept.put(Ok(&[("host", host), ("token", "rotated")]));
    assert_eq!(transport.fetch(&metadata("root.json", 9), later()).await.unwrap(), b"{}");
    assert_eq!((refused.load(Ordering::SeqCst), kept.readings()), (2, 3));
    assert_eq!(transport.fetch(&metadata("root.json", 9), later()).await.unwrap(), b"{}");
    assert_eq!((refused.load(Ordering::SeqCst), kept.readings()), (2, 3));
}

#[tokio::test]
async fn without_its_secret_a_repository_is_not_asked_at_all() {
    let (url, refused) = guarded("s3cret").await;
    let host = url.strip_prefix("http://").unwrap();
    let kept = Kept::with(&[("host", "other.example"), ("token", "s3cret")]);
    let credentials = Some(Credentials::new(kept, "tuf", host).in_the_clear());
    let transport = Transport::open(&Locations::below(&url), &Access { credentials, ..Access::default() }).unwrap();
    let error = transport.fetch(&metadata("root.json", 9), later()).await.unwrap_err();
    assert!(matches!(&error, FetchError::Credentials(why) if why.ends_with("names another host")), "{error}");
    assert_eq!(refused.load(Ordering::SeqCst), 0);
}

/// A server that gives these answers one after the other, then the last one for ever, each on a connection of its own.
async fn one_after_the_other(answers: &'static [&'static str]) -> (String, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    let url = server(move |mut stream, _| {
        let number = usize::try_from(counted.fetch_add(1, Ordering::SeqCst)).unwrap();
        let answer = answers[number.min(answers.len() - 1)];
        async move {
            match answer {
                "silence" => std::future::pending().await,
                "reset" => stream.set_zero_linger().unwrap(),
                answer => drop(stream.write_all(answer.as_bytes()).await),
            }
        }
    })
    .await;
    (url, asked)
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";

#[tokio::test]
async fn asks_again_where_the_server_is_busy_or_the_connection_breaks() {
    for answers in [&[BUSY, GOOD], &["reset", GOOD], &[CUT, GOOD]] {
        let (url, asked) = one_after_the_other(answers).await;
        assert_eq!(fetch(&url, "root.json", 999).await.unwrap(), b"{}", "{answers:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{answers:?}");
    }
    let (url, asked) = one_after_the_other(&[BUSY]).await;
    let why = unreachable(fetch(&url, "root.json", 9).await);
    assert!(why.ends_with("answered HTTP 503"), "{why}");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn every_request_and_every_byte_that_came_is_counted_once() {
    let (url, _) = one_after_the_other(&[BUSY, GOOD]).await;
    let transport = open(&url);
    transport.fetch(&metadata("root.json", 9), later()).await.unwrap();
    assert_eq!(transport.take_traffic(), (2, 2));
    assert_eq!(transport.take_traffic(), (0, 0));
    // Where redirects lead, and what comes of a body before it is cut off.
    let end = answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nlong\r\n").await;
    let transport = following(&redirecting(&end).await, &end, None);
    let limit = FetchError::TooLarge { limit: 3 };
    assert_eq!(transport.fetch(&metadata("root.json", 3), later()).await, Err(limit));
    assert_eq!(transport.take_traffic(), (2, 4));
}

#[tokio::test]
async fn asks_again_on_another_connection_where_one_is_silent() {
    let (url, asked) = one_after_the_other(&["silence", GOOD]).await;
    let deadline = Instant::now() + Duration::from_secs(2);
    assert_eq!(open(&url).fetch(&metadata("root.json", 9), deadline).await.unwrap(), b"{}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn does_not_ask_again_for_what_was_answered() {
    for (answer, max_bytes) in [
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", 9),
        ("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n", 9),
        ("HTTP/1.1 302 There\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", 9),
        (GOOD, 1),
    ] {
        let (url, asked) = one_after_the_other(Vec::leak(vec![answer])).await;
        assert!(fetch(&url, "root.json", max_bytes).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{answer}");
    }
}

/// A port in front of a server, and how many connections came through it.
async fn counted_front_of(port: u16) -> (u16, Arc<AtomicU64>) {
    let counted = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap().port();
    let counter = counted.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut behind = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    (front, counted)
}

#[tokio::test]
async fn over_tls_many_files_come_at_once_on_one_connection_of_http_2() {
    let (port, pem) = tls_server("localhost").await;
    let (front, counted) = counted_front_of(port).await;
    let access = Access { ca_bundle: Some(pem.into()), ..Access::default() };
    let transport = Transport::open(&Locations::below(&format!("https://localhost:{front}")), &access).unwrap();
    let version = metadata("version", 99);
    assert_eq!(transport.fetch(&version, later()).await.unwrap(), b"HTTP/2.0");
    let all = futures::future::join_all((0..20).map(|_| transport.fetch(&version, later()))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(counted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_with_the_wrong_certificate_is_asked_once() {
    let (port, _) = tls_server("localhost").await;
    let (_, other) = tls_server("localhost").await;
    let (front, counted) = counted_front_of(port).await;
    let access = Access { ca_bundle: Some(other.into()), ..Access::default() };
    let transport = Transport::open(&Locations::below(&format!("https://localhost:{front}")), &access).unwrap();
    let why = unreachable(transport.fetch(&metadata("root.json", 9), later()).await);
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(counted.load(Ordering::SeqCst), 1);
}

/// A server that knows one entity tag, and the tags that it was asked with.
async fn tagged(tag: &'static str, body: &'static str) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let tags = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = tags.clone();
    let url = server(move |mut stream, head| {
        let asked = head.lines().find_map(|line| line.strip_prefix("if-none-match: ")).unwrap_or("none").to_owned();
        let answer = match asked == tag {
            true => "HTTP/1.1 304 Same\r\nconnection: close\r\n\r\n".to_owned(),
            false => format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\netag: {tag}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        kept.lock().unwrap().push(asked);
        async move { drop(stream.write_all(answer.as_bytes()).await) }
    })
    .await;
    (url, tags)
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_sent_again() {
    let (url, tags) = tagged("\"1\"", "{}").await;
    let transport = open(&url);
    for _ in 0..2 {
        assert_eq!(transport.fetch(&metadata("timestamp.json", 9), later()).await.unwrap(), b"{}");
        assert_eq!(transport.fetch(&metadata("1.root.json", 9), later()).await.unwrap(), b"{}");
    }
    // What never changes under its name is not kept, and the cap holds for what is.
    assert_eq!(*tags.lock().unwrap(), ["none", "none", "\"1\"", "none"]);
    let limit = FetchError::TooLarge { limit: 1 };
    assert_eq!(transport.fetch(&metadata("timestamp.json", 1), later()).await, Err(limit));
    // Whoever found that it does not verify will have it sent again.
    transport.mirrors[0].failed();
    assert_eq!(transport.fetch(&metadata("timestamp.json", 9), later()).await.unwrap(), b"{}");
    assert_eq!(tags.lock().unwrap().last().unwrap(), "none");
}

#[tokio::test]
async fn not_modified_is_no_answer_to_who_did_not_ask_that() {
    let url = answering("HTTP/1.1 304 Same\r\n\r\n").await;
    let why = unreachable(fetch(&url, "timestamp.json", 9).await);
    assert!(why.ends_with("answered HTTP 304"), "{why}");
}

/// A TLS server that wants to be shown a certificate by this authority, and answers with what it was shown.
struct Gate {
    port: u16,
    authority: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Gate {
    async fn open() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.unwrap())
            .with_single_cert(vec![certificate.der().clone()], own.serialize_der().try_into().unwrap())
            .unwrap();
        let app = axum::Router::new().fallback(async || "{}");
        let handle = axum_server::Handle::new();
        let config = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(config));
        let server =
            axum_server::bind_rustls(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), config).handle(handle.clone());
        tokio::spawn(server.serve(app.into_make_service()));
        Self { port: handle.listening().await.unwrap().port(), authority: authority.pem(), issuer }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A client certificate by `issuer`, and its key.
    fn client(issuer: &rcgen::Issuer<'static, rcgen::KeyPair>) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec!["webhook".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
        (made.pem(), key.serialize_pem())
    }

    fn transport(&self, kept: &Arc<Kept>, mirrors: &[Locations]) -> Transport {
        let credentials = Some(Credentials::new(kept.clone(), "tuf", &format!("localhost:{}", self.port)));
        let access = Access { ca_bundle: Some(self.authority.clone().into()), credentials, ..Access::default() };
        Transport::open_all(&Locations::below(&self.url()), mirrors, &access).unwrap()
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_host_that_its_secret_names_and_a_rotated_one_is_read_again() {
    let gate = Gate::open().await;
    let host = format!("localhost:{}", gate.port);
    let (certificate, key) = Gate::client(&gate.issuer);
    let secret = [("host", host.as_str()), ("tls.crt", certificate.as_str()), ("tls.key", key.as_str())];
    let kept = Kept::with(&secret);
    let transport = gate.transport(&kept, &[]);
    assert_eq!(transport.fetch(&metadata("root.json", 9), later()).await.unwrap(), b"{}");

    // One by an authority that the server does not know: it is refused, until the Secret has another.
    let elsewhere = Gate::open().await;
    let (foreign, foreign_key) = Gate::client(&elsewhere.issuer);
    kept.put(Ok(&[secret[0], ("tls.crt", &foreign), ("tls.key", &foreign_key)]));
    let transport = gate.transport(&kept, &[]);
    let why = unreachable(transport.fetch(&metadata("root.json", 9), later()).await);
    assert!(why.contains("alert") || why.contains("Certificate") || why.contains("certificate"), "{why}");
    kept.put(Ok(&secret));
    assert_eq!(transport.fetch(&metadata("root.json", 9), later()).await.unwrap(), b"{}");

    // Without one.
    kept.put(Ok(&[secret[0], ("token", "s3cret")]));
    unreachable(gate.transport(&kept, &[]).fetch(&metadata("root.json", 9), later()).await);
}

#[tokio::test]
async fn a_mirror_at_another_host_is_shown_neither_certificate_nor_token() {
    let gate = Gate::open().await;
    let (certificate, key) = Gate::client(&gate.issuer);
    // The gate is the mirror here, so it would take this certificate; the credentials are for another host.
    let host = "tuf.example:8443";
    let kept = Kept::with(&[("host", host), ("tls.crt", &certificate), ("tls.key", &key)]);
    let access = Access {
        ca_bundle: Some(gate.authority.clone().into()),
        credentials: Some(Credentials::new(kept.clone(), "tuf", host)),
        ..Access::default()
    };
    let origin = Locations::below(&format!("https://{host}"));
    let transport = Transport::open_all(&origin, &[Locations::below(&gate.url())], &access).unwrap();
    unreachable(transport.mirrors[1].fetch(&metadata("root.json", 9), later()).await);

    let mirror = echo().await;
    let transport = Transport::open_all(&origin, &[Locations::below(&mirror)], &access).unwrap();
    let head = transport.mirrors[1].fetch(&metadata("root.json", 999), later()).await.unwrap();
    assert!(!String::from_utf8(head).unwrap().to_lowercase().contains("authorization"));
    assert_eq!(kept.readings(), 0);
}

/// A registry with these manifests and blobs, and what it was asked, over TLS.
async fn registry(things: Vec<(&'static str, String)>) -> (Place, String, Arc<std::sync::Mutex<Vec<String>>>) {
    let (config, pem) = testing::localhost();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = asked.clone();
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let path = request.uri().path().trim_start_matches("/v2/acme/tuf/").to_owned();
        let found = things.iter().find(|(name, _)| *name == path).map(|(_, text)| text.clone());
        noted.lock().unwrap().push(path);
        std::future::ready(match found {
            Some(text) if text.starts_with("https://") => {
                (axum::http::StatusCode::TEMPORARY_REDIRECT, [("location", text)], String::new())
            }
            Some(text) => (axum::http::StatusCode::OK, [("location", String::new())], text),
            None => (axum::http::StatusCode::NOT_FOUND, [("location", String::new())], String::new()),
        })
    });
    let handle = axum_server::Handle::new();
    let server =
        axum_server::bind_rustls(std::net::SocketAddr::from(([127, 0, 0, 1], 0)), config).handle(handle.clone());
    tokio::spawn(server.serve(app.into_make_service()));
    let port = handle.listening().await.unwrap().port();
    (oci::place_of(&format!("oci://localhost:{port}/acme/tuf")).unwrap(), pem, asked)
}

fn of_registry(place: &Place, pem: &str, redirects: Redirects) -> Transport {
    let url = format!("oci://{}/{}", host(&place.base), place.repository);
    let access = Access { ca_bundle: Some(pem.into()), redirects, ..Access::default() };
    let locations = Locations { metadata: url.clone(), targets: Some(url) };
    Transport::open(&locations, &access).unwrap()
}

fn target(path: &str, max_bytes: u64) -> FetchRequest {
    FetchRequest { base: FetchBase::Targets, path: path.to_owned(), max_bytes }
}

fn digest_of(text: &str) -> String {
    format!("sha256:{}", crate::crypto::Sha256::of(text.as_bytes()))
}

fn entry(name: &str, text: &str) -> serde_json::Value {
    serde_json::json!({"digest": digest_of(text), "size": text.len(), "annotations": {"tuf.io/filename": name}})
}

#[tokio::test]
async fn a_registry_is_read_in_the_layout_that_mirrors_of_other_makers_write() {
    let blob = |text: &str| Box::leak(format!("blobs/{}", digest_of(text)).into_boxed_str()) as &str;
    let layers = |layers: &[serde_json::Value]| serde_json::json!({"layers": layers}).to_string();
    let image = layers(&[entry("manifest", "target")]);
    let index = serde_json::json!({"manifests": [entry("dir/sub/manifest", &image)]}).to_string();
    let by_digest = Box::leak(format!("manifests/{}", digest_of(&image)).into_boxed_str()) as &str;
    let things = vec![
        ("manifests/latest", layers(&[entry("1.root.json", "root"), entry("timestamp.json", "timestamp")])),
        ("manifests/team-a", layers(&[entry("3.team-a.json", "role")])),
        ("manifests/plain", layers(&[entry("plain", "target")])),
        ("manifests/dir", index),
        (by_digest, image.clone()),
        (blob("root"), "root".into()),
        (blob("timestamp"), "timestamp".into()),
        (blob("role"), "role".into()),
        (blob("target"), "target".into()),
    ];
    let (place, pem, asked) = registry(things).await;
    let transport = of_registry(&place, &pem, Redirects::default());
    let fetch = async |request: &FetchRequest| transport.fetch(request, later()).await;
    assert_eq!(fetch(&metadata("2.root.json", 99)).await, Err(FetchError::NotFound));
    assert_eq!(fetch(&metadata("timestamp.json", 99)).await.unwrap(), b"timestamp");
    // That there is nothing new takes two requests.
    assert_eq!(*asked.lock().unwrap(), ["manifests/latest", blob("timestamp")]);
    let received = layers(&[entry("1.root.json", "root"), entry("timestamp.json", "timestamp")]).len() + 9;
    assert_eq!(transport.take_traffic(), (2, u64::try_from(received).unwrap()));
    assert_eq!(fetch(&metadata("1.root.json", 99)).await.unwrap(), b"root");
    assert_eq!(fetch(&metadata("3.team-a.json", 99)).await.unwrap(), b"role");
    assert_eq!(fetch(&metadata("2.team-a.json", 99)).await, Err(FetchError::NotFound));
    assert_eq!(fetch(&metadata("3.team-b.json", 99)).await, Err(FetchError::NotFound));

    for path in ["plain", "dir/sub/manifest"] {
        assert_eq!(fetch(&target(path, 99)).await.unwrap(), b"target", "{path}");
        assert_eq!(fetch(&target(path, 5)).await, Err(FetchError::TooLarge { limit: 5 }), "{path}");
    }
    for path in ["dir/manifest", "none", "registry:5000/x"] {
        assert_eq!(fetch(&target(path, 99)).await, Err(FetchError::NotFound), "{path}");
    }
    // One that is named by its digest is asked for by it.
    asked.lock().unwrap().clear();
    let hex = digest_of("target")["sha256:".len()..].to_owned();
    assert_eq!(fetch(&target(&format!("any/where/{hex}.app@sha256:1"), 99)).await.unwrap(), b"target");
    assert_eq!(*asked.lock().unwrap(), [blob("target")]);
    for path in ["../x", "a/..%2Fx", "a//b"] {
        unreachable(fetch(&target(path, 99)).await);
        unreachable(fetch(&metadata(path, 99)).await);
    }
}

#[tokio::test]
async fn what_a_registry_says_is_bounded_and_leads_nowhere_else() {
    let manifest = |digest: &str, size: u64| {
        let file =
            serde_json::json!({"digest": digest, "size": size, "annotations": {"tuf.io/filename": "timestamp.json"}});
        serde_json::json!({"layers": [file]}).to_string()
    };
    let blob = Box::leak(format!("blobs/{}", digest_of("long")).into_boxed_str()) as &str;
    let fetch = async |things: Vec<(&'static str, String)>, limit: u64| {
        let (place, pem, _) = registry(things).await;
        of_registry(&place, &pem, Redirects::default()).fetch(&metadata("timestamp.json", limit), later()).await
    };
    // Larger than it may be by its own account, and in truth.
    for size in [9, 1] {
        let things = vec![("manifests/latest", manifest(&digest_of("long"), size)), (blob, "long".into())];
        assert_eq!(fetch(things, 3).await, Err(FetchError::TooLarge { limit: 3 }), "{size}");
    }
    let large = vec![("manifests/latest", " ".repeat((4 << 20) + 1))];
    assert_eq!(fetch(large, 3).await, Err(FetchError::TooLarge { limit: 4 << 20 }));
    for odd in [manifest("sha256:../../../x", 1), manifest("sha512:00", 1), "no manifest".into(), "17".into()] {
        unreachable(fetch(vec![("manifests/latest", odd)], 9).await);
    }
    // Blobs elsewhere: as redirects say.
    let elsewhere = "https://blobs.example/x?signature=secret".to_owned();
    let things = || vec![("manifests/latest", manifest(&digest_of("long"), 4)), (blob, elsewhere.clone())];
    let why = unreachable(fetch(things(), 9).await);
    assert!(why.contains("redirects to blobs.example (HTTP 307), which is not followed"), "{why}");
    let (place, pem, _) = registry(things()).await;
    let transport = of_registry(&place, &pem, Redirects::to(["other.example".to_owned()]));
    let why = unreachable(transport.fetch(&metadata("timestamp.json", 9), later()).await);
    assert!(why.ends_with("redirects to blobs.example, which is not one of redirects"), "{why}");
    assert!(!why.contains("secret"), "{why}");
}

#[test]
fn a_place_in_a_registry_is_read_as_images_are_named() {
    let place =
        |url: &str| oci::place_of(url).map(|place| (place.base.to_string(), place.repository, place.tag.to_string()));
    let is = |base: &str, repository: &str, tag: &str| Ok((base.to_owned(), repository.to_owned(), tag.to_owned()));
    assert_eq!(place("oci://r.example:5000/acme/tuf/"), is("https://r.example:5000/", "acme/tuf", "latest"));
    assert_eq!(
        place("oci://docker.io/docker/tuf-metadata:v1"),
        is("https://registry-1.docker.io/", "docker/tuf-metadata", "v1")
    );
    for url in
        ["oci://r.example", "https://r.example/tuf", "oci://r.example/Tuf", "oci://r.example/a:b:c", "oci://acme/tuf"]
    {
        assert!(matches!(place(url), Err(Error::BadUrl { .. })), "{url}");
    }
    let digest = format!("oci://r.example/tuf@sha256:{}", "0".repeat(64));
    assert!(place(&digest).is_err());
}
