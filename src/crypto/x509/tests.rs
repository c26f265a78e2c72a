use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_ED25519, SanType,
};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-06-01T00:00:00Z")
}

fn date(year: i32) -> time::OffsetDateTime {
    rcgen::date_time_ymd(year, 1, 1)
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date(2020), date(2040));
    params
}

fn holder() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Bob");
    params.distinguished_name.push(DnType::OrganizationName, "Acme");
    params.subject_alt_names = vec![
        SanType::DnsName("build.acme.example".try_into().unwrap()),
        SanType::Rfc822Name("bob@acme.example".try_into().unwrap()),
        SanType::URI("spiffe://acme.example/build".try_into().unwrap()),
    ];
    (params.not_before, params.not_after) = (date(2025), date(2027));
    params
}

/// Root, intermediate and a certificate of the holder, each changed before it is signed.
fn chain(
    root: impl FnOnce(&mut CertificateParams),
    between: impl FnOnce(&mut CertificateParams),
    leaf: impl FnOnce(&mut CertificateParams),
) -> (Authorities, Certificate) {
    let key = || KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let (root_key, between_key) = (key(), key());
    let (mut root_params, mut between_params, mut leaf_params) = (authority("root"), authority("between"), holder());
    root(&mut root_params);
    between(&mut between_params);
    leaf(&mut leaf_params);
    let read = |certificate: &rcgen::Certificate| Certificate::from_pem(&certificate.pem()).unwrap();
    let roots = vec![read(&root_params.self_signed(&root_key).unwrap())];
    let by_root = Issuer::new(root_params, &root_key);
    let intermediates = vec![read(&between_params.signed_by(&between_key, &by_root).unwrap())];
    let by_between = Issuer::new(between_params, &between_key);
    let leaf = read(&leaf_params.signed_by(&key(), &by_between).unwrap());
    (Authorities { roots, intermediates }, leaf)
}

fn plain() -> (Authorities, Certificate) {
    chain(|_| (), |_| (), |_| ())
}

fn is_trusted(chain: &(Authorities, Certificate)) -> bool {
    chain.0.verify(&chain.1, now()).is_ok()
}

#[test]
fn a_certificate_says_who_holds_it() {
    let (_, certificate) = plain();
    let names = Names {
        common_name: "Bob".to_owned(),
        organizations: vec!["Acme".to_owned()],
        dns_names: vec!["build.acme.example".to_owned()],
        emails: vec!["bob@acme.example".to_owned()],
        uris: vec!["spiffe://acme.example/build".to_owned()],
    };
    assert_eq!(certificate.names(), &names);
    assert_eq!(&PublicKey::from_pem(&certificate.key_pem()).unwrap(), certificate.key());
}

#[test]
fn a_chain_leads_from_a_root_to_the_holder() {
    let (authorities, certificate) = plain();
    assert_eq!(authorities.verify(&certificate, now()), Ok(at("2027-01-01T00:00:00Z")));
    let without_root = Authorities { roots: Vec::new(), ..authorities.clone() };
    assert!(!is_trusted(&(without_root, certificate.clone())));
    let without_between = Authorities { intermediates: Vec::new(), ..authorities.clone() };
    assert!(!is_trusted(&(without_between, certificate.clone())));
    // Of the same names, by other keys.
    let (others, _) = plain();
    assert!(!is_trusted(&(Authorities { roots: others.roots, ..authorities }, certificate)));
}

#[test]
fn each_certificate_of_the_chain_has_its_time() {
    let before_now = |params: &mut CertificateParams| params.not_after = date(2026);
    let after_now = |params: &mut CertificateParams| params.not_before = date(2030);
    assert!(!is_trusted(&chain(before_now, |_| (), |_| ())));
    assert!(!is_trusted(&chain(after_now, |_| (), |_| ())));
    assert!(!is_trusted(&chain(|_| (), before_now, |_| ())));
    assert!(!is_trusted(&chain(|_| (), |_| (), before_now)));
    assert!(!is_trusted(&chain(|_| (), |_| (), |params| params.not_before = at_2027())));
    // The first that ends, ends the chain.
    let soon = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2026, 7, 1);
    let ends = |(authorities, leaf): (Authorities, Certificate)| authorities.verify(&leaf, now()).unwrap();
    assert_eq!(ends(chain(soon, |_| (), |_| ())), at("2026-07-01T00:00:00Z"));
    assert_eq!(ends(chain(|_| (), soon, |_| ())), at("2026-07-01T00:00:00Z"));
    assert_eq!(ends(chain(|_| (), |_| (), soon)), at("2026-07-01T00:00:00Z"));
}

