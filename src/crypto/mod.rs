//! What do these bytes hash to, and who signed them?
//!
//! Digests, public keys and signature verification, the canonical JSON of OLPC that TUF and in-toto sign, DSSE
//! envelopes, and the one rule of every threshold: distinct **key material** over verified signatures.
//! No primitive is implemented here: ed25519-dalek, aws-lc-rs and sha2 do the mathematics.

pub mod canonical;
pub mod digest;
pub mod dsse;
pub mod json;
pub mod key;
pub mod openpgp;
pub mod quorum;
pub mod x509;

pub use digest::{Hashes, Sha256};
pub use key::{KeyError, KeyId, Material, PublicKey, Scheme, SignatureError};
pub use quorum::Quorum;
