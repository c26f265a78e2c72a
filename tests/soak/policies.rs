//! The policies that are written in turn, and that one that does not load changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Soak, client};

/// What a policy says of the images that it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// They are refused where they do not verify.
    Enforce,
    /// They are admitted with a warning.
    Warn,
    /// They are admitted.
    Audit,
    /// They are refused, and so are all in another namespace than prod-shop.
    Narrow,
    /// As `Enforce`, and what no rule matches is admitted.
    DefaultAudit,
    /// As `Enforce`, with another word about the repository, which is opened anew for it.
    Slow,
    /// As `Enforce`, by digest alone.
    NoTags,
}

/// All, in the order in which they are written.
pub(crate) const ALL: [Variant; 7] = [
    Variant::Enforce,
    Variant::Warn,
    Variant::Slow,
    Variant::Narrow,
    Variant::DefaultAudit,
    Variant::Audit,
    Variant::NoTags,
];

/// The file of the policy.
pub(crate) struct Policies {
    file: PathBuf,
    url: String,
    number: u64,
}

impl Policies {
    /// Writes the first.
    pub(crate) fn new(file: &Path, url: &str) -> Self {
        let policies = Self { file: file.to_owned(), url: url.to_owned(), number: 0 };
        fs::write(file, policies.text()).unwrap();
        policies
    }

    /// The policy of this number.
    pub(crate) fn current(&self) -> (u64, Variant) {
        (self.number, ALL[usize::try_from(self.number).unwrap() % ALL.len()])
    }

    /// Writes the next one, and waits until it is in force. Before each third one comes one that does not load.
    pub(crate) async fn edit(&mut self, soak: &Soak) {
        if self.number % 3 == 2 {
            fs::write(&self.file, self.text().replace("rules:", "rulez:")).unwrap();
            soak.settles(1, "that a policy does not load", async || {
                client::metric(soak, "pratique_policy_stale").await == Some(1)
            })
            .await;
        }
        self.number += 1;
        soak.policy.begins(self.current());
        fs::write(&self.file, self.text()).unwrap();
        let number = self.number;
        soak.settles(1, &format!("policy {number}"), async || client::policy(soak).await == number).await;
        soak.policy.settles();
    }

    fn text(&self) -> String {
        let (number, variant) = self.current();
        let refresh = if variant == Variant::Slow { "2s" } else { "1s" };
        let namespaces = if variant == Variant::Narrow { "prod-shop" } else { "prod-*" };
        let tags = if variant == Variant::NoTags { "deny" } else { "signed" };
        let mode = match variant {
            Variant::Warn => "warn",
            Variant::Audit => "audit",
            _ => "enforce",
        };
        let default = if variant == Variant::DefaultAudit { "audit" } else { "deny" };
        format!(
            "version: 1
repositories:
  acme:
    url: {url}
    root: acme.root.json
    refresh: {refresh}
rules:
  - name: policy-{number}
    match: {{namespaces: [canary], images: [\"registry.example/canary/seal\"]}}
    allow: to tell which policy answers
  - name: platform
    match: {{namespaces: [monitoring], images: [\"registry.example/platform/*\"]}}
    allow: moved to our registry by March
  - name: own-images
    match: {{namespaces: [\"{namespaces}\"], images: [\"registry.example/team/**\"]}}
    verify:
      repositories: [acme]
      layout: \"layouts/{{repository}}/*\"
      tags: {tags}
    mode: {mode}
default: {default}
",
            url = self.url
        )
    }
}
