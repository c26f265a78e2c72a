//! Functionaries and owners with OpenPGP keys, in Metablocks.

use super::*;
use crate::crypto::openpgp::{Rejected, Unusable};

/// A master key and two subkeys.
const MASTER: u8 = 20;
const SUB: u8 = 21;
const OTHER_SUB: u8 = 22;
const CREATED: i64 = 1_577_836_800;

fn gpg_id(seed: u8) -> String {
    hex::encode([seed; 20])
}

fn gpg_key(seed: u8, subkeys: &[u8]) -> Value {
    let public = key_object(seed)["keyval"]["public"].clone();
    let mut object = json!({
        "type": "eddsa", "method": "pgp+eddsa-ed25519", "hashes": ["pgp+SHA2"], "keyid": gpg_id(seed),
        "keyval": {"private": "", "public": {"q": public}}, "creation_time": CREATED,
    });
    if !subkeys.is_empty() {
        object["subkeys"] = subkeys.iter().map(|sub| (gpg_id(*sub), gpg_key(*sub, &[]))).collect();
    }
    object
}

fn gpg_signature(payload: &Value, seed: u8) -> Value {
    let headers = [4, 0, 22, 8, 0, 0];
    let trailer = [4, 0xff, 0, 0, 0, 6];
    let digest = crate::crypto::Sha256::of(&[strict::canonical(payload).as_slice(), &headers, &trailer].concat());
    let signature = signer(seed).sign(digest.as_bytes()).unwrap();
    json!({"keyid": gpg_id(seed), "signature": hex::encode(signature), "other_headers": hex::encode(headers)})
}

fn gpg_metablock(payload: &Value, seeds: &[u8]) -> Vec<u8> {
    let signatures: Vec<Value> = seeds.iter().map(|seed| gpg_signature(payload, *seed)).collect();
    json!({"signed": payload, "signatures": signatures}).to_string().into_bytes()
}

fn gpg_path(seed: u8) -> String {
    format!("build.{}.link", &gpg_id(seed)[..8])
}

/// The good chain, whose step `build` is for the holder of an OpenPGP key; `signers` made links.
fn with_gpg(signers: &[u8]) -> Chain {
    good().with(|chain| {
        chain.links.remove(&path("build", BOB));
        chain.layout["keys"][gpg_id(MASTER)] = gpg_key(MASTER, &[SUB, OTHER_SUB]);
        chain.build()["pubkeys"] = json!([gpg_id(MASTER)]);
        for seed in signers {
            chain.raw.insert(gpg_path(*seed), gpg_metablock(&build_link(), &[*seed]));
        }
    })
}

fn findings(chain: &Chain) -> Vec<Finding> {
    match chain.refusal() {
        Error::ThresholdNotMet { functionaries, .. } => functionaries.into_iter().map(|found| found.finding).collect(),
        other => panic!("{other}"),
    }
}

fn key_of(chain: &mut Chain) -> &mut Value {
    &mut chain.layout["keys"][gpg_id(MASTER)]
}

#[test]
fn a_master_key_and_its_subkeys_sign_for_their_functionary() {
    for seed in [MASTER, SUB, OTHER_SUB] {
        let verified = with_gpg(&[seed]).verify().unwrap();
        let (_, build) = verified.last_step().unwrap();
        assert_eq!(build.functionaries, [gpg_id(seed).as_str().into()]);
    }
    assert_eq!(findings(&with_gpg(&[])), [Finding::NoLink]);
}

#[test]
fn a_link_by_someone_else_under_a_functionarys_name_does_not_count() {
    let chain = with_gpg(&[]).with(|chain| {
        let mut file: Value = serde_json::from_slice(&gpg_metablock(&build_link(), &[BOB])).unwrap();
        file["signatures"][0]["keyid"] = json!(gpg_id(MASTER));
        chain.raw.insert(gpg_path(MASTER), file.to_string().into_bytes());
    });
    assert_eq!(findings(&chain), [Finding::Signature(Rejected::Invalid.into())]);
}

#[test]
fn master_and_subkeys_are_one_functionary() {
    let two = |signers: &[u8]| {
        with_gpg(signers).with(|chain| {
            chain.build()["pubkeys"] = json!([gpg_id(MASTER), keyid(CAROL)]);
            chain.build()["threshold"] = json!(2);
        })
    };
    let same = || Finding::SameKeyAs(gpg_id(MASTER).as_str().into());
    assert_eq!(findings(&two(&[MASTER, SUB, OTHER_SUB])), [Finding::Verified, same(), same(), Finding::NoLink]);
    assert!(two(&[SUB]).with(|chain| chain.add("build", CAROL, build_link())).verify().is_ok());
}

