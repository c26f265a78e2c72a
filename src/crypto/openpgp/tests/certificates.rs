//! Certificates, made here packet by packet: each test changes one thing of one that is accepted. tests/cli reads those
//! that gpg makes.

use super::*;

const CREATED: u32 = 1_577_836_800;
const DAY: u32 = 86_400;
const MASTER: u8 = 7;
const SUB: u8 = 8;

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0xc0 | tag, 0xff], length.as_slice(), body].concat()
}

fn mpi(bytes: &[u8]) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let bits = bytes.len() * 8 - bytes.first().map_or(0, |first| first.leading_zeros() as usize);
    [&u16::try_from(bits).unwrap().to_be_bytes(), bytes.as_slice()].concat()
}

fn key_body(seed: u8) -> Vec<u8> {
    let oid = [9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1];
    let point = [&[0x40], secret(seed).verifying_key().as_bytes().as_slice()].concat();
    [&[4], CREATED.to_be_bytes().as_slice(), &[22], &oid, &mpi(&point)].concat()
}

fn hashed(body: &[u8]) -> Vec<u8> {
    [&[0x99], u16::try_from(body.len()).unwrap().to_be_bytes().as_slice(), body].concat()
}

fn fingerprint(seed: u8) -> Vec<u8> {
    use aws_lc_rs::digest;
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &hashed(&key_body(seed))).as_ref().to_vec()
}

/// A signature by `seed` over `about`.
#[derive(Clone)]
struct Made {
    kind: u8,
    seed: u8,
    hash: u8,
    about: Vec<u8>,
    subpackets: Vec<(u8, Vec<u8>)>,
    spoiled: bool,
}

impl Made {
    fn new(kind: u8, seed: u8, about: Vec<u8>) -> Self {
        let issuer = [&[4], fingerprint(seed).as_slice()].concat();
        let subpackets = vec![(33, issuer), (2, CREATED.to_be_bytes().to_vec())];
        Self { kind, seed, hash: 8, about, subpackets, spoiled: false }
    }

    fn with(mut self, kind: u8, body: &[u8]) -> Self {
        self.subpackets.retain(|(other, _)| *other != kind);
        self.subpackets.push((kind, body.to_vec()));
        self
    }

    fn at(self, time: u32) -> Self {
        self.with(2, &time.to_be_bytes())
    }

    fn body(&self) -> Vec<u8> {
        use aws_lc_rs::digest;
        let mut area = Vec::new();
        for (kind, body) in &self.subpackets {
            let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
            area.extend([&[0xff], length.as_slice(), &[*kind], body].concat());
        }
        let length = u16::try_from(area.len()).unwrap().to_be_bytes();
        let headers = [[4, self.kind, 22, self.hash].as_slice(), &length, &area].concat();
        let algorithm = match self.hash {
            2 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            8 => &digest::SHA256,
            9 => &digest::SHA384,
            _ => &digest::SHA512,
        };
        let digest = digest::digest(algorithm, &signed(&self.about, &headers));
        let mut value = secret(self.seed).sign(digest.as_ref()).to_bytes();
        value[5] ^= u8::from(self.spoiled);
        [headers.as_slice(), &[0, 0], &digest.as_ref()[..2], &mpi(&value[..32]), &mpi(&value[32..])].concat()
    }

    fn packet(&self) -> Vec<u8> {
        packet(2, &self.body())
    }
}

fn name_hash() -> Vec<u8> {
    [hashed(&key_body(MASTER)), vec![0xb4, 0, 0, 0, 3], b"Bob".to_vec()].concat()
}

fn subkey_hash() -> Vec<u8> {
    [hashed(&key_body(MASTER)), hashed(&key_body(SUB))].concat()
}

/// A certificate with one name and one signing subkey, and what else is put behind its parts.
struct Parts {
    on_key: Vec<Made>,
    on_name: Vec<Made>,
    on_subkey: Vec<Made>,
}

fn certification() -> Made {
    Made::new(0x13, MASTER, name_hash()).with(27, &[0x03])
}

fn binding() -> Made {
    let back = Made::new(0x19, SUB, subkey_hash());
    Made::new(0x18, MASTER, subkey_hash()).with(27, &[0x02]).with(32, &back.body())
}

fn parts() -> Parts {
    Parts { on_key: Vec::new(), on_name: vec![certification()], on_subkey: vec![binding()] }
}

