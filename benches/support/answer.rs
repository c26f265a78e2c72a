//! An answer that admits, and that all others have to be.

use axum::body::Bytes;
use serde_json::Value;

/// The body of an answer that was read and admits. The same review gets the same bytes.
pub(crate) struct Admitted(Bytes);

impl Admitted {
    /// Reads an answer once.
    pub(crate) fn parse(body: Bytes) -> Self {
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer.pointer("/response/allowed"), Some(&Value::Bool(true)), "not admitted: {answer:#}");
        // Else it would be an image that no rule verifies.
        let kind = answer.pointer("/response/auditAnnotations/verdict");
        assert_eq!(kind.and_then(Value::as_str), Some("admitted"), "{answer:#}");
        Self(body)
    }

    /// Compares, which takes nanoseconds, so that every answer that is measured can be held against it.
    pub(crate) fn expect(&self, body: &Bytes) {
        assert!(self.0 == *body, "another answer: {}", String::from_utf8_lossy(body));
    }
}