#[test]
fn subkeys_that_are_named_one_by_one_are_one_functionary() {
    let chain = with_gpg(&[SUB, OTHER_SUB]).with(|chain| {
        chain.build()["pubkeys"] = json!([gpg_id(SUB), gpg_id(OTHER_SUB)]);
        chain.build()["threshold"] = json!(2);
    });
    assert_eq!(findings(&chain), [Finding::Verified, Finding::SameKeyAs(gpg_id(SUB).as_str().into())]);
}

#[test]
fn who_has_any_key_material_in_common_is_one_functionary() {
    // The subkey's material is listed once more, as a plain key.
    let chain = with_gpg(&[MASTER]).with(|chain| {
        chain.layout["keys"][keyid(SUB).as_str()] = key_object(SUB);
        chain.build()["pubkeys"] = json!([gpg_id(MASTER), keyid(SUB)]);
        chain.build()["threshold"] = json!(2);
        chain.add("build", SUB, build_link());
    });
    assert_eq!(findings(&chain), [Finding::Verified, Finding::SameKeyAs(gpg_id(MASTER).as_str().into())]);

    // Two masters, with one subkey that has another fingerprint in each.
    let chain = with_gpg(&[MASTER]).with(|chain| {
        let (second, mut shared) = (gpg_key(30, &[]), gpg_key(SUB, &[]));
        shared["keyid"] = json!(gpg_id(31));
        chain.layout["keys"][gpg_id(30)] = second;
        chain.layout["keys"][gpg_id(30)]["subkeys"] = json!({gpg_id(31): shared});
        chain.build()["pubkeys"] = json!([gpg_id(MASTER), gpg_id(30)]);
        chain.build()["threshold"] = json!(2);
        chain.raw.insert(gpg_path(30), gpg_metablock(&build_link(), &[30]));
    });
    assert_eq!(findings(&chain), [Finding::Verified, Finding::SameKeyAs(gpg_id(MASTER).as_str().into())]);
}

#[test]
fn where_a_subkey_is_named_master_and_other_subkeys_may_not_sign() {
    let named = |signers: &[u8]| with_gpg(signers).with(|chain| chain.build()["pubkeys"] = json!([gpg_id(SUB)]));
    assert!(named(&[SUB]).verify().is_ok());
    for seed in [MASTER, OTHER_SUB] {
        assert_eq!(findings(&named(&[seed])), [Finding::NoLink, Finding::NotAuthorised]);
        // Nor under the name of the subkey that may.
        let chain = named(&[]);
        let chain = chain.with(|chain| drop(chain.raw.insert(gpg_path(SUB), gpg_metablock(&build_link(), &[seed]))));
        assert_eq!(findings(&chain), [Finding::Signature(SignatureProblem::NotAuthorised)]);
    }
}

#[test]
fn the_first_signature_of_the_family_counts() {
    let chain = |signers: &[u8]| {
        with_gpg(&[]).with(|chain| {
            chain.build()["pubkeys"] = json!([gpg_id(SUB)]);
            chain.raw.insert(gpg_path(SUB), gpg_metablock(&build_link(), signers));
        })
    };
    assert!(chain(&[SUB, MASTER]).verify().is_ok());
    // As the reference has it: it would verify the master's, and so does not accept.
    assert_eq!(findings(&chain(&[MASTER, SUB])), [Finding::Signature(SignatureProblem::NotAuthorised)]);
}

#[test]
fn links_by_two_keys_of_one_functionary_must_agree() {
    let chain = with_gpg(&[SUB]).with(|chain| {
        let mut other = build_link();
        other["products"]["app"]["sha256"] = json!("ee");
        chain.raw.insert(gpg_path(OTHER_SUB), gpg_metablock(&other, &[OTHER_SUB]));
    });
    assert_eq!(chain.code(), "in-toto/link-disagreement");
}

