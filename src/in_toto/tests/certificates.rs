//! Functionaries who are known by certificates (ITE-7). crypto::x509 has the tests of chains.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519, SanType};

use super::*;
use crate::crypto::x509;

/// An authority, and certificates that it issues.
struct Authority {
    pem: String,
    params: CertificateParams,
    key: KeyPair,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

impl Authority {
    fn new() -> Self {
        let key = key();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2029, 9, 1);
        Self { pem: params.self_signed(&key).unwrap().pem(), params, key }
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Holder {
        let key = key();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Bob");
        params.subject_alt_names = vec![SanType::URI("spiffe://acme.example/build".try_into().unwrap())];
        params.not_after = rcgen::date_time_ymd(2029, 6, 1);
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let pem = params.signed_by(&key, &issuer).unwrap().pem();
        Holder { pem, key: SigningKey::from_pem(&key.serialize_pem()).unwrap() }
    }
}

struct Holder {
    pem: String,
    key: SigningKey,
}

impl Holder {
    fn keyid(&self) -> KeyId {
        self.key.keyid().unwrap()
    }

    fn path(&self) -> String {
        LinkName::new(&StepName::parse("build").unwrap(), &self.keyid()).to_string()
    }

    fn signed(&self, payload: &Value) -> Value {
        let signature = hex::encode(self.key.sign(&strict::canonical(payload)).unwrap());
        json!({"signed": payload, "signatures": [{"keyid": self.keyid(), "sig": signature, "cert": self.pem}]})
    }
}

fn constraint() -> Value {
    json!({
        "common_name": "Bob", "dns_names": [], "emails": [], "organizations": [], "roots": ["*"],
        "uris": ["spiffe://acme.example/build"],
    })
}

/// The good chain, whose step `build` is done by whoever has such a certificate of the authority.
fn known_by(authority: &Authority, holders: &[&Holder]) -> Chain {
    good().with(|chain| {
        chain.options.certificates = true;
        chain.links.remove(&path("build", BOB));
        let id = "ca".repeat(32);
        let root = json!({
            "keyid": id, "keytype": "ed25519", "scheme": "ed25519", "keyid_hash_algorithms": ["sha256", "sha512"],
            "keyval": {"public": "", "certificate": authority.pem},
        });
        chain.layout["rootcas"] = json!({id: root});
        chain.build()["pubkeys"] = json!([]);
        chain.build()["cert_constraints"] = json!([constraint()]);
        for holder in holders {
            chain.raw.insert(holder.path(), holder.signed(&build_link()).to_string().into_bytes());
        }
    })
}

fn finding(chain: &Chain) -> Finding {
    match chain.refusal() {
        Error::ThresholdNotMet { functionaries, .. } => functionaries.into_iter().next().unwrap().finding,
        other => panic!("{other}"),
    }
}

#[test]
fn a_certificate_makes_a_functionary_until_it_ends() {
    let authority = Authority::new();
    let bob = authority.issue(|_| ());
    let chain = known_by(&authority, &[&bob]);
    let verified = chain.verify().unwrap();
    let (name, build) = verified.last_step().unwrap();
    assert_eq!(build.functionaries, [bob.keyid()]);
    let expires = "2029-06-01T00:00:00Z".parse().unwrap();
    let end = KeyExpiry { keyid: bob.keyid(), step: Some(name.clone()), expires };
    assert_eq!((verified.keys_expire(), verified.earliest_expiry()), ([end].as_slice(), expires));
}

#[test]
fn without_being_asked_for_such_a_layout_is_refused() {
    let authority = Authority::new();
    let bob = authority.issue(|_| ());
    let chain = || known_by(&authority, &[&bob]).with(|chain| chain.options.certificates = false);
    assert_eq!(chain().refusal(), Error::CertificatesDenied);
    assert_eq!(chain().code(), "in-toto/certificates-denied");
    // By either of the members alone, and also where another form lets members be that are not known.
    let remove = |value: &mut Value, name: &str| drop(value.as_object_mut().unwrap().remove(name).unwrap());
    let chain = chain().with(|chain| {
        remove(chain.build(), "cert_constraints");
        chain.build()["pubkeys"] = json!([keyid(BOB)]);
        let roots = chain.layout["rootcas"].take();
        remove(&mut chain.layout, "rootcas");
        chain.layout["intermediatecas"] = roots;
    });
    assert_eq!(chain.refusal(), Error::CertificatesDenied);
    let dsse = chain.with(|chain| chain.raw_layout = Some(in_dsse(&chain.layout, &[OWNER])));
    assert_eq!(dsse.refusal(), Error::CertificatesDenied);
}

#[test]
fn a_certificate_of_another_authority_does_not_count() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mallory = other.issue(|_| ());
    let found = finding(&known_by(&authority, &[&mallory]));
    assert!(matches!(found, Finding::Certificate(CertificateProblem::Untrusted(x509::Untrusted(_)))), "{found}");
    // Nor does one when the layout names no root.
    let bob = authority.issue(|_| ());
    let chain = known_by(&authority, &[&bob]).with(|chain| {
        chain.layout.as_object_mut().unwrap().remove("rootcas").unwrap();
    });
    assert!(matches!(finding(&chain), Finding::Certificate(CertificateProblem::Untrusted(_))));
}

