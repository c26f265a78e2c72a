//! Which digests are in use? One ConfigMap says so to the webhook: an image that runs already may go on while nothing
//! fresh can be had, if the policy says so (`stale.knownImages`; trust.md A4).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::PostParams};
use tokio::time::timeout;

use super::{Finding, Report};
use crate::{
    cluster::digests::KEY,
    image::Reference,
    verdict::{AdmittedBy, Class, Verdict},
};

/// The key that says whether all of them had room: `true` or `false`.
pub const COMPLETE: &str = "complete";

/// Bytes of the list; a ConfigMap holds twice as much.
const MAX_BYTES: usize = 512 << 10;

/// For reading and writing it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Codes of images that were proven and only lack something fresh: they stay on the list if they are on it.
const NOT_FRESH: [&str; 2] = ["tuf/expired", "tuf/max-age"];

/// Publishes the digests in use.
pub struct Digests {
    api: Api<ConfigMap>,
    name: String,
    wrote: Box<dyn Fn(bool) + Send>,
    /// What is in the ConfigMap, once it was read.
    published: Option<Published>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Published {
    images: BTreeSet<String>,
    complete: bool,
}

impl Digests {
    /// In this ConfigMap, which has to be there; `wrote` is told of every attempt to write it.
    pub fn new(client: Client, namespace: &str, name: &str, wrote: impl Fn(bool) + Send + 'static) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), wrote: Box::new(wrote), published: None }
    }

    /// Writes the list if it has changed. Whether it is as it should be.
    pub async fn publish(&mut self, report: &Report) -> bool {
        let tried = match timeout(PATIENCE, self.try_publish(report)).await {
            Ok(tried) => tried.map_err(|error| error.to_string()),
            Err(_) => Err("the API server does not answer".to_owned()),
        };
        match tried {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(config_map = self.name, %error, "the digests in use cannot be published");
                // Somebody else may have written it.
                self.published = None;
                (self.wrote)(false);
                false
            }
        }
    }

    async fn try_publish(&mut self, report: &Report) -> Result<(), kube::Error> {
        let mut map = None;
        let published = match self.published.take() {
            Some(published) => published,
            None => {
                let read = self.api.get(&self.name).await?;
                let published = Published::of(&read);
                map = Some(read);
                published
            }
        };
        let wanted = Published::wanted(report, &published.images);
        if wanted != published {
            let mut map = match map {
                Some(map) => map,
                None => self.api.get(&self.name).await?,
            };
            map.data = Some(wanted.data());
            // The API server compares the resourceVersion that was read.
            self.api.replace(&self.name, &PostParams::default(), &map).await?;
            (self.wrote)(true);
        }
        self.published = Some(wanted);
        Ok(())
    }
}

impl Published {
    fn of(map: &ConfigMap) -> Self {
        let value = |key: &str| map.data.as_ref().and_then(|data| data.get(key)).map(String::as_str);
        let images = value(KEY).unwrap_or_default().lines().map(str::to_owned).collect();
        Self { images, complete: value(COMPLETE) == Some("true") }
    }

    fn wanted(report: &Report, before: &BTreeSet<String>) -> Self {
        let mut images: BTreeSet<String> = BTreeSet::new();
        for finding in &report.findings {
            images.extend(in_use(finding, before));
        }
        let (mut bytes, all) = (0_usize, images.len());
        images.retain(|image| {
            bytes = bytes.saturating_add(image.len()).saturating_add(1);
            bytes <= MAX_BYTES
        });
        Self { complete: images.len() == all, images }
    }

    fn data(&self) -> BTreeMap<String, String> {
        let lines: String = self.images.iter().flat_map(|image| [image.as_str(), "\n"]).collect();
        BTreeMap::from([(KEY.to_owned(), lines), (COMPLETE.to_owned(), self.complete.to_string())])
    }
}

/// The image, if it is proven, or was and only lacks something fresh. What is refused for any other reason is not known to
/// anybody, however long it runs.
fn in_use(finding: &Finding, before: &BTreeSet<String>) -> Option<String> {
    let verdict = &finding.judged.verdict;
    let repository = Reference::parse(verdict.reference()).ok()?.repository;
    let image = format!("{repository}@sha256:{}", verdict.digest()?);
    let proven = match verdict {
        Verdict::Admitted(admitted) => matches!(admitted.by(), AdmittedBy::Proof(_)),
        Verdict::Refused(refusal) => {
            let may_go_on = refusal.class() == Class::Unavailable || NOT_FRESH.contains(&refusal.code());
            may_go_on && before.contains(&image)
        }
    };
    proven.then_some(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::LivePod,
        audit::tests::{DAY, Project, by_digest, image, now, pod, refresh, report},
        crypto::Sha256,
    };

    fn listed(report: &Report, before: &BTreeSet<String>) -> BTreeSet<String> {
        let published = Published::wanted(report, before);
        assert!(published.complete);
        published.images
    }

    #[tokio::test]
    async fn what_is_proven_stays_in_use_while_nothing_fresh_can_be_had_and_no_longer_when_it_is_revoked() {
        let project = Project::usual();
        let digest = project.release(&image("app"));
        let (app, unknown) = (by_digest(digest), by_digest(Sha256::of(b"never released")));
        let pods = [
            pod(&app, ""),
            pod(&unknown, ""),
            pod("registry.example/team/app:1", &app),
            LivePod::of(&Default::default()),
        ];
        let world = project.world("", "").await;
        let none = BTreeSet::new();
        let known = listed(&report(&world, &pods, now()).await, &none);
        assert_eq!(known, BTreeSet::from([app.clone()]), "neither what nobody signed nor the same under its tag");

        let expired = report(&world, &pods, now() + DAY * 2).await;
        assert_eq!(expired.findings[0].judged.verdict.label(), "tuf/expired");
        assert_eq!(listed(&expired, &known), known);
        assert_eq!(listed(&expired, &none), none, "an image that was never proven is not known by waiting");

        project.publish(now(), |publisher| {
            publisher.revoke("targets", digest, "CVE-2030-2").unwrap();
        });
        refresh(&world, now()).await;
        assert_eq!(listed(&report(&world, &pods, now()).await, &known), none);
        assert_eq!(listed(&report(&world, &[], now()).await, &known), none, "what no longer runs is not in use");
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_is_cut_and_says_so() {
        let project = Project::usual();
        let world = project.world("", "").await;
        let mut report = report(&world, &[pod(&by_digest(project.release(&image("app"))), "")], now()).await;
        refresh(&world, now()).await;
        let first = report.findings.remove(0);
        let before: BTreeSet<String> =
            (0..8_000).map(|number: u32| by_digest(Sha256::of(&number.to_be_bytes()))).collect();
        for image in &before {
            let mut finding = first.clone();
            let Verdict::Refused(refusal) = &mut finding.judged.verdict else { panic!("{:?}", finding.judged.verdict) };
            refusal.reference.clone_from(image);
            refusal.digest = Reference::parse(image).unwrap().digest;
            refusal.cause = crate::verdict::Cause::Fetching { repository: "acme".to_owned() };
            report.findings.push(finding);
        }
        let published = Published::wanted(&report, &before);
        assert!(!published.complete);
        let data = published.data();
        assert!((MAX_BYTES - 200..=MAX_BYTES).contains(&data[KEY].len()), "{}", data[KEY].len());
        assert_eq!(data[COMPLETE], "false");
        let map = ConfigMap { data: Some(data), ..ConfigMap::default() };
        assert_eq!(Published::of(&map), published);
    }
}
