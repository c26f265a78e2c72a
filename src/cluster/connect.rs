//! How is the API server reached, and when is it given up?
//!
//! A network that loses packets says nothing. Whoever waits there for an answer is told by the kernel after a quarter of
//! an hour, and whoever waits for news, as a watch does, never: so the kernel is to ask whether the other end is there.

use std::{pin::Pin, time::Duration};

use http::{Request, Uri};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config, Error,
    client::{Body, ClientBuilder, ConfigExt as _, retry::RetryPolicy},
};
use tokio::time::timeout;
use tower::{ServiceBuilder, ServiceExt as _, retry::RetryLayer, service_fn};

use crate::telemetry::causes;

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// A connection that stands, with TLS. Less than whoever waits for an answer has, so that it is this that is told.
    connection: Duration,
    /// Any word over a connection on which nothing comes; after that the other end is asked for one.
    word: Duration,
    /// The same of a connection that was asked, or to which something was sent. Then it is given up.
    silence: Duration,
    /// The head of an answer. The API server gives itself a minute for a whole one.
    answer: Duration,
}

const PATIENCE: Patience = Patience {
    connection: Duration::from_secs(4),
    word: Duration::from_secs(5),
    silence: Duration::from_secs(15),
    answer: Duration::from_secs(70),
};

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct NoAnswer(String);

/// A client of the API server that the kubeconfig or the pod's account names.
///
/// # Errors
/// There is neither, or what they name cannot be used.
pub async fn client() -> Result<Client, Error> {
    client_of(Config::infer().await.map_err(Error::InferConfig)?)
}

/// A client of the API server that `config` describes.
///
/// # Errors
/// What it names cannot be used.
pub fn client_of(config: Config) -> Result<Client, Error> {
    patient(config, PATIENCE)
}

fn patient(config: Config, patience: Patience) -> Result<Client, Error> {
    if config.proxy_url.is_some() {
        // It says that there are no proxies.
        return Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(patience.word));
    tcp.set_keepalive_interval(Some(patience.word));
    // Where this is set, it decides, and not how often was asked.
    tcp.set_tcp_user_timeout(Some(patience.silence));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let connect = service_fn(move |address: Uri| {
        let tls = tls.clone();
        let connect = async move {
            let late = |_| NoAnswer(format!("no connection within {:?}", patience.connection));
            timeout(patience.connection, tls.oneshot(address)).await.map_err(late)?
        };
        Box::pin(connect) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let http = Http::builder(TokioExecutor::new()).build(connect);
    let ask = service_fn(move |request: Request<Body>| {
        let answer = http.request(request);
        async move {
            match timeout(patience.answer, answer).await {
                Ok(answer) => answer.map_err(|error| NoAnswer(causes(&error))),
                Err(_) => Err(NoAnswer(format!("it does not answer within {:?}", patience.answer))),
            }
        }
    });
    let retry = config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry()));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retry)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(ask);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is said by a client with this patience of a server that takes connections and says nothing.
    async fn said(scheme: &str, patience: Patience) -> String {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", silent.local_addr().unwrap()).parse().unwrap();
        let client = patient(Config::new(url), patience).unwrap();
        client.apiserver_version().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_connection_that_does_not_come_to_stand_is_given_up() {
        let patience = Patience { connection: Duration::from_millis(50), ..PATIENCE };
        let text = said("https", patience).await;
        assert!(text.ends_with("no connection within 50ms"), "{text}");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_given_up() {
        let patience = Patience { answer: Duration::from_millis(50), ..PATIENCE };
        let text = said("http", patience).await;
        assert!(text.ends_with("it does not answer within 50ms"), "{text}");
    }

    #[tokio::test]
    async fn a_proxy_is_none_that_is_used() {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.proxy_url = Some("http://127.0.0.1:2".parse().unwrap());
        assert!(matches!(client_of(config), Err(Error::ProxyProtocolDisabled { .. })));
    }
}
