//! The verdicts on one object, for people: the message of `kubectl`, the note of an Event, warnings, audit annotations.

use std::collections::{BTreeMap, BTreeSet};

use super::{AdmittedBy, Class, Judged, Leniency, Refusal, Staleness, Verdict, text::fit};

/// Bytes of the message in the answer to the API server.
pub const MESSAGE_BYTES: usize = 3_000;
/// Bytes of the note of an Event (the API refuses more than 1,024).
pub const NOTE_BYTES: usize = 1_000;
/// Bytes of the first line, which is complete in itself: tables and user interfaces show no other.
pub const HEADLINE_BYTES: usize = 200;
/// Bytes of one warning (the API server cuts at 256 characters).
pub const WARNING_BYTES: usize = 240;
/// Warnings in one answer (the API server drops what goes beyond 4,096 characters together).
pub const WARNINGS: usize = 12;
/// Bytes of one audit annotation.
pub const ANNOTATION_BYTES: usize = 8_192;

/// The message of `kubectl`, for the refused ones among `judged` images.
pub fn message(refusals: &[&Refusal], judged: usize) -> String {
    text(refusals, judged, &MESSAGE)
}

/// The note of an Event, for the refused ones among `judged` images.
pub fn note(refusals: &[&Refusal], judged: usize) -> String {
    text(refusals, judged, &NOTE)
}

/// The class of a review in which these images were refused: a verdict beats an outage, an outage a wrong setting.
/// `None` where nothing was refused.
pub fn worst_class<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> Option<Class> {
    refusals.into_iter().map(Refusal::class).min()
}

/// What the user is to read although the images were admitted. Never a line break, never too long, never too many: the
/// API server drops such warnings without a word.
pub fn warnings(verdicts: &[Verdict]) -> Vec<String> {
    let mut lines = Vec::new();
    for verdict in verdicts {
        if let Verdict::Admitted(admitted) = verdict {
            if let AdmittedBy::Leniency { mode, refusal } = admitted.by() {
                lines.extend(warning_of(*mode, refusal, admitted.judged()));
            }
            let judged = admitted.judged();
            let image = short_reference(&judged.reference, 100);
            lines.extend(judged.stale.iter().map(|stale| {
                let Staleness { repository, until, refresh, .. } = stale;
                let why = format!(
                    "{image}: runs here already, and is admitted until {until:.0} on metadata of {repository} that is no \
                     longer fresh: {refresh}"
                );
                fit(&why, WARNING_BYTES)
            }));
            lines.extend(judged.warnings.iter().map(|warning| fit(&format!("{image}: {warning}"), WARNING_BYTES)));
        }
    }
    // Two containers may well run the same image.
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    if lines.len() > WARNINGS {
        let left_out = lines.len() - (WARNINGS - 1);
        lines.truncate(WARNINGS - 1);
        lines.push(format!("{left_out} more warnings are left out"));
    }
    lines
}

/// What the audit log of the API server keeps. Keys have no slash: the API server puts the webhook's name before them.
pub fn annotations(verdicts: &[Verdict]) -> BTreeMap<&'static str, String> {
    let refused = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Refused(refusal) => Some(&**refusal),
        Verdict::Admitted(_) => None,
    });
    let verdict = match worst_class(refused) {
        Some(class) => class.as_str(),
        None if verdicts.is_empty() => "no-images",
        None => "admitted",
    };
    let admitted = || {
        verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Admitted(admitted) => Some(admitted.judged()),
            Verdict::Refused(_) => None,
        })
    };
    let mut annotations = BTreeMap::from([("verdict", verdict.to_owned())]);
    let mut add = |key, values: BTreeSet<String>| {
        if !values.is_empty() {
            let joined = values.into_iter().collect::<Vec<_>>().join(",");
            annotations.insert(key, fit(&joined, ANNOTATION_BYTES));
        }
    };
    add("code", verdicts.iter().filter_map(Verdict::refusal).map(|refusal| refusal.code().to_owned()).collect());
    add("rule", verdicts.iter().filter_map(Verdict::rule).map(str::to_owned).collect());
    add("digests", verdicts.iter().filter_map(Verdict::digest).map(|digest| format!("sha256:{digest}")).collect());
    let broken = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Admitted(admitted) => match admitted.by() {
            AdmittedBy::Leniency { mode: Leniency::BreakGlass, .. } => admitted.judged().reason.clone(),
            _ => None,
        },
        Verdict::Refused(_) => None,
    });
    add("break-glass", broken.collect());
    add("weak", admitted().flat_map(|judged| judged.weak.iter().cloned()).collect());
    add("stale", admitted().filter(|judged| !judged.stale.is_empty()).map(|judged| judged.reference.clone()).collect());
    annotations
}