impl Parts {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut all = packet(6, &key_body(MASTER));
        let signatures = |made: &[Made]| made.iter().flat_map(Made::packet).collect::<Vec<u8>>();
        all.extend(signatures(&self.on_key));
        all.extend(packet(13, b"Bob"));
        all.extend(signatures(&self.on_name));
        all.extend(packet(14, &key_body(SUB)));
        all.extend(signatures(&self.on_subkey));
        all
    }

    fn read(&self) -> Result<Certificate, Unusable> {
        Certificate::from_file(&self.bytes())
    }

    fn subkeys(&self) -> usize {
        self.read().unwrap().subkeys().len()
    }
}

fn instant(seconds: u32) -> Option<Timestamp> {
    Timestamp::from_second(i64::from(seconds)).ok()
}

#[test]
fn a_certificate_is_a_master_key_and_its_signing_subkeys() {
    let read = parts().read().unwrap();
    let ids: Vec<&str> = read.keys().map(|key| key.id().as_str()).collect();
    assert_eq!(ids, [hex::encode(fingerprint(MASTER)), hex::encode(fingerprint(SUB))]);
    assert_eq!(read.master().expires(), None);
    let signature = sign_eddsa(headers(22));
    assert_eq!(read.master().verify(MESSAGE, &signature, now()), Ok(()));
    let before = at("2019-12-31T23:59:59Z");
    assert_eq!(read.master().verify(MESSAGE, &signature, before), Err(Rejected::Future(at("2020-01-01T00:00:00Z"))));
    for hash in [8, 9, 10] {
        assert!(parts().with(|parts| parts.on_name[0].hash = hash).read().is_ok(), "{hash}");
    }
}

#[test]
fn armour_is_taken_off() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let data = STANDARD.encode(parts().bytes());
    let (head, foot) = ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----");
    let lines: Vec<&str> = data.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let data = lines.join("\n");
    for text in [
        format!("{head}\n\n{data}\n=abcd\n{foot}\n"),
        format!("{head}\r\nComment: of Bob\r\n\r\n{data}\r\n{foot}"),
        format!("\n{head}\n{data}\n{foot}\n\n"),
    ] {
        assert_eq!(Certificate::from_file(text.as_bytes()), parts().read(), "{text}");
    }
    for text in [
        format!("{head}\n\n{data}\n{foot}\n{head}\n\n{data}\n{foot}\n"),
        format!("{head}\n\n{data}\n"),
        format!("{head}\n\n!{data}\n{foot}\n"),
        format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{data}\n-----END PGP PRIVATE KEY BLOCK-----\n"),
    ] {
        assert!(matches!(Certificate::from_file(text.as_bytes()), Err(Unusable::Packets(_))), "{text}");
    }
}

/// Whoever writes a certificate has all its signatures verified, and each takes time.
#[test]
fn a_certificate_has_no_more_signatures_to_verify_than_any_has() {
    const TOO_MANY: Unusable = Unusable::Packets("at most 128 signatures that its owner made");
    let named = |names: usize| {
        let mut all = packet(6, &key_body(MASTER));
        for _ in 0..names {
            all.extend([packet(13, b"Bob"), certification().packet()].concat());
        }
        Certificate::from_file(&all)
    };
    assert!(named(128).is_ok());
    assert_eq!(named(129), Err(TOO_MANY));
    // By others as many as there are: they are not looked at.
    let others = (0..1000).map(|_| Made::new(0x13, SUB, name_hash()));
    assert!(parts().with(|parts| parts.on_name.extend(others)).read().is_ok());
    // Within a subkey's signature, of which the first that holds is enough. Two others are verified before.
    let agreeing = |wrong: usize| {
        let back = |about| Made::new(0x19, SUB, about).body();
        let mut binding = Made::new(0x18, MASTER, subkey_hash()).with(27, &[0x02]);
        binding.subpackets.extend((0..wrong).map(|_| (32, back(name_hash()))));
        binding.subpackets.push((32, back(subkey_hash())));
        parts().with(|parts| parts.on_subkey = vec![binding]).read()
    };
    assert_eq!(agreeing(125).unwrap().subkeys().len(), 1);
    assert_eq!(agreeing(126), Err(TOO_MANY));
}

