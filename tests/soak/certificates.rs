//! The certificates that the webhook serves in turn, of two authorities, on the same files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use pratique::certs::issue::{Authority, Pair};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{Soak, client};

const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct Certificates {
    dir: PathBuf,
    authorities: [Authority; 2],
    current: Vec<u8>,
    number: usize,
}

impl Certificates {
    /// Writes the first.
    pub(crate) fn init(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let now = Timestamp::now();
        let authority = |name| Authority::generate(name, now, DAY * 2).unwrap();
        let mut certificates = Self {
            dir: dir.to_owned(),
            authorities: [authority("first"), authority("second")],
            current: Vec::new(),
            number: 0,
        };
        let pair = certificates.next();
        certificates.write(&pair);
        certificates
    }

    /// The leaf that is served, in DER.
    pub(crate) fn current(&self) -> Vec<u8> {
        self.current.clone()
    }

    /// Both authorities: clients believe either.
    pub(crate) fn authorities(&self) -> Vec<u8> {
        self.authorities.iter().map(Authority::certificate).collect::<String>().into_bytes()
    }

    /// Writes the next one, and waits until new connections get it.
    pub(crate) async fn rotate(&mut self, soak: &Soak) {
        let pair = self.next();
        soak.certificate.begins(self.current());
        self.write(&pair);
        let leaf = self.current();
        soak.settles(2, "a new certificate", async || client::leaf(soak).await == leaf).await;
        soak.certificate.settles();
    }

    fn next(&mut self) -> Pair {
        let authority = &self.authorities[self.number / 3 % 2];
        self.number += 1;
        let pair = authority.issue(&["127.0.0.1".to_owned()], Timestamp::now(), DAY).unwrap();
        self.current = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec();
        pair
    }

    fn write(&self, pair: &Pair) {
        fs::write(self.dir.join("tls.crt"), &pair.certificate).unwrap();
        fs::write(self.dir.join("tls.key"), &pair.key).unwrap();
    }
}
