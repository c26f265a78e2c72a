//! Who changes the repository, with the keys of all roles.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pratique::publish::{self, KeyRing, NewFile, NewImage, NewLayout, Plan, Side, SigningKey};

use crate::{
    Soak, client,
    images::{Images, Kind, LAYOUT, NAME, Repository, Width},
};

/// The tags that may name something.
pub(crate) const TAGS: [&str; 2] = ["stable", "1.4"];

pub(crate) struct Publisher {
    dir: PathBuf,
    keys: Option<KeyRing>,
    state: Repository,
    random: fastrand::Rng,
    changes: usize,
}

impl Publisher {
    /// A repository with all images that may be listed.
    pub(crate) fn init(dir: &Path) -> (Images, Self) {
        let (now, plan) = (Timestamp::now(), Plan::default());
        let images = Images::new(now);
        let keys = plan.keys_from_seed("soak").unwrap();
        let mut draft = publish::Publisher::init(dir, keys, &plan, now).unwrap();
        add_layout(&mut draft, &images, Width::Wide);
        draft.commit().unwrap();
        let listed = (0..images.all.len()).filter(|number| images.all[*number].kind != Kind::MadeUp).collect();
        let mut state = Repository {
            version: 1,
            layout: Width::Wide,
            listed,
            revoked: Default::default(),
            tags: Default::default(),
        };
        for number in &state.listed {
            list(&mut draft, &images, *number, &[]);
        }
        state.version = draft.commit().unwrap().version("timestamp").unwrap();
        let keys = Some(draft.into_parts().1);
        let publisher = Self { dir: dir.to_owned(), keys, state, random: fastrand::Rng::with_seed(7), changes: 0 };
        (images, publisher)
    }

    /// What it says now.
    pub(crate) fn state(&self) -> &Repository {
        &self.state
    }

    /// Changes something, and waits until the webhook knows.
    pub(crate) async fn change(&mut self, soak: &Soak) {
        let mut next = self.state.clone();
        let number = self.changes;
        self.changes += 1;
        let keys = self.keys.take().unwrap();
        let mut draft = publish::Publisher::open(&self.dir, keys, Timestamp::now()).unwrap();
        tokio::task::block_in_place(|| self.draft(number, &mut draft, &soak.images, &mut next));
        next.version += 1;
        soak.repository.begins(next.clone());
        let commit = tokio::task::block_in_place(|| draft.commit()).unwrap();
        assert_eq!(commit.version("timestamp"), Some(next.version));
        self.keys = Some(draft.into_parts().1);
        let version = next.version;
        soak.settles(0, &format!("version {version} of the repository"), async || {
            client::trusted_timestamp(soak).await >= version
        })
        .await;
        soak.repository.settles();
        self.state = next;
    }

    /// What is done in turn.
    fn draft(&mut self, number: usize, draft: &mut publish::Publisher, images: &Images, next: &mut Repository) {
        match number % 9 {
            0 => self.toggle_listed(draft, images, next),
            1 => self.toggle_revoked(draft, images, next),
            2 => self.move_tag(draft, images, next),
            3 => {
                next.layout = if next.layout == Width::Wide { Width::Narrow } else { Width::Wide };
                add_layout(draft, images, next.layout);
            }
            4 => self.toggle_revoked(draft, images, next),
            5 => self.toggle_listed(draft, images, next),
            // The timestamp alone, and the snapshot.
            6 => {}
            7 => self.toggle_listed(draft, images, next),
            _ => self.rotate(number, draft),
        }
    }

    fn any(&mut self, images: &Images) -> usize {
        loop {
            let number = self.random.usize(..images.all.len());
            if images.all[number].kind != Kind::MadeUp {
                return number;
            }
        }
    }

    /// Four images that were listed are listed no more, or are again.
    fn toggle_listed(&mut self, draft: &mut publish::Publisher, images: &Images, next: &mut Repository) {
        for _ in 0..4 {
            let number = self.any(images);
            if next.listed.remove(&number) {
                draft.remove_target("images", &images.reference(number)).unwrap();
            } else {
                next.listed.insert(number);
                list(draft, images, number, &[]);
            }
        }
    }

    /// An image is revoked, or one of those that are is not any more: the more there are, the sooner.
    fn toggle_revoked(&mut self, draft: &mut publish::Publisher, images: &Images, next: &mut Repository) {
        let lifted = next.revoked.iter().copied().nth(self.random.usize(..4));
        match lifted {
            Some(number) => {
                next.revoked.remove(&number);
                let path = format!("revoked/sha256/{}", images.all[number].digest);
                draft.remove_target("targets", &path).unwrap();
            }
            None => {
                let number = self.any(images);
                next.revoked.insert(number);
                draft.revoke("targets", images.all[number].digest, "do not use").unwrap();
            }
        }
    }

    /// A tag names another image, or nothing.
    fn move_tag(&mut self, draft: &mut publish::Publisher, images: &Images, next: &mut Repository) {
        let tag = TAGS[self.random.usize(..TAGS.len())];
        if next.tags.contains_key(tag) && self.random.u8(..4) == 0 {
            next.tags.remove(tag);
            draft.remove_target("images", &format!("{NAME}:{tag}")).unwrap();
            return;
        }
        let number = self.any(images);
        next.listed.insert(number);
        next.tags.insert(tag, number);
        list(draft, images, number, &[tag]);
    }

    /// Another key for a role. Every third time for root.
    fn rotate(&mut self, number: usize, draft: &mut publish::Publisher) {
        let (role, side) = match number / 9 % 5 {
            0 => ("timestamp", Side::Online),
            1 => ("images", Side::Online),
            2 => ("root", Side::Offline),
            3 => ("snapshot", Side::Online),
            _ => ("targets", Side::Offline),
        };
        let mut seed = [0; 32];
        self.random.fill(&mut seed);
        draft.rotate(role, side, vec![SigningKey::ed25519_from_seed(seed)], 1).unwrap();
    }
}

fn add_layout(draft: &mut publish::Publisher, images: &Images, width: Width) {
    let (bytes, key) = images.layout(width);
    let role = "targets".to_owned();
    draft.add_layout(NewLayout { path: LAYOUT.to_owned(), bytes, keys: vec![key], images: Vec::new(), role }).unwrap();
}

/// Lists an image under its digest, and under tags.
fn list(draft: &mut publish::Publisher, images: &Images, number: usize, tags: &[&str]) {
    let (image, links) = (&images.all[number], images.links(number));
    let role = Some("images".to_owned());
    if links.is_empty() {
        for path in tags.iter().map(|tag| format!("{NAME}:{tag}")).chain([images.reference(number)]) {
            let file = NewFile { path, bytes: image.manifest.clone(), role: role.clone(), ..NewFile::default() };
            draft.add_file(&file).unwrap();
        }
        return;
    }
    let new = NewImage {
        repository: NAME.to_owned(),
        manifest: image.manifest.clone(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        layout: LAYOUT.to_owned(),
        links,
        role,
    };
    draft.add_image(&new).unwrap();
}
