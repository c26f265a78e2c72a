//! Connections to an API server that each create one Pod after another.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use pratique::certs;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    load::Times,
    support::{caller, review},
};

/// Who creates Pods where.
#[derive(Debug, Clone)]
pub(crate) struct Pods {
    /// Of the API server.
    pub(crate) url: String,
    /// Of a user who may create Pods.
    pub(crate) token: String,
    /// Where. What is asked about them there is up to the API server's configuration.
    pub(crate) namespace: String,
    /// Whether nothing is to be kept.
    pub(crate) is_dry: bool,
    /// Over how many connections at once.
    pub(crate) connections: usize,
}

impl Pods {
    /// Creates the same Pod under new names on every connection, the next when the last is there, for so long.
    pub(crate) fn create(&self, folder: &Path, milliseconds: u64) -> Times {
        let authority = fs::read(folder.join("tls/ca.crt")).unwrap();
        let image = fs::read_to_string(folder.join("images")).unwrap().lines().next().unwrap().to_owned();
        let body = pod(image);
        caller().block_on(async {
            let clients: Vec<Client> = (0..self.connections).map(|_| client(&authority)).collect();
            for client in &clients {
                for _ in 0..3 {
                    self.post(client, &body).await;
                }
            }
            let (began, mut callers) = (Instant::now(), JoinSet::new());
            let until = began + Duration::from_millis(milliseconds);
            for client in clients {
                let (pods, body) = (self.clone(), body.clone());
                callers.spawn(async move {
                    let mut each = Vec::new();
                    while Instant::now() < until {
                        let asked = Instant::now();
                        pods.post(&client, &body).await;
                        each.push(asked.elapsed().as_nanos() as u64);
                    }
                    each
                });
            }
            let each = callers.join_all().await.concat();
            Times { each, wall: began.elapsed() }
        })
    }

    async fn post(&self, client: &Client, body: &Bytes) {
        let dry = if self.is_dry { "?dryRun=All" } else { "" };
        let url = format!("{}/api/v1/namespaces/{}/pods{dry}", self.url, self.namespace);
        let request = client.post(url).header(CONTENT_TYPE, "application/json").bearer_auth(&self.token);
        let response = request.body(body.clone()).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{text}");
    }
}

/// HTTP/2 over a connection of its own.
fn client(authority: &[u8]) -> Client {
    let mut tls = certs::client_config(authority).unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

/// As the controller of a ReplicaSet sends it.
fn pod(image: String) -> Bytes {
    let review: Value = serde_json::from_slice(&review::of_pod(&[image])).unwrap();
    let spec = review.pointer("/request/object/spec").unwrap();
    let metadata = json!({
        "generateName": "app-6d4cf56db6-",
        "labels": {"app.kubernetes.io/name": "app", "pod-template-hash": "6d4cf56db6"},
        "annotations": {"prometheus.io/scrape": "true"},
    });
    Bytes::from(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string())
}
