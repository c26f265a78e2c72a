//! The arguments of `pratique repo`.

mod content;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use crate::{crypto::Scheme, publish::parse_validity};

pub use content::{Add, AddImage, AddLayout, RetireLayout, Revoke};

/// What to do with a repository.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new repository and its keys
    Init(Init),
    /// Publish a layout and the keys that verify it (offline keys)
    AddLayout(AddLayout),
    /// Look for what layouts allow though their author hardly means it; exit code 1 if there is any
    Lint(Lint),
    /// Publish an image with its layout and links (online keys)
    AddImage(AddImage),
    /// Publish a plain file, with a layout and links if it has any (online keys)
    Add(Add),
    /// Take over a repository that another tool has made
    Adopt(Adopt),
    /// Sign roles again with a later expiry, timestamp and snapshot always; or sign a request that was exported
    Sign(Sign),
    /// Sign again what expires soon; exit code 1 if keys for some of it are missing
    Renew(Renew),
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
    /// Push a repository to a registry of images, where `oci://` reads it
    Push(Push),
    /// Show roles, versions, expiries and which of their keys are at hand
    Status(Common),
}

/// Layouts to look through.
#[derive(Debug, Args)]
pub struct Lint {
    /// Files of layouts, signed or not
    #[arg(required = true, value_name = "LAYOUT")]
    pub(in crate::cli::repo) layouts: Vec<PathBuf>,
}

/// Where the repository and its keys are.
#[derive(Debug, Args)]
pub struct Common {
    /// The repository's folder: metadata/ and targets/ in it are what is served
    pub(in crate::cli::repo) dir: PathBuf,
    /// The folder of private keys, offline/ and online/ in it [default: DIR.keys, beside the repository]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli::repo) keys: Option<PathBuf>,
    /// A key that is elsewhere, by its public key file or by eight or more characters of its id, and the command that
    /// signs with it: started without a shell, it is given the bytes and prints the signature; repeatable
    #[arg(long = "signer", value_name = "KEY=COMMAND", value_parser = Signer::parse)]
    pub(in crate::cli::repo) signers: Vec<Signer>,
    /// How long such a command may take
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) signer_timeout: SignedDuration,
}

/// A key that is elsewhere.
#[derive(Debug, Clone)]
pub struct Signer {
    pub(in crate::cli::repo) key: String,
    pub(in crate::cli::repo) command: String,
}

impl Signer {
    fn parse(text: &str) -> Result<Self, String> {
        let (key, command) = text.split_once('=').ok_or("not KEY=COMMAND")?;
        Ok(Self { key: key.to_owned(), command: command.to_owned() })
    }
}

/// Where a change goes.
#[derive(Debug, Args)]
pub struct Export {
    /// Publish nothing: write what is to be signed to a new folder, to be signed where the keys are
    #[arg(long, value_name = "REQUEST")]
    pub(in crate::cli::repo) export: Option<PathBuf>,
}

/// `repo push`.
#[derive(Debug, Args)]
pub struct Push {
    /// The repository's folder
    pub(super) dir: PathBuf,
    /// Where to: metadata and targets become two repositories under it
    #[arg(value_name = "oci://REGISTRY/REPOSITORY")]
    pub(super) to: String,
    /// A folder with the credentials, a file for each: host, and username and password, or token
    #[arg(long, value_name = "DIR")]
    pub(super) login: Option<PathBuf>,
    /// The other host to which the registry may send for a token
    #[arg(long, value_name = "HOST")]
    pub(super) tokens: Option<String>,
    /// Certificates in PEM by which the registry is known, instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

/// `repo init`.
#[derive(Debug, Args)]
pub struct Init {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    /// How new keys sign
    #[arg(long, value_enum, default_value_t = KeyScheme::Ed25519)]
    pub(in crate::cli::repo) scheme: KeyScheme,
    /// Which roles there are below targets [default: one online role for every path]
    #[arg(long, value_enum)]
    pub(in crate::cli::repo) preset: Option<Preset>,
    /// Keys of the root role [default: 1; with ite-3: 3]
    #[arg(long)]
    pub(in crate::cli::repo) root_keys: Option<u32>,
    /// How many of them must sign [default: 1; with ite-3: 2]
    #[arg(long)]
    pub(in crate::cli::repo) root_threshold: Option<u32>,
    /// Keys of the top-level targets role, which signs layouts and revocations [default: 1; with ite-3: 3]
    #[arg(long)]
    pub(in crate::cli::repo) targets_keys: Option<u32>,
    /// How many of them must sign [default: 1; with ite-3: 2]
    #[arg(long)]
    pub(in crate::cli::repo) targets_threshold: Option<u32>,
    /// The name of the online role that signs images and links
    #[arg(long, default_value = "images")]
    pub(in crate::cli::repo) online_role: String,
    /// A pattern of paths that the online role may sign, `*` stopping at `/`; repeatable [default: every path]
    #[arg(long = "path", value_name = "PATTERN", conflicts_with = "preset")]
    pub(in crate::cli::repo) paths: Vec<String>,
    /// How long root and targets hold
    #[arg(long, default_value = "1y", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) offline_validity: SignedDuration,
    /// How long the online role holds
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) online_validity: SignedDuration,
    /// How long a snapshot holds
    #[arg(long, default_value = "7d", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) snapshot_validity: SignedDuration,
    /// How long a timestamp holds
    #[arg(long, default_value = "1d", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) timestamp_validity: SignedDuration,
}

