//! Does our clock agree with the API server's (trust.md R8)? Whether metadata has expired is judged by it.

use std::time::Duration;

use http::{Request, header::DATE};
use jiff::{SignedDuration, Timestamp};
use kube::{Client, client::Body};

/// How far the two may be apart.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(2);
/// How often they are compared.
const PAUSE: Duration = Duration::from_secs(30);
/// For the API server to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Compares the clocks again and again, for ever, and tells the result. While the API server does not answer nothing is
/// told.
pub async fn follow(client: Client, clock: impl Fn() -> Timestamp, told: impl Fn(Result<(), String>)) {
    loop {
        match tokio::time::timeout(PATIENCE, date(&client)).await {
            Ok(Ok(theirs)) => told(compare(theirs, clock())),
            Ok(Err(error)) => tracing::warn!(error, "the API server's clock cannot be read"),
            Err(_) => tracing::warn!("the API server's clock cannot be read: it does not answer"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the API server says the time is, to the second.
async fn date(client: &Client) -> Result<Timestamp, String> {
    // Everybody may read this, and any answer has the header.
    let request = Request::get("/version").body(Body::empty()).map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| error.to_string())?;
    let date = response.headers().get(DATE).ok_or("its answer has no Date")?;
    let date = date.to_str().map_err(|error| error.to_string())?;
    let date = jiff::fmt::rfc2822::parse(date).map_err(|error| format!("Date {date:?}: {error}"))?;
    Ok(date.timestamp())
}

fn compare(theirs: Timestamp, ours: Timestamp) -> Result<(), String> {
    let apart = ours.duration_since(theirs);
    if apart.unsigned_abs() <= TOLERANCE.unsigned_abs() {
        return Ok(());
    }
    Err(format!("it is {ours:.0} here and {theirs:.0} at the API server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_answer_of_the_api_server_says_what_time_it_is_there() {
        let server = crate::cluster::testing::ApiServer::start().await;
        let theirs = date(&server.client()).await.unwrap();
        for (minutes, agrees) in [(0, true), (3, false), (-3, false)] {
            let (sender, told) = std::sync::mpsc::channel();
            let ours = move || theirs + SignedDuration::from_mins(minutes);
            let follow = follow(server.client(), ours, move |compared| sender.send(compared.is_ok()).unwrap());
            let follow = tokio::spawn(follow);
            let first = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(60))).await.unwrap();
            assert_eq!(first, Ok(agrees), "{minutes}");
            follow.abort();
        }
    }

    #[test]
    fn two_minutes_either_way_are_borne_and_no_more() {
        let theirs: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        for (seconds, agrees) in [(0, true), (120, true), (-120, true), (121, false), (-121, false)] {
            let ours = theirs + SignedDuration::from_secs(seconds);
            assert_eq!(compare(theirs, ours).is_ok(), agrees, "{seconds}");
        }
        let text = compare(theirs, theirs + SignedDuration::from_hours(1)).unwrap_err();
        assert_eq!(text, "it is 2030-01-01T01:00:00Z here and 2030-01-01T00:00:00Z at the API server");
    }
}
