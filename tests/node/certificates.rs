//! The certificate is renewed, with a new authority, and no review notices.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    story::Story,
    support::{stream::Stream, wait},
};

/// A new authority is believed for two minutes before a certificate of it is served.
const SETTLED: Duration = Duration::from_secs(180);

/// What goes on until the new certificate is served.
pub(crate) struct Rotation {
    stream: Stream,
    before: Value,
    served: Vec<String>,
}

/// Until when the certificate lasts that each replica serves. Its log may say so too, and is cut when it has ten megabytes.
fn served(story: &Story) -> Result<Vec<String>, String> {
    let of = |pod: &String| {
        let metrics = story.page(pod, "metrics")?;
        let line = metrics.lines().find(|line| line.starts_with("pratique_certificate_expiry_timestamp_seconds "));
        line.map(str::to_owned).ok_or(metrics.clone())
    };
    story.pods().iter().map(of).collect()
}

fn secret(story: &Story) -> Value {
    story.own.json("secret/pratique-tls")["data"].clone()
}

/// Empties the Secret, the worst that can be done to it; reviews are asked for from now on.
pub(crate) fn renewed_while_reviews_go_on(story: &Story) -> Rotation {
    let before = secret(story);
    assert!(before["tls.crt"].is_string(), "{}", story.state());
    let served = served(story).unwrap();
    let stream = story.stream();
    story.own.patch("secret/pratique-tls", &json!({"data": null})).succeeded();
    wait::until("the Secret is filled again", || {
        let now = secret(story);
        let new = now["ca.crt"].is_string() && now["ca.crt"] != before["ca.crt"];
        if new { Ok(()) } else { Err(format!("{:?}", now.as_object().map(|data| data.keys().collect::<Vec<_>>()))) }
    });
    Rotation { stream, before, served }
}

/// Every replica serves the new certificate, and every review until then had its verdict.
pub(crate) fn the_new_one_is_served(story: &Story, rotation: Rotation) {
    wait::within(SETTLED, "every replica serves the new certificate", || {
        let now = served(story)?;
        let new = now.iter().all(|expiry| !rotation.served.contains(expiry));
        if now.len() == 3 && new { Ok(()) } else { Err(format!("{:?}, then {now:?}", rotation.served)) }
    });
    let after = secret(story);
    assert_ne!(after["tls.crt"], rotation.before["tls.crt"]);
    let seen = rotation.stream.answered();
    wait::until("reviews are answered under the new certificate", || {
        let since = rotation.stream.answered() - seen;
        if since > 50 { Ok(()) } else { Err(format!("{since} reviews")) }
    });
    story.said(&format!("renewing the certificate: {} reviews, none lost", rotation.stream.end()));
}
