//! A server of a TUF repository with faults, which can be changed while it runs.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use pratique::certs::{Certificate, Resolver, issue::Authority, server_config};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It ends each connection instead of answering.
    HangsUp,
    /// It says that it is broken.
    Broken,
    /// It says that there is nothing, whatever is asked for.
    Empty,
    /// It takes a request and does not answer.
    Silent,
    /// The same from the request of this number on, counted from 0 since the fault began.
    SilentFrom(usize),
    /// It begins to answer, and does not go on.
    Stalls,
    /// It ends in the middle of what it announced.
    Truncates,
    /// It changes one letter of what is signed.
    Lies,
    /// It sends without an end.
    Endless,
    /// It ends every second connection instead of answering.
    Flaps,
}

/// A running server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) url: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    folder: PathBuf,
    fault: Fault,
    asked: usize,
    /// With which certificate, where it speaks TLS.
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// One that serves a folder, so far without a fault.
    pub(super) fn start(folder: &Path) -> Self {
        Self::at("127.0.0.1", folder)
    }

    /// The same at another address of this machine.
    pub(super) fn at(address: &str, folder: &Path) -> Self {
        Self::listening((address, "http"), folder, None)
    }

    /// The same over TLS.
    pub(super) fn with_tls(folder: &Path, tls: Arc<ServerConfig>) -> Self {
        Self::listening(("127.0.0.1", "https"), folder, Some(tls))
    }

    fn listening((address, scheme): (&str, &str), folder: &Path, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state = State { folder: folder.to_owned(), fault: Fault::None, asked: 0, tls };
        let server = Self { url, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let accepting = server.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let server = accepting.clone();
                std::thread::spawn(move || match server.tls() {
                    Some(tls) => {
                        let connection = ServerConnection::new(tls.clone()).unwrap();
                        server.talk(StreamOwned::new(connection, stream), Some(&tls));
                    }
                    None => server.talk(stream, None),
                });
            }
        });
        server
    }

    /// From now on it shows another certificate, and ends the connections that saw the one before.
    pub(super) fn shows(&self, tls: Arc<ServerConfig>) {
        self.change(|state| state.tls = Some(tls));
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.shared.0.lock().unwrap().tls.clone()
    }

    /// From now on this is wrong with it.
    pub(super) fn becomes(&self, fault: Fault) {
        self.change(|state| (state.fault, state.asked) = (fault, 0));
    }

    /// From now on it serves another folder.
    pub(super) fn serves(&self, folder: &Path) {
        self.change(|state| folder.clone_into(&mut state.folder));
    }

    /// How often it was asked since the last fault began.
    pub(super) fn asked(&self) -> usize {
        self.shared.0.lock().unwrap().asked
    }

    /// Waits until it has been asked more than `number` times, or `over` says that it will not be; whether it was.
    pub(super) fn is_asked(&self, number: usize, mut over: impl FnMut() -> bool) -> bool {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap();
        while state.asked <= number {
            if over() {
                return false;
            }
            state = changed.wait_timeout(state, std::time::Duration::from_millis(20)).unwrap().0;
        }
        true
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
    }

    /// Waits until something is changed about it.
    fn hold(&self, fault: Fault) {
        let (state, changed) = &*self.shared;
        drop(changed.wait_while(state.lock().unwrap(), |state| state.fault == fault).unwrap());
    }

    fn talk(&self, stream: impl Read + Write, tls: Option<&Arc<ServerConfig>>) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut lines = reader.by_ref().lines().map_while(Result::ok);
            let Some(request) = lines.next() else { return };
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let is_same = match (tls, &self.tls()) {
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                _ => true,
            };
            if !is_same {
                return;
            }
            let stream = reader.get_mut();
            let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            let (fault, number, file) = {
                let mut state = self.shared.0.lock().unwrap();
                state.asked += 1;
                self.shared.1.notify_all();
                (state.fault, state.asked - 1, state.folder.join(path))
            };
            let file = if fault == Fault::Empty { None } else { fs::read(file).ok() };
            let (status, mut body) = match (fault, file) {
                (Fault::Broken, _) => ("500 Internal Server Error", b"broken\n".to_vec()),
                (_, Some(body)) => ("200 OK", body),
                (_, None) => ("404 Not Found", b"not found\n".to_vec()),
            };
            let (found, length) = (status == "200 OK", body.len());
            let half = length / 2;
            let head = |length: usize| format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
            match fault {
                Fault::HangsUp => return,
                Fault::Flaps if number % 2 == 0 => return,
                Fault::Silent => return self.hold(fault),
                Fault::SilentFrom(first) if number >= first => return self.hold(fault),
                Fault::Stalls if found => {
                    let _ = stream.write_all(&[&head(length), &body[..half]].concat());
                    return self.hold(fault);
                }
                Fault::Truncates if found => {
                    let _ = stream.write_all(&[&head(length), &body[..half]].concat());
                    return;
                }
                Fault::Endless if found => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while stream.write_all(&[b' '; 1 << 16]).is_ok() {}
                    return;
                }
                Fault::Lies if found => {
                    // A digit of a date: it stays JSON of the right shape.
                    let text = String::from_utf8_lossy(&body).replacen("\"expires\":\"2", "\"expires\":\"3", 1);
                    body = text.replacen("\"expires\": \"2", "\"expires\": \"3", 1).into_bytes();
                }
                _ => {}
            }
            if stream.write_all(&[head(body.len()), body].concat()).is_err() {
                return;
            }
        }
    }
}

/// An authority for servers of this machine.
pub(super) struct Tls(Authority);

impl Tls {
    pub(super) fn new() -> Self {
        Self(Authority::generate("repository", begin(), SignedDuration::from_hours(100 * YEAR)).unwrap())
    }

    /// What a client has to believe.
    pub(super) fn authority(&self) -> &str {
        self.0.certificate()
    }

    /// A certificate that is good now.
    pub(super) fn good(&self) -> Arc<ServerConfig> {
        self.config(99 * YEAR)
    }

    /// One that expired in 2001.
    pub(super) fn expired(&self) -> Arc<ServerConfig> {
        self.config(YEAR)
    }

    fn config(&self, hours: i64) -> Arc<ServerConfig> {
        let pair = self.0.issue(&["127.0.0.1".to_owned()], begin(), SignedDuration::from_hours(hours)).unwrap();
        let certificate = Certificate::parse(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        let resolver = Resolver::default();
        resolver.replace(certificate, begin()).unwrap();
        let mut config = ServerConfig::clone(&server_config(Arc::new(resolver)).unwrap());
        // No more is spoken here.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

/// Hours of one.
const YEAR: i64 = 365 * 24;

/// When certificates begin here.
fn begin() -> Timestamp {
    "2000-01-01T00:00:00Z".parse().unwrap()
}

/// The demonstration's policy for a repository at this place, refreshed every second, in a file of this name.
pub(super) fn policy(dir: &Path, name: &str, url: &str) -> String {
    let text = fs::read_to_string(dir.join("kept/policy.yaml")).unwrap();
    let origin = text.lines().find(|line| line.trim_start().starts_with("url: ")).unwrap();
    let path = format!("kept/{name}.yaml");
    fs::write(dir.join(&path), text.replace(origin, &format!("    url: {url}\n    refresh: 1s"))).unwrap();
    path
}
