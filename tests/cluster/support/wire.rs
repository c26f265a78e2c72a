//! A wire to a port of this machine, which can be cut, and which can make a server's clock wrong.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

/// As HTTP has it, of the same length always.
const FORMAT: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// A wire that is whole.
pub(crate) struct Wire {
    port: u16,
    shared: Arc<Mutex<State>>,
}

struct State {
    cut: bool,
    /// How far the clock of the server seems to be ahead. Only where nothing is encrypted.
    ahead: SignedDuration,
    ends: Vec<TcpStream>,
}

impl Wire {
    /// To a port of this machine.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let shared = Arc::new(Mutex::new(State { cut: false, ahead: SignedDuration::ZERO, ends: Vec::new() }));
        let accepting = shared.clone();
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let mut state = lock(&accepting);
                // Taken, and closed: nobody can tell that from a server that went away.
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                if state.cut {
                    continue;
                }
                let twice = |stream: &TcpStream| stream.try_clone().unwrap();
                state.ends.extend([twice(&near), twice(&far)]);
                drop(state);
                let (to, from) = (twice(&far), twice(&near));
                thread::spawn(move || carry(from, to, None));
                let shared = accepting.clone();
                thread::spawn(move || carry(far, near, Some(&shared)));
            }
        });
        Self { port: own, shared }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Nothing goes through any more, nor over what was connected.
    pub(crate) fn cut(&self) {
        let mut state = lock(&self.shared);
        state.cut = true;
        for end in state.ends.drain(..) {
            // It may have ended already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// New connections go through again.
    pub(crate) fn mend(&self) {
        lock(&self.shared).cut = false;
    }

    /// From now on the server's clock seems to be ahead by this.
    pub(crate) fn ahead(&self, ahead: SignedDuration) {
        lock(&self.shared).ahead = ahead;
    }
}

fn lock(shared: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries bytes until one side ends, and then ends the other.
fn carry(mut from: TcpStream, mut to: TcpStream, clock: Option<&Mutex<State>>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..length];
        if let Some(shared) = clock {
            shift(bytes, lock(shared).ahead);
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Changes the header Date of an answer that begins here.
fn shift(bytes: &mut [u8], ahead: SignedDuration) {
    let header = b"\r\nDate: ";
    let Some(at) = bytes.windows(header.len()).position(|window| window == header) else { return };
    let Some(date) = bytes.get_mut(at + header.len()..at + header.len() + 29) else { return };
    let Ok(said) = DateTime::strptime(FORMAT, std::str::from_utf8(date).unwrap()) else { return };
    let now: Timestamp = said.to_zoned(TimeZone::UTC).unwrap().timestamp() + ahead;
    date.copy_from_slice(now.strftime(FORMAT).to_string().as_bytes());
}
