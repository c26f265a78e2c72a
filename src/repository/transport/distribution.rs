//! How is a registry asked (OCI distribution-spec 1.1), and who does it believe us to be?
//!
//! It may send for a token only to itself or to the one host that is listed, and what the token is for is ours to say.
//! Credentials go to the host that they are for, which is that of the tokens where it is another one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Reach, challenge::Challenge, failure, host, traffic::Traffic};
use crate::{repository::credentials::Credentials, tuf::FetchError};

/// Bytes of the answer with a token.
const MAX_TOKEN: usize = 64 << 10;
/// For how long a token is used: less than any registry gives one for (a minute where it does not say).
const FRESH: Duration = Duration::from_secs(30);

/// A registry, and how it is asked.
#[derive(Debug)]
pub(crate) struct Distribution {
    client: Client,
    base: Url,
    /// The other host to which it may send for a token.
    tokens: Option<String>,
    credentials: Option<Credentials>,
    reach: Reach,
    /// What was let in for a scope, and since when it is known.
    given: Mutex<BTreeMap<String, (HeaderValue, Instant)>>,
    traffic: Arc<Traffic>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Media types that are understood.
    pub(crate) accept: &'static str,
    /// A body with its media type.
    pub(crate) body: Option<(&'a str, &'a [u8])>,
    /// The repository that it is about, and what is to be done with it: `pull` or `pull,push`.
    pub(crate) scope: (&'a str, &'static str),
}

/// Why a registry says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It did not answer, or with trouble of its own.
    Unreachable {
        /// What is known about it.
        why: String,
        /// Whether the next attempt may go better.
        passing: bool,
    },
    /// It wants credentials that are not there or not taken.
    Credentials(String),
    /// It sends for a token to where it may not.
    Tokens(String),
}

impl Distribution {
    /// A registry at `base`, asked by `client`, which must hold to `reach` where names are looked up.
    pub(crate) fn new(
        client: Client,
        base: Url,
        tokens: Option<String>,
        credentials: Option<Credentials>,
        reach: Reach,
    ) -> Self {
        Self { client, base, tokens, credentials, reach, given: Mutex::default(), traffic: Arc::default() }
    }

