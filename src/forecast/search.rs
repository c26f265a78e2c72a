//! From one instant to the next at which another rule applies.

use jiff::Timestamp;

use super::{
    Supposing,
    ends::{self, Ending, Renewal, Standing},
};
use crate::{
    policy::{Action, Policy, Selected, Subject},
    verdict::{AdmittedBy, Class, Refusal, Verdict},
};

/// What becomes of an image in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// It is refused already.
    Refused,
    /// It cannot be judged now, so nothing can be said.
    Unknown,
    /// It is admitted until then.
    Ends(Ending),
    /// Nothing that its admission stands on ends by itself.
    Holds,
}

impl Outlook {
    /// The first refusal, if one is coming.
    pub fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Ends(ending) => Some(ending),
            Self::Refused | Self::Unknown | Self::Holds => None,
        }
    }
}

/// The search for the first refusal of one image: as long as there is a [`Search::next`], judge the image by the rules
/// of that instant, on the evidence of now, and [`Search::supply`] the verdict.
#[derive(Debug)]
pub struct Search<'a> {
    policy: &'a Policy,
    subject: Subject<'a>,
    supposing: Supposing,
    now: Timestamp,
    at: Timestamp,
    outlook: Option<Outlook>,
}

impl<'a> Search<'a> {
    /// Begins with the verdict of now.
    pub fn new(policy: &'a Policy, subject: Subject<'a>, supposing: Supposing, now: Timestamp) -> Self {
        Self { policy, subject, supposing, now, at: now, outlook: None }
    }

    /// The instant whose rules are to be applied; `None` at the end.
    pub fn next(&self) -> Option<Timestamp> {
        self.outlook.is_none().then_some(self.at)
    }

    /// What the rules of [`Self::next`] say. `standings` are the repositories of the rule's requirements, in their order;
    /// none where there are none.
    pub fn supply(&mut self, verdict: &Verdict, standings: &[Standing<'_>]) {
        let admitted = match verdict {
            Verdict::Refused(refusal) => {
                self.outlook = Some(self.refused(refusal));
                return;
            }
            Verdict::Admitted(admitted) => admitted,
        };
        let ending = match admitted.by() {
            AdmittedBy::Proof(proofs) => match self.policy.select(&self.subject, self.at) {
                Selected::Rule(rule) => match rule.action() {
                    Action::Verify(demands) => {
                        let parts = proofs.iter().zip(demands).zip(standings);
                        let ends = parts.flat_map(|((proof, demand), standing)| {
                            ends::of(proof, demand.layout_roles(), standing, |ending| self.comes(ending))
                        });
                        self.first(ends)
                    }
                    Action::Allow { .. } => None,
                },
                Selected::Default(_) => None,
            },
            AdmittedBy::Exemption(_) | AdmittedBy::Leniency { .. } => None,
        };
        match (self.next_rules(), ending) {
            (Some(rules), Some(ending)) if ending.at <= rules => self.outlook = Some(Outlook::Ends(ending)),
            (Some(rules), _) => self.at = rules,
            (None, Some(ending)) => self.outlook = Some(Outlook::Ends(ending)),
            (None, None) => self.outlook = Some(Outlook::Holds),
        }
    }

    /// What was found; [`Outlook::Unknown`] before the end.
    pub fn finish(self) -> Outlook {
        self.outlook.unwrap_or(Outlook::Unknown)
    }

    fn refused(&self, refusal: &Refusal) -> Outlook {
        match refusal.class() {
            Class::Unavailable | Class::Misconfigured => Outlook::Unknown,
            Class::Denied if self.at == self.now => Outlook::Refused,
            Class::Denied => Outlook::Ends(Ending {
                at: self.at,
                code: refusal.code(),
                what: refusal.cause.to_string(),
                renewal: Renewal::People,
            }),
        }
    }

    fn comes(&self, ending: &Ending) -> bool {
        match self.supposing {
            Supposing::NothingIsRenewed => true,
            Supposing::MachinesGoOn => ending.renewal == Renewal::People,
        }
    }

    /// The first of the ends that are supposed to come, not before the rule applies.
    fn first(&self, endings: impl Iterator<Item = Ending>) -> Option<Ending> {
        let first = endings.min_by_key(|ending| ending.at)?;
        Some(Ending { at: first.at.max(self.at), ..first })
    }

    /// The next instant at which one of the rules for this image begins, ends or is enforced.
    fn next_rules(&self) -> Option<Timestamp> {
        let rules = self.policy.rules().iter().filter(|rule| rule.matcher().matches(&self.subject));
        let instants = rules.filter_map(|rule| match rule.action() {
            Action::Allow { until, .. } => *until,
            Action::Verify(_) => rule.enforce_from(),
        });
        instants.filter(|instant| *instant > self.at).min()
    }
}
