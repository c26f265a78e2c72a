//! The arguments of `pratique repo`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;

use crate::{crypto::Scheme, publish::parse_validity};

/// What to do with a repository.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository and its keys
    Init(Init),
    /// Publish a layout and the keys that verify it (offline keys)
    AddLayout(AddLayout),
    /// Publish an image with its layout and links (online keys)
    AddImage(AddImage),
    /// Sign roles again with a later expiry, timestamp and snapshot always; or sign a request that was exported
    Sign(Sign),
    /// Take a request back that was signed elsewhere, and publish it
    ImportSignatures(ImportSignatures),
    /// Refuse an image digest from now on, under every name (offline keys)
    Revoke(Revoke),
    /// Close a layout for new images (offline keys)
    RetireLayout(RetireLayout),
    /// Give a role new keys (root keys, or those of the role that delegates to it)
    Rotate(Rotate),
    /// Delegate target paths to a new role (keys of the role that delegates)
    Delegate(Delegate),
    /// Show roles, versions, expiries and which of their keys are at hand
    Status(Common),
}

/// Where the repository and its keys are.
#[derive(Debug, Args)]
pub struct Common {
    /// The repository's folder: metadata/ and targets/ in it are what is served
    pub(super) dir: PathBuf,
    /// The folder of private keys, offline/ and online/ in it [default: DIR.keys, beside the repository]
    #[arg(long, value_name = "DIR")]
    pub(super) keys: Option<PathBuf>,
    /// A key that is elsewhere, by its id or the first eight characters of it, and the command that signs with it:
    /// started without a shell, it is given the bytes and prints the signature; repeatable
    #[arg(long = "signer", value_name = "KEYID=COMMAND", value_parser = Signer::parse)]
    pub(super) signers: Vec<Signer>,
    /// How long such a command may take
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = parse_validity)]
    pub(super) signer_timeout: SignedDuration,
}

/// A key that is elsewhere.
#[derive(Debug, Clone)]
pub struct Signer {
    pub(super) keyid: String,
    pub(super) command: String,
}

impl Signer {
    fn parse(text: &str) -> Result<Self, String> {
        let (keyid, command) = text.split_once('=').ok_or("not KEYID=COMMAND")?;
        Ok(Self { keyid: keyid.to_owned(), command: command.to_owned() })
    }
}

/// Where a change goes.
#[derive(Debug, Args)]
pub struct Export {
    /// Publish nothing: write what is to be signed to a new folder, to be signed where the keys are
    #[arg(long, value_name = "REQUEST")]
    pub(super) export: Option<PathBuf>,
}

/// `repo init`.
#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    pub(super) common: Common,
    /// How new keys sign
    #[arg(long, value_enum, default_value_t = KeyScheme::Ed25519)]
    pub(super) scheme: KeyScheme,
    /// Keys of the root role
    #[arg(long, default_value_t = 1)]
    pub(super) root_keys: u32,
    /// How many of them must sign
    #[arg(long, default_value_t = 1)]
    pub(super) root_threshold: u32,
    /// Keys of the top-level targets role, which signs layouts and revocations
    #[arg(long, default_value_t = 1)]
    pub(super) targets_keys: u32,
    /// How many of them must sign
    #[arg(long, default_value_t = 1)]
    pub(super) targets_threshold: u32,
    /// The name of the online role that signs images and links
    #[arg(long, default_value = "images")]
    pub(super) online_role: String,
    /// A pattern of paths that the online role may sign, `*` stopping at `/`; repeatable [default: every path]
    #[arg(long = "path", value_name = "PATTERN")]
    pub(super) paths: Vec<String>,
    /// How long root and targets hold
    #[arg(long, default_value = "1y", value_name = "TIME", value_parser = parse_validity)]
    pub(super) offline_validity: SignedDuration,
    /// How long the online role holds
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse_validity)]
    pub(super) online_validity: SignedDuration,
    /// How long a snapshot holds
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = parse_validity)]
    pub(super) snapshot_validity: SignedDuration,
    /// How long a timestamp holds
    #[arg(long, default_value = "1d", value_name = "TIME", value_parser = parse_validity)]
    pub(super) timestamp_validity: SignedDuration,
}

/// How a new key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are the schemes' own")]
pub enum KeyScheme {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    Rsa,
}

impl From<KeyScheme> for Scheme {
    fn from(scheme: KeyScheme) -> Self {
        match scheme {
            KeyScheme::Ed25519 => Self::Ed25519,
            KeyScheme::EcdsaP256 => Self::EcdsaP256Sha256,
            KeyScheme::EcdsaP384 => Self::EcdsaP384Sha384,
            KeyScheme::Rsa => Self::RsaPssSha256,
        }
    }
}