#[test]
fn the_owners_own_signature_is_needed_and_must_hold() {
    let refusal = |change: fn(&mut Parts)| parts().with(change).read().unwrap_err();
    assert_eq!(refusal(|parts| parts.on_name.clear()), Unusable::NoSelfSignature);
    // By someone else.
    assert_eq!(refusal(|parts| parts.on_name[0] = Made::new(0x13, SUB, name_hash())), Unusable::NoSelfSignature);
    assert_eq!(refusal(|parts| parts.on_name[0].spoiled = true), Unusable::SelfSignature);
    assert_eq!(refusal(|parts| parts.on_name[0].hash = 2), Unusable::SelfSignature);
    assert_eq!(refusal(|parts| parts.on_name[0].about = subkey_hash()), Unusable::SelfSignature);
    let critical = |parts: &mut Parts| parts.on_name[0] = certification().with(0x80 | 60, &[]);
    assert_eq!(refusal(critical), Unusable::SelfSignature);
    assert!(parts().with(|parts| parts.on_name[0] = certification().with(60, &[])).read().is_ok());
    assert_eq!(refusal(|parts| parts.on_name[0].subpackets.retain(|(kind, _)| *kind != 2)), Unusable::SelfSignature);
    // Others may certify it as they like, and an older word of the owner may be by SHA-1.
    let more = parts().with(|parts| {
        parts.on_name.insert(0, Made { spoiled: true, ..Made::new(0x10, SUB, name_hash()) });
        parts.on_name.insert(0, Made { hash: 2, ..certification().at(CREATED - 1) });
    });
    assert!(more.read().is_ok());
    let newer = |parts: &mut Parts| parts.on_name.push(Made { hash: 2, ..certification().at(CREATED + 1) });
    assert_eq!(refusal(newer), Unusable::SelfSignature);
}

#[test]
fn a_revoked_key_is_refused_however_the_revocation_is_signed() {
    let revoked = |made: Made| parts().with(|parts| parts.on_key.push(made)).read();
    let about = hashed(&key_body(MASTER));
    assert_eq!(revoked(Made::new(0x20, MASTER, about.clone())), Err(Unusable::Revoked));
    assert_eq!(revoked(Made { hash: 2, ..Made::new(0x20, MASTER, about.clone()) }), Err(Unusable::Revoked));
    assert_eq!(revoked(Made::new(0x20, SUB, about)), Err(Unusable::Revoked));
}

#[test]
fn a_name_that_was_taken_back_says_nothing() {
    let taken_back =
        |seed: u8| parts().with(|parts| parts.on_name.push(Made::new(0x30, seed, name_hash()).at(CREATED + 1))).read();
    assert_eq!(taken_back(MASTER), Err(Unusable::NoSelfSignature));
    assert!(taken_back(SUB).is_ok());
}

#[test]
fn a_key_ends_as_its_owner_says_last() {
    let expires = |change: &dyn Fn(&mut Parts)| parts().with(change).read().unwrap().master().expires();
    let days = |days: u32| (days * DAY).to_be_bytes();
    let lasts = |made: Made, number: u32| made.with(9, &days(number));
    assert_eq!(expires(&|parts| parts.on_name[0] = lasts(certification(), 10)), instant(CREATED + 10 * DAY));
    assert_eq!(expires(&|parts| parts.on_name[0] = lasts(certification(), 0)), None);
    // Extended, and shortened.
    for number in [20, 5] {
        let newer = |parts: &mut Parts| {
            parts.on_name = vec![lasts(certification().at(CREATED + 1), number), lasts(certification(), 10)];
        };
        assert_eq!(expires(&newer), instant(CREATED + number * DAY));
    }
    // Said on the key itself as well: the earlier holds.
    let direct = Made::new(0x1f, MASTER, hashed(&key_body(MASTER)));
    let both = |parts: &mut Parts| {
        parts.on_key.push(lasts(direct.clone(), 3));
        parts.on_name[0] = lasts(certification(), 10);
    };
    assert_eq!(expires(&both), instant(CREATED + 3 * DAY));
    // What the owner says may itself end.
    let signature = |parts: &mut Parts| parts.on_name[0] = certification().at(CREATED + 7).with(3, &days(1));
    assert_eq!(expires(&signature), instant(CREATED + 7 + DAY));
}

