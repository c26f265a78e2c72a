//! The arguments of what lists something.

use std::path::PathBuf;

use clap::Args;

use super::{Common, Export};

/// `repo add-layout`.
#[derive(Debug, Args)]
pub struct AddLayout {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The signed layout
    pub(in crate::cli::repo) layout: PathBuf,
    /// A public key that verifies the layout (PEM or securesystemslib JSON); repeatable
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub(in crate::cli::repo) public_keys: Vec<PathBuf>,
    /// Its target path, such as layouts/registry.example/team/app/root.layout
    #[arg(long)]
    pub(in crate::cli::repo) path: String,
    /// A pattern of repository names for which it may be used; repeatable
    #[arg(long = "image", value_name = "PATTERN")]
    pub(in crate::cli::repo) images: Vec<String>,
    /// The offline role that signs it
    #[arg(long, default_value = "targets")]
    pub(in crate::cli::repo) role: String,
}

/// `repo add-image`.
#[derive(Debug, Args)]
pub struct AddImage {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The image, such as registry.example/team/app:1.4
    pub(in crate::cli::repo) reference: String,
    /// The bytes of its manifest or index, as `crane manifest` prints them
    pub(in crate::cli::repo) manifest: PathBuf,
    /// The target path of its layout
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli::repo) layout: String,
    /// A link file, or a folder of links whose sub-folders belong to sublayouts; repeatable
    #[arg(long = "link", value_name = "FILE", required_unless_present = "attestations")]
    pub(in crate::cli::repo) links: Vec<PathBuf>,
    /// A file of attestations: DSSE envelopes with in-toto Statements or Sigstore bundles, one or one a line; repeatable
    #[arg(long = "attestation", value_name = "FILE")]
    pub(in crate::cli::repo) attestations: Vec<PathBuf>,
    /// Where the manifests of an index are, by digest: a folder, such as blobs/sha256 of an OCI layout [default: the
    /// manifest's own]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli::repo) children: Option<PathBuf>,
    /// Do not list the manifests of an index by their own digests
    #[arg(long, conflicts_with = "children")]
    pub(in crate::cli::repo) no_children: bool,
    /// A further tag, beside the one in the reference
    #[arg(long)]
    pub(in crate::cli::repo) tag: Option<String>,
    /// The role that signs image and links [default: the first below targets that may, as clients find it]
    #[arg(long)]
    pub(in crate::cli::repo) role: Option<String>,
}

/// `repo add`.
#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The file
    pub(in crate::cli::repo) file: PathBuf,
    /// Its target path, such as simple/package/package-1.0-py3-none-any.whl
    #[arg(long)]
    pub(in crate::cli::repo) path: String,
    /// The target path of its layout, if it comes with evidence
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli::repo) layout: Option<String>,
    /// A link file, or a folder of links whose sub-folders belong to sublayouts; repeatable
    #[arg(long = "link", value_name = "FILE", requires = "layout")]
    pub(in crate::cli::repo) links: Vec<PathBuf>,
    /// A file of attestations: DSSE envelopes with in-toto Statements or Sigstore bundles, one or one a line; repeatable
    #[arg(long = "attestation", value_name = "FILE", requires = "layout")]
    pub(in crate::cli::repo) attestations: Vec<PathBuf>,
    /// A JSON object of further members of its `custom`
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli::repo) custom: Option<PathBuf>,
    /// The role that signs it [default: the first below targets that may, as clients find it]
    #[arg(long)]
    pub(in crate::cli::repo) role: Option<String>,
}

/// `repo revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The image digest, `sha256:` and 64 hex digits
    pub(in crate::cli::repo) digest: String,
    /// Why; shown to whoever tries to run it
    #[arg(long)]
    pub(in crate::cli::repo) reason: String,
    /// The offline role that signs it
    #[arg(long, default_value = "targets")]
    pub(in crate::cli::repo) role: String,
}

/// `repo retire-layout`.
#[derive(Debug, Args)]
pub struct RetireLayout {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The target path of the layout
    pub(in crate::cli::repo) layout: String,
    /// A digest that may still use it; repeatable [default: all that are listed with it now]
    #[arg(long = "digest", value_name = "DIGEST")]
    pub(in crate::cli::repo) digests: Vec<String>,
    /// The offline role that signs it
    #[arg(long, default_value = "targets")]
    pub(in crate::cli::repo) role: String,
}
