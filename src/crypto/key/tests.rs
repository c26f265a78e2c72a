use super::*;
use crate::publish::SigningKey;

fn schemes() -> [Scheme; 5] {
    [Scheme::Ed25519, Scheme::EcdsaP256Sha256, Scheme::EcdsaP384Sha384, Scheme::EcdsaP521Sha512, Scheme::RsaPssSha256]
}

#[test]
fn verifies_what_was_signed_and_nothing_else() {
    for scheme in schemes() {
        let key = SigningKey::generate(scheme).unwrap();
        let public = key.public().unwrap();
        let mut signature = key.sign(b"message").unwrap();
        assert_eq!(public.verify(b"message", &signature), Ok(()), "{scheme:?}");
        assert_eq!(public.verify(b"messagf", &signature), Err(SignatureError), "{scheme:?}");
        let last = signature.len() - 1;
        signature[last] ^= 1;
        assert_eq!(public.verify(b"message", &signature), Err(SignatureError), "{scheme:?}");
        assert_eq!(public.verify(b"message", &[]), Err(SignatureError), "{scheme:?}");
        let other = SigningKey::generate(scheme).unwrap();
        assert_eq!(public.verify(b"message", &other.sign(b"message").unwrap()), Err(SignatureError), "{scheme:?}");
    }
}

#[test]
fn survives_a_round_trip_through_pem() {
    for scheme in schemes() {
        let key = SigningKey::generate(scheme).unwrap();
        let again = SigningKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.scheme(), scheme);
        assert_eq!(again.public().unwrap(), key.public().unwrap());
        let from_file = PublicKey::from_pem(&key.public_pem().unwrap()).unwrap();
        assert_eq!(from_file, key.public().unwrap());
    }
}

#[test]
fn one_rsa_key_is_one_material_under_two_schemes() {
    let key = SigningKey::generate(Scheme::RsaPssSha256).unwrap();
    let pem = key.public_pem().unwrap();
    let pss = PublicKey::from_parts("rsa", "rsassa-pss-sha256", &pem).unwrap();
    let pkcs = PublicKey::from_parts("rsa", "rsa-pkcs1v15-sha256", pem.trim_end()).unwrap();
    assert_ne!(pss, pkcs);
    assert_eq!(pss.material(), pkcs.material());
}

#[test]
fn type_scheme_and_key_must_fit() {
    let pem = |scheme| SigningKey::generate(scheme).unwrap().public_pem().unwrap();
    let rsa = pem(Scheme::RsaPssSha256);
    assert!(matches!(PublicKey::from_parts("rsa", "ed25519", &rsa), Err(KeyError::Unsupported { .. })));
    assert!(matches!(PublicKey::from_parts("ed25519", "ed25519", &rsa), Err(KeyError::Malformed(_))));
    assert!(matches!(PublicKey::from_parts("ecdsa", "ecdsa-sha2-nistp256", &rsa), Err(KeyError::Malformed(_))));
    let p384 = pem(Scheme::EcdsaP384Sha384);
    assert!(matches!(PublicKey::from_parts("ecdsa", "ecdsa-sha2-nistp256", &p384), Err(KeyError::Malformed(_))));
    assert!(PublicKey::from_parts("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", &p384).is_ok());
    assert!(matches!(PublicKey::from_parts("rsa", "rsassa-pss-sha256", &p384), Err(KeyError::Malformed(_))));
}

#[test]
fn small_order_ed25519_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(PublicKey::from_parts("ed25519", "ed25519", &hex::encode(identity)), Err(KeyError::Weak));
}

#[test]
fn keyid_is_that_of_securesystemslib() {
    // securesystemslib 1.4: SSlibKey id of the all-zero seed, from canonical {keytype, keyval, scheme}.
    let key = SigningKey::ed25519_from_seed([0; 32]);
    let object = r#"{"keytype":"ed25519","keyval":{"public":"3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"},"scheme":"ed25519"}"#;
    assert_eq!(key.keyid().unwrap().as_str(), Sha256::of(object.as_bytes()).to_string());
}