/// A tree of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// One online role for images and links, by patterns of every depth (in-toto ITE-2)
    #[value(name = "ite-2")]
    Ite2,
    /// Python packages and their links, each in two levels of roles (in-toto ITE-3)
    #[value(name = "ite-3")]
    Ite3,
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

/// `repo sign`.
#[derive(Debug, Args)]
pub struct Sign {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    /// The roles to sign again, beside timestamp and snapshot
    pub(in crate::cli::repo) roles: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// Where DIR is a request: say what it changes, and sign nothing
    #[arg(long)]
    pub(in crate::cli::repo) show: bool,
    /// Where DIR is a request: sign it although these keys signed another text under the same version, which was never
    /// published
    #[arg(long)]
    pub(in crate::cli::repo) replace: bool,
}

/// `repo renew`.
#[derive(Debug, Args)]
pub struct Renew {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    /// What expires within this time is signed again; timestamp and snapshot always
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) within: SignedDuration,
    /// Publish nothing: write those of them whose keys are missing here to a new folder, to be signed where the keys are
    #[arg(long, value_name = "REQUEST")]
    pub(in crate::cli::repo) export: Option<PathBuf>,
}

/// `repo adopt`.
#[derive(Debug, Args)]
pub struct Adopt {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    /// The root of trust from which it is verified
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli::repo) root: PathBuf,
    /// Judge expiry at this instant instead of now: for a repository that nobody has renewed
    #[arg(long, value_name = "INSTANT")]
    pub(in crate::cli::repo) at: Option<Timestamp>,
}

/// `repo import-signatures`.
#[derive(Debug, Args)]
pub struct ImportSignatures {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    /// The folder of the request
    pub(in crate::cli::repo) request: PathBuf,
    /// A file of signatures that came back without the folder; repeatable
    #[arg(long = "signatures", value_name = "FILE")]
    pub(in crate::cli::repo) signatures: Vec<PathBuf>,
}

/// New keys of a role.
#[derive(Debug, Args)]
pub struct NewKeys {
    /// How many keys it gets
    #[arg(long, default_value_t = 1)]
    pub(in crate::cli::repo) count: u32,
    /// How many of them must sign
    #[arg(long, default_value_t = 1)]
    pub(in crate::cli::repo) threshold: u32,
    /// How they sign
    #[arg(long, value_enum, default_value_t = KeyScheme::Ed25519)]
    pub(in crate::cli::repo) scheme: KeyScheme,
    /// Keep them with the offline keys; those of root and targets always are
    #[arg(long)]
    pub(in crate::cli::repo) offline: bool,
    /// Make none: the public half of a key that is elsewhere (PEM or securesystemslib JSON); repeatable
    #[arg(long = "public-key", value_name = "FILE", conflicts_with_all = ["count", "scheme", "offline"])]
    pub(in crate::cli::repo) public_keys: Vec<PathBuf>,
}

/// `repo rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The role
    pub(in crate::cli::repo) role: String,
    #[command(flatten)]
    pub(in crate::cli::repo) new: NewKeys,
}

/// `repo delegate`.
#[derive(Debug, Args)]
pub struct Delegate {
    #[command(flatten)]
    pub(in crate::cli::repo) common: Common,
    #[command(flatten)]
    pub(in crate::cli::repo) export: Export,
    /// The name of the new role; what the names of bins start with
    pub(in crate::cli::repo) name: String,
    /// The role that delegates
    #[arg(long, default_value = "targets")]
    pub(in crate::cli::repo) parent: String,
    /// A pattern of paths that it may sign, `*` stopping at `/`; repeatable [default: every path]
    #[arg(long = "path", value_name = "PATTERN", conflicts_with_all = ["hash_bins", "succinct_bits"])]
    pub(in crate::cli::repo) paths: Vec<String>,
    /// Spread all paths over this many roles by their hashes, a power of two (PEP 458)
    #[arg(long, value_name = "N", conflicts_with = "succinct_bits")]
    pub(in crate::cli::repo) hash_bins: Option<u32>,
    /// The same with two to the power of this many succinct roles (TAP 15); a role that does so delegates to nothing else
    #[arg(long, value_name = "BITS")]
    pub(in crate::cli::repo) succinct_bits: Option<u32>,
    /// End the search for a path that it may sign with this role
    #[arg(long)]
    pub(in crate::cli::repo) terminating: bool,
    /// How long it holds each time it is signed
    #[arg(long, default_value = "14d", value_name = "TIME", value_parser = parse_validity)]
    pub(in crate::cli::repo) validity: SignedDuration,
    #[command(flatten)]
    pub(in crate::cli::repo) new: NewKeys,
}