#[test]
fn a_subkey_ends_with_its_master_at_the_latest() {
    let expires = |of_master: u32, of_subkey: u32| {
        let parts = parts().with(|parts| {
            parts.on_name[0] = certification().with(9, &(of_master * DAY).to_be_bytes());
            parts.on_subkey[0] = binding().with(9, &(of_subkey * DAY).to_be_bytes());
        });
        parts.read().unwrap().subkeys()[0].expires()
    };
    assert_eq!(expires(10, 3), instant(CREATED + 3 * DAY));
    assert_eq!(expires(10, 30), instant(CREATED + 10 * DAY));
    assert_eq!(expires(0, 30), instant(CREATED + 30 * DAY));
    assert_eq!(expires(10, 0), instant(CREATED + 10 * DAY));
}

#[test]
fn a_key_that_is_not_for_signing_does_not_sign() {
    let certify_only = parts().with(|parts| parts.on_name[0] = certification().with(27, &[0x01])).read().unwrap();
    let verified = certify_only.master().verify(MESSAGE, &sign_eddsa(headers(22)), now());
    assert_eq!(verified, Err(Rejected::NotForSigning));
    assert_eq!(certify_only.subkeys().len(), 1);
}

#[test]
fn a_subkey_counts_only_if_both_keys_say_so_and_it_is_for_signing() {
    let subkeys = |change: &dyn Fn(&mut Parts)| parts().with(change).subkeys();
    assert_eq!(subkeys(&|_| ()), 1);
    assert_eq!(subkeys(&|parts| parts.on_subkey.clear()), 0);
    assert_eq!(subkeys(&|parts| parts.on_subkey[0] = binding().with(27, &[0x0c])), 0);
    assert_eq!(subkeys(&|parts| parts.on_subkey[0].subpackets.retain(|(kind, _)| *kind != 27)), 0);
    assert_eq!(subkeys(&|parts| parts.on_subkey[0].spoiled = true), 0);
    assert_eq!(subkeys(&|parts| parts.on_subkey[0].hash = 2), 0);
    assert_eq!(subkeys(&|parts| parts.on_subkey[0].seed = SUB), 0);
    // Without the subkey's own word it may be anyone's.
    assert_eq!(subkeys(&|parts| parts.on_subkey[0].subpackets.retain(|(kind, _)| *kind != 32)), 0);
    let by_master = Made::new(0x19, MASTER, subkey_hash()).body();
    assert_eq!(subkeys(&|parts| parts.on_subkey[0] = binding().with(32, &by_master)), 0);
    let of_another_kind = Made::new(0x18, SUB, subkey_hash()).body();
    assert_eq!(subkeys(&|parts| parts.on_subkey[0] = binding().with(32, &of_another_kind)), 0);
    // Taken back, by whomever, and by the newest word.
    for seed in [MASTER, SUB] {
        assert_eq!(subkeys(&|parts| parts.on_subkey.push(Made::new(0x28, seed, subkey_hash()))), 0);
    }
    assert_eq!(subkeys(&|parts| parts.on_subkey.push(binding().at(CREATED + 1).with(27, &[0x0c]))), 0);
}

#[test]
fn what_is_not_one_certificate_is_refused() {
    let refusal = |bytes: &[u8]| Certificate::from_file(bytes).unwrap_err();
    let good = parts().bytes();
    for bytes in [
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        [good.as_slice(), &good].concat(),
        packet(13, b"Bob"),
        packet(5, &key_body(MASTER)),
        [good.as_slice(), &packet(7, &key_body(SUB))].concat(),
        [good.as_slice(), &packet(11, b"literal data")].concat(),
        [good.as_slice(), &packet(2, &[4, 0x13])].concat(),
        // A packet of partial length, and an old one of indeterminate length.
        vec![0xc6, 0xe0, 4],
        vec![0x9b, 4],
        vec![0x00],
    ] {
        assert!(matches!(refusal(&bytes), Unusable::Packets(_)), "{bytes:?}");
    }
    let mut version_6 = key_body(MASTER);
    version_6[0] = 6;
    assert_eq!(refusal(&packet(6, &version_6)), Unusable::Version);
    let of_algorithm = |algorithm: u8| {
        let mut body = key_body(MASTER);
        body[5] = algorithm;
        refusal(&packet(6, &body))
    };
    assert_eq!(of_algorithm(17), Unusable::Dsa);
    assert_eq!(of_algorithm(19), Unusable::Algorithm(19));
    assert_eq!(of_algorithm(1), KeyError::Malformed("rsa").into());
    let mut other_curve = key_body(MASTER);
    other_curve[15] = 2;
    assert_eq!(refusal(&packet(6, &other_curve)), KeyError::Malformed("ed25519").into());
}
