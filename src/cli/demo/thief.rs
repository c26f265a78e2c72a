//! What a thief of every online key publishes, all at once.

#![expect(clippy::indexing_slicing, reason = "an index into a JSON value that is not there is null")]

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::chain::{LAYOUTS, NAME, ONLINE, People, Project, by_digest, digest, layout_path, manifest};
use crate::publish::{Editor, Format, LinkSource};

/// An image with another image's evidence.
pub(super) const BORROWED: &str = "borrowed";
/// An image with a layout, keys and links of the thief's own.
pub(super) const HOMEMADE: &str = "homemade";
/// An image under a retired layout, with the stolen key of somebody who left.
pub(super) const REOPENED: &str = "reopened";

/// Signs it all with the online keys.
pub(super) fn publish(project: &Project, revoked: &str, good: &str, now: Timestamp) -> anyhow::Result<()> {
    project.steal(now, |editor| {
        borrow_evidence(editor, good)?;
        sign_a_layout(editor, now)?;
        use_a_retired_layout(editor, &project.people)?;
        list_again(editor, revoked)?;
        move_the_tag(editor, good)
    })
}

fn borrow_evidence(editor: &mut Editor, good: &str) -> anyhow::Result<()> {
    let custom = editor.signed(ONLINE)?["targets"][by_digest(good)]["custom"].clone();
    let custom = custom.as_object().cloned().unwrap_or_default();
    editor.add_target(ONLINE, &by_digest(BORROWED), &manifest(BORROWED), custom)?;
    Ok(())
}

/// A whole supply chain whose owner and functionaries are all the thief.
fn sign_a_layout(editor: &mut Editor, now: Timestamp) -> anyhow::Result<()> {
    let gang = People::generate()?;
    let layout = gang.layout(now + SignedDuration::from_hours(24), &gang.cleo)?;
    let (path, key) = (format!("{LAYOUTS}/thief.layout"), format!("{LAYOUTS}/thief.pub"));
    editor.add_target(ONLINE, &key, gang.owner.public_pem()?.as_bytes(), Map::new())?;
    let custom = Map::from_iter([("in-toto".to_owned(), json!([key])), ("images".to_owned(), json!([NAME]))]);
    editor.add_target(ONLINE, &path, &layout.sign(Format::Metablock, &[&gang.owner])?, custom)?;
    let links = gang.links(HOMEMADE, digest(HOMEMADE), &gang.cleo)?;
    list(editor, HOMEMADE, path, &links)
}

fn use_a_retired_layout(editor: &mut Editor, people: &People) -> anyhow::Result<()> {
    let links = people.links(REOPENED, digest(REOPENED), &people.lena)?;
    list(editor, REOPENED, layout_path("2025"), &links)
}

fn list_again(editor: &mut Editor, revoked: &str) -> anyhow::Result<()> {
    let entry = editor.signed(ONLINE)?["targets"][by_digest(revoked)].clone();
    editor.list_target(ONLINE, &format!("{NAME}:again"), entry)?;
    // And says that it was never revoked, where he may.
    editor.remove_target(ONLINE, &format!("revoked/sha256/{}", digest(revoked)))?;
    Ok(())
}

fn move_the_tag(editor: &mut Editor, good: &str) -> anyhow::Result<()> {
    let entry = editor.signed(ONLINE)?["targets"][by_digest(BORROWED)].clone();
    editor.list_target(ONLINE, &format!("{NAME}:{good}"), entry)?;
    Ok(())
}

/// Lists an image with its evidence.
fn list(editor: &mut Editor, image: &str, layout: String, links: &[LinkSource]) -> anyhow::Result<()> {
    let mut listed = vec![layout];
    for link in links {
        let path = format!("in-toto-metadata/{}/{}", digest(image), link.name);
        editor.add_target(ONLINE, &path, &link.bytes, Map::new())?;
        listed.push(path);
    }
    let custom = Map::from_iter([("in-toto".to_owned(), json!(listed))]);
    editor.add_target(ONLINE, &by_digest(image), &manifest(image), custom)?;
    Ok(())
}
