use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents},
};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;

use super::*;

const MESSAGE: &[u8] = b"a link";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

/// Version 4, of a binary document, by EdDSA, with SHA-256, and a creation time among the hashed subpackets.
fn headers(algorithm: u8) -> Vec<u8> {
    vec![4, 0, algorithm, 8, 0, 6, 5, 2, 0x5e, 0x0b, 0xe1, 0]
}

fn signed(message: &[u8], headers: &[u8]) -> Vec<u8> {
    let length = u32::try_from(headers.len()).unwrap().to_be_bytes();
    [message, headers, &[4, 0xff], &length].concat()
}

fn eddsa() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn eddsa_object(seed: u8) -> Value {
    let public = SigningKey::from_bytes(&[seed; 32]).verifying_key();
    json!({
        "type": "eddsa", "method": "pgp+eddsa-ed25519", "hashes": ["pgp+SHA2"], "keyid": hex::encode([seed; 20]),
        "keyval": {"private": "", "public": {"q": hex::encode(public.as_bytes())}}, "creation_time": 1_577_836_800,
    })
}

fn sign_eddsa(headers: Vec<u8>) -> Signature {
    let digest = Sha256::of(&signed(MESSAGE, &headers));
    Signature { value: eddsa().sign(digest.as_bytes()).to_bytes().to_vec(), headers }
}

fn master(object: &Value) -> Key {
    Certificate::from_object(object).unwrap().master().clone()
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = eddsa_object(7);
    change(&mut object);
    object
}

#[test]
fn eddsa_signs_the_hash_of_document_headers_and_trailer() {
    let key = master(&eddsa_object(7));
    let signature = sign_eddsa(headers(22));
    assert_eq!(key.verify(MESSAGE, &signature, now()), Ok(()));
    assert_eq!(key.verify(b"another link", &signature, now()), Err(Rejected::Invalid));

    // The creation time is in the signed headers.
    let mut moved = signature.clone();
    *moved.headers.last_mut().unwrap() += 1;
    assert_eq!(key.verify(MESSAGE, &moved, now()), Err(Rejected::Invalid));
    let short = Signature { value: signature.value[1..].to_vec(), ..signature.clone() };
    assert_eq!(key.verify(MESSAGE, &short, now()), Err(Rejected::Invalid));
    assert_eq!(master(&eddsa_object(8)).verify(MESSAGE, &signature, now()), Err(Rejected::Invalid));
}

#[test]
fn a_signature_of_another_kind_does_not_count_though_it_is_valid() {
    let key = master(&eddsa_object(7));
    let changed = |index: usize, byte: u8| {
        let mut headers = headers(22);
        headers[index] = byte;
        headers
    };
    for (what, headers) in [
        ("version 3", changed(0, 3)),
        ("of a text", changed(1, 1)),
        ("over a key", changed(1, 0x13)),
        ("by RSA", changed(2, 1)),
        ("SHA-1", changed(3, 2)),
        ("SHA-512", changed(3, 10)),
        ("less hashed than said", changed(5, 7)),
        ("more hashed than said", changed(5, 5)),
        ("cut short", vec![4, 0, 22, 8, 0]),
        ("empty", Vec::new()),
    ] {
        assert_eq!(key.verify(MESSAGE, &sign_eddsa(headers), now()), Err(Rejected::Headers), "{what}");
    }
}

#[test]
fn a_key_counts_from_its_creation_until_its_expiry() {
    let verify = |object: &Value, now: &str| master(object).verify(MESSAGE, &sign_eddsa(headers(22)), at(now));
    let ten_days = with(|object| object["validity_period"] = json!(864_000));
    let (created, expires) = (at("2020-01-01T00:00:00Z"), at("2020-01-11T00:00:00Z"));
    assert_eq!(verify(&ten_days, "2019-12-31T23:59:59Z"), Err(Rejected::Future(created)));
    assert_eq!(verify(&ten_days, "2020-01-01T00:00:00Z"), Ok(()));
    assert_eq!(verify(&ten_days, "2020-01-10T23:59:59Z"), Ok(()));
    assert_eq!(verify(&ten_days, "2020-01-11T00:00:00Z"), Err(Rejected::Expired(expires)));
    assert_eq!(master(&ten_days).expires(), Some(expires));
    for period in [json!(0), Value::Null] {
        assert_eq!(verify(&with(|object| object["validity_period"] = period), "9000-01-01T00:00:00Z"), Ok(()));
    }
    // Demonstration keys of in-toto have no times at all.
    let timeless = with(|object| drop(object.as_object_mut().unwrap().remove("creation_time")));
    assert_eq!(verify(&timeless, "1970-01-01T00:00:00Z"), Ok(()));
}

