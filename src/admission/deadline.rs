//! How much time does a review have?

use std::time::Duration;

use super::Error;

/// The time that a review may take when the API server waits for `timeout`. The API server rounds up to whole seconds
/// what it writes there, and it may be the caller's shorter one; an answer of ours that comes in time says what is the
/// matter, and the API server's own does not.
pub fn budget(timeout: Duration) -> Duration {
    timeout.min(LONGEST).saturating_sub(MARGIN).max(SHORTEST)
}

/// The API allows webhooks no longer timeouts.
const LONGEST: Duration = Duration::from_secs(30);
const MARGIN: Duration = Duration::from_millis(1_500);
const SHORTEST: Duration = Duration::from_millis(500);

/// Reads the `timeout` parameter of a call, a duration as Go writes it: `10s`, `1m30s`, `1.5s`, `0`.
///
/// # Errors
/// Anything else, negative durations too.
pub fn parse_timeout(text: &str) -> Result<Duration, Error> {
    duration(text).ok_or_else(|| Error::MalformedTimeout { text: text.to_owned() })
}

fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() || text.len() > MAX_TEXT {
        return None;
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at_checked(digits(rest))?;
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at_checked(digits(after))?,
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (unit, after) =
            after.split_at_checked(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()))?;
        let nanos_per_unit: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut nanos = whole.checked_mul(nanos_per_unit)?;
        let mut place = nanos_per_unit;
        for digit in fraction.bytes() {
            place /= 10;
            nanos = nanos.checked_add(place.checked_mul(u64::from(digit - b'0'))?)?;
        }
        total = total.checked_add(Duration::from_nanos(nanos))?;
        rest = after;
    }
    Some(total)
}

/// Longest text that is read as a duration, in bytes.
const MAX_TEXT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, millis) in [
            ("10s", 10_000),
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("1.5s", 1_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1000000us", 1_000),
            ("1000µs", 1),
        ] {
            assert_eq!(parse_timeout(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_an_error() {
        for text in ["", "10", "s", "-1s", "+1s", "10 s", "10S", "1d", "..s", "1e3s", "99999999999999999999s", "10s\n"]
        {
            assert!(parse_timeout(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_answer_comes_before_the_api_server_gives_up() {
        let of = |seconds| budget(Duration::from_secs(seconds));
        assert_eq!(of(10), Duration::from_millis(8_500));
        assert_eq!(of(3), Duration::from_millis(1_500));
        assert_eq!(of(2), SHORTEST);
        assert_eq!(of(1), SHORTEST);
        assert_eq!(of(0), SHORTEST);
        assert_eq!(of(3_600), Duration::from_millis(28_500));
    }
}
