//! Spans of reviews, sent to an OpenTelemetry collector (OTLP over HTTP), each in the trace of the API server's request.
//!
//! The spans are those of the crate `tracing` with the target [`TARGET`]; nobody else listens to it, so without a
//! collector they cost a load of one integer.

use std::{error::Error as StdError, time::Duration};

use opentelemetry::{
    KeyValue,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchSpanProcessor, Sampler, SdkTracerProvider, Tracer},
};
use tokio::runtime::Handle;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

/// The target of spans.
pub const TARGET: &str = "pratique::traces";

/// How long the collector has for a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of `tracestate` that are taken over, as many as the standard asks for at least (3.3.1.5): they go into every span.
const MAX_STATE: usize = 512;

/// Bytes of a collector's answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// Where spans go.
#[derive(Debug, Clone, PartialEq)]
pub struct Collector {
    /// The base URL, to which `/v1/traces` is added: `http://collector.example:4318`.
    pub endpoint: String,
    /// Of reviews that no trace comes with, how many are recorded: 0.0 none, 1.0 all. Where a trace comes with them, its
    /// own decision holds.
    pub ratio: f64,
}

/// Spans cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("traces to {endpoint}: {why}")]
pub struct Error {
    /// The collector.
    pub endpoint: String,
    /// Why.
    pub why: String,
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        "internal/logging"
    }
}

/// What sends spans.
#[derive(Debug, Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

impl Traces {
    /// Sends spans through `client`, by tasks of the runtime that this is called in. `instance` names this replica.
    pub fn new(collector: &Collector, instance: &str, client: reqwest::Client) -> Result<Self, Error> {
        let failed = |why: String| Error { endpoint: collector.endpoint.clone(), why };
        if !(0.0..=1.0).contains(&collector.ratio) {
            return Err(failed(format!("{} is no share of 0.0 to 1.0", collector.ratio)));
        }
        let client = Client { client, runtime: Handle::current() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(PATIENCE)
            .with_endpoint(format!("{}/v1/traces", collector.endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("pratique")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(collector.ratio))))
            // It drops what does not fit into its queue, so a collector that hangs holds up nobody.
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .build();
        let tracer = provider.tracer("pratique");
        Ok(Self { provider, tracer })
    }

    /// What a subscriber needs to record spans.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let only = Targets::new().with_target(TARGET, tracing::Level::TRACE);
        OpenTelemetryLayer::new(self.tracer.clone()).with_location(false).with_threads(false).with_filter(only)
    }

    /// Sends what is left; blocks until that is done or has failed.
    pub fn end(&self) -> Result<(), String> {
        self.provider.shutdown_with_timeout(PATIENCE).map_err(|error| error.to_string())
    }
}

/// Puts a span into the trace that the head of a request names (W3C Trace Context), if it names one.
pub fn join(span: &Span, headers: &http::HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let mut parents = headers.get_all("traceparent").iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return };
    let mut named = http::HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), parent.clone())]);
    let mut states = headers.get_all("tracestate").iter();
    if let (Some(state), None) = (states.next(), states.next())
        && state.len() <= MAX_STATE
    {
        named.insert("tracestate", state.clone());
    }
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(&named));
    if context.span().span_context().is_valid() {
        // It fails where nobody records.
        let _ = span.set_parent(context);
    }
}

/// The exporter's thread has no runtime, and the client needs one.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { send(&client, request).await });
        let answer = sent.await?;
        if let Err(error) = &answer {
            // Batches come seconds apart, so this does not flood the log.
            tracing::warn!(%error, "traces cannot be sent");
        }
        answer
    }
}