#[test]
fn an_expired_certificate_does_not_count() {
    let authority = Authority::new();
    let bob = authority.issue(|params| params.not_after = rcgen::date_time_ymd(2028, 1, 1));
    assert!(matches!(finding(&known_by(&authority, &[&bob])), Finding::Certificate(CertificateProblem::Untrusted(_))));
}

#[test]
fn every_attribute_of_a_constraint_must_fit() {
    let authority = Authority::new();
    let bob = authority.issue(|_| ());
    let attribute = |name: &str, value: Value| {
        let chain = known_by(&authority, &[&bob]);
        let chain = chain.with(|chain| chain.build()["cert_constraints"][0][name] = value);
        match chain.verify() {
            Ok(_) => "",
            Err(_) => match finding(&chain) {
                Finding::Certificate(CertificateProblem::Constraint { attribute, .. }) => attribute,
                other => panic!("{other}"),
            },
        }
    };
    for (name, wanted, called) in [
        ("common_name", json!("Eve"), "common name"),
        ("common_name", json!(""), "common name"),
        ("dns_names", json!(["acme.example"]), "DNS names"),
        ("emails", json!(["bob@acme.example"]), "mail addresses"),
        ("organizations", json!(["Acme"]), "organizations"),
        ("roots", json!([]), "roots"),
        ("roots", json!(["ab".repeat(32)]), "roots"),
        ("uris", json!([]), "URIs"),
        ("uris", json!(["spiffe://acme.example/*"]), "URIs"),
        ("uris", json!(["spiffe://acme.example/build", "spiffe://acme.example/push"]), "URIs"),
        ("uris", json!(["*", "*"]), "URIs"),
    ] {
        assert_eq!(attribute(name, wanted.clone()), called, "{name}: {wanted}");
    }
    for (name, wanted) in [
        ("common_name", json!("*")),
        ("emails", json!(["*"])),
        ("emails", json!([""])),
        ("emails", json!(null)),
        ("roots", json!(["ca".repeat(32)])),
        ("uris", json!(["*"])),
    ] {
        assert_eq!(attribute(name, wanted.clone()), "", "{name}: {wanted}");
    }
}

#[test]
fn one_of_several_constraints_is_enough_and_what_is_absent_is_nothing() {
    let authority = Authority::new();
    let bob = authority.issue(|_| ());
    let with = |constraints: Value| {
        known_by(&authority, &[&bob]).with(|chain| chain.build()["cert_constraints"] = constraints)
    };
    let mut eve = constraint();
    eve["common_name"] = json!("Eve");
    assert!(with(json!([eve, constraint()])).verify().is_ok());
    assert!(with(json!([eve])).verify().is_err());
    assert!(with(json!([{"roots": ["*"]}])).verify().is_err());
    let loose = json!([{"common_name": "*", "roots": ["*"], "uris": ["*"]}]);
    let in_dsse = |chain: &mut Chain| chain.raw_layout = Some(in_dsse(&chain.layout, &[OWNER]));
    assert!(with(loose).with(in_dsse).verify().is_ok());
}

