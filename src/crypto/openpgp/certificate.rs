//! OpenPGP certificates as key files: which of their keys may sign, and until when.
//!
//! The owner's own signatures say so (RFC 4880, 5.2.3.3). The reference does not look at revocations and usage flags
//! (GHSA-jjgp-whrp-gq8m) and loses the expiry of ed25519 keys; here all of them are honoured, and where the signatures
//! of a certificate could be understood in two ways the one that allows less is taken.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};

use super::{
    Certificate, Key, Unusable,
    packets::{
        PUBLIC_KEY, Packet, RawKey, RawSignature, SIGNATURE, SUBKEY, USER_ATTRIBUTE, USER_ID, dearmour, packets,
    },
};
// Kinds of signatures (RFC 4880, 5.2.1).
const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
const SUBKEY_BINDING: u8 = 0x18;
const PRIMARY_KEY_BINDING: u8 = 0x19;
const DIRECT_KEY: u8 = 0x1f;
const KEY_REVOCATION: u8 = 0x20;
const SUBKEY_REVOCATION: u8 = 0x28;
const CERTIFICATION_REVOCATION: u8 = 0x30;

// Kinds of subpackets (RFC 4880, 5.2.3.1; RFC 9580 has the fingerprint).
const CREATION: u8 = 2;
const SIGNATURE_EXPIRATION: u8 = 3;
const KEY_EXPIRATION: u8 = 9;
const ISSUER: u8 = 16;
const KEY_FLAGS: u8 = 27;
const EMBEDDED_SIGNATURE: u8 = 32;
const ISSUER_FINGERPRINT: u8 = 33;
/// What is understood, or says nothing about what is decided here: exportable, trust, revocable, preferences,
/// revocation key, notations, key server, primary user id, policy, signer, reason, features.
const KNOWN: &[u8] = &[2, 3, 4, 5, 7, 9, 11, 12, 16, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 34];

const MAY_SIGN: u8 = 2;

/// Signatures of one certificate that are verified: one for each name, and two for each subkey that signs.
const MAX_VERIFIED: usize = 128;
const TOO_MANY: Unusable = Unusable::Packets("at most 128 signatures that its owner made");

/// What a certificate is about: the master key itself, a name of its owner, or a subkey, with the signatures on it.
struct Component<'a> {
    packet: Packet<'a>,
    signatures: Vec<RawSignature<'a>>,
}

impl Certificate {
    /// Reads one certificate, armoured or not: a master key with its owner's names and its subkeys.
    ///
    /// # Errors
    /// Something else, a key of another version than 4, a revoked key, or one without a valid signature of its own by
    /// SHA-256 or better. A subkey that may not sign, or cannot be shown to, is left out.
    pub fn from_file(bytes: &[u8]) -> Result<Self, Unusable> {
        let bytes = dearmour(bytes)?;
        let components = components(packets(&bytes)?)?;
        let (master, others) = components.split_first().ok_or(Unusable::Packets("a public key"))?;
        let raw = RawKey::parse(master.packet.body).ok_or(Unusable::Version)?;
        let (algorithm, public) = raw.public()?;
        let left = Cell::new(Some(MAX_VERIFIED));
        let issuer = Issuer { key: &raw, id: raw.fingerprint().as_str().to_owned(), left };
        // Whoever made it, and however it is signed: a designated person may revoke as well, and no revocation is to
        // be lost because it cannot be checked.
        if master.signatures.iter().any(|signature| signature.kind == KEY_REVOCATION) {
            return Err(Unusable::Revoked);
        }

        let mut said = Vec::new();
        said.extend(issuer.newest(master, |kind| kind == DIRECT_KEY, &[])?);
        for name in others.iter().filter(|component| component.packet.tag == USER_ID) {
            let own = |signature: &&RawSignature<'_>| issuer.is_own(signature);
            if name.signatures.iter().filter(own).any(|signature| signature.kind == CERTIFICATION_REVOCATION) {
                continue;
            }
            let length = u32::try_from(name.packet.body.len()).map_err(|_| Unusable::Packets("shorter names"))?;
            let hashed = [&[0xb4], length.to_be_bytes().as_slice(), name.packet.body].concat();
            said.extend(issuer.newest(name, |kind| CERTIFICATIONS.contains(&kind), &hashed)?);
        }
        if said.is_empty() {
            return Err(Unusable::NoSelfSignature);
        }
        let expires = said.iter().filter_map(|said| ends(said, raw.created)).min();
        let signs = said.iter().filter_map(|said| said.find(KEY_FLAGS)).all(may_sign);
        let master = Key { id: raw.fingerprint(), algorithm, public, created: Some(raw.created), expires, signs };

        let subkeys = others.iter().filter(|component| component.packet.tag == SUBKEY);
        let mut subkeys: Vec<Key> = subkeys.filter_map(|component| issuer.subkey(component)).collect();
        for key in &mut subkeys {
            key.expires = [key.expires, expires].into_iter().flatten().min();
        }
        if issuer.left.get().is_none() {
            return Err(TOO_MANY);
        }
        let found = subkeys.len();
        if found > super::MAX_SUBKEYS {
            return Err(Unusable::TooManySubkeys { found, limit: super::MAX_SUBKEYS });
        }
        Ok(Self { master, subkeys })
    }
}

