//! A repository that was in production: Datadog's Agent integrations in July 2022, by `$PRATIQUE_SHARED/datadog`.
//!
//! It has what is rare elsewhere: key ids that are no hashes of their keys as written, specification version 1.0,
//! signatures by keys that the role does not name, RSA-PSS keys, and target files under their SHA-512 alone.

use std::{cell::RefCell, fs, path::PathBuf};

use jiff::Timestamp;
use pratique::tuf::{
    Delegated, Error, FetchError, FetchRequest, Lookup, Refresh, Resolved, Settings, Stored, TargetPath, Trusted,
    fetch::FetchBase,
};

const WHEEL: &str = "simple/datadog-active-directory/datadog_active_directory-1.10.0-py2.py3-none-any.whl";
const VALID: &str = "2022-07-30T00:00:00Z";
/// The second in which timestamp, snapshot and online roles expire.
const END: &str = "2022-07-31T14:15:44Z";

/// What is served: a root for each version up to the newest, and the first folder that has a file.
struct Served {
    shared: PathBuf,
    newest_root: u64,
    folders: &'static [&'static str],
    asked: RefCell<Vec<String>>,
}

impl Served {
    fn open() -> Option<Self> {
        let shared = std::env::var_os("PRATIQUE_SHARED").map(|shared| PathBuf::from(shared).join("datadog"));
        let shared = shared.filter(|folder| folder.is_dir());
        if shared.is_none() {
            println!("external data absent: PRATIQUE_SHARED does not name a folder with datadog/");
        }
        Some(Self { shared: shared?, newest_root: 9, folders: &["2022-07"], asked: RefCell::default() })
    }

    fn root(&self, version: u64) -> Vec<u8> {
        fs::read(self.shared.join(format!("roots/{version}.root.json"))).unwrap()
    }

    fn fetch(&self, request: &FetchRequest) -> Result<Vec<u8>, FetchError> {
        self.asked.borrow_mut().push(request.path.clone());
        if let Some(version) = request.path.strip_suffix(".root.json") {
            let version: u64 = version.parse().unwrap();
            return if version <= self.newest_root { Ok(self.root(version)) } else { Err(FetchError::NotFound) };
        }
        let below = match request.base {
            FetchBase::Metadata => "metadata",
            FetchBase::Targets => "targets",
        };
        let files = self.folders.iter().flat_map(|folder| {
            let folder = self.shared.join(folder);
            [folder.join(below).join(&request.path), folder.join(&request.path)]
        });
        let bytes = files.into_iter().find_map(|file| fs::read(file).ok()).ok_or(FetchError::NotFound)?;
        assert!(bytes.len() as u64 <= request.max_bytes);
        Ok(bytes)
    }

    fn refresh(&self, pinned: u64, now: &str) -> Result<Trusted, Error> {
        let now: Timestamp = now.parse().unwrap();
        let mut refresh = Refresh::start(&self.root(pinned), Stored::default(), Settings::default(), now)?;
        while let Some(request) = refresh.next() {
            refresh.supply(self.fetch(&request))?;
        }
        refresh.finish()
    }

    fn lookup(&self, trusted: &Trusted, roles: &mut Delegated, path: &str) -> Result<Option<Resolved>, Error> {
        let now = VALID.parse().unwrap();
        loop {
            match trusted.lookup(roles, &TargetPath::from(path), now)? {
                Lookup::Found(resolved) => return Ok(Some(resolved)),
                Lookup::Absent { .. } => return Ok(None),
                Lookup::Needs(request) => {
                    let bytes = self.fetch(&request.fetch).map_err(|cause| request.failed(cause))?;
                    roles.supply(trusted, &request, &bytes.into(), now)?;
                }
            }
        }
    }

