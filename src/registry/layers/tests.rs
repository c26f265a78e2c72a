//! Layers from a registry on the loopback interface, over TLS.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract::Request, response::IntoResponse};

use super::*;
use crate::{
    image::layer::tests::{GZIP, archive, descriptor, file, gzip},
    registry::Settings,
    repository::transport::{Reach, Redirects, testing},
};

/// A registry that has these blobs by their digests, and counts how often it is asked.
struct Server {
    host: String,
    authority: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn start(blobs: &[(Descriptor, Vec<u8>)]) -> Self {
        let named =
            blobs.iter().map(|(wanted, blob)| (format!("/v2/team/app/blobs/sha256:{}", wanted.digest), blob.clone()));
        let blobs: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(named.collect());
        let (config, authority) = testing::localhost();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let app = Router::new().fallback(move |request: Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            let path = request.uri().path();
            std::future::ready(match blobs.get(path) {
                Some(blob) if blob == b"slow" => {
                    axum::body::Body::from_stream(futures::stream::pending::<Result<Vec<u8>, io::Error>>())
                        .into_response()
                }
                Some(blob) if blob == b"elsewhere" => {
                    (StatusCode::TEMPORARY_REDIRECT, [("location", "https://127.0.0.1/blob")]).into_response()
                }
                Some(blob) => blob.clone().into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            })
        });
        tokio::spawn(axum_server::from_tcp_rustls(listener, config).unwrap().serve(app.into_make_service()));
        Self { host, authority, asked }
    }

    fn source(&self, redirects: &[&str], limits: Limits) -> Source {
        let registry = Registry::new(Settings {
            host: self.host.clone(),
            tokens: None,
            ca_bundle: Some(self.authority.clone().into_bytes()),
            reach: Reach::Private,
            credentials: None,
            redirects: Redirects::to(redirects.iter().map(|&host| host.to_owned())),
        });
        let (registry, host) = (Arc::new(registry.unwrap()), self.host.clone());
        Source { registry, host, path: "team/app".to_owned(), known: Known::default(), limits, patience: PATIENCE }
    }
}

#[tokio::test]
async fn a_layer_is_pulled_once_and_known_to_all_images_that_have_it() {
    // More than is in flight at a time.
    let content: String = (0..200_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_string()).collect();
    let blob = gzip(&archive(&[file("usr/app", &content), file("b", "1")]));
    let wanted = descriptor(GZIP, &blob);
    let server = Server::start(&[(wanted.clone(), blob.clone())]).await;
    let source = server.source(&[], Limits::default());
    let read = source.layer(&wanted).await.unwrap().unwrap();
    assert_eq!(Ok(&*read), layer::read(&wanted, &blob[..], &Limits::default()).as_ref());
    let another = Source { path: "team/other".to_owned(), ..source };
    let both = tokio::join!(another.layer(&wanted), another.layer(&wanted));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    // The same bytes under another media type are another layer.
    let plain = Descriptor { media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(), ..wanted };
    assert!(matches!(another.layer(&plain).await, Err(NoLayer { fault: NoBlob::Unreachable(_), .. })));
}

#[tokio::test]
async fn other_bytes_are_refused_and_asked_for_again() {
    let blob = gzip(&archive(&[file("app", "good")]));
    let wanted = descriptor(GZIP, &blob);
    let evil = gzip(&archive(&[file("app", "evil")]));
    let server = Server::start(&[(wanted.clone(), evil)]).await;
    let source = server.source(&[], Limits::default());
    for asked in [1, 2] {
        let read = source.layer(&wanted).await.unwrap();
        assert!(matches!(read, Err(LayerFault::Mismatch { .. })), "{read:?}");
        assert_eq!(server.asked.load(Ordering::SeqCst), asked);
    }
}

#[tokio::test]
async fn a_bomb_is_refused_once_and_for_all() {
    let bomb = gzip(&archive(&[file("zeros", &"0".repeat(4 << 20))]));
    let wanted = descriptor(GZIP, &bomb);
    let server = Server::start(&[(wanted.clone(), bomb)]).await;
    let source = server.source(&[], Limits { bytes: 1 << 20, ..Limits::default() });
    for _ in 0..2 {
        assert!(matches!(source.layer(&wanted).await.unwrap(), Err(LayerFault::Limit { .. })));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_a_registry_does_not_give_is_an_outage_and_no_verdict() {
    let missing = descriptor(GZIP, b"missing");
    let moved = descriptor(GZIP, b"moved");
    let server = Server::start(&[(moved.clone(), b"elsewhere".to_vec())]).await;
    for (wanted, redirects, why) in [
        (&missing, &[][..], "does not have the layer"),
        (&moved, &[], "redirects (HTTP 307), which is not followed"),
        (&moved, &["blobs.example"], "which is not one of redirects"),
        // A host on the list, at an address that only this machine can reach.
        (&moved, &["127.0.0.1"], "which is not a public address"),
    ] {
        let no_layer = server.source(redirects, Limits::default()).layer(wanted).await.unwrap_err();
        assert!(no_layer.fault.to_string().contains(why), "{no_layer}");
        assert_eq!(no_layer.fault.code(), "image/registry-unreachable");
    }
}

#[tokio::test]
async fn a_registry_that_never_ends_is_given_up_and_so_is_the_next_attempt() {
    let wanted = descriptor(GZIP, b"slow");
    let server = Server::start(&[(wanted.clone(), b"slow".to_vec())]).await;
    let source = Source { patience: Duration::from_millis(50), ..server.source(&[], Limits::default()) };
    for _ in 0..2 {
        let no_layer = source.layer(&wanted).await.unwrap_err();
        assert!(no_layer.fault.to_string().contains("gave no layer in time"), "{no_layer}");
    }
    // Who was given up holds nothing.
    assert_eq!(source.registry.pulling.available_permits(), 2);
}