fn at_2027() -> time::OffsetDateTime {
    rcgen::date_time_ymd(2026, 12, 1)
}

#[test]
fn usages_must_allow_what_go_asks_for() {
    let used_for = |purpose: ExtendedKeyUsagePurpose| {
        is_trusted(&chain(|_| (), |_| (), |params| params.extended_key_usages = vec![purpose]))
    };
    assert!(used_for(ExtendedKeyUsagePurpose::ServerAuth));
    assert!(!used_for(ExtendedKeyUsagePurpose::CodeSigning));
    assert!(!used_for(ExtendedKeyUsagePurpose::ClientAuth));
}

#[test]
fn only_authorities_issue_certificates_and_do_not_sign_links() {
    assert!(!is_trusted(&chain(|_| (), |params| params.is_ca = IsCa::ExplicitNoCa, |_| ())));
    let (authorities, _) = plain();
    let between = authorities.intermediates[0].clone();
    assert!(!is_trusted(&(authorities, between)));
}

/// Certificates that issue one another under one name: ways without number, and none of them leads to a root.
#[test]
fn ways_to_a_root_are_not_tried_without_end() {
    let key = || KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let read = |certificate: &rcgen::Certificate| Certificate::from_pem(&certificate.pem()).unwrap();
    let by = key();
    let issuer = Issuer::new(authority("between"), &by);
    let leaf = read(&holder().signed_by(&key(), &issuer).unwrap());
    let roots = vec![read(&authority("root").self_signed(&key()).unwrap())];
    let crossing = |number: usize| {
        let intermediates = (0..number).map(|_| read(&authority("between").signed_by(&key(), &issuer).unwrap()));
        Authorities { roots: roots.clone(), intermediates: intermediates.collect() }
    };
    let why = |number: usize| crossing(number).verify(&leaf, now()).unwrap_err().0;
    assert_eq!(why(1), "no chain leads to a root");
    assert_eq!(why(30), "MaximumPathBuildCallsExceeded");

    // One after another, and no shorter way.
    let chain = |length: usize| {
        let keys: Vec<KeyPair> = (0..=length).map(|_| key()).collect();
        let name = |at: usize| authority(&format!("authority {at}"));
        let roots = vec![read(&name(0).self_signed(&keys[0]).unwrap())];
        let issued =
            |at: usize| read(&name(at).signed_by(&keys[at], &Issuer::new(name(at - 1), &keys[at - 1])).unwrap());
        let intermediates = (1..=length).map(issued).collect();
        let leaf = read(&holder().signed_by(&key(), &Issuer::new(name(length), &keys[length])).unwrap());
        Authorities { roots, intermediates }.verify(&leaf, now())
    };
    assert!(chain(6).is_ok());
    assert!(chain(7).is_err());
}

#[test]
fn what_is_not_one_certificate_is_refused() {
    let (_, certificate) = plain();
    let pem = |tag: &str, der: &[u8]| pem::encode(&pem::Pem::new(tag, der));
    let refusal = |text: &str| Certificate::from_pem(text).unwrap_err();
    assert_eq!(refusal(""), Unusable::NotPem);
    assert_eq!(refusal(&pem("PUBLIC KEY", &certificate.der)), Unusable::NotPem);
    assert!(matches!(refusal(&pem("CERTIFICATE", &certificate.der[1..])), Unusable::Malformed(_)));
    let longer = [certificate.der.as_slice(), &[0]].concat();
    assert_eq!(refusal(&pem("CERTIFICATE", &longer)), Unusable::Malformed("bytes are left over"));
    let of_characters = |number: usize| {
        let text = pem("CERTIFICATE", &certificate.der);
        format!("{}{text}", " ".repeat(number - text.len()))
    };
    assert!(Certificate::from_pem(&of_characters(MAX_CHARACTERS)).is_ok());
    let too_large = Unusable::Malformed("it has more than 65536 characters");
    assert_eq!(refusal(&of_characters(MAX_CHARACTERS + 1)), too_large);
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut twice = holder();
    twice.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "Mallory");
    let twice = twice.self_signed(&key).unwrap().pem();
    assert_eq!(refusal(&twice), Unusable::Malformed("its subject has two common names"));
}