/// What the audit log keeps of the rules that come next: `deny:<code>` for each code with which they would refuse, and for
/// each that is no verdict `unavailable:<code>` or `misconfigured:<code>`. `None` if they would admit everything.
pub fn next(verdicts: &[Verdict]) -> Option<String> {
    let refusals = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Refused(refusal) => Some(refusal),
        Verdict::Admitted(_) => None,
    });
    let words: BTreeSet<String> = refusals
        .map(|refusal| match refusal.class() {
            Class::Denied => format!("deny:{}", refusal.code()),
            class => format!("{class}:{}", refusal.code()),
        })
        .collect();
    (!words.is_empty()).then(|| fit(&words.into_iter().collect::<Vec<_>>().join(","), ANNOTATION_BYTES))
}

/// How long the parts of a text may be.
struct Lengths {
    total: usize,
    field: usize,
    reference: usize,
    cause: usize,
    place: usize,
    fix: usize,
}

const MESSAGE: Lengths = Lengths { total: MESSAGE_BYTES, field: 160, reference: 320, cause: 800, place: 320, fix: 520 };
const NOTE: Lengths = Lengths { total: NOTE_BYTES, field: 80, reference: 110, cause: 200, place: 110, fix: 220 };

fn text(refusals: &[&Refusal], judged: usize, lengths: &Lengths) -> String {
    let mut ordered = refusals.to_vec();
    // Stable: images of one class stay in the order of the object.
    ordered.sort_by_key(|refusal| refusal.class());
    let mixed = ordered.first().map(|first| first.class()) != ordered.last().map(|last| last.class());

    let mut out = headline(&ordered, judged);
    let blocks: Vec<(String, String)> =
        ordered.iter().map(|refusal| (title(refusal, mixed, lengths), details(refusal, lengths))).collect();
    let mut room = lengths.total.saturating_sub(out.len());

    // The first image in full, then the others by name, then their details while there is room.
    let first = blocks.first().map_or(0, |(_, details)| details.len());
    let all: usize = first + blocks.iter().map(|(title, _)| title.len()).sum::<usize>();
    let named = if all <= room {
        room -= all;
        blocks.len()
    } else {
        room = room.saturating_sub(LEFT_OUT_BYTES + first);
        let titles = blocks.iter().map_while(|(title, _)| {
            room = room.checked_sub(title.len())?;
            Some(())
        });
        titles.count()
    };
    for (index, (title, details)) in blocks.iter().take(named).enumerate() {
        out.push_str(title);
        if index > 0 {
            // Once one does not fit, no later one is told at greater length.
            match room.checked_sub(details.len()) {
                Some(left) => room = left,
                None => {
                    room = 0;
                    continue;
                }
            }
        }
        out.push_str(details);
    }
    if named < blocks.len() {
        out.push_str(&format!("\n{} more images are left out", blocks.len() - named));
    }
    out
}

/// Room kept for the line that says how many images are left out.
const LEFT_OUT_BYTES: usize = 50;

/// `1 of 3 images refused: [code] reference: cause`.
fn headline(ordered: &[&Refusal], judged: usize) -> String {
    let denied = ordered.iter().filter(|refusal| refusal.class() == Class::Denied).count();
    let others = ordered.len() - denied;
    let judged = judged.max(ordered.len());
    let images = if judged == 1 { "image" } else { "images" };
    let count = match (denied, others) {
        (0, _) => format!("not a verdict: {others} of {judged} {images} could not be judged"),
        (_, 0) => format!("{denied} of {judged} {images} refused"),
        _ => format!("{denied} of {judged} {images} refused, {others} could not be judged"),
    };
    let Some(first) = ordered.first() else { return count };
    let image = short_reference(&first.reference, 80);
    fit(&format!("{count}: [{}] {image}: {}", first.code(), first.cause), HEADLINE_BYTES)
}

