//! Names of entries, and what they mean in a layer.

use super::{Entry, Layer, LayerFault, Limits, entry_fault, limit};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// The name without `/` or `./` in front, none for the root; and whether it ended in a slash.
pub(super) fn normal(name: &str, limits: &Limits) -> Result<(Option<String>, bool), LayerFault> {
    if name.len() > limits.name_bytes {
        return Err(limit("bytes of a name", limits.name_bytes));
    }
    if name.contains('\0') {
        return Err(entry_fault(name, "has a NUL character"));
    }
    let mut path = name;
    while let Some(rest) = path.strip_prefix("./").or_else(|| path.strip_prefix('/')) {
        path = rest;
    }
    if matches!(path, "" | ".") && !name.is_empty() {
        return Ok((None, name.ends_with('/')));
    }
    let (path, is_folder) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
    let mut depth: usize = 0;
    for segment in path.split('/') {
        depth = depth.saturating_add(1);
        match segment {
            ".." => return Err(entry_fault(name, "leads out of its folder")),
            "" | "." => return Err(entry_fault(name, "has an empty segment, or a dot")),
            _ => {}
        }
    }
    if depth > limits.depth {
        return Err(limit("folders above a file", limits.depth));
    }
    Ok((Some(path.to_owned()), is_folder))
}

/// Takes a whiteout (OCI image-spec, "Whiteouts"); false for what is none.
pub(super) fn whiteout(path: &str, name: &str, is_empty_file: bool, layer: &mut Layer) -> Result<bool, LayerFault> {
    let (folder, base) = path.rsplit_once('/').unwrap_or(("", path));
    if folder.split('/').any(|segment| segment.starts_with(WHITEOUT)) {
        return Err(entry_fault(name, "lies below a whiteout"));
    }
    let Some(hidden) = base.strip_prefix(WHITEOUT) else { return Ok(false) };
    if !is_empty_file {
        return Err(entry_fault(name, "is a whiteout, and no empty file"));
    }
    if base == OPAQUE {
        layer.opaque.insert(folder.to_owned());
        return Ok(true);
    }
    if hidden.is_empty() || matches!(hidden, "." | "..") || hidden.starts_with(WHITEOUT) {
        return Err(entry_fault(name, "is a whiteout of nothing"));
    }
    layer.removed.insert(if folder.is_empty() { hidden.to_owned() } else { format!("{folder}/{hidden}") });
    Ok(true)
}

impl Layer {
    /// What a hard link is: another name of what the layer has already, or of what is in a layer below.
    pub(super) fn linked(&self, name: &str, target: String) -> Result<Entry, LayerFault> {
        match self.entries.get(&target) {
            None => Ok(Entry::HardLink(target)),
            Some(Entry::Folder) => Err(entry_fault(name, "is a hard link to a folder")),
            Some(known) => Ok(known.clone()),
        }
    }

    /// A hard link to a name that comes later would be one to the layer below, or to nothing.
    pub(super) fn no_link_ahead(&self) -> Result<(), LayerFault> {
        let ahead = self.entries.iter().find(|(_, entry)| match entry {
            Entry::HardLink(target) => self.entries.contains_key(target),
            _ => false,
        });
        match ahead {
            Some((name, _)) => Err(entry_fault(name, "is a hard link to what comes later")),
            None => Ok(()),
        }
    }
}
