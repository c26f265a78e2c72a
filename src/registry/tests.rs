//! Against a registry on the loopback interface, over TLS.

use axum::{
    extract::Request,
    response::{IntoResponse, Response as Answer},
};

use super::*;
use crate::repository::{credentials::tests::Kept, transport::testing::Server};

const HEX: &str = "9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e9c1e";

fn digest() -> String {
    format!("sha256:{HEX}")
}

/// The registry that is served there.
pub(super) fn settings(server: &Server) -> Settings {
    Settings {
        host: server.host.clone(),
        tokens: None,
        ca_bundle: Some(server.authority.clone().into_bytes()),
        reach: Reach::Private,
        credentials: None,
        redirects: Redirects::default(),
    }
}

async fn resolve(settings: Settings) -> Result<String, RegistryFault> {
    let image = Repository::parse(&format!("{}/team/app", settings.host)).unwrap();
    let registry = Registry::new(settings).unwrap();
    let tag = Tag::latest();
    let digest = registry.resolve(&image, &tag, Instant::now() + Duration::from_secs(60)).await;
    digest.map(|digest| digest.to_string())
}

fn found() -> Answer {
    [("docker-content-digest", digest())].into_response()
}

fn challenge(value: String) -> Answer {
    (StatusCode::UNAUTHORIZED, [("www-authenticate", value)]).into_response()
}