/// `[code] field: reference (sha256:9c1e…)`, with the line break before it.
fn title(refusal: &Refusal, mixed: bool, lengths: &Lengths) -> String {
    let mut line = String::from("\n");
    if mixed && refusal.class() != Class::Denied {
        line.push_str("not a verdict: ");
    }
    line.push_str(&format!("[{}] ", refusal.code()));
    if !refusal.field.is_empty() {
        line.push_str(&fit(&refusal.field, lengths.field));
        line.push_str(": ");
    }
    line.push_str(&fit(written(&refusal.reference), lengths.reference));
    if let Some(digest) = refusal.digest.map(|digest| digest.to_string())
        && !refusal.reference.ends_with(&digest)
    {
        line.push_str(&format!(" (sha256:{}…)", digest.get(..SHORT_DIGEST).unwrap_or(&digest)));
    }
    line
}

/// The indented lines below a title: what, where, fix.
fn details(refusal: &Refusal, lengths: &Lengths) -> String {
    let mut lines = format!("\n  {}", fit(&refusal.cause.to_string(), lengths.cause));
    let place = place(refusal);
    if !place.is_empty() {
        lines.push_str(&format!("\n  {}", fit(&place, lengths.place)));
    }
    if let Some(info) = refusal.info() {
        let see = refusal
            .explainable()
            .map(|reference| format!("; see: pratique explain {reference}"))
            // A command that was cut would explain another image, so it is whole or not there.
            .filter(|see| info.cure.len() + see.len() <= lengths.fix)
            .unwrap_or_default();
        lines.push_str(&format!("\n  fix: {}{see}", info.cure));
    }
    lines
}

/// `rule "own-images", part 1 of 2; as docker.io/library/app; layout acme-api.layout; targets v41 of acme, expires 2027-10-01`.
fn place(refusal: &Refusal) -> String {
    let context = &refusal.context;
    let mut parts = Vec::new();
    let part = context.part.map(|(number, of)| format!(", part {number} of {of}")).unwrap_or_default();
    parts.extend(refusal.rule.as_ref().map(|rule| format!("rule \"{rule}\"{part}")));
    parts.extend(context.named.as_ref().map(|name| format!("as {name}")));
    parts.extend(context.layout.as_ref().map(|layout| format!("layout {layout}")));
    let expires = context.expires.map(|at| format!(", expires {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
    match (&context.repository, context.targets_version) {
        (Some(repository), Some(version)) => parts.push(format!("targets v{version} of {repository}{expires}")),
        (Some(repository), None) => parts.push(format!("repository {repository}{expires}")),
        (None, Some(version)) => parts.push(format!("targets v{version}{expires}")),
        (None, None) => {}
    }
    parts.join("; ")
}

fn warning_of(mode: Leniency, refusal: &Refusal, judged: &Judged) -> Option<String> {
    let rule = match &refusal.rule {
        Some(rule) => format!("rule \"{}\"", fit(rule, 40)),
        None => "the policy's default".to_owned(),
    };
    let reason = judged.reason.as_ref().map(|reason| format!(": {}", fit(reason, 60))).unwrap_or_default();
    let end = match (mode, judged.enforce_from) {
        (Leniency::Audit, _) => return None,
        (Leniency::BreakGlass, _) => format!(" (not enforced: the glass is broken{reason})"),
        (Leniency::Warn, Some(from)) => format!(" (refused from {from:.0} on by {rule}{reason})"),
        (Leniency::Warn, None) => format!(" (not enforced: {rule} only warns{reason})"),
    };
    let image = short_reference(&refusal.reference, 80);
    let start = format!("[{}] {image}: {}", refusal.code(), refusal.cause);
    Some(fit(&start, WARNING_BYTES.saturating_sub(end.len())) + &end)
}

/// The reference with the digest in it shortened, of at most `max` bytes.
fn short_reference(reference: &str, max: usize) -> String {
    let short = reference.split_once("@sha256:").and_then(|(name, hex)| {
        hex.get(..SHORT_DIGEST).filter(|_| hex.len() > SHORT_DIGEST).map(|start| format!("{name}@sha256:{start}…"))
    });
    fit(short.as_deref().unwrap_or(written(reference)), max)
}

/// An empty reference by that name.
fn written(reference: &str) -> &str {
    if reference.is_empty() { "(empty)" } else { reference }
}

/// Hex digits of a digest where it is named in passing.
const SHORT_DIGEST: usize = 12;

#[cfg(test)]
mod tests;
