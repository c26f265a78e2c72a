//! What the Secret holds, and what has to be done about it: a decision over bytes and a time, without IO.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::super::{
    Certificate, Error,
    issue::{Authority, LEEWAY, Pair},
    provider, validity,
};

/// The certificates to believe, as PEM: the authority that issues first, then one that is to follow it or came before.
pub(super) const BUNDLE: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const NEXT_AUTHORITY: &str = "next-ca.crt";
const NEXT_AUTHORITY_KEY: &str = "next-ca.key";

/// The data of the Secret.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How long things hold, and when they are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of an authority.
    pub authority: SignedDuration,
    /// What is left of the authority's lifetime when the next one is made.
    pub overlap: SignedDuration,
    /// Of a serving certificate; it is replaced when two thirds are over.
    pub certificate: SignedDuration,
    /// How long an authority is in `caBundle` before a certificate of it is served: every API server has read it then.
    pub settle: SignedDuration,
    /// How long an authority stays in `caBundle` after the next one issues: every replica serves a new certificate then.
    pub retire: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: DAY * 3_650,
            overlap: DAY * 365,
            certificate: DAY * 90,
            settle: SignedDuration::from_mins(2),
            retire: DAY,
        }
    }
}

/// The Secret's data, parsed: an authority that issues, a certificate that it issued, and whom else to believe.
#[derive(Debug)]
pub(super) struct Material {
    /// Of the authority that issues, and when it was made.
    authority: Dated,
    /// PEM, each of one authority: one that is to follow or came before.
    others: Vec<Dated>,
    authority_key: String,
    pub(super) pair: Pair,
    issued: Timestamp,
    /// The authority that is to follow.
    next: Option<(Dated, String)>,
}

/// A certificate as PEM, with the time at which it was made and at which it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dated {
    pem: String,
    made: Timestamp,
    expires: Timestamp,
}

