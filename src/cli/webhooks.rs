//! `pratique webhooks`: brings the webhook configurations into being when somebody answers, and removes them first.

#![expect(clippy::disallowed_methods, reason = "the manifest and the CA are files")]

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;

use super::wiring::namespaced;
use crate::cluster::{
    configurations::{Configurations, available, remove},
    connect,
};

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Apply them once the webhook's pods are ready; entries that are there keep their caBundle
    Apply(Apply),
    /// Delete them: from then on nothing is verified
    Remove {
        /// The name of both
        #[arg(long)]
        name: String,
    },
}

/// Options of `webhooks apply`.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// The name of both
    #[arg(long)]
    name: String,
    /// The manifest: a ValidatingWebhookConfiguration, and a MutatingWebhookConfiguration where tags are pinned
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The Deployment whose pods answer
    #[arg(long, value_name = "NAMESPACE/NAME")]
    deployment: String,
    /// Seconds to wait for it
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    /// The authority, in PEM, that new entries believe
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Does it, with the account of the kubeconfig or of the pod.
pub fn run(command: &Command) -> anyhow::Result<u8> {
    super::runtime()?.block_on(async {
        match command {
            Command::Apply(args) => apply(args).await,
            Command::Remove { name } => Ok(remove(&client().await?, name).await?),
        }
    })?;
    Ok(0)
}

async fn apply(args: &Apply) -> anyhow::Result<()> {
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| path.display().to_string());
    let manifest = read(&args.file)?;
    let objects = serde_saphyr::from_multiple(&manifest).with_context(|| args.file.display().to_string())?;
    let configurations = Configurations::new(&args.name, objects)?;
    let (namespace, name) = namespaced(&args.deployment)?;
    let client = client().await?;
    available(&client, &namespace, &name, Duration::from_secs(args.timeout)).await?;
    // Read when the pods are ready: before, they may not have issued it.
    let ca = args.ca_file.as_ref().map(read).transpose()?;
    Ok(configurations.apply(&client, ca.as_deref()).await?)
}

async fn client() -> anyhow::Result<kube::Client> {
    connect::client().await.context("the API server")
}
