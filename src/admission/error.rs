/// Why a review could not be read, or the images of its object not be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is not the JSON of an AdmissionReview with a request.
    #[error("not an AdmissionReview: {reason}")]
    Unreadable {
        /// What the JSON reader says.
        reason: String,
    },
    /// The body is another kind or another version than `admission.k8s.io/v1`.
    #[error("{kind} of {api_version} instead of AdmissionReview of admission.k8s.io/v1")]
    UnknownReview {
        /// `apiVersion` of the body.
        api_version: String,
        /// `kind` of the body.
        kind: String,
    },
    /// The body is too long to be read as a whole.
    #[error("the review has more than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// The `timeout` of the call is not a duration of Go.
    #[error("timeout {text:?} is not a duration like 10s")]
    MalformedTimeout {
        /// The parameter as it was given.
        text: String,
    },
    /// Nobody said where objects of this kind name images.
    #[error("{resource} ({kind} of {api_version}) is not a kind whose images can be found here")]
    UnknownKind {
        /// Group and version, `apps/v1`.
        api_version: String,
        /// The kind, `Deployment`.
        kind: String,
        /// The resource, with its subresource if there is one: `pods/ephemeralcontainers`.
        resource: String,
    },
    /// The object is not JSON that can be read.
    #[error("the object is not readable: {reason}")]
    UnreadableObject {
        /// What the JSON reader says.
        reason: String,
    },
    /// The operation needs an object and the review has none.
    #[error("{operation} without an object")]
    NoObject {
        /// `CREATE` or `UPDATE`.
        operation: &'static str,
    },
    /// A field that leads to images is not there.
    #[error("{field} is missing")]
    MissingField {
        /// Path of the field.
        field: String,
    },
    /// A field that leads to images has another JSON type than its kind says.
    #[error("{field} is {found} instead of {expected}")]
    WrongType {
        /// Path of the field; empty for the object itself.
        field: String,
        /// The JSON type that it must have.
        expected: &'static str,
        /// The JSON type that it has.
        found: &'static str,
    },
    /// A configured path is not one.
    #[error("{text:?} is not a path like spec.templates[*].container.image")]
    MalformedPath {
        /// The path as it was written.
        text: String,
    },
    /// A configured custom kind is not one.
    #[error("{text:?} is not a custom kind like argoproj.io/v1alpha1/rollouts/Rollout:podSpec=spec.template.spec")]
    MalformedKind {
        /// The kind as it was written.
        text: String,
    },
    /// More images than one object may name.
    #[error("the object names {found} {what}, at most {limit} are judged")]
    TooManyImages {
        /// What is counted.
        what: &'static str,
        /// How many there are (at least).
        found: usize,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::UnknownReview { .. } | Self::MalformedTimeout { .. } => {
                "admission/unreadable"
            }
            Self::TooLarge { .. } => "admission/too-large",
            Self::MalformedPath { .. } => "admission/malformed-path",
            Self::MalformedKind { .. } => "admission/malformed-kind",
            Self::UnknownKind { .. } => "admission/unknown-kind",
            Self::UnreadableObject { .. }
            | Self::NoObject { .. }
            | Self::MissingField { .. }
            | Self::WrongType { .. } => "admission/malformed",
            Self::TooManyImages { .. } => "admission/too-many-images",
        }
    }
}
