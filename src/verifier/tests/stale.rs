//! What goes on while nothing fresh can be had (trust.md A4).

use super::*;
use crate::{
    publish::Document,
    verdict::{AdmittedBy, Staleness},
};

const WORD: &str = ", stale: {knownImages: 72h}";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A cluster that runs the image of the folder, and whose repository was read when it began to, and has gone since.
async fn cut_off(folder: &Folder, words: &str) -> (World, Verifier) {
    let world = folder.world(words).await;
    refresh(&world, now()).await;
    judge(&world, &folder.image, TagUse::NamesNow, now()).await;
    let verifier = Verifier::default();
    verifier.in_use().replace(&format!("{}\n", folder.image));
    fs::rename(folder.temp.path().join("repository"), folder.temp.path().join("away")).unwrap();
    for (_, repository) in world.repositories() {
        repository.refresh(now()).await.map(drop).unwrap_err();
    }
    (world, verifier)
}

async fn ask(world: &World, verifier: &Verifier, reference: &str, now: Timestamp) -> Verdict {
    verifier.verify(world, &question(reference, TagUse::NamesNow), now, Instant::now() + Duration::from_secs(60)).await
}

fn staleness(verdict: &Verdict) -> &[Staleness] {
    match verdict {
        Verdict::Admitted(admitted) if matches!(admitted.by(), AdmittedBy::Proof(_)) => &admitted.judged().stale,
        _ => panic!("{verdict:?}"),
    }
}

#[tokio::test]
async fn an_image_that_runs_goes_on_for_as_long_as_the_policy_says_after_the_signed_expiry() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, WORD).await;
    let verdict = ask(&world, &verifier, &folder.image, now() + DAY - HOUR).await;
    assert_eq!(staleness(&verdict), [], "it is still fresh");
    for later in [DAY, DAY + HOUR, DAY * 4 - HOUR] {
        let verdict = ask(&world, &verifier, &folder.image, now() + later).await;
        let [stale] = staleness(&verdict) else { panic!("{verdict:?}") };
        let nanosecond = SignedDuration::from_nanos(1);
        assert_eq!(stale.repository, "acme");
        assert_eq!(stale.judged_at, now() + DAY - nanosecond);
        assert_eq!(stale.until, now() + DAY * 4 - nanosecond);
        assert!(stale.refresh.contains("timestamp is not in the repository"), "{}", stale.refresh);
    }
    // Another verifier: nothing is remembered of verdicts.
    let again = Verifier::default();
    again.in_use().replace(&folder.image);
    assert_eq!(staleness(&ask(&world, &again, &folder.image, now() + DAY).await).len(), 1);
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY * 4).await), "tuf/expired");
}

#[tokio::test]
async fn without_the_word_nothing_goes_on() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, "").await;
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY).await), "tuf/expired");
}

#[tokio::test]
async fn an_image_that_does_not_run_is_not_started() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, WORD).await;
    let elsewhere = folder.image.replace("team/app", "team/other");
    for list in ["", &elsewhere, &folder.image[..folder.image.len() - 1]] {
        verifier.in_use().replace(list);
        assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY).await), "tuf/expired", "{list}");
    }
}

#[tokio::test]
async fn what_a_tag_named_last_goes_on_if_it_runs() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, WORD).await;
    let tag = format!("{NAME}:1.0");
    let verdict = ask(&world, &verifier, &tag, now() + DAY).await;
    assert_eq!(staleness(&verdict).len(), 1);
    let asked = question(&tag, TagUse::NamesNow);
    let pin = async || verifier.pin(&world, &asked, now() + DAY, Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(pin().await, verdict.digest());
    verifier.in_use().replace("");
    assert_eq!(pin().await, None);
}

#[tokio::test]
async fn only_timestamp_and_snapshot_may_be_past_their_dates() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, ", stale: {knownImages: 400d}").await;
    assert_eq!(staleness(&ask(&world, &verifier, &folder.image, now() + DAY * 13).await).len(), 1);
    // The role `images` holds for two weeks.
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY * 14).await), "tuf/expired");
}

#[tokio::test]
async fn a_repository_that_answers_with_something_bad_stops_what_goes_on() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, WORD).await;
    assert_eq!(staleness(&ask(&world, &verifier, &folder.image, now() + DAY).await).len(), 1);
    fs::rename(folder.temp.path().join("away"), folder.temp.path().join("repository")).unwrap();
    fs::write(folder.temp.path().join("repository/metadata/timestamp.json"), "{}").unwrap();
    for (_, repository) in world.repositories() {
        assert_eq!(repository.refresh(now() + DAY).await.map(drop).unwrap_err().code(), "tuf/malformed");
    }
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY).await), "tuf/expired");
}

#[tokio::test]
async fn a_revoked_image_does_not_go_on_though_it_runs() {
    let folder = Folder::new();
    let mut keys = Plan::default().keys_from_seed("verifier").unwrap();
    let repository = folder.temp.path().join("repository");
    let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
    keys.trust(Document::parse(&"root".into(), root).unwrap());
    let mut publisher = Publisher::open(&repository, keys, now()).unwrap();
    let digest = folder.image.rsplit_once("sha256:").unwrap().1.parse().unwrap();
    publisher.revoke("targets", digest, "CVE-2030-1").unwrap();
    publisher.commit().unwrap();
    let (world, verifier) = cut_off(&folder, WORD).await;
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now()).await), "tuf/revoked");
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY).await), "tuf/expired");
}

#[tokio::test]
async fn a_replica_that_starts_goes_on_with_what_its_disk_has() {
    let folder = Folder::new();
    drop(cut_off(&folder, WORD).await);
    fs::rename(folder.temp.path().join("away"), folder.temp.path().join("repository")).unwrap();
    let world = folder.world(WORD).await;
    fs::rename(folder.temp.path().join("repository"), folder.temp.path().join("away")).unwrap();
    let verifier = Verifier::default();
    verifier.in_use().replace(&folder.image);
    let verdict = ask(&world, &verifier, &folder.image, now() + DAY).await;
    assert_eq!(staleness(&verdict).len(), 1);
    verifier.in_use().replace("");
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + DAY).await), "tuf/missing");
}

#[tokio::test]
async fn an_age_that_the_policy_bounds_is_no_bound_for_what_runs() {
    let folder = Folder::new();
    let (world, verifier) = cut_off(&folder, ", maxAge: 1h, stale: {knownImages: 72h}").await;
    let verdict = ask(&world, &verifier, &folder.image, now() + HOUR * 2).await;
    let [stale] = staleness(&verdict) else { panic!("{verdict:?}") };
    assert_eq!(stale.judged_at, now() + HOUR * 2, "it is judged as it is now, since nothing has expired");
    verifier.in_use().replace("");
    assert_eq!(code(&ask(&world, &verifier, &folder.image, now() + HOUR * 2).await), "tuf/max-age");
}
