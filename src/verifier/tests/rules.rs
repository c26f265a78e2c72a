//! What the words of a rule do to the line of one image.

use super::*;

/// One rule for a mirror of the repository's images, with these words.
fn mirror(words: &str) -> String {
    format!(
        "rules:
  - name: mirrored
    match: {{images: [\"mirror.example/*/**\"]}}
{words}"
    )
}

fn mirrored(image: &str) -> String {
    image.replace("registry.example/", "mirror.example/acme/")
}

const POD: TagUse = TagUse::Refused(Pinning::Off);

#[tokio::test]
async fn a_mirrored_image_is_judged_by_the_name_of_what_it_mirrors() {
    let folder = Folder::new();
    let verify = "    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}\n";
    let world = folder.world_by("", &mirror(&format!("    as: registry.example/{{2}}\n{verify}"))).await;
    let (image, tag) = (mirrored(&folder.image), mirrored(&format!("{NAME}:1.0")));
    for (reference, tag) in [(&image, POD), (&tag, TagUse::NamesNow)] {
        let verdict = judge(&world, reference, tag, now()).await;
        assert_eq!(code(&verdict), "proof", "{verdict:?}");
        let json = verdict.to_json();
        assert_eq!((json["reference"].as_str(), json["as"].as_str()), (Some(reference.as_str()), Some(NAME)));
    }
    let pinned =
        Verifier::default().pin(&world, &question(&tag, POD), now(), Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(Some(folder.image.as_str()), pinned.map(|digest| format!("{NAME}@sha256:{digest}")).as_deref());

    // Without the word the name is its own.
    let own = folder.world_by("", &mirror(verify)).await;
    assert_eq!(code(&judge(&own, &image, POD, now()).await), "image/unknown");
    // Another image of the mirror is not made this one.
    let other = image.replace("team/app", "team/other");
    let verdict = judge(&world, &other, POD, now()).await;
    assert_eq!(code(&verdict), "image/unknown");
    let text = crate::verdict::explain(&verdict);
    assert!(text.contains(&other) && text.contains("; as registry.example/team/other;"), "{text}");
}

#[tokio::test]
async fn a_name_that_the_rule_can_make_nothing_of_is_refused_and_no_other_rule_is_tried() {
    let folder = Folder::new();
    let words = "    as: registry.example/team/{1}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
  - name: then
    match: {images: [\"mirror.example/**\"], namespaces: [prod]}
    allow: it would fall through
";
    let world = folder.world_by("", &mirror(words).replace("/*/**", "/a*/app")).await;
    let refused = "mirror.example/a--b/app:1";
    let verdict = judge(&world, refused, TagUse::NamesNow, now()).await;
    assert_eq!(code(&verdict), "image/unusable-name");
    let text = crate::verdict::explain(&verdict);
    let made = "[image/unusable-name] mirror.example/a--b/app:1: the rule's as makes \"registry.example/team/--b\" of \
                the name, which is no repository";
    assert!(text.contains(made), "{text}");
    assert_eq!(code(&judge(&world, "mirror.example/b/app:1", TagUse::NamesNow, now()).await), "exemption");
}

#[tokio::test]
async fn each_tenant_has_the_role_of_its_name() {
    let folder = Folder::new();
    let rules = |role: &str| {
        format!(
            "rules:
  - name: tenants
    match: {{images: [\"mirror.example/*/**\"]}}
    as: registry.example/{{2}}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\", role: \"{role}\"}}
"
        )
    };
    let world = folder.world_by("", &rules("targets/{1}")).await;
    let image = |tenant: &str| folder.image.replace("registry.example", &format!("mirror.example/{tenant}"));
    let verifier = Verifier::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    for (tenant, expected) in [("images", "proof"), ("others", "image/wrong-role"), ("images", "proof")] {
        let image = image(tenant);
        let verdict = verifier.verify(&world, &question(&image, POD), now(), deadline).await;
        assert_eq!(code(&verdict), expected, "{tenant}");
    }
}

fn both(first: &str, second: &str) -> String {
    format!(
        "rules:
  - name: approved
    match: {{images: [\"registry.example/**\"]}}
    all:
      - {{repositories: [acme], layout: \"layouts/{{repository}}/*\"{first}}}
      - {{repositories: [twin], layout: \"layouts/{{repository}}/*\"{second}}}
"
    )
}

#[tokio::test]
async fn all_requirements_of_a_rule_must_hold() {
    let folder = Folder::new();
    let world = folder.world_by("", &both("", "")).await;
    let verdict = judge(&world, &folder.image, POD, now()).await;
    assert_eq!(code(&verdict), "proof", "{verdict:?}");
    let repositories = |json: &serde_json::Value| {
        let proofs = json["by"]["proofs"].as_array().unwrap().clone();
        proofs.iter().map(|proof| proof["repository"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(repositories(&verdict.to_json()), ["acme", "twin"]);

    let wrong = ", role: targets";
    for (first, second, part) in [("", wrong, 2), (wrong, "", 1), (wrong, wrong, 1)] {
        let world = folder.world_by("", &both(first, second)).await;
        let verdict = judge(&world, &folder.image, POD, now()).await;
        assert_eq!(code(&verdict), "image/wrong-role");
        let text = crate::verdict::explain(&verdict);
        assert!(text.contains(&format!("rule \"approved\", part {part} of 2;")), "{text}");
    }
}

#[tokio::test]
async fn the_verdict_on_one_requirement_is_remembered_for_no_other() {
    let folder = Folder::new();
    let world = folder.world_by("", &both("", ", role: targets").replace("[twin]", "[acme]")).await;
    let verifier = Verifier::default();
    for _ in 0..2 {
        let deadline = Instant::now() + Duration::from_secs(60);
        let verdict = verifier.verify(&world, &question(&folder.image, POD), now(), deadline).await;
        assert_eq!(code(&verdict), "image/wrong-role");
    }
}

#[tokio::test]
async fn what_a_tag_names_is_for_the_first_requirement_to_say() {
    let folder = Folder::new();
    let tag = format!("{NAME}:1.0");
    let now_named = async |second: &str, tag_use| {
        let world = folder.world_by("", &both("", second)).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let pinned = Verifier::default().pin(&world, &question(&tag, tag_use), now(), deadline).await.is_some();
        (code(&judge(&world, &tag, tag_use, now()).await), pinned)
    };
    // The second one knows no tags at all.
    let blind = ", tagTarget: \"no/{repository}:{tag}\"";
    assert_eq!(now_named(blind, TagUse::NamesNow).await, ("proof", true));
    assert_eq!(now_named(", tags: deny", TagUse::NamesNow).await, ("image/tag-denied", false));
    assert_eq!(now_named("", POD).await.0, "image/not-pinned");
    let world = folder.world_by("", &both(blind, "")).await;
    assert_eq!(code(&judge(&world, &tag, TagUse::NamesNow, now()).await), "image/unknown-tag");
}

#[tokio::test]
async fn a_rule_with_an_instant_warns_before_and_refuses_from_then_on() {
    let folder = Folder::new();
    let rules = "rules:
  - name: soon
    match: {images: [\"registry.example/**\"]}
    verify: {repositories: [acme], role: targets, layout: \"layouts/{repository}/*\"}
    reason: the teams are signing
    enforceFrom: 2030-01-01T01:00:00Z
";
    let world = folder.world_by("", rules).await;
    let hour = SignedDuration::from_hours(1);
    let before = judge(&world, &folder.image, POD, now() + hour - SignedDuration::from_secs(1)).await;
    let Verdict::Admitted(admitted) = &before else { panic!("{before:?}") };
    assert_eq!((code(&before), admitted.kind()), ("image/wrong-role", "unenforced"));
    assert_eq!(admitted.judged().weak, ["enforceFrom", "mode: warn"]);
    let [warning] = &crate::verdict::render::warnings(std::slice::from_ref(&before))[..] else { panic!() };
    let end = " (refused from 2030-01-01T01:00:00Z on by rule \"soon\": the teams are signing)";
    assert!(warning.starts_with("[image/wrong-role] ") && warning.ends_with(end), "{warning}");
    let after = judge(&world, &folder.image, POD, now() + hour).await;
    assert!(matches!(after, Verdict::Refused(_)), "{after:?}");

    // What it admits by proof is weak before and not after.
    let world = folder.world_by("", &rules.replace(", role: targets", "")).await;
    for (at, weak) in [(now(), &["enforceFrom"][..]), (now() + hour, &[])] {
        let Verdict::Admitted(admitted) = judge(&world, &folder.image, POD, at).await else { panic!() };
        assert_eq!(
            (admitted.kind(), &admitted.judged().weak[..]),
            ("verified", &weak.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
        );
    }
}

#[tokio::test]
async fn the_next_rules_have_a_budget_of_their_own() {
    let folder = Folder::new();
    let rules = "rules:
  - name: dismissed
    match: {images: [\"other.example/**\"]}
    verify: {repositories: [twin]}
next:
  - name: own
    match: {images: [\"registry.example/**\"]}
    verify: {repositories: [acme], layout: \"layouts/{repository}/*\"}
";
    let world = folder.world_by("", rules).await;
    let one = std::num::NonZeroU32::MIN;
    let verifier = Verifier::new(Budget { burst: one, per_minute: one });
    let deadline = Instant::now() + Duration::from_secs(60);
    let other = folder.image.replace("team/app", "team/other");
    let mut codes = Vec::new();
    for image in [&folder.image, &other, &folder.image] {
        let verdict = verifier.verify_next(&world, &question(image, POD), now(), deadline).await.unwrap();
        codes.push(code(&verdict));
    }
    assert_eq!(codes, ["proof", "admission/over-budget", "proof"]);
    // That of the rules in force is whole.
    let mirrored = folder.image.replace("registry.example", "other.example");
    assert_eq!(code(&verifier.verify(&world, &question(&mirrored, POD), now(), deadline).await), "image/unknown");
}