async fn send(client: &reqwest::Client, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
    let request = reqwest::Request::try_from(request)?;
    let mut response =
        client.execute(request).await.map_err(|error| Box::new(error) as Box<dyn StdError + Send + Sync>)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("the collector answers {status}").into());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(format!("the collector answers more than {MAX_ANSWER} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut answer = http::Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, extract::State, http::HeaderMap, routing::post};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

    /// A collector that keeps what it gets.
    async fn collector() -> (String, Received) {
        async fn keep(State(received): State<Received>, headers: HeaderMap, body: axum::body::Bytes) {
            let kind = headers["content-type"].to_str().unwrap().to_owned();
            received.lock().unwrap().push((kind, body.to_vec()));
        }
        let received = Received::default();
        let app = Router::new().route("/v1/traces", post(keep)).with_state(received.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(axum_server::from_tcp(listener).unwrap().serve(app.into_make_service()));
        (url, received)
    }

    fn client() -> reqwest::Client {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
        let tls = tls.unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
    }

    fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    async fn sent(headers: &[(&'static str, &'static str)], ratio: f64) -> Vec<(String, Vec<u8>)> {
        let (endpoint, received) = collector().await;
        let traces = Traces::new(&Collector { endpoint, ratio }, "replica", client()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let headers = map;
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::debug_span!(target: TARGET, "review", code = "in-toto/threshold-not-met");
            join(&span, &headers);
            let _entered = span.enter();
            tracing::debug_span!(target: TARGET, "judge").in_scope(|| ());
            tracing::info_span!("somebody else's").in_scope(|| ());
        });
        let ended = tokio::task::spawn_blocking(move || traces.end()).await.unwrap();
        assert_eq!(ended, Ok(()));
        received.lock().unwrap().clone()
    }

    const TRACE: &[u8] = b"\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c";
    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_review_is_a_span_of_the_trace_that_comes_with_it() {
        let received = sent(&[("traceparent", SAMPLED)], 0.0).await;
        let [(kind, body)] = received.as_slice() else { panic!("{received:?}") };
        assert_eq!(kind, "application/x-protobuf");
        for wanted in [TRACE, b"review", b"judge", b"in-toto/threshold-not-met", b"replica"] {
            assert!(holds(body, wanted), "{wanted:?}");
        }
        assert!(!holds(body, b"somebody"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_caller_says_of_its_trace_is_bounded_and_cannot_be_two_things() {
        let long: &str =
            Box::leak(["a", "b", "c"].map(|name| format!("{name}={}", "x".repeat(250))).join(",").into_boxed_str());
        let many: &str = Box::leak(vec!["vendor=value"; 5000].join(",").into_boxed_str());
        for state in [long, many] {
            let received = sent(&[("traceparent", SAMPLED), ("tracestate", state)], 0.0).await;
            let [(_, body)] = received.as_slice() else { panic!("{received:?}") };
            assert!(holds(body, TRACE) && !holds(body, b"xxxx") && !holds(body, b"vendor") && body.len() < 4096);
        }
        let received = sent(&[("traceparent", SAMPLED), ("tracestate", "vendor=value")], 0.0).await;
        assert!(holds(&received[0].1, b"vendor=value"));
        // Of two traces neither is taken, and no other text is a trace.
        for parents in
            [&[SAMPLED, SAMPLED][..], &[""], &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"]]
        {
            let headers: Vec<_> = parents.iter().map(|parent| ("traceparent", *parent)).collect();
            let received = sent(&headers, 1.0).await;
            assert!(received.len() == 1 && !holds(&received[0].1, TRACE), "{parents:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_trace_that_is_not_recorded_is_not_recorded_here_and_without_one_the_ratio_decides() {
        assert_eq!(sent(&[("traceparent", NOT_SAMPLED)], 1.0).await, []);
        assert_eq!(sent(&[], 0.0).await, []);
        let received = sent(&[("traceparent", "garbage")], 1.0).await;
        assert!(received.len() == 1 && !holds(&received[0].1, TRACE));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_no_collector_is_refused_at_once_and_one_that_is_gone_holds_up_nobody() {
        let refused = |endpoint: &str, ratio| {
            Traces::new(&Collector { endpoint: endpoint.to_owned(), ratio }, "replica", client()).unwrap_err()
        };
        assert!(refused("http://127.0.0.1:1", 1.5).to_string().contains("no share"));
        assert_eq!(refused("not a url", 1.0).code(), "internal/logging");
        let gone = Collector { endpoint: "http://127.0.0.1:1".to_owned(), ratio: 1.0 };
        let traces = Traces::new(&gone, "replica", client()).unwrap();
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..10_000 {
                tracing::debug_span!(target: TARGET, "review").in_scope(|| ());
            }
        });
        // It ends; what it says of what it lost is the library's affair.
        drop(tokio::task::spawn_blocking(move || traces.end()).await.unwrap());
    }
}
