//! First match wins.

use jiff::Timestamp;

use super::{Action, DefaultAction, ImageMatch, Matcher, Policy, Rule, UsedAs};
use crate::image::Reference;

/// What a rule is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The namespace of the workload.
    pub namespace: &'a str,
    /// The image. Its digest, as far as it is known, counts for entries with `@sha256:…`.
    pub image: &'a Reference,
    /// As what the workload uses it.
    pub used_as: UsedAs,
}

/// Who judges an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected<'a> {
    /// The first rule that matches.
    Rule(&'a Rule),
    /// No rule matches.
    Default(DefaultAction),
}

impl Policy {
    /// The first rule that matches, in the order of the text. An exemption whose `until` has come matches nothing.
    pub fn select(&self, subject: &Subject<'_>, now: Timestamp) -> Selected<'_> {
        self.select_from(&self.rules, subject, now)
    }

    /// The same among the rules that are tried in the shadow of those in force; `None` if there are none.
    pub fn select_next(&self, subject: &Subject<'_>, now: Timestamp) -> Option<Selected<'_>> {
        self.next.as_ref().map(|rules| self.select_from(rules, subject, now))
    }

    fn select_from<'a>(&self, rules: &'a [Rule], subject: &Subject<'_>, now: Timestamp) -> Selected<'a> {
        let selected = rules.iter().find(|rule| rule.is_in_force(now) && rule.matcher.matches(subject));
        selected.map_or(Selected::Default(self.default), Selected::Rule)
    }
}

impl Rule {
    fn is_in_force(&self, now: Timestamp) -> bool {
        match &self.action {
            Action::Allow { until: Some(until), .. } => now < *until,
            Action::Allow { until: None, .. } | Action::Verify(_) => true,
        }
    }
}

impl Matcher {
    /// Whether an image is one of those that the rule judges.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.uses.contains(&subject.used_as)
            && self.namespaces.iter().any(|pattern| pattern.matches(subject.namespace))
            && self.images.iter().any(|image| image.matches(subject.image))
    }

    /// Bytes of its patterns.
    pub(super) fn length(&self) -> usize {
        let namespaces = self.namespaces.iter().map(|pattern| pattern.to_string().len());
        namespaces.chain(self.images.iter().map(|image| image.to_string().len())).sum()
    }

    /// Whether this surely matches whatever `other` matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.uses.is_superset(&other.uses)
            && other.namespaces.iter().all(|theirs| self.namespaces.iter().any(|ours| ours.covers(theirs)))
            && other.images.iter().all(|theirs| self.images.iter().any(|ours| ours.covers(theirs)))
    }
}

impl ImageMatch {
    pub(super) fn matches(&self, image: &Reference) -> bool {
        self.pattern.matches(image.repository.as_str()) && (self.digest.is_none() || self.digest == image.digest)
    }

    fn covers(&self, other: &Self) -> bool {
        self.pattern.covers(&other.pattern) && (self.digest.is_none() || self.digest == other.digest)
    }
}

#[cfg(test)]
mod tests;
