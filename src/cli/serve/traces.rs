//! Where the spans of reviews go.

#![expect(clippy::disallowed_methods, reason = "the collector's authority is a file")]

use std::{fs, path::PathBuf};

use anyhow::{Context as _, ensure};

use crate::{
    certs::{client_config, plain_client_config},
    telemetry::traces::{Collector, Traces},
};

/// Options about traces.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The OpenTelemetry collector that reviews are traced to, by OTLP over HTTP: <http://otel.example:4318>
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The authority, in PEM, that an https collector's certificate is of
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CERTIFICATE", value_name = "FILE", requires = "otlp_endpoint")]
    otlp_ca_file: Option<PathBuf>,
    /// The share of reviews that are traced where the API server traces none of its own: 0.0 to 1.0
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 0.01, value_name = "SHARE")]
    otlp_ratio: f64,
}

impl Args {
    /// What sends them, where a collector is given. Within the runtime that is to do it.
    pub(super) fn start(&self, instance: &str) -> anyhow::Result<Option<Traces>> {
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(None) };
        let tls = match &self.otlp_ca_file {
            Some(file) => {
                let pem = fs::read(file).with_context(|| file.display().to_string())?;
                client_config(&pem).with_context(|| file.display().to_string())?
            }
            None => {
                ensure!(
                    !endpoint.starts_with("https:"),
                    "--otlp-ca-file: an https collector is believed by its authority"
                );
                plain_client_config()?
            }
        };
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?;
        let collector = Collector { endpoint: endpoint.clone(), ratio: self.otlp_ratio };
        Ok(Some(Traces::new(&collector, instance, client)?))
    }
}
