//! PolicyReports (`wgpolicyk8s.io/v1alpha2`), for those who look at findings there: one for each namespace that has any.
//! Where the kind is not installed, none are written.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{Finding, Holder, Report};
use crate::verdict::{Refusal, fit, sanitise};

/// The name of each of them, and who owns its fields.
const NAME: &str = "pratique";
const MANAGER: &str = "pratique-audit";

/// What tells ours from those of others.
const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "pratique");

const GROUP_VERSION: &str = "wgpolicyk8s.io/v1alpha2";

/// Results in one report, resources in one result, bytes of a message: together less than an object may have.
const MAX_RESULTS: usize = 200;
const MAX_RESOURCES: usize = 10;
const MAX_MESSAGE: usize = 800;

/// For one call.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked whether the kind is installed.
const LOOK: Duration = Duration::from_secs(60);

/// Writes PolicyReports.
pub struct PolicyReports {
    client: Client,
    wrote: Box<dyn Fn(bool) + Send>,
    looked: Option<Instant>,
    /// What is in the reports of each namespace, once they were listed; `None` while the kind is not installed.
    there: Option<BTreeMap<String, Content>>,
}

type Content = (Value, Value);

impl PolicyReports {
    /// `wrote` is told of every attempt to write one.
    pub fn new(client: Client, wrote: impl Fn(bool) + Send + 'static) -> Self {
        Self { client, wrote: Box::new(wrote), looked: None, there: None }
    }

    /// Writes those that have changed, and removes those that are empty. Whether all are as they should be.
    pub async fn write(&mut self, report: &Report) -> bool {
        if let Err(error) = in_time(self.look()).await {
            tracing::warn!(%error, "the PolicyReports cannot be listed");
            self.looked = None;
            (self.wrote)(false);
            return false;
        }
        let Some(there) = &mut self.there else { return true };
        let wanted = wanted(report);
        let namespaces: BTreeSet<String> = there.keys().chain(wanted.keys()).cloned().collect();
        let mut all = true;
        for namespace in namespaces {
            if there.get(&namespace) == wanted.get(&namespace) {
                continue;
            }
            let result = match wanted.get(&namespace) {
                Some(content) => in_time(apply(&self.client, &namespace, content)).await,
                None => in_time(remove(&self.client, &namespace)).await,
            };
            (self.wrote)(result.is_ok());
            match (result, wanted.get(&namespace)) {
                (Ok(()), Some(content)) => {
                    there.insert(namespace, content.clone());
                }
                (Ok(()), None) => {
                    there.remove(&namespace);
                }
                (Err(error), _) => {
                    tracing::warn!(namespace, %error, "the PolicyReport cannot be written");
                    all = false;
                }
            }
        }
        all
    }

    /// Whether the kind is installed, and which reports of ours are there.
    async fn look(&mut self) -> Result<(), kube::Error> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        let installed = match self.client.list_api_group_resources(GROUP_VERSION).await {
            Ok(resources) => resources.resources.iter().any(|resource| resource.name == "policyreports"),
            Err(kube::Error::Api(status)) if status.code == 404 => false,
            Err(error) => return Err(error),
        };
        if !installed {
            self.there = None;
        } else if self.there.is_none() {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource());
            let ours = ListParams::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
            let listed =
                api.list(&ours).await?.items.into_iter().filter(|report| report.metadata.name.as_deref() == Some(NAME));
            let content = |report: DynamicObject| {
                let member = |name: &str| report.data.get(name).cloned().unwrap_or_default();
                Some((report.metadata.namespace.clone()?, (member("summary"), member("results"))))
            };
            self.there = Some(listed.filter_map(content).collect());
        }
        self.looked = Some(Instant::now());
        Ok(())
    }
}

async fn in_time(call: impl Future<Output = Result<(), kube::Error>>) -> Result<(), String> {
    match timeout(PATIENCE, call).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

fn resource() -> ApiResource {
    ApiResource {
        group: "wgpolicyk8s.io".to_owned(),
        version: "v1alpha2".to_owned(),
        api_version: GROUP_VERSION.to_owned(),
        kind: "PolicyReport".to_owned(),
        plural: "policyreports".to_owned(),
    }
}

async fn apply(client: &Client, namespace: &str, (summary, results): &Content) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource());
    let report = json!({
        "apiVersion": GROUP_VERSION,
        "kind": "PolicyReport",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {LABEL.0: LABEL.1}},
        "summary": summary,
        "results": results,
    });
    api.patch(NAME, &PatchParams::apply(MANAGER).force(), &Patch::Apply(report)).await.map(drop)
}

