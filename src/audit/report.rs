//! What an audit found, to be counted and told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Holder, Judged, Running, Unreadable, Uses};
use crate::{
    forecast::{Ending, Outlook},
    verdict::{AdmittedBy, Class, Refusal, Verdict},
};

/// What was found about everything that ran at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub at: Timestamp,
    /// How many Pods there were.
    pub pods: usize,
    /// Each image, in the order of [`Running`].
    pub findings: Vec<Finding>,
    /// Pods whose images cannot be found.
    pub unreadable: Vec<Unreadable>,
}

/// What was found about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The image.
    pub running: Running,
    /// Who runs it.
    pub uses: Uses,
    /// What became of it.
    pub judged: Judged,
}

/// How many containers and volumes run images of each verdict.
pub type Counts = BTreeMap<(&'static str, &'static str, &'static str), usize>;

impl Finding {
    /// Verdict, class and code as the metrics of the webhook have them.
    pub fn label(&self) -> (&'static str, &'static str, &'static str) {
        let (class, code) =
            self.judged.verdict.refusal().map_or(("", ""), |refusal| (refusal.class().as_str(), refusal.code()));
        let verdict = match &self.judged.verdict {
            Verdict::Admitted(admitted) => admitted.kind(),
            Verdict::Refused(_) => "refused",
        };
        (verdict, class, code)
    }

    /// Why it would be refused now: a verdict, and no outage.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.judged.verdict.enforced().filter(|refusal| refusal.class() == Class::Denied)
    }

    /// Why it would be refused if its rule were enforced, where the rule wants that said.
    pub fn warning(&self) -> Option<&Refusal> {
        self.judged.verdict.warned().filter(|refusal| refusal.class() == Class::Denied)
    }

    /// Why it could not be judged.
    pub fn outage(&self) -> Option<&Refusal> {
        match &self.judged.verdict {
            Verdict::Refused(refusal) if refusal.class() != Class::Denied => Some(refusal),
            Verdict::Refused(_) | Verdict::Admitted(_) => None,
        }
    }

    /// The repository that its verdict was read from.
    pub fn repository(&self) -> &str {
        match &self.judged.verdict {
            Verdict::Refused(refusal) => refusal.context.repository.as_deref(),
            Verdict::Admitted(admitted) => match admitted.by() {
                AdmittedBy::Proof(proofs) => Some(proofs.first().repository().as_str()),
                AdmittedBy::Leniency { refusal, .. } => refusal.context.repository.as_deref(),
                AdmittedBy::Exemption(_) => None,
            },
        }
        .unwrap_or_default()
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        let Judged { verdict, other, machines_go_on, nothing_renewed } = &self.judged;
        json!({
            "namespace": self.running.namespace,
            "image": self.running.image,
            "count": self.uses.count,
            "holders": self.uses.holders.iter().map(Holder::to_json).collect::<Vec<_>>(),
            "runs": self.running.runs.digest().map(|digest| format!("sha256:{digest}")),
            "another": other.map(|other| json!({"code": other.code(), "message": other.to_string()})),
            "verdict": verdict.to_json(),
            "firstRefusal": outlook(machines_go_on),
            "firstRefusalIfNothingIsRenewed": outlook(nothing_renewed),
        })
    }
}

impl Report {
    /// How many containers and volumes run images of each verdict, class and code.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for finding in &self.findings {
            *counts.entry(finding.label()).or_default() += finding.uses.count;
        }
        counts
    }

    /// The first refusal that is coming, for each repository and code: of those that come though machines go on, and of
    /// those that come if nothing is renewed.
    pub fn first_refusals(&self) -> BTreeMap<(String, &'static str, &'static str), Timestamp> {
        let mut first = BTreeMap::new();
        for finding in &self.findings {
            let endings = [&finding.judged.machines_go_on, &finding.judged.nothing_renewed];
            for ending in endings.into_iter().filter_map(Outlook::ending) {
                let label = (finding.repository().to_owned(), ending.code, ending.renewal.as_str());
                let at = first.entry(label).or_insert(ending.at);
                *at = ending.at.min(*at);
            }
        }
        first
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        let unreadable = self.unreadable.iter().map(|unreadable| {
            json!({"holder": unreadable.holder.to_json(), "code": unreadable.error.code(), "message": unreadable.error.to_string()})
        });
        json!({
            "at": self.at,
            "pods": self.pods,
            "images": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "unreadable": unreadable.collect::<Vec<_>>(),
        })
    }
}

impl Holder {
    /// For scripts.
    pub fn to_json(&self) -> Value {
        json!({
            "apiVersion": self.api_version, "kind": self.kind,
            "namespace": self.namespace, "name": self.name, "uid": self.uid,
        })
    }
}

fn outlook(outlook: &Outlook) -> Value {
    match outlook {
        Outlook::Ends(Ending { at, code, what, renewal }) => {
            json!({"at": at, "code": code, "message": what, "renewal": renewal.as_str()})
        }
        Outlook::Refused | Outlook::Unknown | Outlook::Holds => Value::Null,
    }
}
