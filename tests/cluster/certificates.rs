//! The certificate that the webhook issues itself: kept in a Secret, believed through `caBundle`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{
    cluster::Cluster,
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook},
};

/// The webhook, when the API server believes it.
fn start(name: &str) -> (Webhook, &'static Images) {
    let (cluster, images) = (Cluster::shared(), Images::shared());
    let settings = Settings::config_maps(cluster, name, &images.chain, &images.chain.policy()).self_issued(cluster);
    // The configurations come with another authority, which it replaces.
    let webhook = Webhook::start(cluster, name, &settings, &[]);
    wait::until("the API server believes the webhook", || {
        let output = webhook.kubectl.dry_run(&objects::pod("probe", &images.good));
        if output.code == Some(0) { Ok(()) } else { Err(output.stderr) }
    });
    (webhook, images)
}

fn secret(webhook: &Webhook) -> Value {
    Cluster::shared().admin().namespace(&webhook.place.own).json("secret/pratique-tls")
}

fn authorities(bundle: &str) -> usize {
    let pem = String::from_utf8(BASE64_STANDARD.decode(bundle).unwrap()).unwrap();
    pem.matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_webhook_that_issues_its_certificate_itself_is_believed_at_every_entry() {
    let (webhook, images) = start("self-issued");
    let output = webhook.kubectl.apply(&objects::pod("good", &images.good));
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let text = webhook.kubectl.apply(&objects::pod("bad", &images.stolen)).refused();
    assert!(text.contains("[in-toto/threshold-not-met]"), "{text}");
    let secret = secret(&webhook);
    let bundles = webhook.configurations.ca_bundles();
    assert_eq!(bundles.iter().map(String::as_str).collect::<Vec<_>>(), [secret["data"]["ca.crt"].as_str().unwrap()]);
    assert_eq!(authorities(bundles.first().unwrap()), 1);
    for key in ["ca.key", "tls.crt", "tls.key"] {
        assert!(secret["data"][key].is_string(), "{key}");
    }
}

#[test]
fn a_secret_that_is_emptied_is_filled_again_and_no_call_fails_meanwhile() {
    let (webhook, images) = start("emptied-secret");
    let own = Cluster::shared().admin().namespace(&webhook.place.own);
    let before = secret(&webhook)["data"]["ca.crt"].clone();
    own.patch("secret/pratique-tls", &json!({"data": null})).succeeded();
    wait::until("the new authority is believed beside the old one", || {
        // Each is answered, whichever authority the API server believes at the moment.
        let output = webhook.kubectl.dry_run(&objects::pod("good", &images.good));
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
        let text = webhook.kubectl.dry_run(&objects::pod("bad", &images.stolen)).refused();
        assert!(text.contains("[in-toto/threshold-not-met]"), "{text}");
        let bundles = webhook.configurations.ca_bundles();
        if bundles.len() == 1 && bundles.iter().all(|bundle| authorities(bundle) == 2) {
            return Ok(());
        }
        Err(format!("{bundles:?}"))
    });
    assert_ne!(secret(&webhook)["data"]["ca.crt"], before);
    assert!(webhook.log().contains("the certificate's Secret was written"), "{}", webhook.log());
}
