//! What layers make together (OCI image-spec, "Applying Changesets").

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Entry, Layer, LayerFault, Limits, entry_fault, limit};
use crate::crypto::Sha256;

/// Symbolic links that are followed for one name, as Linux does it (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The files of an image, by name without a slash in front, with the digest of each. A symbolic link to a file has the
/// digest of that file. What is no file and no folder has none: a link to a folder or to nothing, a device, a pipe.
///
/// # Errors
/// What runtimes would unpack in different ways, and what is more than a cap allows.
pub fn files(layers: &[Arc<Layer>], limits: &Limits) -> Result<BTreeMap<String, Option<Sha256>>, LayerFault> {
    let (mut entries, mut bytes, mut names) = (0_usize, 0_u64, 0_usize);
    for layer in layers {
        let count = layer.entries.len().saturating_add(layer.removed.len()).saturating_add(layer.opaque.len());
        entries = entries.saturating_add(count);
        bytes = bytes.saturating_add(layer.bytes);
        names = names.saturating_add(layer.name_bytes);
    }
    if entries > limits.entries {
        return Err(limit("entries", limits.entries));
    }
    if bytes > limits.bytes {
        return Err(limit("bytes unpacked", limits.bytes));
    }
    if names > limits.all_name_bytes {
        return Err(limit("bytes of names", limits.all_name_bytes));
    }
    let mut root = Root::default();
    layers.iter().try_for_each(|layer| root.apply(layer))?;
    root.digests(limits)
}

/// The root of an image as far as it is put together.
#[derive(Default)]
struct Root(BTreeMap<String, Node>);

#[derive(Debug, Clone)]
enum Node {
    Folder,
    File(Sha256),
    Link(String),
    Special,
}

impl Root {
    fn apply(&mut self, layer: &Layer) -> Result<(), LayerFault> {
        // A layer hides what is below it, and nothing of its own.
        for name in &layer.removed {
            self.hold_folders(name)?;
            self.remove_below(name);
            self.0.remove(name);
        }
        for folder in &layer.opaque {
            if folder.is_empty() {
                self.0.clear();
                continue;
            }
            self.hold_folders(folder)?;
            if matches!(self.0.get(folder), Some(Node::Link(_))) && !layer.entries.contains_key(folder) {
                return Err(entry_fault(folder, "is an opaque folder, and a link in the layer below"));
            }
            self.remove_below(folder);
        }
        let mut added = BTreeMap::new();
        for (name, entry) in &layer.entries {
            let node = match entry {
                Entry::Folder => Node::Folder,
                Entry::File(digest) => Node::File(*digest),
                Entry::Link(target) => Node::Link(target.clone()),
                Entry::Special => Node::Special,
                Entry::HardLink(target) => match self.0.get(target) {
                    None | Some(Node::Folder) => return Err(entry_fault(name, "is a hard link to no file")),
                    Some(node) => node.clone(),
                },
            };
            added.insert(name, node);
        }
        // In their order a folder comes before what is in it.
        for (name, node) in added {
            self.hold_folders(name)?;
            let is_folder = matches!(node, Node::Folder);
            if !(is_folder && matches!(self.0.get(name), Some(Node::Folder) | None)) {
                self.remove_below(name);
            }
            self.0.insert(name.clone(), node);
        }
        Ok(())
    }

    /// Holds that all folders of a name are folders: runtimes differ in whether they follow a link there.
    fn hold_folders(&self, name: &str) -> Result<(), LayerFault> {
        for (end, _) in name.match_indices('/') {
            let folder = name.get(..end).unwrap_or_default();
            if !matches!(self.0.get(folder), None | Some(Node::Folder)) {
                return Err(entry_fault(name, "lies in what is no folder"));
            }
        }
        Ok(())
    }

    fn remove_below(&mut self, name: &str) {
        let below = format!("{name}/");
        let within = self.0.range(below.clone()..).take_while(|(name, _)| name.starts_with(&below));
        let within: Vec<String> = within.map(|(name, _)| name.clone()).collect();
        for name in within {
            self.0.remove(&name);
        }
    }

    fn digests(&self, limits: &Limits) -> Result<BTreeMap<String, Option<Sha256>>, LayerFault> {
        let mut files = BTreeMap::new();
        let mut steps: usize = 0;
        for (name, node) in &self.0 {
            let digest = match node {
                Node::Folder => continue,
                Node::File(digest) => Some(*digest),
                Node::Special => None,
                Node::Link(_) => self.follow(name, &mut steps, limits)?,
            };
            files.insert(name.clone(), digest);
        }
        Ok(files)
    }

    /// The file to which a symbolic link leads within the image. `..` above the root is the root, as for whoever runs it.
    fn follow(&self, link: &str, steps: &mut usize, limits: &Limits) -> Result<Option<Sha256>, LayerFault> {
        let mut left: VecDeque<&str> = link.split('/').collect();
        let mut path = String::new();
        let mut followed: usize = 0;
        *steps = steps.saturating_add(left.len());
        while let Some(segment) = left.pop_front() {
            if *steps > limits.link_steps {
                return Err(limit("steps to follow links", limits.link_steps));
            }
            match segment {
                "" | "." => continue,
                ".." => {
                    path.truncate(path.rfind('/').unwrap_or_default());
                    continue;
                }
                _ => {}
            }
            let folder = path.len();
            if folder > 0 {
                path.push('/');
            }
            path.push_str(segment);
            if path.len() > limits.name_bytes {
                return Ok(None);
            }
            match self.0.get(&path) {
                Some(Node::Link(target)) => {
                    followed = followed.saturating_add(1);
                    if followed > MAX_LINKS {
                        return Ok(None);
                    }
                    path.truncate(if target.starts_with('/') { 0 } else { folder });
                    for segment in target.rsplit('/') {
                        left.push_front(segment);
                        *steps = steps.saturating_add(1);
                    }
                }
                Some(Node::File(digest)) if left.is_empty() => return Ok(Some(*digest)),
                Some(Node::File(_) | Node::Special) => return Ok(None),
                // Folders need not be listed.
                Some(Node::Folder) | None => {}
            }
        }
        Ok(None)
    }
}
