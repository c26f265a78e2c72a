//! Layers from a registry on the loopback interface, over TLS.

use std::collections::BTreeMap;

use axum::response::IntoResponse;

use super::*;
use crate::{
    image::{
        RegistryFault,
        layer::tests::{GZIP, archive, descriptor, file, gzip},
    },
    registry::{Settings, tests::settings},
    repository::transport::{Redirects, testing::Server},
};

/// A registry that has these blobs by their digests.
async fn serve(blobs: &[(Descriptor, Vec<u8>)]) -> Server {
    let named =
        blobs.iter().map(|(wanted, blob)| (format!("/v2/team/app/blobs/sha256:{}", wanted.digest), blob.clone()));
    let blobs: Arc<BTreeMap<String, Vec<u8>>> = Arc::new(named.collect());
    Server::start(move |request, _| match blobs.get(request.uri().path()) {
        Some(blob) if blob == b"slow" => {
            axum::body::Body::from_stream(futures::stream::pending::<Result<Vec<u8>, io::Error>>()).into_response()
        }
        Some(blob) if blob == b"elsewhere" => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", "https://127.0.0.1/blob")]).into_response()
        }
        Some(blob) => blob.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
    .await
}

fn source(server: &Server, redirects: &[&str], limits: Limits) -> Source {
    let redirects = Redirects::to(redirects.iter().map(|&host| host.to_owned()));
    let registry = Registry::new(Settings { redirects, ..settings(server) });
    let (registry, host) = (Arc::new(registry.unwrap()), server.host.clone());
    Source { registry, host, path: "team/app".to_owned(), known: Known::default(), limits, patience: PATIENCE }
}

#[tokio::test]
async fn a_layer_is_pulled_once_and_known_to_all_images_that_have_it() {
    // More than is in flight at a time.
    let content: String = (0..200_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_string()).collect();
    let blob = gzip(&archive(&[file("usr/app", &content), file("b", "1")]));
    let wanted = descriptor(GZIP, &blob);
    let server = serve(&[(wanted.clone(), blob.clone())]).await;
    let source = source(&server, &[], Limits::default());
    let read = source.layer(&wanted).await.unwrap().unwrap();
    assert_eq!(Ok(&*read), layer::read(&wanted, &blob[..], &Limits::default()).as_ref());
    let another = Source { path: "team/other".to_owned(), ..source };
    let both = tokio::join!(another.layer(&wanted), another.layer(&wanted));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(server.asked(), 1);
    // The same bytes under another media type are another layer.
    let plain = Descriptor { media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(), ..wanted };
    assert!(matches!(another.layer(&plain).await, Err(NoLayer { fault: RegistryFault::Unreachable(_), .. })));
}

#[tokio::test]
async fn other_bytes_are_refused_and_asked_for_again() {
    let blob = gzip(&archive(&[file("app", "good")]));
    let wanted = descriptor(GZIP, &blob);
    let evil = gzip(&archive(&[file("app", "evil")]));
    let server = serve(&[(wanted.clone(), evil)]).await;
    let source = source(&server, &[], Limits::default());
    for asked in [1, 2] {
        let read = source.layer(&wanted).await.unwrap();
        assert!(matches!(read, Err(LayerFault::Mismatch { .. })), "{read:?}");
        assert_eq!(server.asked(), asked);
    }
}

#[tokio::test]
async fn a_bomb_is_refused_once_and_for_all() {
    let bomb = gzip(&archive(&[file("zeros", &"0".repeat(4 << 20))]));
    let wanted = descriptor(GZIP, &bomb);
    let server = serve(&[(wanted.clone(), bomb)]).await;
    let source = source(&server, &[], Limits { bytes: 1 << 20, ..Limits::default() });
    for _ in 0..2 {
        assert!(matches!(source.layer(&wanted).await.unwrap(), Err(LayerFault::Limit { .. })));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_a_registry_does_not_give_is_an_outage_and_no_verdict() {
    let missing = descriptor(GZIP, b"missing");
    let moved = descriptor(GZIP, b"moved");
    let server = serve(&[(moved.clone(), b"elsewhere".to_vec())]).await;
    for (wanted, redirects, why) in [
        (&missing, &[][..], "does not have the layer"),
        (&moved, &[], "redirects (HTTP 307), which is not followed"),
        (&moved, &["blobs.example"], "which is not one of redirects"),
        // A host on the list, at an address that only this machine can reach.
        (&moved, &["127.0.0.1"], "which is not a public address"),
    ] {
        let no_layer = source(&server, redirects, Limits::default()).layer(wanted).await.unwrap_err();
        assert!(no_layer.fault.to_string().contains(why), "{no_layer}");
        assert_eq!(no_layer.fault.code(), "image/registry-unreachable");
    }
}

#[tokio::test]
async fn a_registry_that_never_ends_is_given_up_and_so_is_the_next_attempt() {
    let wanted = descriptor(GZIP, b"slow");
    let server = serve(&[(wanted.clone(), b"slow".to_vec())]).await;
    let source = Source { patience: Duration::from_millis(50), ..source(&server, &[], Limits::default()) };
    for _ in 0..2 {
        let no_layer = source.layer(&wanted).await.unwrap_err();
        assert!(no_layer.fault.to_string().contains("gave no layer in time"), "{no_layer}");
    }
    // Who was given up holds nothing.
    assert_eq!(source.registry.pulling.available_permits(), 2);
}
