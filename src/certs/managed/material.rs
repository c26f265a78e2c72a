//! What the Secret holds, and what has to be done about it: a decision over bytes and a time, without IO.

use jiff::{SignedDuration, Timestamp};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::super::{
    Certificate, Error,
    issue::{Authority, LEEWAY, Pair},
    provider, roots, validity,
};
use crate::cluster::serving::Data;

/// The certificates to believe, as PEM: the authority that issues first, then one that is to follow it or came before.
const BUNDLE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const NEXT_AUTHORITY: &str = "next-ca.crt";
const NEXT_AUTHORITY_KEY: &str = "next-ca.key";

const AUTHORITY_NAME: &str = "pratique webhook CA";

/// How long an authority holds.
const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 3_650);
/// What is left of an authority's lifetime when the next one is made.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24 * 365);
/// How long a serving certificate holds; it is replaced when two thirds are over.
const CERTIFICATE_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How long an authority is in `caBundle` before a certificate of it is served: every API server has read it then.
pub(super) const SETTLE: SignedDuration = SignedDuration::from_mins(2);
/// How long an authority stays in `caBundle` after the next one issues: every replica serves a new certificate then.
const RETIRE: SignedDuration = SignedDuration::from_hours(24);

/// The Secret's data, parsed: an authority that issues, a certificate that it issued, and whom else to believe.
pub(super) struct Material {
    issuer: Issuer,
    /// Each an authority that is to follow or came before.
    others: Vec<Dated>,
    pub(super) pair: Pair,
    /// What `pair` is when it is served, and when it was issued.
    pub(super) certificate: Certificate,
    issued: Timestamp,
    /// The authority that is to follow.
    next: Option<Issuer>,
}

/// An authority and its private key, as PEM. Never printed.
struct Issuer {
    authority: Dated,
    key: String,
}

/// A certificate as PEM, with the time at which it was made and at which it expires.
pub(super) struct Dated {
    pem: String,
    pub(super) made: Timestamp,
    pub(super) expires: Timestamp,
}

/// What is to be done about the Secret.
pub(super) enum Plan {
    /// Nothing: it serves.
    Keep,
    /// To write this instead.
    Write(Data, &'static str),
}

impl Material {
    /// Parses the data of a Secret. Everything has to be there and fit together, or it is as good as empty.
    pub(super) fn parse(data: &Data) -> Result<Self, Error> {
        let text = |name: &str| {
            let bytes = data.get(name).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| Error::BadCertificate { why: format!("{name} is not there") })?;
            String::from_utf8(bytes.clone()).map_err(|_| Error::BadCertificate { why: format!("{name} is no text") })
        };
        let mut others = certificates(&text(BUNDLE)?)?;
        if others.is_empty() {
            return Err(Error::BadCertificate { why: format!("{BUNDLE} holds no certificate") });
        }
        let issuer = Issuer::new(others.remove(0), text(AUTHORITY_KEY)?)?;
        let pair = Pair { certificate: text(CERTIFICATE)?, key: text(KEY)? };
        let certificate = Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes())?;
        let issued = Dated::parse(&pair.certificate)?.made;
        let next = match data.get(NEXT_AUTHORITY).filter(|bytes| !bytes.is_empty()) {
            None => None,
            Some(_) => Some(Issuer::new(Dated::parse(&text(NEXT_AUTHORITY)?)?, text(NEXT_AUTHORITY_KEY)?)?),
        };
        Ok(Self { issuer, others, pair, certificate, issued, next })
    }

    /// The authority that issues.
    pub(super) fn authority(&self) -> &Dated {
        &self.issuer.authority
    }

    /// What goes into `caBundle`.
    pub(super) fn bundle(&self) -> String {
        bundle(self.authority(), &self.others)
    }

    /// What is to be done at `now`. `settled`: the bundle as it is has been in every `caBundle` long enough.
    pub(super) fn plan(&self, names: &[String], now: Timestamp, settled: bool) -> Result<Plan, Error> {
        let authority = self.authority();
        if now >= authority.expires {
            return fresh(names, now, &self.bundle()).map(|data| Plan::Write(data, "the authority expired"));
        }
        if let Some(next) = &self.next {
            if settled && now.duration_since(next.authority.made) >= SETTLE {
                let others = std::iter::once(authority).chain(&self.others);
                let others = others.filter(|other| other.pem != next.authority.pem && now < other.expires);
                let data = render(next, others, &next.issue(names, now)?, None);
                return Ok(Plan::Write(data, "the next authority issues from now on"));
            }
        } else if now >= before(authority.expires, OVERLAP) {
            let next = Issuer::generate(now)?;
            let others = std::iter::once(&next.authority).chain(&self.others);
            let data = render(&self.issuer, others, &self.pair, Some(&next));
            return Ok(Plan::Write(data, "the next authority is announced"));
        } else if !self.others.is_empty() && now.duration_since(authority.made) >= RETIRE {
            let data = render(&self.issuer, &[], &self.pair, None);
            return Ok(Plan::Write(data, "the authority before is believed no longer"));
        }
        if let Some(why) = self.stale(names, now) {
            let pair = self.issuer.issue(names, now)?;
            return Ok(Plan::Write(render(&self.issuer, &self.others, &pair, self.next.as_ref()), why));
        }
        Ok(Plan::Keep)
    }

    /// Why the certificate has to be replaced.
    fn stale(&self, names: &[String], now: Timestamp) -> Option<&'static str> {
        let lifetime = self.certificate.expires().duration_since(self.issued);
        if now.duration_since(self.issued) >= lifetime / 3 * 2 {
            return Some("two thirds of the certificate's lifetime are over");
        }
        (!self.is_believed(names, now)).then_some("the certificate is not for the names of the service")
    }

    /// Whether whoever believes the bundle believes the certificate, for each of `names`.
    fn is_believed(&self, names: &[String], now: Timestamp) -> bool {
        let believed = || {
            let roots = roots(self.bundle().as_bytes()).ok()?;
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build().ok()?;
            let own = CertificateDer::from_pem_slice(self.pair.certificate.as_bytes()).ok()?;
            let seconds = u64::try_from(now.as_second()).ok()?;
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            names.iter().try_for_each(|name| {
                let name = ServerName::try_from(name.as_str()).ok()?;
                verifier.verify_server_cert(&own, &[], &name, &[], at).ok().map(drop)
            })
        };
        believed().is_some()
    }
}

