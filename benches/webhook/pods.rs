//! Connections to an API server that each create one Pod after another.

use std::{fs, path::Path, sync::Arc, time::Instant};

use axum::body::Bytes;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{
    load::{Times, Version, again_and_again, client},
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
    pub(crate) fn create(&self, folder: &Path, images: &[String], milliseconds: u64) -> Times {
        let authority = fs::read(folder.join("tls/ca.crt")).unwrap();
        let body = pod(images);
        caller().block_on(async {
            let clients: Vec<Client> = (0..self.connections).map(|_| client(&authority, Version::Http2)).collect();
            for client in &clients {
                for _ in 0..3 {
                    self.post(client, &body).await;
                }
            }
            let question = Arc::new((self.clone(), body));
            again_and_again(clients, milliseconds, move |client| {
                let question = question.clone();
                async move {
                    let (pods, body) = &*question;
                    let asked = Instant::now();
                    pods.post(&client, body).await;
                    asked.elapsed()
                }
            })
            .await
        })
    }

    /// Creates a Pod for each image, once, one after another.
    pub(crate) fn create_each(&self, folder: &Path, images: &[String]) -> Times {
        let client = client(&fs::read(folder.join("tls/ca.crt")).unwrap(), Version::Http2);
        let bodies = images.iter().map(|image| pod(std::slice::from_ref(image)));
        let (began, mut each) = (Instant::now(), Vec::new());
        caller().block_on(async {
            for body in bodies {
                let asked = Instant::now();
                self.post(&client, &body).await;
                each.push(asked.elapsed().as_nanos() as u64);
            }
        });
        Times { each, wall: began.elapsed() }
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

/// As the controller of a ReplicaSet sends it.
fn pod(images: &[String]) -> Bytes {
    let review: Value = serde_json::from_slice(&review::of_pod(images)).unwrap();
    let spec = review.pointer("/request/object/spec").unwrap();
    let metadata = json!({
        "generateName": "app-6d4cf56db6-",
        "labels": {"app.kubernetes.io/name": "app", "pod-template-hash": "6d4cf56db6"},
        "annotations": {"prometheus.io/scrape": "true"},
    });
    Bytes::from(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string())
}
