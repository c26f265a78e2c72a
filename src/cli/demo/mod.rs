//! `pratique demo`: a whole supply chain in one folder, and what the webhook says to good and to attacked images.

#![expect(clippy::disallowed_methods, reason = "the attacker puts files back, and the terminal is asked what it shows")]

mod chain;
mod review;
mod screen;
mod thief;
mod webhook;

use std::{
    env, fs,
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};

use self::{
    chain::{NAME, OFFLINE, Project, by_digest, digest, layout_path},
    review::Review,
    screen::{Expected::*, Screen},
    webhook::Running,
};
use crate::publish::LinkSource;

/// The release that is as it should be.
const GOOD: &str = "1.4";
/// One with a hole, revoked.
const REVOKED: &str = "1.2";
/// One of last year, under the layout of last year.
const OLD: &str = "1.0";

/// Options of the demonstration.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the supply chain in this folder, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Shows it. Exit code 0: everything was decided as it must be. 1: something was not. 2: it could not be shown.
pub fn run(args: &Args, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let colours = std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let temporary;
    let dir = match &args.keep {
        Some(dir) => {
            fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
            ensure!(fs::read_dir(dir)?.next().is_none(), "{} is not empty", dir.display());
            fs::canonicalize(dir)?
        }
        None => {
            temporary = tempfile::tempdir()?;
            fs::canonicalize(temporary.path())?
        }
    };
    let mut screen = Screen::new(out, colours);
    super::runtime()?.block_on(show(&dir, now, &mut screen))?;
    let right = screen.end()?;
    match &args.keep {
        Some(_) => suggest(&dir, &mut screen)?,
        None => {
            screen.line("Try it yourself: `pratique demo --keep DIR` leaves the folder and says what to do with it")?
        }
    }
    Ok(u8::from(!right))
}

async fn show(dir: &Path, now: Timestamp, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    screen.heading("A project publishes how its images are made")?;
    let project = Project::start(dir, now)?;
    honest_releases(&project, now)?;
    screen.line("layout: source (ada) -> build (2 of 3 builders) -> push (cleo), signed offline by the owner")?;
    screen.line(&format!("images: {NAME}, listed with their links by the online role"))?;
    let mut webhook = Running::start(dir, &project.policy_file(), now).await?;
    webhook.refresh(now).await?;
    screen.line(&format!("webhook: https://{}, one root.json and one policy", webhook.address()))?;

    screen.heading("What a cluster asks about every day")?;
    good(&mut webhook, screen).await?;
    screen.heading("Images that are not as they should be")?;
    bad(&mut webhook, screen).await?;
    screen.heading("Everywhere that an image can stand")?;
    places(&mut webhook, screen).await?;

    let before = fs::read(project.repository().join("metadata/timestamp.json"))?;
    project.publish(super::now(), |publisher| {
        publisher.revoke(OFFLINE, digest(REVOKED), "a hole in the parser, use 1.4")?;
        Ok(())
    })?;
    webhook.refresh(super::now()).await?;
    screen.heading("Revoked by the project, with its offline keys")?;
    let answer = webhook.review(Review::pod(&[&by_digest(REVOKED)])).await?;
    screen.case("an image that was admitted until now", &answer, Refused("tuf/revoked"))?;

    screen.heading("A thief has every online key, and signs what he likes with them")?;
    thief::publish(&project, REVOKED, GOOD, super::now())?;
    webhook.refresh(super::now()).await?;
    stolen(&mut webhook, screen).await?;

    screen.heading("The server goes back to the time before the revocation")?;
    let timestamp = project.repository().join("metadata/timestamp.json");
    let newest = fs::read(&timestamp)?;
    fs::write(&timestamp, before)?;
    let refused = webhook.refresh(super::now()).await.err();
    let text = refused.as_ref().map(ToString::to_string).unwrap_or_default();
    screen.refusal("the older repository itself", refused.map(|error| error.code()), &text, "tuf/rollback")?;
    let answer = webhook.review(Review::pod(&[&by_digest(REVOKED)])).await?;
    screen.case("the revoked image", &answer, Refused("tuf/revoked"))?;
    fs::write(&timestamp, newest)?;
    webhook.stop().await
}

/// Every release of the project, the flawed ones included.
fn honest_releases(project: &Project, now: Timestamp) -> anyhow::Result<()> {
    let people = &project.people;
    let day = SignedDuration::from_hours(24);
    let old = project.sign_layout("2025", &people.layout(now + day * 30, &people.lena)?)?;
    let expired = project.sign_layout("expired", &people.layout(now - day, &people.cleo)?)?;
    let links = |release, pusher| people.links(release, digest(release), pusher);
    let good = links(GOOD, &people.cleo)?;
    let releases = [
        project.release(GOOD, "release", good.clone()),
        project.release(REVOKED, "release", links(REVOKED, &people.cleo)?),
        project.release(OLD, "2025", links(OLD, &people.lena)?),
        project.release("changed", "release", change(links("changed", &people.cleo)?)),
        project.release("unauthorised", "release", links("unauthorised", &people.mallory)?),
        project.release("late", "expired", links("late", &people.cleo)?),
    ];
    project.publish(now, |publisher| {
        publisher.add_layout(old)?;
        publisher.add_layout(expired)?;
        for release in &releases {
            publisher.add_image(release)?;
        }
        publisher.retire_layout(OFFLINE, &layout_path("2025"), None)?;
        Ok(())
    })?;
    let layout = project.sign_layout("release", &people.layout(now + day * 365, &people.cleo)?)?;
    project.keep_release(GOOD, &layout.bytes, &good)
}