#[test]
fn a_link_by_an_expired_key_is_left_out() {
    let expired = |chain: &mut Chain| key_of(chain)["validity_period"] = json!(60);
    let expires = Timestamp::from_second(CREATED + 60).unwrap();
    assert_eq!(findings(&with_gpg(&[MASTER]).with(expired)), [Finding::Signature(Rejected::Expired(expires).into())]);
    // The key that signed is looked at, as the reference does it, and not its master.
    assert!(with_gpg(&[SUB]).with(expired).verify().is_ok());
    // Another functionary makes up for it.
    let chain = with_gpg(&[MASTER]).with(expired).with(|chain| {
        chain.build()["pubkeys"] = json!([gpg_id(MASTER), keyid(BOB)]);
        chain.add("build", BOB, build_link());
    });
    assert!(chain.verify().is_ok());
}

#[test]
fn a_key_from_the_future_does_not_count() {
    let chain = with_gpg(&[MASTER]).with(|chain| key_of(chain)["creation_time"] = json!(4_000_000_000_u32));
    let created = Timestamp::from_second(4_000_000_000).unwrap();
    assert_eq!(findings(&chain), [Finding::Signature(Rejected::Future(created).into())]);
}

#[test]
fn a_key_without_which_there_are_too_few_is_an_end_of_the_whole() {
    let end = |chain: &Chain| {
        let verified = chain.verify().unwrap();
        let keys = verified.keys_expire().iter();
        (verified.earliest_expiry().to_string(), keys.map(|key| key.keyid.short().to_owned()).collect::<Vec<_>>())
    };
    let until_2029 = |chain: &mut Chain| {
        let seconds = "2029-06-01T00:00:00Z".parse::<Timestamp>().unwrap().as_second() - CREATED;
        key_of(chain)["validity_period"] = json!(seconds);
        key_of(chain)["subkeys"][gpg_id(SUB)]["validity_period"] = json!(seconds - 86400);
    };
    let short = |seed| gpg_id(seed)[..8].to_owned();
    assert_eq!(end(&with_gpg(&[MASTER])), ("2030-01-01T00:00:00Z".to_owned(), vec![]));
    let chain = with_gpg(&[MASTER]).with(until_2029);
    assert_eq!(end(&chain), ("2029-06-01T00:00:00Z".to_owned(), vec![short(MASTER)]));
    // A functionary lasts as long as the last of their signatures.
    let chain = with_gpg(&[SUB]).with(until_2029);
    assert_eq!(end(&chain), ("2029-05-31T00:00:00Z".to_owned(), vec![short(SUB)]));
    let chain = with_gpg(&[MASTER, SUB]).with(until_2029);
    assert_eq!(end(&chain), ("2029-06-01T00:00:00Z".to_owned(), vec![short(MASTER)]));
    // And a step as long as enough functionaries.
    let chain = with_gpg(&[MASTER]).with(until_2029).with(|chain| {
        chain.build()["pubkeys"] = json!([gpg_id(MASTER), keyid(BOB)]);
        chain.add("build", BOB, build_link());
    });
    assert_eq!(end(&chain), ("2030-01-01T00:00:00Z".to_owned(), vec![]));
    assert_eq!(end(&chain.with(|chain| chain.build()["threshold"] = json!(2))).1, [short(MASTER)]);
}

fn owned(key: Value, signers: &[u8]) -> Chain {
    good().with(|chain| {
        chain.keys = vec![LayoutKey::parse(key.to_string().as_bytes()).unwrap()];
        chain.raw_layout = Some(gpg_metablock(&chain.layout, signers));
    })
}

#[test]
fn a_layout_may_be_signed_by_a_master_key_or_a_subkey() {
    for seed in [MASTER, SUB] {
        let verified = owned(gpg_key(MASTER, &[SUB]), &[seed]).verify().unwrap();
        assert_eq!(verified.layout_signers(), [gpg_id(MASTER).as_str().into()]);
    }
    assert_eq!(owned(gpg_key(MASTER, &[SUB]), &[OTHER_SUB]).code(), "in-toto/layout-signature");
}

#[test]
fn a_layout_by_an_expired_key_is_refused() {
    let mut key = gpg_key(MASTER, &[]);
    key["validity_period"] = json!(60);
    let expired = Rejected::Expired(Timestamp::from_second(CREATED + 60).unwrap());
    let missing = vec![(gpg_id(MASTER).as_str().into(), expired.into())];
    let error = owned(key.clone(), &[MASTER]).refusal();
    assert_eq!(error, Error::LayoutSignature { threshold: 1, verified: 0, missing });

    key["validity_period"] = json!(300_000_000);
    let chain = owned(key, &[MASTER]);
    let verified = chain.verify().unwrap();
    let expires = Timestamp::from_second(CREATED + 300_000_000).unwrap();
    let end = KeyExpiry { keyid: gpg_id(MASTER).as_str().into(), step: None, expires };
    assert_eq!((verified.keys_expire(), verified.earliest_expiry()), ([end].as_slice(), expires));
    assert_eq!(chain.with(|chain| chain.now = expires).code(), "in-toto/layout-signature");
}

