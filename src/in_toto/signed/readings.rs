//! The files that the steps of a layout ask for, read, and their signatures verified, some at a time.
//!
//! Most of the time that a supply chain takes goes into its large links, and none needs another. What they hold is counted
//! where they are taken out of here, in their order, so that the answer is that of reading one after another.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::{
    crypto::KeyId,
    in_toto::{
        envelope::{Envelope, Payload, SignatureProblem, Signed},
        error::Error,
        frame::Frame,
        functionary::Signer,
        layout::{Layout, Step},
        limits::Limits,
        name::{LinkName, StepName},
    },
    parallel,
};

/// Bytes of files that are read before any of what they hold is counted. Also what is worth a thread, many times over.
const AT_ONCE: usize = 8 << 20;

/// Fewer bytes than this are read sooner than a thread is started.
const WORTH_IT: usize = 256 << 10;

/// What the steps of one layout ask for, in their order.
pub(in crate::in_toto) struct Readings<'a> {
    asked: VecDeque<Asked<'a>>,
    read: VecDeque<Reading<'a>>,
}

/// A file that is there for a functionary of a step.
struct Asked<'a> {
    step: &'a StepName,
    signer: Signer<'a>,
    keyid: &'a KeyId,
    path: String,
    bytes: &'a [u8],
}

/// A file that was read for a functionary of a step.
pub(super) struct Reading<'a> {
    step: &'a StepName,
    keyid: &'a KeyId,
    pub path: String,
    pub found: Result<Found, Error>,
}

/// What a file says, and whether the functionary signed it.
pub(super) struct Found {
    pub payload: Payload,
    pub signed: Result<Signed, SignatureProblem>,
}

impl<'a> Readings<'a> {
    /// All that steps of `layout` ask for and that is there, counted as read.
    pub(in crate::in_toto) fn of<'f: 'a>(
        frame: &mut Frame<'f, '_>,
        layout: &'a Layout,
        steps: &'a [Step],
    ) -> Result<Self, Error> {
        let mut asked = VecDeque::new();
        for step in steps {
            if layout.is_over_predicates || frame.wanted(&step.name).is_some() {
                continue;
            }
            for signer in layout.keys.signers(&step.pubkeys).into_iter().flatten() {
                // One file for a plain key; for an OpenPGP key, one for each of its keys that may sign.
                for keyid in signer.allowed.iter().copied() {
                    let name = LinkName::new(&step.name, keyid).to_string();
                    let Some((path, bytes)) = frame.read(&name)? else { continue };
                    asked.push_back(Asked { step: &step.name, signer: signer.clone(), keyid, path, bytes });
                }
            }
        }
        Ok(Self { asked, read: VecDeque::new() })
    }

    /// The file of a functionary, if it is there. They are taken in the order in which the steps ask for them.
    pub(super) fn take(
        &mut self,
        step: &StepName,
        keyid: &KeyId,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<Reading<'a>> {
        if self.read.is_empty() {
            self.read_on(limits, now);
        }
        let is_it = |next: &Reading<'_>| next.step == step && next.keyid == keyid;
        if self.read.front().is_some_and(is_it) { self.read.pop_front() } else { None }
    }

    fn read_on(&mut self, limits: &Limits, now: Timestamp) {
        let (mut next, mut bytes) = (Vec::new(), 0_usize);
        while bytes < AT_ONCE
            && let Some(asked) = self.asked.pop_front()
        {
            bytes = bytes.saturating_add(asked.bytes.len());
            next.push(asked);
        }
        let open = |asked: &Asked<'_>| asked.open(limits);
        let verify = |asked: &Asked<'_>, opened: Result<Opened, Error>| opened.map(|opened| asked.verify(opened, now));
        let found = if bytes < WORTH_IT {
            next.iter().map(|asked| verify(asked, open(asked))).collect()
        } else {
            parallel::map(&next, open, verify)
        };
        let read = next.into_iter().zip(found);
        self.read = read.map(|(Asked { step, keyid, path, .. }, found)| Reading { step, keyid, path, found }).collect();
    }
}

/// A file that was read, its signatures not yet.
struct Opened {
    envelope: Envelope,
    payload: Payload,
}

impl Asked<'_> {
    fn open(&self, limits: &Limits) -> Result<Opened, Error> {
        let mut envelope = open(&self.path, self.bytes, limits)?;
        let payload = envelope.payload(&self.path, limits)?;
        Ok(Opened { envelope, payload })
    }

    fn verify(&self, opened: Opened, now: Timestamp) -> Found {
        let Opened { envelope, payload } = opened;
        Found { payload, signed: envelope.verify(&self.signer, now) }
    }
}

/// Opens a file that may hold a link or a sublayout.
pub(super) fn open(path: &str, bytes: &[u8], limits: &Limits) -> Result<Envelope, Error> {
    Envelope::parse(bytes, path, limits.link_bytes.max(limits.layout_bytes), limits)
}
