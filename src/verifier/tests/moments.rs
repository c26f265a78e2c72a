//! One generation for a whole review, whatever is published meanwhile.

use super::*;

/// Lists another image in the place of the one that was there; the reference of that.
async fn replaced(folder: &Folder, world: &World) -> String {
    let repository = folder.temp.path().join("repository");
    let mut keys = Plan::default().keys_from_seed("verifier").unwrap();
    let root = fs::read(repository.join("metadata/1.root.json")).unwrap();
    keys.trust(Document::parse(&"root".into(), root).unwrap());
    let mut publisher = Publisher::open(&repository, keys, now()).unwrap();
    publisher.remove_target("images", &folder.image).unwrap();
    let builder = SigningKey::ed25519_from_seed([2; 32]);
    let manifest = br#"{"schemaVersion":2,"manifests":[],"annotations":{}}"#.to_vec();
    let link = Link::new("build").product(NAME, Sha256::of(&manifest));
    let (name, bytes) = (link.file_name(&builder).unwrap(), link.sign(Format::Metablock, &builder).unwrap());
    let image = NewImage {
        repository: NAME.to_owned(),
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: vec![LinkSource { name, bytes }],
        role: Some("images".to_owned()),
        manifest,
    };
    let digest = publisher.add_image(&image).unwrap().digest;
    publisher.commit().unwrap();
    refresh(world, now()).await;
    format!("{NAME}@sha256:{digest}")
}

async fn at(moment: &Moment, verifier: &Verifier, world: &World, reference: &str) -> &'static str {
    let question = Question { moment: Some(moment), ..question(reference, TagUse::NamesNow) };
    verifier.verify(world, &question, now(), Instant::now() + Duration::from_secs(60)).await.label()
}

#[tokio::test]
async fn two_images_of_which_no_version_lists_both_are_not_admitted_together() {
    let folder = Folder::new();
    let (world, verifier, moment) = (folder.world("").await, Verifier::default(), Moment::default());
    refresh(&world, now()).await;
    assert_eq!(at(&moment, &verifier, &world, &folder.image).await, "proof");
    let other = replaced(&folder, &world).await;
    assert_eq!(at(&moment, &verifier, &world, &other).await, "proof");
    assert!(!moment.is_one(), "two versions, and nobody asks again");
    assert_eq!(at(&moment, &verifier, &world, &folder.image).await, "image/unknown");
    assert_eq!(at(&moment, &verifier, &world, &other).await, "proof");
    assert!(moment.is_one());
}

#[tokio::test]
async fn what_a_review_began_with_holds_to_its_end() {
    let folder = Folder::new();
    let (world, verifier, moment) = (folder.world("").await, Verifier::default(), Moment::default());
    refresh(&world, now()).await;
    assert_eq!(at(&moment, &verifier, &world, &folder.image).await, "proof");
    replaced(&folder, &world).await;
    assert_eq!(at(&moment, &verifier, &world, &folder.image).await, "proof");
    assert!(moment.is_one());
    assert_eq!(at(&Moment::default(), &verifier, &world, &folder.image).await, "image/unknown");
}

#[tokio::test]
async fn a_repository_that_changes_all_the_time_keeps_no_review_from_its_end() {
    let folder = Folder::new();
    let (world, verifier, moment) = (folder.world("").await, Verifier::default(), Moment::default());
    refresh(&world, now()).await;
    let nowhere = format!("{NAME}@sha256:{}", "0".repeat(64));
    let mut asked = 0;
    loop {
        assert_eq!(at(&moment, &verifier, &world, &folder.image).await, "proof");
        folder.renew(now());
        refresh(&world, now()).await;
        assert_eq!(at(&moment, &verifier, &world, &nowhere).await, "image/unknown");
        asked += 1;
        if moment.is_one() {
            break;
        }
    }
    assert_eq!(asked, 4);
}
