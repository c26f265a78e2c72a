//! The small kinds of values that a policy is made of.

use jiff::{SignedDuration, Timestamp};

use super::{
    Fault,
    outline::{Located, Path},
};
use crate::tuf::RoleChain;

/// `<number><s|m|h|d>`, more than nothing.
pub(super) fn duration(text: &str, at: &Path) -> Result<SignedDuration, Located> {
    let fault = || at.fault(value(text, "a duration such as 60s, 90m, 72h or 30d"));
    let unit = text.chars().next_back().ok_or_else(fault)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(fault()),
    };
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault());
    }
    let number: u32 = digits.parse().map_err(|_| fault())?;
    if number == 0 {
        return Err(fault());
    }
    Ok(SignedDuration::from_secs(i64::from(number) * seconds))
}

/// An RFC 3339 instant.
pub(super) fn instant(text: &str, at: &Path) -> Result<Timestamp, Located> {
    text.parse().map_err(|_| at.fault(value(text, "an instant such as 2027-03-31T00:00:00Z")))
}

/// A path of delegations.
pub(super) fn role_chain(text: &str, at: &Path) -> Result<RoleChain, Located> {
    text.parse().map_err(|_| at.fault(not_a_role(text)))
}

/// A text that is no path of delegations.
pub(super) fn not_a_role(text: &str) -> Fault {
    value(text, "a role chain such as targets or targets/team-a/app")
}

/// A text without control characters that is not empty.
pub(super) fn plain(text: &str, at: &Path) -> Result<String, Located> {
    const MAX: usize = 256;
    if text.trim().is_empty() || text.len() > MAX || text.chars().any(char::is_control) {
        return Err(at.fault(value(text, "a text of 1 to 256 bytes without control characters")));
    }
    Ok(text.to_owned())
}

pub(super) fn value(text: &str, wanted: &'static str) -> Fault {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Fault::Value { value: shown, wanted }
}