#[test]
fn an_rsa_signature_is_a_number_of_at_most_the_moduluss_length() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::from(pair.public_key());
    let mut object = with(|object| {
        object["type"] = json!("rsa");
        object["method"] = json!("pgp+rsa-pkcsv1.5");
        object["keyval"]["public"] = json!({"n": hex::encode(&n), "e": hex::encode(e)});
    });
    let key = master(&object);
    // Until one begins with a zero: one in 256 does.
    let mut number = 0_u32;
    let (message, value) = loop {
        let message = number.to_be_bytes();
        let mut value = vec![0; 256];
        let signed = signed(&message, &headers(1));
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &signed, &mut value).unwrap();
        if value[0] == 0 {
            break (message, value);
        }
        number += 1;
    };
    let signature = |value: &[u8]| Signature { headers: headers(1), value: value.to_vec() };
    assert_eq!(key.verify(&message, &signature(&value), now()), Ok(()));
    assert_eq!(key.verify(&message, &signature(&value[1..]), now()), Ok(()));
    assert_eq!(key.verify(&message, &signature(&[&[0], value.as_slice()].concat()), now()), Err(Rejected::Invalid));
    assert_eq!(key.verify(&message, &signature(&[]), now()), Err(Rejected::Invalid));
    assert_eq!(key.verify(b"", &signature(&value), now()), Err(Rejected::Invalid));

    // One key, however its numbers are written, and the same as in a PEM.
    object["keyval"]["public"]["n"] = json!(format!("00{}", hex::encode(&n)));
    assert_eq!(master(&object), key);
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key());
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", der.unwrap().as_ref()));
    assert_eq!(key.material(), PublicKey::from_pem(&pem).unwrap().material());
}

#[test]
fn a_key_that_could_not_verify_is_refused() {
    let refusal = |change: fn(&mut Value)| Certificate::from_object(&with(change)).unwrap_err();
    let rsa = |object: &mut Value, n: &str| {
        object["type"] = json!("rsa");
        object["method"] = json!("pgp+rsa-pkcsv1.5");
        object["keyval"]["public"] = json!({"n": n, "e": "010001"});
    };
    let dsa = with(|object| {
        object["type"] = json!("dsa");
        object["method"] = json!("pgp+dsa-fips-180-2");
    });
    assert_eq!(Certificate::from_object(&dsa), Err(Unusable::Dsa));
    assert!(matches!(refusal(|object| object["method"] = json!("pgp+rsa-pkcsv1.5")), Unusable::Unsupported { .. }));
    assert_eq!(refusal(|object| object["hashes"] = json!(["pgp+SHA1"])), Unusable::Member("/hashes"));
    assert_eq!(refusal(|object| object["hashes"] = Value::Null), Unusable::Member("/hashes"));
    let q = |object: &mut Value| object["keyval"]["public"]["q"] = json!("00");
    assert_eq!(refusal(q), Unusable::Member("/keyval/public/q"));
    assert_eq!(refusal(|object| object["creation_time"] = json!(-1)), Unusable::Member("/creation_time"));
    assert_eq!(refusal(|object| object["validity_period"] = json!("1")), Unusable::Member("/validity_period"));
    assert_eq!(refusal(|object| object["validity_period"] = json!(u64::MAX)), Unusable::Member("/validity_period"));
    let no_beginning = |object: &mut Value| {
        object["validity_period"] = json!(1);
        object["creation_time"] = Value::Null;
    };
    assert_eq!(refusal(no_beginning), Unusable::Member("/creation_time"));
    for n in ["", "00"] {
        let object = with(|object| rsa(object, n));
        assert_eq!(Certificate::from_object(&object), Err(KeyError::Malformed("rsa").into()), "{n}");
    }
    // Of small order: one signature would fit many documents.
    let weak = with(|object| object["keyval"]["public"]["q"] = json!(format!("01{}", "00".repeat(31))));
    assert_eq!(Certificate::from_object(&weak), Err(KeyError::Weak.into()));
}

#[test]
fn subkeys_are_listed_under_their_own_ids() {
    let id = hex::encode([8; 20]);
    let good = with(|object| object["subkeys"] = json!({&id: eddsa_object(8)}));
    let certificate = Certificate::from_object(&good).unwrap();
    assert_eq!(certificate.keys().map(|key| key.id().as_str()).collect::<Vec<_>>(), [&hex::encode([7; 20]), &id]);

    let refusal = |subkeys: Value| Certificate::from_object(&with(|object| object["subkeys"] = subkeys)).unwrap_err();
    assert_eq!(refusal(json!({"abcdef0123": eddsa_object(8)})), Unusable::Subkey("abcdef0123".to_owned()));
    assert_eq!(refusal(json!({hex::encode([7; 20]): eddsa_object(7)})), Unusable::Subkey(hex::encode([7; 20])));
    assert_eq!(refusal(json!({&id: good})), Unusable::Subkey(id.clone()));
    let mut nested = eddsa_object(8);
    nested["subkeys"] = json!({});
    assert_eq!(refusal(json!({&id: nested})), Unusable::Subkey(id));
    assert_eq!(refusal(json!([])), Unusable::Member("subkeys"));
    let many: serde_json::Map<_, _> = (0..33).map(|seed| (hex::encode([seed; 20]), eddsa_object(seed))).collect();
    assert_eq!(refusal(Value::Object(many)), Unusable::TooManySubkeys { found: 33, limit: 32 });
}

mod certificates;