#[test]
fn the_link_must_be_signed_by_the_certificates_key() {
    let authority = Authority::new();
    let (bob, eve) = (authority.issue(|_| ()), authority.issue(|_| ()));
    let with = |change: fn(&mut Value, &Holder)| {
        known_by(&authority, &[]).with(|chain| {
            let mut file = bob.signed(&build_link());
            change(&mut file, &eve);
            chain.raw.insert(bob.path(), file.to_string().into_bytes());
        })
    };
    let changed = with(|file, _| file["signed"]["products"]["app"]["sha256"] = json!("dd"));
    assert_eq!(finding(&changed), Finding::Signature(SignatureProblem::Invalid));
    // The certificate of somebody else.
    let foreign = with(|file, eve| file["signatures"][0]["cert"] = json!(eve.pem));
    assert_eq!(finding(&foreign), Finding::Certificate(CertificateProblem::KeyId));
    let none = with(|file, _| drop(file["signatures"][0].as_object_mut().unwrap().remove("cert")));
    assert_eq!(finding(&none), Finding::NotAuthorised);
    let broken = with(|file, _| file["signatures"][0]["cert"] = json!("no certificate"));
    assert_eq!(finding(&broken), Finding::Certificate(x509::Unusable::NotPem.into()));
}

#[test]
fn chains_are_sought_for_so_many_certificates_and_no_more() {
    let authority = Authority::new();
    let (bob, carol) = (authority.issue(|_| ()), authority.issue(|_| ()));
    let chain = |most: usize| known_by(&authority, &[&bob, &carol]).with(|chain| chain.limits.certificates = most);
    assert!(chain(2).verify().is_ok());
    let error = chain(1).refusal();
    assert!(matches!(error, Error::Limit { what: "certificates to verify", limit: 1, found: 2, .. }), "{error}");
}

#[test]
fn thresholds_count_keys_of_certificates() {
    let authority = Authority::new();
    let (bob, eve) = (authority.issue(|_| ()), authority.issue(|_| ()));
    let two = |holders: &[&Holder]| known_by(&authority, holders).with(|chain| chain.build()["threshold"] = json!(2));
    assert!(two(&[&bob, &eve]).verify().is_ok());
    assert_eq!(finding(&two(&[&bob])), Finding::Verified);
    assert_eq!(two(&[&bob]).code(), "in-toto/threshold-not-met");
    // One whose key is listed under another name is not two.
    let listed = two(&[&bob]).with(|chain| {
        let twin = "ab".repeat(32);
        let mut object = bob.key.key_object().unwrap();
        object["keyid"] = json!(twin);
        chain.layout["keys"][&twin] = object;
        chain.build()["pubkeys"] = json!([twin]);
        let mut file: Value = bob.signed(&build_link());
        file["signatures"][0]["keyid"] = json!(twin);
        chain.raw.insert("build.abababab.link".to_owned(), file.to_string().into_bytes());
    });
    assert!(matches!(listed.refusal(), Error::ThresholdNotMet { verified: 1, .. }));
    // Whoever is not asked for by certificate is none where there are no constraints.
    let none = known_by(&authority, &[&bob]).with(|chain| {
        chain.build().as_object_mut().unwrap().remove("cert_constraints").unwrap();
        chain.build()["pubkeys"] = json!([keyid(BOB)]);
    });
    assert_eq!(finding(&none), Finding::NoLink);
}

#[test]
fn a_sublayout_is_not_handed_in_by_certificate() {
    let authority = Authority::new();
    let bob = authority.issue(|_| ());
    let chain = known_by(&authority, &[]).with(|chain| {
        chain.options.sublayouts = Sublayouts::Allow { depth: 1 };
        let inner = layout(&[BOB], vec![step("build", &[BOB], 1, json!([]), json!([]))]);
        chain.raw.insert(bob.path(), bob.signed(&inner).to_string().into_bytes());
    });
    assert!(matches!(chain.refusal(), Error::SublayoutBySubkey { .. }));
}

#[test]
fn authorities_that_cannot_be_read_refuse_the_layout() {
    let authority = Authority::new();
    let problem = |change: fn(&mut Value)| {
        known_by(&authority, &[]).with(|chain| change(&mut chain.layout["rootcas"]["ca".repeat(32)])).problem().2
    };
    let not_pem = problem(|root| root["keyval"]["certificate"] = json!("no certificate"));
    assert_eq!(not_pem, Problem::Certificate(x509::Unusable::NotPem));
    assert!(matches!(problem(|root| root["keyid"] = json!("abcdef0123")), Problem::KeyIdMismatch { .. }));
    let step = known_by(&authority, &[]).with(|chain| chain.build()["cert_constraints"][0]["domain"] = json!([]));
    assert_eq!(step.problem().2, Problem::Unknown("domain".to_owned()));
}