async fn remove(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource());
    match api.delete(NAME, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        // Its namespace may be gone, and it with that.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is to be in the report of each namespace. There is no time in it, so that it is written only when it changes.
fn wanted(report: &Report) -> BTreeMap<String, Content> {
    let mut results: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for finding in &report.findings {
        let of_namespace = results.entry(finding.running.namespace.clone()).or_default();
        of_namespace.extend(results_of(finding));
    }
    results.retain(|_, results| !results.is_empty());
    let content = |(namespace, mut results): (String, Vec<Value>)| {
        let count = |word: &str| results.iter().filter(|result| result["result"] == word).count();
        let summary = json!({
            "pass": 0, "fail": count("fail"), "warn": count("warn"), "error": count("error"), "skip": 0,
        });
        results.truncate(MAX_RESULTS);
        (namespace, (summary, Value::Array(results)))
    };
    results.into_iter().map(content).collect()
}

fn results_of(finding: &Finding) -> Vec<Value> {
    let mut results = Vec::new();
    let mut add = |word: &str, rule: Option<&str>, code: &str, text: &str| {
        results.push(json!({
            "source": NAME,
            "policy": NAME,
            "rule": rule.unwrap_or("default"),
            "category": "supply chain",
            "result": word,
            "scored": true,
            "message": fit(&sanitise(&format!("[{code}] {}: {text}", finding.running.image)), MAX_MESSAGE),
            "properties": {"code": code},
            "resources": finding.uses.holders.iter().take(MAX_RESOURCES).map(Holder::to_json).collect::<Vec<_>>(),
        }));
    };
    let of_refusal = [("fail", finding.refusal()), ("warn", finding.warning()), ("error", finding.outage())];
    for (word, refusal) in of_refusal {
        if let Some(refusal) = refusal {
            add(word, refusal.rule.as_deref(), refusal.code(), &stable(refusal));
        }
    }
    if let Some(other) = &finding.judged.other {
        add("fail", None, other.code(), &other.to_string());
    }
    results
}

/// What the code means, instead of the words of the moment: these say what time it is, and would change with it.
fn stable(refusal: &Refusal) -> String {
    refusal.info().map_or_else(|| refusal.cause.to_string(), |info| format!("{}; fix: {}", info.meaning, info.cure))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Json, Router, extract::Request, http::StatusCode, response::IntoResponse as _};

    use super::*;
    use crate::audit::tests::{DAY, Project, by_digest, image, now, pod, report};

    /// An API server that has the kind or not, with no report in it, and what it was asked.
    async fn server(installed: bool) -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let app = Router::new().fallback(async move |request: Request| {
            let path = request.uri().path().to_owned();
            seen.lock().unwrap().push(format!("{} {path}", request.method()));
            match path.as_str() {
                "/apis/wgpolicyk8s.io/v1alpha2" if installed => {
                    let resource = json!({
                        "name": "policyreports", "singularName": "policyreport", "namespaced": true,
                        "kind": "PolicyReport", "verbs": ["list"],
                    });
                    Json(json!({"groupVersion": GROUP_VERSION, "resources": [resource]})).into_response()
                }
                "/apis/wgpolicyk8s.io/v1alpha2/policyreports" => {
                    Json(json!({"metadata": {}, "items": []})).into_response()
                }
                path if path.starts_with("/apis/wgpolicyk8s.io/v1alpha2/namespaces/") => {
                    let metadata = json!({"name": NAME});
                    Json(json!({"apiVersion": GROUP_VERSION, "kind": "PolicyReport", "metadata": metadata}))
                        .into_response()
                }
                _ => {
                    let status = json!({"status": "Failure", "message": "no", "reason": "NotFound", "code": 404});
                    (StatusCode::NOT_FOUND, Json(status)).into_response()
                }
            }
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum_server::from_tcp(listener).unwrap().serve(app.into_make_service()));
        (Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap(), asked)
    }

    async fn expired(days: i32) -> Report {
        let project = Project::usual();
        let good = by_digest(project.release(&image("app")));
        report(&project.world("", "").await, &[pod(&good, "")], now() + DAY * days).await
    }

    #[tokio::test]
    async fn where_the_kind_is_not_installed_nothing_is_written() {
        let (client, asked) = server(false).await;
        let mut reports = PolicyReports::new(client, |_| panic!("something was written"));
        assert!(reports.write(&expired(2).await).await);
        assert!(reports.write(&expired(2).await).await);
        assert_eq!(*asked.lock().unwrap(), ["GET /apis/wgpolicyk8s.io/v1alpha2"]);
    }

    #[tokio::test]
    async fn a_report_is_written_when_it_changes_and_removed_when_it_is_empty() {
        let (client, asked) = server(true).await;
        let mut reports = PolicyReports::new(client, |written| assert!(written));
        let one = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/prod/policyreports/pratique";
        let mut expected = vec![
            "GET /apis/wgpolicyk8s.io/v1alpha2".to_owned(),
            "GET /apis/wgpolicyk8s.io/v1alpha2/policyreports".to_owned(),
        ];
        assert!(reports.write(&expired(0).await).await);
        assert_eq!(*asked.lock().unwrap(), expected);
        // Later it has been expired for longer, which is nothing new.
        assert!(reports.write(&expired(2).await).await);
        assert!(reports.write(&expired(3).await).await);
        expected.push(format!("PATCH {one}"));
        assert_eq!(*asked.lock().unwrap(), expected);
        assert!(reports.write(&expired(0).await).await);
        assert!(reports.write(&expired(0).await).await);
        expected.push(format!("DELETE {one}"));
        assert_eq!(*asked.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_report_has_room_for_so_many_results_and_counts_them_all() {
        let mut report = expired(2).await;
        let finding = report.findings[0].clone();
        report.findings.extend(vec![finding; MAX_RESULTS + 5]);
        let (summary, results) = &wanted(&report)["prod"];
        assert_eq!(summary["fail"], MAX_RESULTS + 6);
        assert_eq!(results.as_array().unwrap().len(), MAX_RESULTS);
        assert_eq!(results[0]["properties"]["code"], "tuf/expired");
    }
}