    /// The same, with its requests counted in `traffic`.
    pub(super) fn counted(self, traffic: &Arc<Traffic>) -> Self {
        Self { traffic: traffic.clone(), ..self }
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of something in a repository: `manifests/<reference>`, `blobs/<digest>`.
    pub(crate) fn url(&self, repository: &str, what: &str) -> Result<Url, Fault> {
        let url = self.base.join(&format!("v2/{repository}/{what}"));
        url.map_err(|error| Fault::Unreachable { why: error.to_string(), passing: false })
    }

    /// The answer, whatever its status; asked again with what the registry wants to be asked with.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Response, Fault> {
        let scope = format!("repository:{}:{}", ask.scope.0, ask.scope.1);
        let response = self.send(ask, self.given(&scope)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let login = self.authorize(&response, &scope).await?;
        self.lock().insert(scope, (login.clone(), Instant::now()));
        self.send(ask, Some(login)).await
    }

    fn given(&self, scope: &str) -> Option<HeaderValue> {
        let given = self.lock();
        given.get(scope).filter(|(_, at)| at.elapsed() < FRESH).map(|(login, _)| login.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (HeaderValue, Instant)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to send where the registry wants to know who asks (RFC 7235; distribution, "Token authentication").
    async fn authorize(&self, response: &Response, scope: &str) -> Result<HeaderValue, Fault> {
        let wanted = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match wanted.filter_map(Challenge::read).next() {
            Some(Challenge::Basic) => {
                let known = self.known_at(response.url(), None).await?;
                known.ok_or_else(|| Fault::Credentials(format!("{} wants credentials", host(response.url()))))
            }
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref(), scope).await,
            None => {
                let why = format!("{} does not say how to log in", host(response.url()));
                Err(Fault::Unreachable { why, passing: false })
            }
        }
    }

    async fn token(&self, realm: &str, service: Option<&str>, scope: &str) -> Result<HeaderValue, Fault> {
        let elsewhere = || Fault::Tokens(realm.chars().take(100).collect());
        let mut url = Url::parse(realm).map_err(|_| elsewhere())?;
        let place = host(&url);
        let is_listed = place == host(&self.base) || self.tokens.as_ref() == Some(&place);
        let plain = url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || !is_listed || !plain || !self.reach.allows(&url) {
            return Err(elsewhere());
        }
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        // What is asked for is ours to say, whatever the challenge suggests.
        url.query_pairs_mut().append_pair("scope", scope);
        let ask = Ask { method: Method::GET, url: url.clone(), accept: "*/*", body: None, scope: ("", "") };
        let known = self.known_at(&url, None).await?;
        let sent = Instant::now();
        let mut response = self.send(&ask, known.clone()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && known.is_some() {
            // A rotated Secret has others.
            let renewed = self.known_at(&url, Some(sent)).await?;
            response = self.send(&ask, renewed).await?;
        }
        accept(&response)?;

        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let bad = || Fault::Unreachable { why: format!("{place} gave no token"), passing: false };
        let body = body(response, MAX_TOKEN).await?;
        self.traffic.received(body.len());
        let token: Token = serde_json::from_slice(&body).map_err(|_| bad())?;
        let token = token.token.or(token.access_token).ok_or_else(bad)?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The credentials for a place, where there are some and they are for it.
    async fn known_at(&self, url: &Url, since: Option<Instant>) -> Result<Option<HeaderValue>, Fault> {
        let Some(credentials) = self.credentials.as_ref().filter(|credentials| credentials.are_for(url)) else {
            return Ok(None);
        };
        let login = credentials.value(since).await.map_err(|error| match error {
            FetchError::Credentials(why) => Fault::Credentials(why),
            other => Fault::Unreachable { why: other.to_string(), passing: false },
        })?;
        let none = || Fault::Credentials("a registry wants a token or a password, not a certificate".to_owned());
        login.header.ok_or_else(none).map(Some)
    }

    async fn send(&self, ask: &Ask<'_>, authorization: Option<HeaderValue>) -> Result<Response, Fault> {
        let place = host(&ask.url);
        let mut request = self.client.request(ask.method.clone(), ask.url.clone()).header(ACCEPT, ask.accept);
        if let Some((media_type, bytes)) = ask.body {
            request = request.header(CONTENT_TYPE, media_type).body(bytes.to_vec());
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let passing = |error: &reqwest::Error| !super::http::is_final(error);
        self.traffic.asked();
        request
            .send()
            .await
            .map_err(|error| Fault::Unreachable { passing: passing(&error), why: failure(&place, error) })
    }
}

/// What the status of an answer means where something is wanted. That there is no such thing is [`StatusCode::NOT_FOUND`].
pub(crate) fn accept(response: &Response) -> Result<(), Fault> {
    let (host, status) = (host(response.url()), response.status());
    let code = status.as_u16();
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Fault::Credentials(format!("{host} does not show it to us (HTTP {code})")))
        }
        _ if status.is_redirection() => {
            let why = format!("{host} redirects (HTTP {code}), which is not followed");
            Err(Fault::Unreachable { why, passing: false })
        }
        _ => {
            let why = format!("{host} answered HTTP {code}");
            Err(Fault::Unreachable { why, passing: super::retry::is_passing(status) })
        }
    }
}

/// The whole body, of at most `limit` bytes.
pub(crate) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
    let place = host(response.url());
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| Fault::Unreachable { why: failure(&place, error), passing: true })?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len().saturating_add(chunk.len()) > limit {
            let why = format!("{place} answers with more than {limit} bytes");
            return Err(Fault::Unreachable { why, passing: false });
        }
        bytes.extend_from_slice(&chunk);
    }
}