fn brought(request: &Request) -> Option<&str> {
    request.headers().get("authorization").and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn the_digest_is_what_the_registry_says_or_that_of_the_manifest() {
    let server = Server::start(|request, _| {
        assert_eq!(request.uri().path(), "/v2/team/app/manifests/latest");
        assert_eq!(request.method(), Method::HEAD);
        found()
    })
    .await;
    assert_eq!(resolve(settings(&server)).await.unwrap(), HEX);
    let silent = Server::start(|_, _| "a manifest".into_response()).await;
    assert_eq!(resolve(settings(&silent)).await.unwrap(), Sha256::of(b"a manifest").to_string());
    let other = Server::start(|_, _| [("docker-content-digest", "sha512:00")].into_response()).await;
    assert_eq!(resolve(settings(&other)).await.unwrap(), Sha256::of(b"").to_string());
}

#[tokio::test]
async fn all_who_wait_ask_once_and_the_answer_serves_for_a_while() {
    let server = Server::start(|_, _| found()).await;
    let registry = Registry::new(settings(&server)).unwrap();
    let image = Repository::parse(&format!("{}/team/app", server.host)).unwrap();
    let tag = Tag::latest();
    let deadline = Instant::now() + Duration::from_secs(60);
    let all = futures::future::join_all((0..20).map(|_| registry.resolve(&image, &tag, deadline))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_the_registry_does_not_have_or_say_is_no_digest() {
    for (status, wanted) in [
        (StatusCode::NOT_FOUND, RegistryFault::NoSuchTag),
        (StatusCode::FORBIDDEN, RegistryFault::Credentials(" does not show it to us (HTTP 403)".into())),
        (StatusCode::SERVICE_UNAVAILABLE, RegistryFault::Unreachable(" answered HTTP 503".into())),
        (StatusCode::UNAUTHORIZED, RegistryFault::Unreachable(" does not say how to log in".into())),
    ] {
        let server = Server::start(move |_, _| status.into_response()).await;
        let error = resolve(settings(&server)).await.unwrap_err();
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&wanted), "{error:?}");
        let said = wanted.to_string();
        assert!(error == wanted || error.to_string() == format!("{}{said}", server.host), "{error}");
    }
    let large = Server::start(|_, _| vec![b' '; MAX_MANIFEST + 1].into_response()).await;
    assert!(
        matches!(resolve(settings(&large)).await, Err(RegistryFault::Unreachable(why)) if why.contains("more than 4194304"))
    );
}

#[tokio::test]
async fn a_registry_that_was_down_is_asked_about_the_next_tag() {
    let down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let behave = down.clone();
    let server = Server::start(move |_, _| match behave.load(std::sync::atomic::Ordering::SeqCst) {
        true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        false => found(),
    })
    .await;
    let registry = Registry::new(settings(&server)).unwrap();
    let image = Repository::parse(&format!("{}/team/app", server.host)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let ask = async |tag: Tag| registry.resolve(&image, &tag, deadline).await;
    assert!(matches!(ask(Tag::latest()).await, Err(RegistryFault::Unreachable(_))));
    down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(ask("1.4".parse().unwrap()).await.unwrap().to_string(), HEX);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|request, own| match request.uri().path() {
        "/else" => found(),
        _ => (StatusCode::TEMPORARY_REDIRECT, [("location", format!("https://{own}/else"))]).into_response(),
    })
    .await;
    let error = resolve(settings(&server)).await.unwrap_err().to_string();
    assert!(error.ends_with("redirects (HTTP 307), which is not followed"), "{error}");
    assert_eq!(server.asked(), 1);
}

/// What a challenge says of a service is one value of the question for a token, and a token one value of a header.
#[tokio::test]
async fn a_challenge_and_a_token_bring_nothing_into_a_request_but_themselves() {
    for service in [
        "here&scope=repository:other:push",
        "here%0d%0ax-evil: 1",
        "here#",
        "here HTTP/1.1",
        "here\t,scope=evil",
        "h\u{e4}re",
    ] {
        let behave = move |request: &Request, own: &str| match (request.uri().path(), brought(request)) {
            ("/token", None) => {
                let query = request.uri().query().unwrap();
                let pairs: Vec<(&str, &str)> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
                let [("service", said), ("scope", "repository%3Ateam%2Fapp%3Apull")] = pairs[..] else {
                    panic!("{query}")
                };
                assert!(said.starts_with('h') && !said.contains(['#', ' ']), "{query}");
                assert!(request.headers().keys().all(|name| name.as_str() != "x-evil"));
                "{\"token\": \"t0ken\"}".into_response()
            }
            (_, Some("Bearer t0ken")) => found(),
            (_, Some(other)) => panic!("{other}"),
            _ => {
                let value = format!("Bearer realm=\"https://{own}/token\",service=\"{service}\"");
                let value = axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (StatusCode::UNAUTHORIZED, [("www-authenticate", value)]).into_response()
            }
        };
        let server = Server::start(behave).await;
        let resolved = resolve(settings(&server)).await;
        assert!(resolved.is_ok() == service.is_ascii(), "{service:?}: {resolved:?}");
    }
    for token in ["a\\r\\nx-evil: 1", "a\\nb", "a\\u0000", "a\\u007f"] {
        let behave = move |request: &Request, own: &str| match request.uri().path() {
            "/token" => format!("{{\"token\": \"{token}\"}}").into_response(),
            _ => {
                assert_eq!(brought(request), None);
                challenge(format!("Bearer realm=\"https://{own}/token\""))
            }
        };
        let error = resolve(settings(&Server::start(behave).await)).await.unwrap_err().to_string();
        assert!(error.ends_with("gave no token"), "{token}: {error}");
    }
    // What it says of where tokens are comes into a message, and moves nothing there.
    let server = Server::start(|_, _| challenge("Bearer realm=\"https://evil.example/\t\"".to_owned())).await;
    assert!(matches!(resolve(settings(&server)).await, Err(RegistryFault::Tokens(_))));
}

/// Whoever names an image chooses a host, a path and a tag of the policy's grammar, and no line of a request.
#[test]
fn no_name_of_an_image_holds_what_ends_a_line_or_means_something_in_a_url() {
    let registry = "registry.example/team/app";
    for name in [
        "registry.example/team/app:1\r\nx-evil: 1".to_owned(),
        format!("{registry}\r\n:1"),
        format!("{registry}:1%0d%0a"),
        format!("{registry}:1\0"),
        format!("{registry}: 1"),
        format!("{registry}:1?x=1"),
        format!("{registry}:1#x"),
        "registry.example/team/../other:1".to_owned(),
        "registry.example/team/%2e%2e/other:1".to_owned(),
        "registry.example\r\n/team/app:1".to_owned(),
        "registry.example@evil.example/team/app:1".to_owned(),
        "r\u{e4}gistry.example/team/app:1".to_owned(),
        format!("{registry}:\u{202e}1"),
        format!("{registry}@sha256:{}", "g".repeat(64)),
    ] {
        assert!(crate::image::Reference::parse(&name).is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn a_token_comes_from_the_registry_itself_or_from_the_host_that_is_listed() {
    let behave = |request: &Request, realm: String| match (request.uri().path(), brought(request)) {
        ("/token", _) => {
            let query = request.uri().query().unwrap();
            assert_eq!(query, "service=here&scope=repository%3Ateam%2Fapp%3Apull");
            "{\"token\": \"t0ken\"}".into_response()
        }
        (_, Some("Bearer t0ken")) => found(),
        _ => challenge(format!("Bearer realm=\"{realm}\",service=\"here\",scope=\"repository:other:push\"")),
    };
    let own = Server::start(move |request, own| behave(request, format!("https://{own}/token"))).await;
    assert_eq!(resolve(settings(&own)).await.unwrap(), HEX);

    // It is good for the next question, too.
    let registry = Registry::new(settings(&own)).unwrap();
    let image = Repository::parse(&format!("{}/team/app", own.host)).unwrap();
    let before = own.asked();
    for _ in 0..2 {
        assert!(registry.ask(image.path(), &Tag::latest()).await.is_ok());
    }
    assert_eq!(own.asked() - before, 4, "refused, token, answer; answer");

    // Elsewhere: to where it may not, nothing is sent.
    let elsewhere = Server::start(|_, _| "{\"token\": \"t0ken\"}".into_response()).await;
    let there = elsewhere.host.clone();
    for realm in [
        format!("https://{there}/token"),
        format!("http://{there}/token"),
        "https://169.254.169.254/token".to_owned(),
        "nonsense".to_owned(),
    ] {
        let sent = realm.clone();
        let server = Server::start(move |request, _| behave(request, sent.clone())).await;
        assert_eq!(resolve(settings(&server)).await, Err(RegistryFault::Tokens(realm)));
    }
    let server = Server::start(|_, own| challenge(format!("Bearer realm=\"https://user:x@{own}/token\""))).await;
    assert!(matches!(resolve(settings(&server)).await, Err(RegistryFault::Tokens(_))));
    assert_eq!(elsewhere.asked(), 0);
    // Listed, it is asked; its certificate is of another authority here.
    let realm = format!("https://{there}/token");
    let server = Server::start(move |request, _| behave(request, realm.clone())).await;
    let listed = Settings { tokens: Some(elsewhere.host.clone()), ..settings(&server) };
    assert!(matches!(resolve(listed).await, Err(RegistryFault::Unreachable(why)) if why.starts_with(&there)));
}

#[tokio::test]
async fn credentials_go_to_the_host_that_they_are_for_and_nowhere_else() {
    let basic = Server::start(|request, _| match brought(request) {
        Some("Bearer s3cret") => found(),
        Some(other) => panic!("{other}"),
        None => challenge("Basic realm=\"x\"".into()),
    })
    .await;
    let known = |host: &str| Some(Credentials::new(Kept::with(&[("host", host), ("token", "s3cret")]), "tuf", host));
    let own = Settings { credentials: known(&basic.host), ..settings(&basic) };
    assert_eq!(resolve(own).await.unwrap(), HEX);
    for credentials in [None, known("auth.example")] {
        let error = resolve(Settings { credentials, ..settings(&basic) }).await.unwrap_err();
        assert_eq!(error, RegistryFault::Credentials(format!("{} wants credentials", basic.host)));
    }
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_reached_unless_the_policy_says_so() {
    let server = Server::start(|_, _| found()).await;
    let error = resolve(Settings { reach: Reach::Public, ..settings(&server) }).await.unwrap_err();
    assert!(error.to_string().contains("localhost has no public address"), "{error}");
    for (host, reach) in
        [("127.0.0.1:1", Reach::Public), ("169.254.169.254", Reach::Private), ("[fe80::1]:5000", Reach::Private)]
    {
        let settings = Settings { host: host.into(), reach, ..settings(&server) };
        assert!(matches!(Registry::new(settings), Err(transport::Error::BadUrl { .. })), "{host}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_registry_that_wants_an_upload_elsewhere_gets_nothing() {
    use crate::registry::push::{Destination, Error, Files, push};
    let elsewhere = Server::start(|_, _| StatusCode::CREATED.into_response()).await;
    let there = elsewhere.host.clone();
    let server = Server::start(move |request, _| match *request.method() {
        Method::POST => (StatusCode::ACCEPTED, [("location", format!("https://{there}/upload"))]).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    })
    .await;
    let destination = |targets: &str| Destination {
        metadata: format!("oci://{}/tuf/metadata", server.host),
        targets: format!("oci://{targets}/tuf/targets"),
        tokens: None,
        ca_bundle: Some(server.authority.clone().into_bytes()),
        credentials: None,
    };
    let files = Files { metadata: [("1.root.json".to_owned(), b"root".to_vec())].into(), ..Files::default() };
    let refused = Error::Refused(format!("{} wants an upload elsewhere", server.host));
    assert_eq!(push(&destination(&server.host), &files).await, Err(refused));
    assert_eq!(elsewhere.asked(), 0);
    assert_eq!(push(&destination("other.example"), &files).await, Err(Error::TwoRegistries));
}

#[tokio::test]
async fn what_a_registry_sends_does_not_become_a_header_of_ours() {
    for token in ["t\r\nX-Evil: 1", "t\nX-Evil: 1", "t\u{0}", "t\r"] {
        let body = serde_json::json!({ "token": token }).to_string();
        let server = Server::start(move |request, own| {
            assert!(request.headers().get("x-evil").is_none());
            match (request.uri().path(), brought(request)) {
                ("/token", _) => body.clone().into_response(),
                (_, None) => challenge(format!("Bearer realm=\"https://{own}/token\",service=\"a&b=c\"")),
                (_, Some(other)) => panic!("{other:?} was sent"),
            }
        })
        .await;
        let error = resolve(settings(&server)).await.unwrap_err();
        assert!(matches!(&error, RegistryFault::Unreachable(why) if why.ends_with("gave no token")), "{error}");
        assert_eq!(server.asked(), 2, "refused, and the token; nothing with that");
    }
}

#[tokio::test]
async fn a_token_that_leads_elsewhere_is_not_fetched_there() {
    let elsewhere = Server::start(|_, _| "{\"token\": \"t0ken\"}".into_response()).await;
    for to in [
        format!("https://{}/token", elsewhere.host),
        format!("http://{}/token", elsewhere.host),
        "https://169.254.169.254/token".to_owned(),
        "//169.254.169.254/token".to_owned(),
    ] {
        let server = Server::start(move |request, own| match request.uri().path() {
            "/token" => (StatusCode::TEMPORARY_REDIRECT, [("location", to.clone())]).into_response(),
            _ => challenge(format!("Bearer realm=\"https://{own}/token\"")),
        })
        .await;
        let error = resolve(settings(&server)).await.unwrap_err().to_string();
        assert!(error.ends_with("redirects (HTTP 307), which is not followed"), "{error}");
    }
    assert_eq!(elsewhere.asked(), 0);
}