/// `repo add-layout`.
#[derive(Debug, Args)]
pub struct AddLayout {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) export: Export,
    /// The signed layout
    pub(super) layout: PathBuf,
    /// A public key that verifies the layout (PEM or securesystemslib JSON); repeatable
    #[arg(long = "key", value_name = "FILE", required = true)]
    pub(super) public_keys: Vec<PathBuf>,
    /// Its target path, such as layouts/registry.example/team/app/root.layout
    #[arg(long)]
    pub(super) path: String,
    /// A pattern of repository names for which it may be used; repeatable
    #[arg(long = "image", value_name = "PATTERN")]
    pub(super) images: Vec<String>,
    /// The offline role that signs it
    #[arg(long, default_value = "targets")]
    pub(super) role: String,
}

/// `repo add-image`.
#[derive(Debug, Args)]
pub struct AddImage {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) export: Export,
    /// The image, such as registry.example/team/app:1.4
    pub(super) reference: String,
    /// The bytes of its manifest or index, as `crane manifest` prints them
    pub(super) manifest: PathBuf,
    /// The target path of its layout
    #[arg(long, value_name = "PATH")]
    pub(super) layout: String,
    /// A link file, or a folder of links whose sub-folders belong to sublayouts; repeatable
    #[arg(long = "link", value_name = "FILE", required = true)]
    pub(super) links: Vec<PathBuf>,
    /// A further tag, beside the one in the reference
    #[arg(long)]
    pub(super) tag: Option<String>,
    /// The role that signs image and links [default: the first below targets that may, as clients find it]
    #[arg(long)]
    pub(super) role: Option<String>,
}

/// `repo sign`.
#[derive(Debug, Args)]
pub struct Sign {
    #[command(flatten)]
    pub(super) common: Common,
    /// The roles to sign again, beside timestamp and snapshot
    pub(super) roles: Vec<String>,
    #[command(flatten)]
    pub(super) export: Export,
    /// Where DIR is a request: say what it changes, and sign nothing
    #[arg(long)]
    pub(super) show: bool,
    /// Where DIR is a request: sign it although these keys signed another text under the same version, which was never
    /// published
    #[arg(long)]
    pub(super) replace: bool,
}

/// `repo import-signatures`.
#[derive(Debug, Args)]
pub struct ImportSignatures {
    #[command(flatten)]
    pub(super) common: Common,
    /// The folder of the request
    pub(super) request: PathBuf,
    /// A file of signatures that came back without the folder; repeatable
    #[arg(long = "signatures", value_name = "FILE")]
    pub(super) signatures: Vec<PathBuf>,
}

/// New keys of a role.
#[derive(Debug, Args)]
pub struct NewKeys {
    /// How many keys it gets
    #[arg(long, default_value_t = 1)]
    pub(super) count: u32,
    /// How many of them must sign
    #[arg(long, default_value_t = 1)]
    pub(super) threshold: u32,
    /// How they sign
    #[arg(long, value_enum, default_value_t = KeyScheme::Ed25519)]
    pub(super) scheme: KeyScheme,
    /// Keep them with the offline keys; those of root and targets always are
    #[arg(long)]
    pub(super) offline: bool,
    /// Make none: the public half of a key that is elsewhere (PEM or securesystemslib JSON); repeatable
    #[arg(long = "public-key", value_name = "FILE", conflicts_with_all = ["count", "scheme", "offline"])]
    pub(super) public_keys: Vec<PathBuf>,
}

/// `repo rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) export: Export,
    /// The role
    pub(super) role: String,
    #[command(flatten)]
    pub(super) new: NewKeys,
}

/// `repo delegate`.
#[derive(Debug, Args)]
pub struct Delegate {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) export: Export,
    /// The name of the new role
    pub(super) name: String,
    /// The role that delegates
    #[arg(long, default_value = "targets")]
    pub(super) parent: String,
    /// A pattern of paths that it may sign, `*` stopping at `/`; repeatable [default: every path]
    #[arg(long = "path", value_name = "PATTERN")]
    pub(super) paths: Vec<String>,
    /// End the search for a path that it may sign with this role
    #[arg(long)]
    pub(super) terminating: bool,
    /// How long it holds each time it is signed
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse_validity)]
    pub(super) validity: SignedDuration,
    #[command(flatten)]
    pub(super) new: NewKeys,
}

/// `repo revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) export: Export,
    /// The image digest, `sha256:` and 64 hex digits
    pub(super) digest: String,
    /// Why; shown to whoever tries to run it
    #[arg(long)]
    pub(super) reason: String,
    /// The offline role that signs it
    #[arg(long, default_value = "targets")]
    pub(super) role: String,
}

/// `repo retire-layout`.
#[derive(Debug, Args)]
pub struct RetireLayout {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) export: Export,
    /// The target path of the layout
    pub(super) layout: String,
    /// A digest that may still use it; repeatable [default: all that are listed with it now]
    #[arg(long = "digest", value_name = "DIGEST")]
    pub(super) digests: Vec<String>,
    /// The offline role that signs it
    #[arg(long, default_value = "targets")]
    pub(super) role: String,
}
