//! Whatever the verdicts, the answer is never better than the worst of them.

use pratique::{
    admission::{Answer, Entry, ImageKind, ImageUse, Outcome, Reply, Request, Workload},
    verdict::{Admitted, Cause, Class, Exemption, Judged, Leniency, Pinning, Verdict},
};
use proptest::prelude::*;
use serde_json::json;

use crate::verdicts::{refusal, unreachable};

#[derive(Debug, Clone)]
enum Fate {
    Exempt,
    Unenforced(Leniency, Cause),
    Refused(Cause),
    Forgotten,
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::NoRule { namespace: None }),
        Just(Cause::NotPinned(Pinning::Off)),
        Just(unreachable()),
        Just(Cause::Fetching { repository: "acme".into() }),
        Just(Cause::OverBudget { namespace: None }),
        Just(Cause::NoPolicy { reason: "gone".into() }),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Exempt),
        2 => (prop_oneof![Just(Leniency::Warn), Just(Leniency::Audit)], cause())
            .prop_map(|(mode, cause)| Fate::Unenforced(mode, cause)),
        2 => cause().prop_map(Fate::Refused),
        1 => Just(Fate::Forgotten),
    ]
}

fn request() -> Request {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "object": {},
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
    }});
    Request::parse(body.to_string().as_bytes()).unwrap()
}

fn case(fates: &[Fate], mirror: bool) -> (Workload, Vec<Verdict>) {
    let uses: Vec<ImageUse> = (0..fates.len())
        .map(|index| ImageUse {
            field: format!("spec.containers[{index}].image"),
            pointer: format!("/spec/containers/{index}/image"),
            image: "registry.example/app:1".into(),
            kind: ImageKind::Container,
        })
        .collect();
    let verdict = |(image_use, fate): (&ImageUse, &Fate)| match fate {
        Fate::Exempt => {
            let judged =
                Judged { field: image_use.field.clone(), reference: image_use.image.clone(), ..Judged::default() };
            Some(Admitted::exempt(judged, Exemption { reason: String::new(), until: None }).into())
        }
        Fate::Unenforced(mode, cause) => {
            Some(Admitted::unenforced(refusal(image_use, "r", cause.clone()), *mode, Judged::default()).into())
        }
        Fate::Refused(cause) => Some(refusal(image_use, "r", cause.clone()).into()),
        Fate::Forgotten => None,
    };
    let verdicts = uses.iter().zip(fates).filter_map(verdict).collect();
    (Workload { uses, is_pod: true, mirror, ..Workload::default() }, verdicts)
}

fn classes(fates: &[Fate]) -> Vec<Class> {
    fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Refused(cause) => Some(cause.class()),
            Fate::Forgotten => Some(Class::Misconfigured),
            Fate::Exempt | Fate::Unenforced(..) => None,
        })
        .collect()
}

proptest! {
    #[test]
    fn an_answer_is_never_allowed_when_any_image_was_refused(
        fates in proptest::collection::vec(fate(), 0..12),
        order in any::<u64>(),
    ) {
        let (workload, mut verdicts) = case(&fates, false);
        if !verdicts.is_empty() {
            let middle = usize::try_from(order % verdicts.len() as u64).unwrap();
            verdicts.rotate_left(middle);
        }
        let answer = Answer::judged(&request(), &workload, &verdicts);
        let json = answer.to_json();
        match (classes(&fates).into_iter().min(), answer.outcome()) {
            (None, Outcome::Allowed) => prop_assert_eq!(&json["response"]["allowed"], true),
            (Some(worst), Outcome::Refused(status)) => {
                prop_assert_eq!(&json["response"]["allowed"], false);
                prop_assert_eq!(status.class, worst);
                prop_assert!([worst.http_code(), 429].contains(&status.code));
                prop_assert_eq!(status.message.starts_with("not a verdict: "), worst != Class::Denied);
                let failed = matches!(answer.reply(Entry::Bootstrap), Reply::CallFailure(_));
                prop_assert_eq!(failed, worst != Class::Denied);
            }
            (expected, outcome) => prop_assert!(false, "{expected:?} was answered by {outcome:?}"),
        }
    }

    #[test]
    fn clients_try_again_by_themselves_only_where_all_that_is_missing_is_on_its_way(
        fates in proptest::collection::vec(fate(), 1..6),
    ) {
        let (workload, verdicts) = case(&fates, false);
        let fetching = |fate: &Fate| matches!(fate, Fate::Refused(Cause::Fetching { .. }));
        let refused = |fate: &Fate| matches!(fate, Fate::Refused(_) | Fate::Forgotten);
        let expected = fates.iter().any(fetching) && fates.iter().all(|fate| fetching(fate) || !refused(fate));
        if let Outcome::Refused(status) = Answer::judged(&request(), &workload, &verdicts).outcome() {
            prop_assert_eq!(status.retry_after, expected.then_some(1));
        }
    }

    #[test]
    fn a_mirror_pod_is_never_refused_and_its_verdict_is_still_in_the_audit_log(
        fates in proptest::collection::vec(fate(), 0..6),
    ) {
        let (workload, verdicts) = case(&fates, true);
        let answer = Answer::judged(&request(), &workload, &verdicts);
        prop_assert_eq!(answer.outcome(), &Outcome::Allowed);
        if let Some(worst) = classes(&fates).into_iter().min() {
            let annotations = &answer.to_json()["response"]["auditAnnotations"];
            prop_assert_eq!(&annotations["verdict"], worst.as_str());
            prop_assert!(annotations["weak"].as_str().unwrap().starts_with("mirror-pod"));
        }
    }

    #[test]
    fn a_verdict_about_another_image_counts_for_none(reference in "[a-z./:]{1,20}") {
        let (workload, verdicts) = case(&[Fate::Exempt], false);
        let mut other = workload.clone();
        other.uses[0].image = reference;
        let answer = Answer::judged(&request(), &other, &verdicts);
        prop_assert!(matches!(answer.outcome(), Outcome::Refused(_)));
        let mut elsewhere = workload;
        elsewhere.uses[0].field = "spec.containers[7].image".into();
        let answer = Answer::judged(&request(), &elsewhere, &verdicts);
        prop_assert!(matches!(answer.outcome(), Outcome::Refused(_)));
    }
}
