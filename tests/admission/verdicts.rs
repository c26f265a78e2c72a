//! Verdicts for tests: the host of an image says what becomes of it.

use pratique::{
    admission::{ImageUse, Workload},
    tuf::{self, FetchError},
    verdict::{Admitted, Cause, Context, Exemption, Judged, Leniency, Pinning, Refusal, Verdict},
};

/// A verdict for every image of `workload`.
pub(crate) fn judge(workload: &Workload) -> Vec<Verdict> {
    workload.uses.iter().map(|image_use| verdict(image_use, workload.is_pod)).collect()
}

fn verdict(image_use: &ImageUse, is_pod: bool) -> Verdict {
    let host = image_use.image.split('/').next().unwrap_or_default();
    let digest = image_use.image.split_once("@sha256:").map(|(_, hex)| hex.parse().expect("test digests are digests"));
    if is_pod && digest.is_none() {
        return refusal(image_use, "own-images", Cause::NotPinned(Pinning::Off)).into();
    }
    let no_rule = Cause::NoRule { namespace: Some("prod".into()) };
    let repository = "acme".to_owned();
    match host {
        "good.example" => {
            let judged = Judged {
                field: image_use.field.clone(),
                reference: image_use.image.clone(),
                digest,
                rule: Some("platform".into()),
                ..Judged::default()
            };
            Admitted::exempt(judged, Exemption { reason: "a test".into(), until: None }).into()
        }
        "warn.example" => {
            Admitted::unenforced(refusal(image_use, "trial", no_rule), Leniency::Warn, Judged::default()).into()
        }
        "audit.example" => {
            Admitted::unenforced(refusal(image_use, "trial", no_rule), Leniency::Audit, Judged::default()).into()
        }
        "down.example" => refusal(image_use, "own-images", unreachable()).into(),
        "slow.example" => refusal(image_use, "own-images", Cause::Fetching { repository }).into(),
        "busy.example" => refusal(image_use, "own-images", Cause::OverBudget { namespace: Some("prod".into()) }).into(),
        "unset.example" => {
            refusal(image_use, "own-images", Cause::NoPolicy { reason: "it is not there".into() }).into()
        }
        _ => refusal(image_use, "own-images", no_rule).into(),
    }
}

/// An outage of the repository.
pub(crate) fn unreachable() -> Cause {
    let what = tuf::What::Target("layouts/app.layout".into());
    Cause::Tuf(tuf::Error::Fetch { what, cause: FetchError::TimedOut })
}

/// A refusal of `image_use` for `cause`.
pub(crate) fn refusal(image_use: &ImageUse, rule: &str, cause: Cause) -> Refusal {
    Refusal {
        field: image_use.field.clone(),
        reference: image_use.image.clone(),
        digest: image_use.image.split_once("@sha256:").and_then(|(_, hex)| hex.parse().ok()),
        rule: Some(rule.to_owned()),
        context: Context::default(),
        cause,
    }
}
