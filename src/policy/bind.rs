//! What does a rule demand of this image, now that its name is known?
//!
//! A rule may give images another name (`as`) and put what the wildcards of its pattern took of the name into its words
//! (`{1}`). Whoever makes a Pod chooses that name: what does not become a name, role or path is refused, and no other rule
//! is tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::json;

use super::{Action, Rule};
use crate::{
    crypto::{Sha256, json},
    evidence::requirement::{RepositoryName, Requirement, Template},
    image::{self, Reference, Repository},
    tuf::RoleChain,
};

/// One requirement of a rule as it is written: `{1}` stands for nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub(super) requirement: Arc<Requirement>,
    /// The role that must sign, where `{1}` stands in it; `role` of the requirement is absent then.
    pub(super) role: Option<Template>,
    /// The wildcards that it uses.
    pub(super) captures: BTreeMap<usize, Taken>,
    pub(super) hash: Sha256,
}

/// What becomes of what a wildcard took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    /// A part of a value.
    Value,
    /// A segment of a path, or of a role chain.
    Segment,
}

/// What a rule demands of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The canonical name after `as` (N of the rules of trust).
    pub name: Repository,
    /// All of these must hold. Never empty.
    pub parts: Vec<Part>,
}

/// One of the requirements that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The requirement.
    pub requirement: Arc<Requirement>,
    /// Identifies it with its rule, the repository that it names and what the wildcards took: part of the key of a cached
    /// verdict (trust.md §6).
    pub hash: Sha256,
}

/// Why a rule cannot judge an image by its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The name after `as` is none.
    #[error("the rule's as makes {text:?} of the name, which is no repository: {fault}")]
    As {
        /// The name.
        text: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A wildcard took nothing, or what is no segment of a path.
    #[error("{{{number}}} of the rule stands for {text:?} in this name, which cannot stand there")]
    Capture {
        /// The wildcard, counted from 1.
        number: usize,
        /// What it took.
        text: String,
    },
    /// The role is none.
    #[error("the rule's role is {text:?} for this name, which is no role chain")]
    Role {
        /// The role.
        text: String,
    },
    /// A file has no name that a pattern could have matched.
    #[error("the rule takes words from the names of images, and a file has none")]
    File,
    /// The rule demands nothing.
    #[error("the rule verifies nothing")]
    Nothing,
}

impl Unusable {
    /// The refusal code, one of the closed list of `verdict::codes`.
    pub fn code(&self) -> &'static str {
        "image/unusable-name"
    }
}

impl Demand {
    /// The repository whose metadata and evidence count.
    pub fn repository(&self) -> &RepositoryName {
        &self.requirement.repository
    }

    /// All repositories that are asked about the image, the one with the evidence first.
    pub fn repositories(&self) -> impl Iterator<Item = &RepositoryName> {
        let others = self.requirement.agreement.iter().flat_map(|agreement| &agreement.others);
        std::iter::once(&self.requirement.repository).chain(others)
    }

    /// How many of them, beside the one with the evidence, have to list the image.
    pub fn others_needed(&self) -> usize {
        self.requirement.agreement.as_ref().map_or(0, |agreement| agreement.threshold.get().saturating_sub(1))
    }

    /// The roles that may sign layout targets.
    pub fn layout_roles(&self) -> &BTreeSet<RoleChain> {
        &self.requirement.layout_roles
    }

    fn bind(&self, captures: &[String]) -> Result<Part, Unusable> {
        if self.captures.is_empty() {
            return Ok(Part { requirement: self.requirement.clone(), hash: self.hash });
        }
        for (number, taken) in &self.captures {
            usable(captures, *number, *taken)?;
        }
        let missing = |number: usize| Unusable::Capture { number, text: String::new() };
        let mut requirement = self.requirement.with_captures(captures).ok_or_else(|| missing(0))?;
        if let Some(role) = &self.role {
            let text = role.with_captures(captures).ok_or_else(|| missing(0))?.to_string();
            requirement.role = Some(text.parse().map_err(|_| Unusable::Role { text })?);
        }
        let hash = Sha256::of(&json::canonical(&json!({"demand": self.hash.to_string(), "captures": captures})));
        Ok(Part { requirement: Arc::new(requirement), hash })
    }
}

impl Rule {
    /// What the rule demands of an image that it matches.
    ///
    /// # Errors
    /// The name does not become a name, role or path by the rule's words. Then the image is refused.
    pub fn bind(&self, image: &Reference) -> Result<Bound, Unusable> {
        let captures = match self.takes_from_names() {
            true => self.captures(image).ok_or(Unusable::Nothing)?,
            false => Vec::new(),
        };
        let name = match &self.renamed {
            Some(template) => rename(template, &captures)?,
            None => image.repository.clone(),
        };
        Ok(Bound { name, parts: self.parts(&captures)? })
    }

    /// What the rule demands of a plain file.
    ///
    /// # Errors
    /// The rule takes words from names.
    pub fn bind_file(&self) -> Result<Vec<Part>, Unusable> {
        if self.takes_from_names() { Err(Unusable::File) } else { self.parts(&[]) }
    }

    fn parts(&self, captures: &[String]) -> Result<Vec<Part>, Unusable> {
        let demands = match &self.action {
            Action::Verify(demands) if !demands.is_empty() => demands,
            Action::Verify(_) | Action::Allow { .. } => return Err(Unusable::Nothing),
        };
        demands.iter().map(|demand| demand.bind(captures)).collect()
    }

    fn takes_from_names(&self) -> bool {
        let uses = |demand: &Demand| !demand.captures.is_empty();
        self.renamed.is_some() || matches!(&self.action, Action::Verify(demands) if demands.iter().any(uses))
    }

    /// What the wildcards of the first pattern that fits took of the name.
    fn captures(&self, image: &Reference) -> Option<Vec<String>> {
        let fitting = self.matcher.images.iter().find(|entry| entry.matches(image))?;
        fitting.pattern.captures(image.repository.as_str())
    }
}

fn rename(template: &Template, captures: &[String]) -> Result<Repository, Unusable> {
    for number in template.captures() {
        usable(captures, number, Taken::Value)?;
    }
    let text = template.with_captures(captures).map(|template| template.to_string()).unwrap_or_default();
    match Repository::parse(&text) {
        // The host is written out in the rule; no name may move it.
        Ok(name) if text.split('/').next() == Some(name.host()) => Ok(name),
        Ok(name) => Err(Unusable::As { text, fault: format!("its host would be {:?}", name.host()) }),
        Err(image::Error::MalformedReference { fault, .. }) => Err(Unusable::As { text, fault: fault.to_string() }),
        Err(error) => Err(Unusable::As { text, fault: error.to_string() }),
    }
}

/// Nothing is no part of a name, and a part of a segment may be a dot that leads out of a path.
fn usable(captures: &[String], number: usize, taken: Taken) -> Result<(), Unusable> {
    let text = number.checked_sub(1).and_then(|index| captures.get(index)).map_or("", String::as_str);
    let leads_out = taken == Taken::Segment && (matches!(text, "." | "..") || text.contains('/'));
    if text.is_empty() || leads_out { Err(Unusable::Capture { number, text: text.to_owned() }) } else { Ok(()) }
}