/// What is to be done about the Secret.
#[derive(Debug)]
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
        let authority = others.remove(0);
        let authority_key = text(AUTHORITY_KEY)?;
        // An authority whose key is another's would issue what nobody believes.
        Certificate::parse(authority.pem.as_bytes(), authority_key.as_bytes())?;
        let pair = Pair { certificate: text(CERTIFICATE)?, key: text(KEY)? };
        Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes())?;
        let issued = Dated::parse(&pair.certificate)?.made;
        let next = match data.get(NEXT_AUTHORITY).filter(|bytes| !bytes.is_empty()) {
            None => None,
            Some(_) => {
                let (pem, key) = (text(NEXT_AUTHORITY)?, text(NEXT_AUTHORITY_KEY)?);
                Certificate::parse(pem.as_bytes(), key.as_bytes())?;
                Some((Dated::parse(&pem)?, key))
            }
        };
        Ok(Self { authority, others, authority_key, pair, issued, next })
    }

    /// What goes into `caBundle`.
    pub(super) fn bundle(&self) -> String {
        std::iter::once(&self.authority).chain(&self.others).map(|dated| dated.pem.as_str()).collect()
    }

    /// When the authority that issues expires.
    pub(super) fn authority_expires(&self) -> Timestamp {
        self.authority.expires
    }

    /// When the authority that issues was made.
    pub(super) fn authority_made(&self) -> Timestamp {
        self.authority.made
    }

    /// What is to be done at `now`. `settled`: the bundle as it is has been in every `caBundle` long enough.
    pub(super) fn plan(
        &self,
        names: &[String],
        now: Timestamp,
        lifetimes: &Lifetimes,
        settled: bool,
    ) -> Result<Plan, Error> {
        if now >= self.authority.expires {
            return fresh(names, now, lifetimes, &self.bundle()).map(|data| Plan::Write(data, "the authority expired"));
        }
        if let Some((next, key)) = &self.next {
            if settled && now.duration_since(next.made) >= lifetimes.settle {
                let issuer = Authority::load(&next.pem, key)?;
                let others: Vec<&Dated> = std::iter::once(&self.authority).chain(&self.others).collect();
                let others = others.into_iter().filter(|other| other.pem != next.pem && now < other.expires);
                let pair = issuer.issue(names, now, lifetimes.certificate)?;
                let data = render(&next.pem, key, others, &pair, None);
                return Ok(Plan::Write(data, "the next authority issues from now on"));
            }
        } else if now >= before(self.authority.expires, lifetimes.overlap) {
            let next = Authority::generate(AUTHORITY_NAME, now, lifetimes.authority)?;
            let dated = Dated::parse(next.certificate())?;
            let others: Vec<&Dated> = std::iter::once(&dated).chain(&self.others).collect();
            let next = Some((next.certificate(), next.key()));
            let data = render(&self.authority.pem, &self.authority_key, others.into_iter(), &self.pair, next);
            return Ok(Plan::Write(data, "the next authority is announced"));
        } else if !self.others.is_empty() && now.duration_since(self.authority.made) >= lifetimes.retire {
            let data = render(&self.authority.pem, &self.authority_key, std::iter::empty(), &self.pair, None);
            return Ok(Plan::Write(data, "the authority before is believed no longer"));
        }
        if let Some(why) = self.stale(names, now) {
            let issuer = Authority::load(&self.authority.pem, &self.authority_key)?;
            let pair = issuer.issue(names, now, lifetimes.certificate)?;
            let next = self.next.as_ref().map(|(dated, key)| (dated.pem.as_str(), key.clone()));
            return Ok(Plan::Write(
                render(&self.authority.pem, &self.authority_key, self.others.iter(), &pair, next),
                why,
            ));
        }
        Ok(Plan::Keep)
    }

    /// Why the certificate has to be replaced.
    fn stale(&self, names: &[String], now: Timestamp) -> Option<&'static str> {
        let expires = Dated::parse(&self.pair.certificate).map_or(self.issued, |dated| dated.expires);
        let lifetime = expires.duration_since(self.issued);
        if now.duration_since(self.issued) >= lifetime / 3 * 2 {
            return Some("two thirds of the certificate's lifetime are over");
        }
        (!self.is_believed(names, now)).then_some("the certificate is not for the names of the service")
    }

    /// Whether whoever believes the bundle believes the certificate, for each of `names`.
    fn is_believed(&self, names: &[String], now: Timestamp) -> bool {
        let believed = |name: &String| {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(self.bundle().as_bytes()) {
                roots.add(certificate.ok()?).ok()?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build().ok()?;
            let own = CertificateDer::from_pem_slice(self.pair.certificate.as_bytes()).ok()?;
            let seconds = u64::try_from(now.as_second()).ok()?;
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            let name = ServerName::try_from(name.as_str()).ok()?;
            verifier.verify_server_cert(&own, &[], &name, &[], at).ok()
        };
        names.iter().all(|name| believed(name).is_some())
    }
}

/// Everything new. What is in `believed` is believed on, so that a certificate of it that a replica still serves is.
pub(super) fn fresh(names: &[String], now: Timestamp, lifetimes: &Lifetimes, believed: &str) -> Result<Data, Error> {
    let authority = Authority::generate(AUTHORITY_NAME, now, lifetimes.authority)?;
    let pair = authority.issue(names, now, lifetimes.certificate)?;
    let before = certificates(believed).unwrap_or_default();
    let before = before.iter().filter(|other| now < other.expires);
    Ok(render(authority.certificate(), &authority.key(), before, &pair, None))
}

const AUTHORITY_NAME: &str = "pratique webhook CA";

fn render<'a>(
    authority: &str,
    authority_key: &str,
    others: impl Iterator<Item = &'a Dated>,
    pair: &Pair,
    next: Option<(&str, String)>,
) -> Data {
    let bundle: String = std::iter::once(authority).chain(others.map(|other| other.pem.as_str())).collect();
    let mut data = Data::from([
        (BUNDLE.to_owned(), bundle.into_bytes()),
        (AUTHORITY_KEY.to_owned(), authority_key.as_bytes().to_vec()),
        (CERTIFICATE.to_owned(), pair.certificate.as_bytes().to_vec()),
        (KEY.to_owned(), pair.key.as_bytes().to_vec()),
    ]);
    if let Some((pem, key)) = next {
        data.insert(NEXT_AUTHORITY.to_owned(), pem.as_bytes().to_vec());
        data.insert(NEXT_AUTHORITY_KEY.to_owned(), key.into_bytes());
    }
    data
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