impl Issuer {
    /// Refuses a key of another authority: it would issue what nobody believes.
    fn new(authority: Dated, key: String) -> Result<Self, Error> {
        Certificate::parse(authority.pem.as_bytes(), key.as_bytes())?;
        Ok(Self { authority, key })
    }

    fn generate(now: Timestamp) -> Result<Self, Error> {
        let authority = Authority::generate(AUTHORITY_NAME, now, AUTHORITY_LIFETIME)?;
        Ok(Self { authority: Dated::parse(authority.certificate())?, key: authority.key() })
    }

    fn issue(&self, names: &[String], now: Timestamp) -> Result<Pair, Error> {
        Authority::load(&self.authority.pem, &self.key)?.issue(names, now, CERTIFICATE_LIFETIME)
    }
}

/// Everything new. What is in `believed` is believed on, so that a certificate of it that a replica still serves is.
pub(super) fn fresh(names: &[String], now: Timestamp, believed: &str) -> Result<Data, Error> {
    let issuer = Issuer::generate(now)?;
    let before = certificates(believed).unwrap_or_default();
    let before = before.iter().filter(|other| now < other.expires);
    Ok(render(&issuer, before, &issuer.issue(names, now)?, None))
}

fn render<'a>(
    issuer: &'a Issuer,
    others: impl IntoIterator<Item = &'a Dated>,
    pair: &Pair,
    next: Option<&Issuer>,
) -> Data {
    let mut data = Data::new();
    let mut put = |name: &str, text: &str| drop(data.insert(name.to_owned(), text.as_bytes().to_vec()));
    put(BUNDLE, &bundle(&issuer.authority, others));
    put(AUTHORITY_KEY, &issuer.key);
    put(CERTIFICATE, &pair.certificate);
    put(KEY, &pair.key);
    if let Some(next) = next {
        put(NEXT_AUTHORITY, &next.authority.pem);
        put(NEXT_AUTHORITY_KEY, &next.key);
    }
    data
}

fn bundle<'a>(authority: &'a Dated, others: impl IntoIterator<Item = &'a Dated>) -> String {
    std::iter::once(authority).chain(others).map(|dated| dated.pem.as_str()).collect()
}

fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// Each certificate of a bundle on its own.
fn certificates(bundle: &str) -> Result<Vec<Dated>, Error> {
    let blocks = pem::parse_many(bundle).map_err(|error| Error::BadCertificate { why: error.to_string() })?;
    blocks.iter().map(|block| Dated::parse(&encode(block))).collect()
}

fn encode(block: &pem::Pem) -> String {
    pem::encode_config(block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
}

impl Dated {
    fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: String| Error::BadCertificate { why };
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let (begins, expires) = validity(&der).map_err(bad)?;
        let made = begins.checked_add(LEEWAY).map_err(|error| bad(error.to_string()))?;
        Ok(Self { pem: encode(&pem::Pem::new("CERTIFICATE", der.as_ref())), made, expires })
    }
}
