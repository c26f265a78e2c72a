//! What published repositories are like, and what is taken from them although it looks odd; and rotations of the keys
//! that are not the root's.

use serde_json::{Value, json};

use crate::tuf::{
    Error, Role, TargetPath,
    testing::{Client, Repo, chain, file, found, keyid, sign, target},
};

#[test]
fn version_1_0_of_the_specification_is_what_the_oldest_tools_wrote() {
    let mut repo = Repo::new();
    for name in ["root", "targets", "snapshot", "timestamp"] {
        repo.role(name)["spec_version"] = json!("1.0");
    }
    repo.publish_as_is("root");
    repo.publish_all();
    assert!(Client::new(&repo).refresh(&repo).is_ok());
}

#[test]
fn good_signatures_by_keys_that_the_role_does_not_name_are_passed_over() {
    let mut repo = Repo::new();
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let signed = repo.signed[name].clone();
        let seed = repo.signers[name][0];
        repo.serve(name, sign(&signed, &[90, seed, 91]));
    }
    assert!(Client::new(&repo).refresh(&repo).is_ok());
    let signed = repo.signed["timestamp"].clone();
    repo.serve("timestamp", sign(&signed, &[90, 91]));
    assert_eq!(Client::new(&repo).refresh(&repo).unwrap_err().code(), "tuf/signature-threshold");
}

#[test]
fn the_members_that_tuf_on_ci_adds_are_signed_and_nothing_else() {
    let mut repo = Repo::new();
    let root = repo.role("root");
    root["x-tuf-on-ci-expiry-period"] = json!(365);
    root["x-tuf-on-ci-signing-period"] = json!(60);
    root["keys"][keyid(1)]["x-tuf-on-ci-keyowner"] = json!("@alice");
    root["keys"][keyid(2)]["x-tuf-on-ci-online-uri"] = json!("gcpkms:x");
    root["roles"]["timestamp"]["x-tuf-on-ci-expiry-period"] = json!(7);
    repo.role("targets")["x-tuf-on-ci-expiry-period"] = json!(365);
    repo.publish_as_is("root");
    repo.publish_all();
    assert!(Client::new(&repo).refresh(&repo).is_ok());
    let bytes = String::from_utf8(repo.files["1.root.json"].clone()).unwrap();
    assert!(bytes.contains("@alice"));
    let mut client = Client::new(&repo);
    client.pinned = bytes.replace("@alice", "@mallory").into_bytes();
    assert_eq!(client.refresh(&repo).unwrap_err().code(), "tuf/pinned-root", "the owner of a key is signed");
}

/// A P-256 key that signs, as sigstore's early roots write it: the type names the curve.
fn ecdsa(keytype: &str, newline: &str) -> (Value, impl Fn(&Value) -> Value) {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let der = [hex::decode(prefix).unwrap(), pair.public_key().as_ref().to_vec()].concat();
    let pem = pem::encode_config(
        &pem::Pem::new("PUBLIC KEY", der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    );
    let public = format!("{}{newline}", pem.trim_end());
    let object = json!({"keytype": keytype, "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": public}});
    let signer = move |signed: &Value| {
        let signature = pair.sign(&SystemRandom::new(), &crate::crypto::json::canonical(signed)).unwrap();
        json!({"keyid": "ec", "sig": hex::encode(signature)})
    };
    (object, signer)
}

/// A key that signs RSASSA-PSS, as an object.
fn rsa(newline: &str) -> (Value, impl Fn(&Value) -> Value) {
    use aws_lc_rs::{
        encoding::AsDer as _,
        rand::SystemRandom,
        rsa::KeySize,
        signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair},
    };
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = pair.public_key().as_der().unwrap().as_ref().to_vec();
    let pem = pem::encode_config(
        &pem::Pem::new("PUBLIC KEY", der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    );
    let public = format!("{}{newline}", pem.trim_end());
    let object = json!({"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": public}});
    let signer = move |signed: &Value| {
        let mut signature = vec![0; pair.public_modulus_len()];
        let message = crate::crypto::json::canonical(signed);
        pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &message, &mut signature).unwrap();
        json!({"keyid": "ec", "sig": hex::encode(signature)})
    };
    (object, signer)
}