#[test]
fn owners_who_share_key_material_count_once() {
    let mut shared = gpg_key(SUB, &[]);
    shared["keyid"] = json!(gpg_id(31));
    let chain = owned(gpg_key(MASTER, &[SUB]), &[]).with(|chain| {
        let key = shared.to_string();
        chain.keys.push(LayoutKey::parse(key.as_bytes()).unwrap());
        chain.options.layout_threshold = threshold(2);
        let mut second = gpg_signature(&chain.layout, SUB);
        second["keyid"] = json!(gpg_id(31));
        let signatures = [gpg_signature(&chain.layout, MASTER), second];
        let file = json!({"signed": chain.layout, "signatures": signatures});
        chain.raw_layout = Some(file.to_string().into_bytes());
    });
    assert!(matches!(chain.refusal(), Error::LayoutSignature { verified: 1, missing, .. } if missing.is_empty()));
    assert!(chain.with(|chain| chain.options.layout_threshold = None).verify().is_ok());
}

#[test]
fn a_plain_signature_does_not_count_for_an_openpgp_key_nor_one_in_an_envelope() {
    let plain = with_gpg(&[]).with(|chain| {
        let mut file: Value = serde_json::from_slice(&metablock(&build_link(), &[MASTER])).unwrap();
        file["signatures"][0]["keyid"] = json!(gpg_id(MASTER));
        chain.raw.insert(gpg_path(MASTER), file.to_string().into_bytes());
    });
    assert_eq!(findings(&plain), [Finding::Signature(SignatureProblem::Invalid)]);
    let dsse = with_gpg(&[]).with(|chain| {
        let mut file = envelope("application/vnd.in-toto+json", build_link().to_string().as_bytes(), &[MASTER]);
        file["signatures"][0]["keyid"] = json!(gpg_id(MASTER));
        chain.raw.insert(gpg_path(MASTER), file.to_string().into_bytes());
    });
    assert_eq!(findings(&dsse), [Finding::Signature(SignatureProblem::Invalid)]);
}

#[test]
fn a_dsa_key_refuses_the_layout_with_a_code_of_its_own() {
    let chain = with_gpg(&[MASTER]).with(|chain| {
        let key = key_of(chain);
        key["type"] = json!("dsa");
        key["method"] = json!("pgp+dsa-fips-180-2");
    });
    let keyid = gpg_id(MASTER).as_str().into();
    assert_eq!(chain.refusal(), Error::UnsupportedKey { keyid, problem: Unusable::Dsa.into() });
    assert_eq!(chain.code(), "in-toto/dsa-key");
}

#[test]
fn an_id_stands_for_one_key() {
    let subkey_twice = |chain: &mut Chain| chain.layout["keys"][gpg_id(30)] = gpg_key(30, &[SUB]);
    let subkey_as_master = |chain: &mut Chain| chain.layout["keys"][gpg_id(SUB)] = gpg_key(SUB, &[]);
    for change in [subkey_twice, subkey_as_master] {
        let (_, _, problem) = with_gpg(&[MASTER]).with(change).problem();
        assert_eq!(problem, Problem::DuplicateKeyId(gpg_id(SUB).as_str().into()));
    }
}

#[test]
fn a_sublayout_is_named_for_a_master_key() {
    let sublayout = |seed: u8| {
        with_gpg(&[]).with(|chain| {
            chain.options.sublayouts = Sublayouts::Allow { depth: 1 };
            let inner = step("build", &[BOB], 1, json!([]), json!([]));
            chain.raw.insert(gpg_path(seed), gpg_metablock(&layout(&[BOB], vec![inner]), &[seed]));
            let name = format!("build.{}/{}", &gpg_id(seed)[..8], path("build", BOB));
            chain.raw.insert(name, metablock(&build_link(), &[BOB]));
        })
    };
    assert!(sublayout(MASTER).verify().is_ok());
    assert!(matches!(sublayout(SUB).refusal(), Error::SublayoutBySubkey { .. }));
    assert_eq!(sublayout(SUB).code(), "in-toto/sublayout-denied");
}