    /// A target file that is looked up, fetched under the name that it has and verified.
    fn file(&self, trusted: &Trusted, resolved: &Resolved) -> Vec<u8> {
        let target = &resolved.target;
        let by_sha256 = self.fetch(&trusted.target_request(target));
        assert_eq!(by_sha256, Err(FetchError::NotFound), "the archive has SHA-512 names alone");
        let bytes = self.fetch(&trusted.target_request_by_sha512(target).unwrap()).unwrap();
        target.verify(&bytes).unwrap();
        bytes
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> &'static str {
    outcome.unwrap_err().code()
}

#[test]
fn a_wheel_its_layout_keys_and_links_are_found_from_any_root_of_its_time() {
    let Some(served) = Served::open() else { return };
    for pinned in [1, 3, 8, 9] {
        let trusted = served.refresh(pinned, VALID).unwrap();
        let versions = [trusted.root(), trusted.timestamp(), trusted.snapshot(), trusted.targets()].map(|f| f.version);
        assert_eq!(versions, [9, 3574, 3574, 9]);
        let mut roles = Delegated::default();
        let wheel = served.lookup(&trusted, &mut roles, WHEEL).unwrap().unwrap();
        assert_eq!(wheel.chain.to_string(), "targets/wheels-signer/wheels-signer-a");
        let listed = wheel.target.custom["in-toto"].as_array().unwrap();
        let links: Vec<&str> =
            listed.iter().filter_map(|path| path.as_str()).filter(|p| p.ends_with(".link")).collect();
        assert_eq!(links.len(), 3);
        for link in links {
            let link = served.lookup(&trusted, &mut roles, link).unwrap().unwrap();
            assert!(link.chain.to_string().starts_with("targets/in-toto-metadata-signer/"));
            served.file(&trusted, &link);
        }
        let layout = served.lookup(&trusted, &mut roles, "in-toto-metadata/4.core.root.layout").unwrap().unwrap();
        assert_eq!(layout.chain.to_string(), "targets");
        served.file(&trusted, &layout);
        let keys = layout.target.custom["in-toto"].as_array().unwrap();
        assert_eq!(keys.len(), 3);
        for key in keys {
            let key = served.lookup(&trusted, &mut roles, key.as_str().unwrap()).unwrap().unwrap();
            let pem = String::from_utf8(served.file(&trusted, &key)).unwrap();
            pratique::crypto::PublicKey::from_pem(&pem).unwrap();
        }
    }
}

#[test]
fn every_online_role_is_signed_as_its_delegator_says() {
    let Some(served) = Served::open() else { return };
    let trusted = served.refresh(9, VALID).unwrap();
    let mut roles = Delegated::default();
    for letter in 'a'..='z' {
        let path = format!("simple/datadog-{letter}/datadog_{letter}-0-py2.py3-none-any.whl");
        assert!(served.lookup(&trusted, &mut roles, &path).unwrap().is_none());
    }
    for digit in "0123456789abcdef".chars() {
        let path = format!("in-toto-metadata/{digit}/none.link");
        assert!(served.lookup(&trusted, &mut roles, &path).unwrap().is_none());
    }
    assert_eq!(roles.len(), 2 + 26 + 16);
}

#[test]
fn it_ends_at_the_second_that_is_signed() {
    let Some(served) = Served::open() else { return };
    assert!(served.refresh(9, "2022-07-31T14:15:43Z").is_ok());
    assert_eq!(code(served.refresh(9, END)), "tuf/expired");
    assert_eq!(code(served.refresh(9, "2023-05-01T00:00:00Z")), "tuf/expired");
}

#[test]
fn one_altered_signature_is_seen_though_nothing_else_differs() {
    let Some(served) = Served::open() else { return };
    let served = Served { folders: &["2022-07-bad-signature", "2022-07"], ..served };
    let trusted = served.refresh(9, VALID).unwrap();
    let error = served.lookup(&trusted, &mut Delegated::default(), WHEEL).unwrap_err();
    assert!(
        matches!(&error, Error::Threshold { role, threshold: 1, verified, .. }
            if role.to_string() == "targets/wheels-signer/wheels-signer-a" && verified.is_empty()),
        "{error}"
    );
}

#[test]
fn roots_of_a_later_time_do_not_vouch_for_it() {
    let Some(served) = Served::open() else { return };
    for newest_root in 10..=17 {
        let served = Served { newest_root, asked: RefCell::default(), shared: served.shared.clone(), ..served };
        // None of these roots has expired then: it is the timestamp that they do not vouch for.
        for pinned in [9, newest_root] {
            assert_eq!(code(served.refresh(pinned, VALID)), "tuf/signature-threshold", "{pinned} to {newest_root}");
        }
    }
}

#[test]
fn the_link_that_no_role_lists_cannot_be_reached() {
    let Some(served) = Served::open() else { return };
    let trusted = served.refresh(9, VALID).unwrap();
    let stray = "in-toto-metadata/wheels-signer.b2f94f2b.link";
    assert!(served.lookup(&trusted, &mut Delegated::default(), stray).unwrap().is_none());
    assert!(!served.asked.borrow().iter().any(|path| path.ends_with(".link")));
}
