//! Keys and signatures of GnuPG, made while the test runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pratique::crypto::json as strict;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::run;

/// A keyring of its own.
struct Keyring {
    temp: TempDir,
}

impl Keyring {
    fn new() -> Self {
        let keyring = Self { temp: tempfile::tempdir().unwrap() };
        fs::create_dir(keyring.home()).unwrap();
        // gpg warns about a folder that others may read.
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        fs::set_permissions(keyring.home(), private).unwrap();
        keyring
    }

    fn dir(&self) -> &Path {
        self.temp.path()
    }

    fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    fn gpg(&self, args: &[&str]) -> Vec<u8> {
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(self.home()).args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"]);
        let output = gpg.args(["--passphrase", ""]).args(args).stdin(Stdio::null()).current_dir(self.dir()).output();
        let output = output.expect("gpg is part of what tests need");
        assert!(output.status.success(), "gpg {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Makes a key and returns its fingerprint.
    fn generate(&self, name: &str, algorithm: &str, usage: &str) -> String {
        self.gpg(&["--quick-generate-key", name, algorithm, usage, "0"]);
        self.fingerprints(name).remove(0)
    }

    /// The fingerprints of the master key and its subkeys.
    fn fingerprints(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8(self.gpg(&["--with-colons", "--list-keys", name])).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("fpr:"));
        lines.map(|line| line.trim_matches(':').to_lowercase()).collect()
    }

    /// Signs as in-toto-run does: with gpg, keeping the value of the signature and the hashed part of its packet.
    fn sign(&self, payload: &Value, fingerprint: &str) -> Value {
        fs::write(self.dir().join("payload"), strict::canonical(payload)).unwrap();
        let signer = format!("{fingerprint}!");
        let packet = self.gpg(&["--digest-algo", "SHA256", "--local-user", &signer, "--detach-sign", "-o-", "payload"]);
        let body = match packet[0] {
            0x88 => &packet[2..],
            0x89 => &packet[3..],
            other => panic!("{other:x}"),
        };
        let number = |at: usize| usize::from(body[at]) * 256 + usize::from(body[at + 1]);
        let hashed = 6 + number(4);
        let mut at = hashed + 2 + number(hashed) + 2;
        let mut value = Vec::new();
        while at < body.len() {
            let length = number(at).div_ceil(8);
            // The two halves of EdDSA have 32 bytes each.
            value.resize(value.len() + if body[2] == 22 { 32 - length } else { 0 }, 0);
            value.extend(&body[at + 2..at + 2 + length]);
            at += 2 + length;
        }
        json!({
            "keyid": fingerprint, "signature": hex::encode(value), "other_headers": hex::encode(&body[..hashed]),
        })
    }

    /// A layout signed by `owner`, with a link by the plain key of its one functionary.
    fn write_chain(&self, owner: &str) {
        let key = pratique::publish::SigningKey::ed25519_from_seed([1; 32]);
        let keyid = key.keyid().unwrap();
        let mut object = key.key_object().unwrap();
        object["keyid"] = json!(keyid);
        let layout = json!({
            "_type": "layout", "expires": "2999-01-01T00:00:00Z", "readme": "", "keys": {keyid.as_str(): object},
            "inspect": [], "steps": [{
                "_type": "step", "name": "build", "threshold": 1, "pubkeys": [keyid], "expected_command": [],
                "expected_materials": [["DISALLOW", "*"]], "expected_products": [["CREATE", "app"], ["DISALLOW", "*"]],
            }],
        });
        let link = json!({
            "_type": "link", "name": "build", "materials": {}, "products": {"app": {"sha256": "aa"}},
            "command": [], "byproducts": {}, "environment": {},
        });
        let signature = hex::encode(key.sign(&strict::canonical(&link)).unwrap());
        let signed = json!({"signed": link, "signatures": [{"keyid": keyid, "sig": signature}]});
        fs::write(self.dir().join(format!("build.{}.link", keyid.short())), signed.to_string()).unwrap();
        let signed = json!({"signed": layout, "signatures": [self.sign(&layout, owner)]});
        fs::write(self.dir().join("root.layout"), signed.to_string()).unwrap();
    }

    fn verify(&self, keys: &[&str]) -> (Option<i32>, String) {
        let args = [["in-toto", "verify", "-l", "root.layout"].as_slice(), keys].concat();
        let ran = run(self.dir(), &args);
        (ran.code, ran.out + &ran.err)
    }

    fn verify_from_ring(&self, id: &str) -> (Option<i32>, String) {
        self.verify(&["--gpg", id, "--gpg-home", "home"])
    }
}

#[test]
fn keys_are_taken_from_a_keyring_and_from_exported_files() {
    for algorithm in ["rsa2048", "ed25519"] {
        let ring = Keyring::new();
        let owner = ring.generate("Owner", algorithm, "sign");
        ring.write_chain(&owner);
        for id in [owner.as_str(), owner.split_at(24).1, &owner.to_uppercase()] {
            assert_eq!(ring.verify_from_ring(id), (Some(0), "verified\n".to_owned()), "{algorithm} {id}");
        }
        ring.gpg(&["--export", "-o", "key.gpg", &owner]);
        ring.gpg(&["--armor", "--export", "-o", "key.asc", &owner]);
        for file in ["key.gpg", "key.asc"] {
            assert_eq!(ring.verify(&["-k", file]), (Some(0), "verified\n".to_owned()), "{algorithm} {file}");
        }
        let other = ring.generate("Other", algorithm, "sign");
        let (code, text) = ring.verify_from_ring(&other);
        assert!(
            code == Some(1) && text.contains("[in-toto/layout-signature]") && text.contains("no signature"),
            "{text}"
        );
    }
}

#[test]
fn a_subkey_signs_if_it_is_for_signing() {
    let ring = Keyring::new();
    let owner = ring.generate("Owner", "ed25519", "cert");
    ring.gpg(&["--quick-add-key", &owner, "ed25519", "sign", "0"]);
    ring.gpg(&["--quick-add-key", &owner, "cv25519", "encrypt", "0"]);
    let [master, signing, encrypting] = ring.fingerprints("Owner").try_into().unwrap();
    ring.write_chain(&signing);
    assert_eq!(ring.verify_from_ring(&master).0, Some(0));
    assert_eq!(ring.verify_from_ring(&signing).0, Some(0));
    let (code, text) = ring.verify_from_ring(&encrypting);
    assert!(code == Some(2) && text.contains("neither the master key nor a subkey that may sign"), "{text}");

    // gpg itself does not sign with a key that is not for it, nor with one that is revoked; a thief would.
    let reason = "--command-fd=0";
    let script = "key 1\nrevkey\ny\n0\n\ny\nsave\n";
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir").arg(ring.home()).args(["--batch", "--yes", reason, "--pinentry-mode", "loopback"]);
    let mut edit = gpg
        .args(["--edit-key", &owner])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut edit.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(edit.wait().unwrap().success());
    let (code, text) = ring.verify_from_ring(&master);
    assert!(code == Some(1) && text.contains("[in-toto/layout-signature]"), "{text}");
}

#[test]
fn an_expired_key_does_not_count() {
    let ring = Keyring::new();
    let owner = ring.generate("Owner", "ed25519", "sign");
    ring.write_chain(&owner);
    ring.gpg(&["--quick-set-expire", &owner, "1y"]);
    assert_eq!(ring.verify_from_ring(&owner).0, Some(0));
    ring.gpg(&["--faked-system-time", "20100101T000000", "--quick-generate-key", "Old", "ed25519", "sign", "1y"]);
    let old = ring.fingerprints("Old").remove(0);
    ring.gpg(&["--export", "-o", "old.gpg", &old]);
    let layout = fs::read_to_string(ring.dir().join("root.layout")).unwrap();
    let mut layout: Value = serde_json::from_str(&layout).unwrap();
    layout["signatures"][0]["keyid"] = json!(old);
    fs::write(ring.dir().join("root.layout"), layout.to_string()).unwrap();
    let (code, text) = ring.verify(&["-k", "old.gpg"]);
    assert!(code == Some(1) && text.contains("the key expired at 2011-01-01T00:00:00Z"), "{text}");
}

#[test]
fn a_revoked_key_is_refused() {
    let ring = Keyring::new();
    let owner = ring.generate("Owner", "rsa2048", "sign");
    ring.write_chain(&owner);
    let certificate = ring.home().join(format!("openpgp-revocs.d/{}.rev", owner.to_uppercase()));
    let text = fs::read_to_string(certificate).unwrap();
    // A colon keeps it from being imported by mistake.
    fs::write(ring.dir().join("revocation"), text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    ring.gpg(&["--import", "revocation"]);
    let (code, text) = ring.verify_from_ring(&owner);
    assert!(code == Some(2) && text.contains("the OpenPGP key is revoked"), "{text}");
}

#[test]
fn a_key_that_is_not_there_is_said_to_be() {
    let ring = Keyring::new();
    let owner = ring.generate("Owner", "ed25519", "sign");
    ring.write_chain(&owner);
    let (code, text) = ring.verify_from_ring("0123456789abcdef");
    assert!(code == Some(2) && text.contains("gpg has no key 0123456789abcdef"), "{text}");
    let (code, text) = ring.verify(&["--gpg=--version"]);
    assert!(code == Some(2) && text.contains("not a key id"), "{text}");
}
