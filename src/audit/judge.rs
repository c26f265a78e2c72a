//! The judgement of what runs, and its outlook.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Inventory, Running, Uses,
    report::{Finding, Report},
};
use crate::{
    crypto::Sha256,
    forecast::{Outlook, Search, Standing, Supposing},
    image::{Manifest, Reference},
    policy::{Action, Selected, Subject},
    verdict::{Pinning, Verdict},
    verifier::{Question, TagUse, Verifier, World},
};

/// Judgements under way at a time: most are answered from memory, and the others must not take all processors.
const AT_A_TIME: usize = 8;

/// For one judgement.
const PATIENCE: Duration = Duration::from_secs(30);

/// Judges what runs. It remembers verdicts like the webhook, so that judging again what has not changed costs little.
#[derive(Debug, Default)]
pub struct Auditor {
    verifier: Verifier,
}

/// What became of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whether it would be admitted now.
    pub verdict: Verdict,
    /// The node says that it runs another image than the Pod names.
    pub other: Option<OtherImage>,
    /// Until when it would be admitted, if what machines sign is renewed in time.
    pub machines_go_on: Outlook,
    /// Until when it would be admitted if nothing is renewed.
    pub nothing_renewed: Outlook,
}

/// The node says that it runs another image than the Pod names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Pod names sha256:{named}, and the node says that it runs sha256:{runs}")]
pub struct OtherImage {
    /// The digest in the Pod.
    pub named: Sha256,
    /// The digest in its status.
    pub runs: Sha256,
}

impl OtherImage {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self { named: _, runs: _ } => "image/another-runs",
        }
    }
}

impl Auditor {
    /// Judges every image of an inventory.
    pub async fn audit(&self, world: &World, inventory: &Inventory, now: Timestamp) -> Report {
        let images: Vec<(&Running, &Uses)> = inventory.images.iter().collect();
        let mut findings = Vec::with_capacity(images.len());
        for some in images.chunks(AT_A_TIME) {
            findings.extend(join_all(some.iter().map(|(running, uses)| self.find(world, running, uses, now))).await);
        }
        Report { at: now, pods: inventory.pods, findings, unreadable: inventory.unreadable.clone() }
    }

    /// What the rules that come next would say about each finding, in their order; `None` where there are no such rules.
    pub async fn audit_next(&self, world: &World, findings: &[Finding], now: Timestamp) -> Option<Vec<Verdict>> {
        world.policy().next()?;
        let mut verdicts = Vec::with_capacity(findings.len());
        for some in findings.chunks(AT_A_TIME) {
            let judged = some.iter().map(|finding| async {
                let reference = finding.running.judged();
                let question = question(&finding.running, &reference, &finding.uses.field);
                self.verifier.verify_next(world, &question, now, Instant::now() + PATIENCE).await
            });
            // Each has one: there are rules.
            verdicts.extend(join_all(judged).await.into_iter().flatten());
        }
        Some(verdicts)
    }

    async fn find(&self, world: &World, running: &Running, uses: &Uses, now: Timestamp) -> Finding {
        let judged = self.judge(world, running, &uses.field, now).await;
        Finding { running: running.clone(), uses: uses.clone(), judged }
    }

    async fn judge(&self, world: &World, running: &Running, field: &str, now: Timestamp) -> Judged {
        let deadline = Instant::now() + PATIENCE;
        let reference = running.judged();
        let question = question(running, &reference, field);
        let verdict = self.verifier.verify(world, &question, now, deadline).await;
        let [machines_go_on, nothing_renewed] = [Supposing::MachinesGoOn, Supposing::NothingIsRenewed];
        Judged {
            other: self.other_image(world, running, &question, now, deadline).await,
            machines_go_on: self.outlook(world, &question, &verdict, machines_go_on, now, deadline).await,
            nothing_renewed: self.outlook(world, &question, &verdict, nothing_renewed, now, deadline).await,
            verdict,
        }
    }

