//! Connections that each send one review after another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Bytes;
use pratique::certs;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{answer::Admitted, caller};

/// How HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One request at a time.
    Http1,
    /// As the API server does.
    Http2,
}

/// Who sends what where.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Where reviews are sent to.
    pub(crate) url: String,
    /// The authority of the server's certificate, and the only one that is believed.
    pub(crate) authority: Vec<u8>,
    /// How.
    pub(crate) version: Version,
    /// Over how many connections at once.
    pub(crate) connections: usize,
    /// Whether each review has a connection of its own.
    pub(crate) is_connected_anew: bool,
    /// What it has to answer.
    pub(crate) expected: Expected,
}

/// What an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Images were verified.
    Admitted,
    /// It may be, for whatever reason.
    Allowed,
    /// It may not.
    Refused,
}

/// How long it took.
#[derive(Debug)]
pub(crate) struct Times {
    /// Each review, in nanoseconds.
    pub(crate) each: Vec<u64>,
    /// Everything.
    pub(crate) wall: Duration,
}

impl Load {
    /// Sends the same review on every connection, the next when the last is answered, for so long.
    pub(crate) fn closed_loop(&self, body: &Bytes, milliseconds: u64) -> Times {
        caller().block_on(async {
            let clients = self.connect(body).await;
            let first = clients.first().unwrap();
            let expected = self.admission(post(first, &self.url, body).await);
            let question = Arc::new((self.clone(), body.clone(), expected));
            again_and_again(clients, milliseconds, move |client| {
                let question = question.clone();
                async move {
                    let (load, body, expected) = &*question;
                    let client = if load.is_connected_anew { load.client() } else { client };
                    let asked = Instant::now();
                    let answer = post(&client, &load.url, body).await;
                    let took = asked.elapsed();
                    assert!(answer == *expected, "another answer: {}", String::from_utf8_lossy(&answer));
                    took
                }
            })
            .await
        })
    }

    /// Sends each review once, over whichever connection is free.
    pub(crate) fn each(&self, bodies: Vec<Bytes>) -> Times {
        caller().block_on(async {
            let clients: Vec<Client> = (0..self.connections).map(|_| self.client()).collect();
            let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
            let (began, mut callers) = (Instant::now(), JoinSet::new());
            for client in clients {
                let (url, bodies, next) = (self.url.clone(), bodies.clone(), next.clone());
                callers.spawn(async move {
                    let mut each = Vec::new();
                    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let asked = Instant::now();
                        let answer = post(&client, &url, body).await;
                        each.push(asked.elapsed().as_nanos() as u64);
                        Admitted::parse(answer);
                    }
                    each
                });
            }
            let each = callers.join_all().await.concat();
            Times { each, wall: began.elapsed() }
        })
    }

    /// Connections that have been used.
    async fn connect(&self, body: &Bytes) -> Vec<Client> {
        let clients: Vec<Client> = (0..self.connections).map(|_| self.client()).collect();
        for client in &clients {
            for _ in 0..10 {
                self.admission(post(client, &self.url, body).await);
            }
        }
        clients
    }

    /// The same answer, if it is as expected.
    fn admission(&self, answer: Bytes) -> Bytes {
        if self.expected == Expected::Admitted {
            Admitted::parse(answer.clone());
        } else {
            let read: Value = serde_json::from_slice(&answer).unwrap();
            let is_allowed = self.expected == Expected::Allowed;
            assert_eq!(read.pointer("/response/allowed"), Some(&Value::Bool(is_allowed)), "{read:#}");
        }
        answer
    }

    fn client(&self) -> Client {
        client(&self.authority, self.version)
    }
}

/// One that keeps to one connection.
pub(crate) fn client(authority: &[u8], version: Version) -> Client {
    let mut tls = certs::client_config(authority).unwrap();
    let protocol: &[u8] = if version == Version::Http1 { b"http/1.1" } else { b"h2" };
    tls.alpn_protocols = vec![protocol.to_vec()];
    let client = Client::builder().no_proxy().tls_backend_preconfigured(tls).pool_max_idle_per_host(1);
    if version == Version::Http1 { client.http1_only() } else { client }.build().unwrap()
}

/// Has every client ask, the next time when the last is answered, for so long. `ask` says how long it took.
pub(crate) async fn again_and_again<C: Clone + Send + 'static, F: Future<Output = Duration> + Send>(
    clients: Vec<C>,
    milliseconds: u64,
    ask: impl Fn(C) -> F + Clone + Send + 'static,
) -> Times {
    let (began, mut callers) = (Instant::now(), JoinSet::new());
    let until = began + Duration::from_millis(milliseconds);
    for client in clients {
        let ask = ask.clone();
        callers.spawn(async move {
            let mut each = Vec::new();
            while Instant::now() < until {
                each.push(ask(client.clone()).await.as_nanos() as u64);
            }
            each
        });
    }
    let each = callers.join_all().await.concat();
    Times { each, wall: began.elapsed() }
}

async fn post(client: &Client, url: &str, body: &Bytes) -> Bytes {
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(body.clone());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.bytes().await.unwrap()
}
