//! Which certificate `pratique serve` shows: files that somebody else renews, or one that it issues itself.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use tokio::task::JoinHandle;

use crate::{
    certs::{Resolver, files::Files, managed::Managed},
    cli::{now, wiring::namespaced},
    cluster::{connect, serving::Serving},
    server::{Health, Part},
    telemetry::Metrics,
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often the Secret and the webhook configurations are: what was made a moment ago is to be believed soon.
const ASK: Duration = Duration::from_secs(5);

/// Where the certificate comes from.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The folder with tls.crt and tls.key; replaced files are served without a restart
    #[arg(long, env = "PRATIQUE_TLS_DIR", value_name = "DIR", required_unless_present = "tls_secret")]
    tls_dir: Option<PathBuf>,
    /// The Secret in which the webhook keeps an authority and a certificate that it issues to itself
    #[arg(
        long,
        env = "PRATIQUE_TLS_SECRET",
        value_name = "NAMESPACE/NAME",
        conflicts_with = "tls_dir",
        requires = "tls_dns_name"
    )]
    tls_secret: Option<String>,
    /// A name by which the API server calls the webhook: SERVICE.NAMESPACE.svc; the certificate is for all given
    #[arg(long, env = "PRATIQUE_TLS_DNS_NAME", value_name = "NAME", value_delimiter = ',', conflicts_with = "tls_dir", value_parser = dns_name)]
    tls_dns_name: Vec<String>,
    /// The name of the validating and mutating webhook configurations whose caBundle has the authority
    #[arg(
        long,
        env = "PRATIQUE_WEBHOOK_CONFIGURATIONS",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "tls_dir"
    )]
    webhook_configurations: Vec<String>,
}

fn dns_name(text: &str) -> Result<String, String> {
    ServerName::try_from(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Looks after the certificate that `resolver` serves. Files have to be good from the beginning; for a Secret the
/// webhook waits, unready.
pub(super) async fn look_after(
    args: &Args,
    resolver: &Arc<Resolver>,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<JoinHandle<()>> {
    let Some(secret) = &args.tls_secret else {
        let dir = args.tls_dir.as_deref().context("--tls-dir is not given")?;
        let mut files = Files::new(dir, resolver.clone(), metrics.clone());
        files.look(now()).await.context("the certificate")?;
        health.ready(Part::Certificate);
        return Ok(tokio::spawn(files.follow(LOOK, now)));
    };
    let (namespace, secret) = namespaced(secret)?;
    let client = connect::client().await.context("the API server")?;
    let place = Serving { client, namespace, secret, configurations: args.webhook_configurations.clone() };
    let managed = Managed::new(place, args.tls_dns_name.clone(), resolver.clone(), metrics.clone());
    let (health, resolver) = (health.clone(), resolver.clone());
    Ok(tokio::spawn(managed.follow(ASK, now, move |result| match result {
        // Once there is one, readiness is not withdrawn for trouble with the next (A5).
        _ if resolver.current().is_some() => health.ready(Part::Certificate),
        Ok(()) => {}
        Err(error) => health.waiting(Part::Certificate, error.to_string()),
    })))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn options_that_would_have_no_effect_or_could_not_be_met_are_refused() {
        let parse = |options: &[&str]| Only::try_parse_from([&["serve"], options].concat());
        let own = ["--tls-secret=ns/tls", "--tls-dns-name=pratique.ns.svc,127.0.0.1"];
        assert_eq!(parse(&own).unwrap().args.tls_dns_name, ["pratique.ns.svc", "127.0.0.1"]);
        assert!(parse(&["--tls-dir=tls"]).is_ok());
        for options in [
            &[] as &[&str],
            &["--tls-secret=ns/tls"],
            &["--tls-secret=ns/tls", "--tls-dns-name=two words"],
            &["--tls-dir=tls", own[0], own[1]],
            &["--tls-dir=tls", "--tls-dns-name=pratique.ns.svc"],
            &["--tls-dir=tls", "--webhook-configurations=pratique"],
        ] {
            assert!(parse(options).is_err(), "{options:?}");
        }
    }
}
