//! Is a review a part of the trace of the request that it is about?

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use serde_json::json;

use crate::support::{
    cluster::Cluster,
    deploy::{self, Place},
    images::Images,
    objects, wait,
    webhook::{Settings, Webhook},
};

/// A collector that hands over the bodies that it gets.
fn collector() -> (u16, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut chunk = [0; 4096];
                // Whole requests are not told apart: what is wanted is somewhere in the stream.
                while let Ok(length @ 1..) = stream.read(&mut chunk) {
                    bytes.extend_from_slice(&chunk[..length]);
                    let _ = sender.send(bytes.clone());
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                }
            });
        }
    });
    (port, receiver)
}

#[test]
fn a_review_is_a_span_of_the_api_servers_request() {
    let cluster = Cluster::shared();
    let images = Images::shared();
    let name = "traces";
    let (port, received) = collector();
    let endpoint = format!("--otlp-endpoint=http://127.0.0.1:{port}");
    let options: &'static [&'static str] = vec![&*endpoint.leak(), "--otlp-ratio=0"].leak();
    let settings = Settings::file(cluster, name, &images.chain, &images.chain.policy()).options(options);
    let webhook = Webhook::start(cluster, name, &settings, &[]);

    // An API server that traces; where it sends its own spans nobody listens.
    let folder = cluster.folder("traces-plane");
    let configuration = "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n\
        endpoint: 127.0.0.1:1\nsamplingRatePerMillion: 1000000\n";
    std::fs::write(folder.join("tracing.yaml"), configuration).unwrap();
    let api = cluster.another("traces-plane", "--tracing-config-file=tracing.yaml");
    api.admin.ok("create serviceaccount default --namespace default");
    let place = Place { enforced: "default".to_owned(), bootstrap: "none".to_owned(), own: "none".to_owned() };
    for configuration in deploy::narrowed(cluster, &place, "traces", webhook.port()) {
        api.admin.apply(&configuration).succeeded();
    }
    let kubectl = api.admin.namespace("default");
    wait::until("the review is traced", || {
        let output = kubectl.dry_run(&objects::pod("app", &images.stolen));
        if output.code == Some(0) {
            return Err("not refused yet".to_owned());
        }
        let all: Vec<u8> = received.try_iter().flatten().collect();
        let holds = |wanted: &str| all.windows(wanted.len()).any(|window| window == wanted.as_bytes());
        let wanted = ["review", "judge", "in-toto/threshold-not-met", "spec.containers[0].image", "/verify"];
        if wanted.iter().all(|wanted| holds(wanted)) { Ok(()) } else { Err(json!(all.len()).to_string()) }
    });
}