    async fn outlook(
        &self,
        world: &World,
        question: &Question<'_>,
        verdict: &Verdict,
        supposing: Supposing,
        now: Timestamp,
        deadline: Instant,
    ) -> Outlook {
        // What is no reference is refused whatever the time.
        let Ok(image) = Reference::parse(question.reference) else { return Outlook::Refused };
        let subject = Subject { namespace: question.namespace, image: &image, used_as: question.used_as };
        let mut search = Search::new(world.policy(), subject, supposing, now);
        while let Some(at) = search.next() {
            let later;
            let verdict = if at == now {
                verdict
            } else {
                later = self.verifier.verify_by_rules_of(at, world, question, now, deadline).await;
                &later
            };
            let demands = match world.policy().select(&subject, at) {
                Selected::Rule(rule) => match rule.action() {
                    Action::Verify(demands) => demands.as_slice(),
                    Action::Allow { .. } => &[],
                },
                Selected::Default(_) => &[],
            };
            let mut repositories = Vec::new();
            for demand in demands {
                let asked = demand.repositories().map(|name| world.standing(name)).collect::<Result<Vec<_>, _>>();
                let Ok(mut asked) = asked.map(Vec::into_iter) else { return Outlook::Unknown };
                let Some(evidence) = asked.next().flatten() else { break };
                // Others that were never read do not hold the image.
                repositories.push((evidence, asked.flatten().collect::<Vec<_>>(), demand.others_needed()));
            }
            let standings: Vec<Standing<'_>> = repositories
                .iter()
                .map(|(evidence, others, needed)| Standing {
                    trusted: evidence.0.trusted(),
                    too_old: evidence.1.as_ref(),
                    others: others
                        .iter()
                        .map(|other| Standing {
                            trusted: other.0.trusted(),
                            too_old: other.1.as_ref(),
                            others: Vec::new(),
                            needed: 0,
                        })
                        .collect(),
                    needed: *needed,
                })
                .collect();
            search.supply(verdict, &standings);
        }
        search.finish()
    }

    /// A finding only where both digests are known and neither stands for the other: a node may name the index by which
    /// it pulled, the manifest for its platform, or another manifest of the same configuration.
    async fn other_image(
        &self,
        world: &World,
        running: &Running,
        question: &Question<'_>,
        now: Timestamp,
        deadline: Instant,
    ) -> Option<OtherImage> {
        let named = Reference::parse(&running.image).ok()?.digest?;
        let runs = running.runs.digest().filter(|runs| *runs != named)?;
        let manifest = |digest| self.verifier.manifest(world, question, digest, now, deadline);
        // Without the manifest that the Pod names it cannot be told what may stand for it.
        let named_manifest = manifest(named).await.ok()??;
        if children(&named_manifest).any(|child| child == runs) {
            return None;
        }
        let related = manifest(runs).await.ok()?.is_some_and(|runs_manifest| {
            let same_configuration = match (&named_manifest, &runs_manifest) {
                (Manifest::Image { config: named, .. }, Manifest::Image { config: runs, .. }) => {
                    named.digest == runs.digest
                }
                _ => false,
            };
            same_configuration || children(&runs_manifest).any(|child| child == named)
        });
        (!related).then_some(OtherImage { named, runs })
    }
}

fn question<'a>(running: &'a Running, reference: &'a str, field: &'a str) -> Question<'a> {
    Question {
        field,
        reference,
        namespace: &running.namespace,
        budgeted: false,
        used_as: running.used_as,
        tag: TagUse::Refused(Pinning::Off),
        moment: None,
    }
}

/// The images of an index.
fn children(manifest: &Manifest) -> impl Iterator<Item = Sha256> {
    let children = match manifest {
        Manifest::Image { .. } => &[][..],
        Manifest::Index { children } => children,
    };
    children.iter().map(|child| child.descriptor.digest)
}