fn refreshes_with(object: Value, signer: impl Fn(&Value) -> Value) {
    let mut repo = Repo::new();
    repo.role("root")["keys"]["ec"] = object;
    repo.role("root")["roles"]["timestamp"]["keyids"] = json!(["ec"]);
    repo.publish_as_is("root");
    let signed = repo.signed["timestamp"].clone();
    repo.serve("timestamp", file(&signed, vec![signer(&signed)]));
    assert!(Client::new(&repo).refresh(&repo).is_ok());
    let mut bad = signer(&signed);
    let sig = bad["sig"].as_str().unwrap().to_owned();
    let last = if sig.ends_with('0') { "1" } else { "0" };
    bad["sig"] = json!(format!("{}{last}", &sig[..sig.len() - 1]));
    repo.serve("timestamp", file(&signed, vec![bad]));
    assert_eq!(Client::new(&repo).refresh(&repo).unwrap_err().code(), "tuf/signature-threshold");
}

#[test]
fn ecdsa_keys_are_taken_under_the_key_types_of_sigstore() {
    for keytype in ["ecdsa", "ecdsa-sha2-nistp256"] {
        let (object, signer) = ecdsa(keytype, "\n");
        refreshes_with(object, signer);
    }
}

#[test]
fn pem_keys_are_taken_with_and_without_a_last_line_break() {
    for newline in ["", "\n"] {
        let (object, signer) = rsa(newline);
        refreshes_with(object, signer);
        let (object, signer) = ecdsa("ecdsa", newline);
        refreshes_with(object, signer);
    }
}

#[test]
fn a_target_under_its_sha512_alone_is_asked_for_where_there_is_none_under_its_sha256() {
    let mut repo = Repo::new();
    let mut both = target(b"x");
    both["hashes"]["sha512"] = json!("ab".repeat(64));
    repo.role("targets")["targets"] = json!({"a/both": both, "a/one": target(b"x")});
    repo.publish_all();
    let mut client = Client::new(&repo);
    let trusted = client.refresh(&repo).unwrap();
    let mut other = |path: &str| {
        let target = found(client.lookup(&repo, &trusted, path)).target;
        assert_eq!(target.path, TargetPath::from(path));
        trusted.target_request_by_sha512(&target).map(|request| request.path)
    };
    assert_eq!(other("a/both"), Some(format!("a/{}.both", "ab".repeat(64))));
    assert_eq!(other("a/one"), None);
}

#[test]
fn timestamp_snapshot_and_targets_follow_their_keys() {
    for (name, role) in
        [("timestamp", Role::Timestamp), ("snapshot", Role::Snapshot), ("targets", Role::Targets(chain("targets")))]
    {
        // (keys, threshold, who signs, whether that is enough), after one version by key 50.
        for (keys, threshold, signers, is_enough) in [
            (&[51][..], 1, &[51][..], true),
            (&[51], 1, &[50], false),
            (&[51], 1, &[50, 51], true),
            (&[50, 51], 2, &[50, 51], true),
            (&[50, 51], 2, &[50], false),
            (&[50, 51], 1, &[51], true),
            (&[51, 52, 53], 2, &[51, 53], true),
            (&[51, 52, 53], 2, &[50, 53], false),
            (&[50, 51, 52, 53, 54], 3, &[54, 50, 52], true),
            (&[50, 51, 52, 53, 54], 3, &[54, 50, 60], false),
        ] {
            let mut repo = Repo::new();
            repo.set_keys(name, &[50], 1);
            repo.publish_as_is("root");
            repo.publish_all();
            let mut client = Client::new(&repo);
            let trusted = client.refresh(&repo).unwrap();
            repo.set_keys(name, keys, threshold);
            repo.signers.insert(name.to_owned(), signers.to_vec());
            repo.publish(&["root"]);
            repo.publish_all();
            for outcome in [client.clone().refresh(&repo), client.clone().refresh_after(&trusted, &repo)] {
                match outcome {
                    Ok(_) => assert!(is_enough, "{name} {keys:?} {signers:?}"),
                    Err(Error::Threshold { role: refused, .. }) => {
                        assert!(!is_enough && refused == role, "{name} {keys:?}")
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}
