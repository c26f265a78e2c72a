//! `pratique doctor`: is this installation one that the cluster can live with?

use std::{io::Write, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::{
    certs::client_config,
    cluster::{
        connect,
        doctor::{Facts, Finding, Installation, Level, examine, gather},
    },
    verdict::sanitise_lines,
};

/// How long the webhook has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which installation.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Place {
    /// The namespace of the webhook
    #[arg(long, short, default_value = "pratique-system")]
    pub(super) namespace: String,
    /// The name of its Deployment and of its webhook configurations
    #[arg(long, default_value = "pratique")]
    pub(super) name: String,
}

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// How findings are written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Looks, with the account of the kubeconfig or of the pod. Exit code 0: nothing is wrong; 1: something is.
pub fn run(args: &Args, now: Timestamp, out: &mut impl Write) -> anyhow::Result<u8> {
    let installation = Installation { namespace: args.place.namespace.clone(), name: args.place.name.clone() };
    let findings = super::runtime()?.block_on(async {
        let client = connect::client().await.context("the API server")?;
        let facts = gather(&client, &installation, now).await?;
        let mut findings = examine(&facts, &installation);
        findings.push(answers(&facts, &installation).await);
        anyhow::Ok(findings)
    })?;
    match args.format {
        Format::Text => write_text(&findings, out)?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?,
    }
    let bad = if args.strict { Level::Warning } else { Level::Error };
    Ok(u8::from(findings.iter().any(|finding| finding.level >= bad)))
}

fn write_text(findings: &[Finding], out: &mut impl Write) -> std::io::Result<()> {
    for Finding { check, level, text, fix } in findings {
        let level = match level {
            Level::Good => "ok",
            Level::Warning => "warning",
            Level::Error => "ERROR",
        };
        writeln!(out, "{level:<8} {check:<13} {}", sanitise_lines(text))?;
        if !fix.is_empty() {
            writeln!(out, "{:<22} fix: {}", "", sanitise_lines(fix))?;
        }
    }
    Ok(())
}

/// Whether the webhook answers where the API server calls it, with a certificate that `caBundle` believes.
async fn answers(facts: &Facts, installation: &Installation) -> Finding {
    let say = |level, text: String, fix| Finding { check: "answers", level, text, fix };
    let Installation { namespace, name } = installation;
    let host = format!("{name}.{namespace}.svc");
    let entries = facts.validating.iter().flat_map(|found| found.webhooks.iter().flatten());
    let bundle = entries.filter_map(|entry| entry.client_config.ca_bundle.clone()).find(|bundle| !bundle.0.is_empty());
    let Some(bundle) = bundle else {
        return say(Level::Warning, "not tried: no webhook entry has a caBundle".to_owned(), "");
    };
    if tokio::net::lookup_host((host.as_str(), 443)).await.is_err() {
        return say(Level::Good, format!("not tried: {host} is not known here, outside the cluster"), "");
    }
    let called = async {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        let client = client.tls_backend_preconfigured(client_config(&bundle.0)?).build()?;
        anyhow::Ok(client.post(format!("https://{host}/verify")).send().await?.status())
    };
    match called.await {
        // Nothing was asked, and it says so.
        Ok(status) => say(Level::Good, format!("{host} is believed, and answers ({})", status.as_u16()), ""),
        Err(error) => say(Level::Error, format!("{host}: {error:#}"), "the webhook's log says what it serves"),
    }
}