/// The links with the command of the last one changed after it was signed.
fn change(mut links: Vec<LinkSource>) -> Vec<LinkSource> {
    if let Some(last) = links.last_mut() {
        last.bytes = String::from_utf8_lossy(&last.bytes).replace("crane", "docker").into_bytes();
    }
    links
}

async fn good(webhook: &mut Running, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    let answer = webhook.review(Review::pod(&[&by_digest(GOOD)])).await?;
    screen.case("the good image by digest", &answer, Admitted)?;
    let answer = webhook.review(Review::pod(&[&format!("{NAME}:{GOOD}")])).await?;
    screen.case("the good image by its signed tag, which becomes a digest", &answer, Admitted)?;
    let answer = webhook.review(Review::deployment(&format!("{NAME}:{GOOD}"), &[])).await?;
    screen.case("a Deployment of it", &answer, Admitted)?;
    let answer = webhook.review(Review::pod(&[&by_digest(OLD)])).await?;
    screen.case("an image of last year, under a layout that is closed for new ones", &answer, Admitted)?;
    Ok(())
}

async fn bad(webhook: &mut Running, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    for (title, image, code) in [
        ("an image that nobody published", by_digest("unknown"), "image/unknown"),
        ("a tag that nobody signed", format!("{NAME}:nightly"), "image/unknown-tag"),
        ("an image of somebody else", format!("vendor.example/tool@sha256:{}", digest("tool")), "policy/no-rule"),
        ("a link changed after it was signed", by_digest("changed"), "in-toto/threshold-not-met"),
        ("a functionary who is not authorised", by_digest("unauthorised"), "in-toto/threshold-not-met"),
        ("an expired layout", by_digest("late"), "in-toto/layout-expired"),
    ] {
        let answer = webhook.review(Review::pod(&[&image])).await?;
        screen.case(title, &answer, Refused(code))?;
    }
    Ok(())
}

async fn places(webhook: &mut Running, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    let (good, unknown) = (by_digest(GOOD), by_digest("unknown"));
    let refused = Refused("image/unknown");
    let answer = webhook.review(Review::deployment(&good, &[&good, &unknown])).await?;
    screen.case("a Deployment with one bad init container", &answer, refused)?;
    let answer = webhook.review(Review::ephemeral(&good, &unknown)).await?;
    screen.case("an ephemeral container (kubectl debug)", &answer, refused)?;
    let answer = webhook.review(Review::pod_with_volume(&good, &unknown)).await?;
    screen.case("an image volume", &answer, refused)?;
    Ok(())
}

async fn stolen(webhook: &mut Running, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    for (title, image, code) in [
        ("another image's evidence attached", by_digest(thief::BORROWED), "evidence/not-bound"),
        ("a layout, keys and links of the thief's own", by_digest(thief::HOMEMADE), "layout/wrong-role"),
        ("a retired layout, with the key of somebody who left", by_digest(thief::REOPENED), "layout/retired"),
        ("a revoked image listed again, by digest", by_digest(REVOKED), "tuf/revoked"),
        ("a revoked image listed again, under a new tag", format!("{NAME}:again"), "tuf/revoked"),
        ("a tag moved to another image", format!("{NAME}:{GOOD}"), "evidence/not-bound"),
    ] {
        let answer = webhook.review(Review::pod(&[&image])).await?;
        screen.case(title, &answer, Refused(code))?;
    }
    let answer = webhook.review(Review::pod(&[&by_digest(GOOD)])).await?;
    screen.case("the good image, which he cannot harm", &answer, Admitted)?;
    Ok(())
}

/// The commands to try next.
fn suggest(dir: &Path, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    let dir = dir.display();
    let good = by_digest(GOOD);
    screen.heading("Try next")?;
    for command in [
        format!("pratique explain --policy {dir}/policy.yaml {good}"),
        format!("pratique verify --policy {dir}/policy.yaml {}", by_digest(thief::BORROWED)),
        format!("pratique policy check --fetch {dir}/policy.yaml"),
        format!(
            "pratique in-toto verify --layout {dir}/release-{GOOD}/root.layout \
             --layout-keys {dir}/release-{GOOD}/owner.pub --link-dir {dir}/release-{GOOD}/links"
        ),
        format!("pratique repo status {dir}/repository"),
        format!("pratique repo revoke {dir}/repository sha256:{} --reason \"do not use\"", digest(GOOD)),
        format!("pratique verify --policy {dir}/policy.yaml {good}"),
        format!("pratique tuf --metadata-dir {dir}/client init {dir}/acme.root.json"),
        format!("pratique tuf --metadata-dir {dir}/client --metadata-url file://{dir}/repository/metadata refresh"),
        format!(
            "pratique serve --listen 127.0.0.1:8443 --tls-dir {dir}/tls --policy {dir}/policy.yaml --state {dir}/state"
        ),
    ] {
        screen.line(&command)?;
    }
    Ok(())
}