fn components(packets: Vec<Packet<'_>>) -> Result<Vec<Component<'_>>, Unusable> {
    let mut components: Vec<Component<'_>> = Vec::new();
    for packet in packets {
        match packet.tag {
            PUBLIC_KEY if components.is_empty() => components.push(Component { packet, signatures: Vec::new() }),
            PUBLIC_KEY => return Err(Unusable::Packets("one public key; export them one by one")),
            5 | 7 => return Err(Unusable::Packets("a public key; this one is private and must not be handed out")),
            _ if components.is_empty() => return Err(Unusable::Packets("a public key first")),
            USER_ID | USER_ATTRIBUTE | SUBKEY => components.push(Component { packet, signatures: Vec::new() }),
            SIGNATURE => {
                // Signatures of version 3 are older than what is accepted.
                let signature = RawSignature::parse(packet.body);
                if signature.is_none() && packet.body.first() == Some(&4) {
                    return Err(Unusable::Packets("signatures that can be read"));
                }
                if let (Some(component), Some(signature)) = (components.last_mut(), signature) {
                    component.signatures.push(signature);
                }
            }
            // Trust, marker and padding packets say nothing.
            10 | 12 | 21 => {}
            _ => return Err(Unusable::Packets("packets of a certificate alone")),
        }
    }
    Ok(components)
}

/// The master key as the maker of signatures.
struct Issuer<'a> {
    key: &'a RawKey<'a>,
    id: String,
    /// How many signatures may still be verified; `None` where there were more.
    left: Cell<Option<usize>>,
}

impl Issuer<'_> {
    /// Takes one off the signatures that may be verified.
    fn spend(&self) -> Option<()> {
        self.left.set(self.left.get()?.checked_sub(1));
        self.left.get().map(|_| ())
    }

    /// Whether a signature says that it is by this key. Without an issuer it may be anyone's, and so this key's.
    fn is_own(&self, signature: &RawSignature<'_>) -> bool {
        let mut claims = signature.hashed.iter().chain(&signature.unhashed).filter_map(|subpacket| {
            match (subpacket.kind, subpacket.body) {
                (ISSUER_FINGERPRINT, [4, fingerprint @ ..]) => Some(hex::encode(fingerprint)),
                (ISSUER, id) => Some(hex::encode(id)),
                _ => None,
            }
        });
        claims.all(|claim| !claim.is_empty() && self.id.ends_with(&claim))
    }

    /// The newest of the owner's own signatures on a component. It must be valid: an older one says what has been
    /// taken back.
    fn newest<'a>(
        &self,
        component: &Component<'a>,
        wanted: impl Fn(u8) -> bool,
        hashed: &[u8],
    ) -> Result<Option<RawSignature<'a>>, Unusable> {
        let own = component.signatures.iter().filter(|signature| wanted(signature.kind) && self.is_own(signature));
        let Some(newest) = own.max_by_key(|signature| signature.seconds(CREATION).unwrap_or(i64::MAX)) else {
            return Ok(None);
        };
        let signed = [self.key.hashed().as_slice(), hashed].concat();
        self.spend().ok_or(TOO_MANY)?;
        verify(self.key, &signed, newest).ok_or(Unusable::SelfSignature)?;
        Ok(Some(newest.clone()))
    }

    /// A subkey that its owner made for signing and that agrees (RFC 4880, 5.2.1: 0x18 and 0x19); `None` for others.
    fn subkey(&self, component: &Component<'_>) -> Option<Key> {
        let raw = RawKey::parse(component.packet.body)?;
        let (algorithm, public) = raw.public().ok()?;
        if component.signatures.iter().any(|signature| signature.kind == SUBKEY_REVOCATION) {
            return None;
        }
        let binding = self.newest(component, |kind| kind == SUBKEY_BINDING, &raw.hashed()).ok().flatten()?;
        if !binding.find(KEY_FLAGS).is_some_and(may_sign) {
            return None;
        }
        // Else somebody could pass off another's key as a subkey of theirs.
        let mut embedded = binding.hashed.iter().chain(&binding.unhashed);
        let agrees = embedded.any(|subpacket| {
            let inner = (subpacket.kind == EMBEDDED_SIGNATURE).then(|| RawSignature::parse(subpacket.body)).flatten();
            let inner = inner.filter(|inner| inner.kind == PRIMARY_KEY_BINDING);
            let signed = || [self.key.hashed(), raw.hashed()].concat();
            inner.is_some_and(|inner| self.spend().and_then(|()| verify(&raw, &signed(), &inner)).is_some())
        });
        let expires = ends(&binding, raw.created);
        let key = Key { id: raw.fingerprint(), algorithm, public, created: Some(raw.created), expires, signs: true };
        agrees.then_some(key)
    }
}

/// The flags may go on in further bytes, which hold other uses.
fn may_sign(flags: &[u8]) -> bool {
    flags.first().is_some_and(|flags| flags & MAY_SIGN != 0)
}

/// When a key ends by this signature: its own end, or that of what the signature says.
fn ends(signature: &RawSignature<'_>, created: Timestamp) -> Option<Timestamp> {
    let after = |from: Timestamp, seconds: i64| from.checked_add(SignedDuration::from_secs(seconds)).ok();
    let of_key = signature.seconds(KEY_EXPIRATION).and_then(|seconds| after(created, seconds));
    let made = signature.seconds(CREATION).and_then(|seconds| Timestamp::from_second(seconds).ok());
    let of_signature = made.zip(signature.seconds(SIGNATURE_EXPIRATION)).and_then(|(made, lasts)| after(made, lasts));
    [of_key, of_signature].into_iter().flatten().min()
}

/// Verifies a signature over a key.
fn verify(key: &RawKey<'_>, signed: &[u8], signature: &RawSignature<'_>) -> Option<()> {
    let understood = signature.hashed.iter().all(|subpacket| !subpacket.is_critical || KNOWN.contains(&subpacket.kind));
    if !understood || signature.seconds(CREATION).is_none() {
        return None;
    }
    let length = u32::try_from(signature.headers.len()).ok()?.to_be_bytes();
    let signed = [signed, signature.headers, &[4, 0xff], &length].concat();
    key.verify(&signed, signature)
}
