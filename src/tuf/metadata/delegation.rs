//! To whom a targets role delegates which paths (TUF 4.5, DELEGATIONS; TAP 15).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    by_name::ByName,
    read::{self, Members, Misshapen},
};
use crate::{
    crypto::{Sha256, canonical::Reader},
    pattern::TufPattern,
    tuf::{
        name::{RoleName, TargetPath},
        verify::{Keys, RoleKeys, Signers},
    },
};

/// The delegations of one role, in the order of the document: earlier ones have priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegations {
    keys: Keys,
    roles: Roles,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Roles {
    Listed(ListedRoles),
    Succinct(SuccinctRoles),
}

/// What one file says about a role to which it delegates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// The role.
    pub name: RoleName,
    /// Whether the search ends with this role and those below it.
    pub terminating: bool,
    pub(in crate::tuf) signers: RoleKeys,
    pub(in crate::tuf) keys: Keys,
}

impl Delegations {
    pub(super) fn read(value: Value) -> Result<Self, Misshapen> {
        let mut members = Members::of(value)?;
        let keys = members.required("keys", Keys::read)?;
        let listed = members.optional("roles", ListedRoles::read)?;
        let succinct = members.optional("succinct_roles", SuccinctRoles::read)?;
        let roles = match (listed, succinct) {
            (Some(listed), None) => Roles::Listed(listed),
            (None, Some(succinct)) => Roles::Succinct(succinct),
            (Some(_), Some(_)) => return Err(Misshapen::new("both roles and succinct_roles")),
            (None, None) => return Err(Misshapen::new("neither roles nor succinct_roles")),
        };
        Ok(Self { keys, roles })
    }

    /// The same of canonical JSON; none if it is better read in the ordinary way, which also says what is wrong with it.
    pub(super) fn read_in_place(reader: &mut Reader<'_>) -> Option<Self> {
        let mut keys = None;
        let mut listed = None;
        reader.object(|reader, name| {
            match name.raw() {
                b"keys" => keys = Some(Keys::read_in_place(reader)?),
                b"roles" => listed = Some(listed_in_place(reader)?),
                b"succinct_roles" => return None,
                _ => reader.skip()?,
            }
            Some(())
        })?;
        Some(Self { keys: keys?, roles: Roles::Listed(ListedRoles::of(listed?).ok()?) })
    }

    /// The roles that may speak about `path`, in the order of priority.
    pub(in crate::tuf) fn for_path(&self, path: &HashedPath) -> Vec<DelegatedRole> {
        match &self.roles {
            Roles::Listed(listed) => listed.for_path(path).map(|role| self.role(role)).collect(),
            Roles::Succinct(succinct) => vec![self.role(&succinct.bin(path))],
        }
    }

    /// The patterns of all paths by which it delegates.
    pub(in crate::tuf) fn patterns(&self) -> Vec<String> {
        let Roles::Listed(listed) = &self.roles else { return Vec::new() };
        let patterns = listed.patterns.iter().flat_map(|(_, patterns)| patterns);
        patterns.map(|pattern| pattern.as_str().to_owned()).collect()
    }

    /// The role of that name, whatever its paths are.
    pub(in crate::tuf) fn named(&self, name: &RoleName) -> Option<DelegatedRole> {
        match &self.roles {
            Roles::Listed(listed) => listed.roles.iter().find(|role| role.name == *name).map(|role| self.role(role)),
            Roles::Succinct(succinct) => succinct.has(name).then(|| self.role(&succinct.role(name.clone()))),
        }
    }

    /// Who may sign for the roles, without repetition: a repository with bins has thousands of roles of the same keys.
    pub(in crate::tuf) fn distinct_signers(&self) -> Vec<(RoleName, Signers)> {
        let first = |role: &ListedRole| (role.name.clone(), self.keys.signers(&role.signers));
        match &self.roles {
            Roles::Listed(listed) => {
                let mut seen = BTreeSet::new();
                listed.roles.iter().filter(|role| seen.insert(&role.signers)).map(first).collect()
            }
            Roles::Succinct(succinct) => vec![first(&succinct.bin(&HashedPath::new(&TargetPath::from(""))))],
        }
    }

    fn role(&self, role: &ListedRole) -> DelegatedRole {
        let ListedRole { name, terminating, signers } = role.clone();
        DelegatedRole { name, terminating, signers, keys: self.keys.clone() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ListedRole {
    name: RoleName,
    terminating: bool,
    signers: RoleKeys,
}

/// Listed roles and, apart from them, their paths by their place in the list. A repository with hash bins has tens of
/// thousands of prefixes; they are looked up and not gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ListedRoles {
    roles: Vec<ListedRole>,
    patterns: Vec<(usize, Vec<TufPattern>)>,
    /// Each with the place of its role.
    prefixes: ByName<usize>,
    prefix_lengths: BTreeSet<usize>,
}

impl ListedRoles {
    fn read(value: Value) -> Result<Self, Misshapen> {
        Self::of(read::list(listed_role)(value)?)
    }

    fn of(listed: Vec<(ListedRole, Paths)>) -> Result<Self, Misshapen> {
        let mut roles: Vec<ListedRole> = Vec::with_capacity(listed.len());
        let (mut patterns, mut by_prefix) = (Vec::new(), Vec::new());
        for (index, (role, paths)) in listed.into_iter().enumerate() {
            match paths {
                Paths::Patterns(paths) => patterns.push((index, paths)),
                Paths::HashPrefixes(prefixes) => by_prefix.extend(prefixes.into_iter().map(|prefix| (prefix, index))),
            }
            roles.push(role);
        }
        let mut names: Vec<&RoleName> = roles.iter().map(|role| &role.name).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[one, next]| one == next) {
            return Err(Misshapen::new(format!("role {:?} stands twice", twice.as_str())));
        }
        by_prefix.sort_unstable();
        let prefix_lengths = by_prefix.iter().map(|(prefix, _)| prefix.len()).collect();
        let prefixes = ByName::of_sorted(by_prefix.iter().map(|(prefix, index)| (prefix.as_str(), *index)));
        Ok(Self { roles, patterns, prefixes, prefix_lengths })
    }

    fn for_path(&self, path: &HashedPath) -> impl Iterator<Item = &ListedRole> {
        let by_pattern = self
            .patterns
            .iter()
            .filter(|(_, patterns)| patterns.iter().any(|pattern| pattern.matches(path.path.as_str())))
            .map(|(index, _)| *index);
        // TUF 4.5, PATH_HASH_PREFIXES: the first digits of the SHA-256 of the path.
        let by_prefix = self
            .prefix_lengths
            .iter()
            .filter_map(|&length| path.hex.get(..length))
            .flat_map(|prefix| self.prefixes.all(prefix))
            .map(|(_, index)| *index);
        let in_order: BTreeSet<usize> = by_pattern.chain(by_prefix).collect();
        in_order.into_iter().filter_map(|index| self.roles.get(index))
    }
}

enum Paths {
    Patterns(Vec<TufPattern>),
    HashPrefixes(Vec<String>),
}

fn listed_role(value: Value) -> Result<(ListedRole, Paths), Misshapen> {
    let mut members = Members::of(value)?;
    let name = members.required("name", |value| role_name(&read::text(value)?))?;
    let terminating = members.required("terminating", read::flag)?;
    let patterns = members.optional("paths", read::list(|value| Ok(TufPattern::new(&read::text(value)?))))?;
    let prefixes =
        members.optional("path_hash_prefixes", read::list(|value| read::text(value).and_then(hash_prefix)))?;
    let paths = Paths::of(patterns, prefixes)?;
    Ok((ListedRole { name, terminating, signers: RoleKeys::take(&mut members)? }, paths))
}

impl Paths {
    /// TUF 4.5: exactly one of the two.
    fn of(patterns: Option<Vec<TufPattern>>, prefixes: Option<Vec<String>>) -> Result<Self, Misshapen> {
        match (patterns, prefixes) {
            (Some(patterns), None) => Ok(Self::Patterns(patterns)),
            (None, Some(prefixes)) => Ok(Self::HashPrefixes(prefixes)),
            (Some(_), Some(_)) => Err(Misshapen::new("both paths and path_hash_prefixes")),
            (None, None) => Err(Misshapen::new("neither paths nor path_hash_prefixes")),
        }
    }
}

fn listed_in_place(reader: &mut Reader<'_>) -> Option<Vec<(ListedRole, Paths)>> {
    let mut listed = Vec::new();
    // Bins of one repository have the same keys: they are held once.
    let mut before: Option<RoleKeys> = None;
    reader.array(|reader| {
        let (mut name, mut terminating, mut keyids, mut threshold) = (None, None, None, None);
        let (mut patterns, mut prefixes) = (None, None);
        reader.object(|reader, member| {
            match member.raw() {
                b"name" => name = Some(role_name(reader.string()?.plain()?).ok()?),
                b"terminating" => terminating = Some(reader.flag()?),
                b"keyids" => keyids = Some(texts(reader)?),
                b"threshold" => threshold = Some(reader.unsigned()?),
                b"paths" => patterns = Some(texts(reader)?.into_iter().map(TufPattern::new).collect()),
                b"path_hash_prefixes" => {
                    let checked = texts(reader)?.into_iter().map(|prefix| hash_prefix(prefix.to_owned()).ok());
                    prefixes = Some(checked.collect::<Option<_>>()?);
                }
                _ => reader.skip()?,
            }
            Some(())
        })?;
        let signers = RoleKeys::of(&keyids?, threshold?, before.as_ref())?;
        before = Some(signers.clone());
        listed.push((
            ListedRole { name: name?, terminating: terminating?, signers },
            Paths::of(patterns, prefixes).ok()?,
        ));
        Some(())
    })?;
    Some(listed)
}

fn texts<'a>(reader: &mut Reader<'a>) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    reader.array(|reader| {
        found.push(reader.string()?.plain()?);
        Some(())
    })?;
    Some(found)
}

/// A target path and its SHA-256, computed once a lookup.
pub(in crate::tuf) struct HashedPath {
    pub(in crate::tuf) path: TargetPath,
    digest: Sha256,
    hex: String,
}

impl HashedPath {
    pub(in crate::tuf) fn new(path: &TargetPath) -> Self {
        let digest = Sha256::of(path.as_str().as_bytes());
        Self { path: path.clone(), digest, hex: digest.to_string() }
    }
}

/// TUF 3.1.2: the four top-level roles cannot be delegated to; else a delegated file could stand in for one of them.
fn role_name(name: &str) -> Result<RoleName, Misshapen> {
    match name {
        "" => Err(Misshapen::new("a role needs a name")),
        "root" | "timestamp" | "snapshot" | "targets" => {
            Err(Misshapen::new(format!("{name:?} is a top-level role and cannot be delegated to")))
        }
        _ => Ok(RoleName::from(name)),
    }
}

fn hash_prefix(prefix: String) -> Result<String, Misshapen> {
    let is_hex = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || !(1..=64).contains(&prefix.len()) {
        return Err(Misshapen::new(format!("{prefix:?} is not 1 to 64 lower-case hex digits")));
    }
    Ok(prefix)
}

/// TAP 15: a power of two of bins that share their keys, named by number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SuccinctRoles {
    signers: RoleKeys,
    bit_length: u32,
    name_prefix: String,
}

impl SuccinctRoles {
    fn read(value: Value) -> Result<Self, Misshapen> {
        let mut members = Members::of(value)?;
        let bit_length = members.required("bit_length", |value| {
            let bits = value.as_u64().and_then(|bits| u32::try_from(bits).ok());
            bits.filter(|bits| (1..=32).contains(bits)).ok_or_else(|| Misshapen::new("not an integer of 1 to 32"))
        })?;
        let name_prefix = members.required("name_prefix", read::text)?;
        Ok(Self { signers: RoleKeys::take(&mut members)?, bit_length, name_prefix })
    }

    /// The first `bit_length` bits of the path's SHA-256 number its bin.
    fn bin(&self, path: &HashedPath) -> ListedRole {
        let [a, b, c, d, ..] = *path.digest.as_bytes();
        self.role(self.name(u32::from_be_bytes([a, b, c, d]) >> (32 - self.bit_length)))
    }

    /// As TAP 15 has it, bins are not terminating.
    fn role(&self, name: RoleName) -> ListedRole {
        ListedRole { name, terminating: false, signers: self.signers.clone() }
    }

    fn name(&self, bin: u32) -> RoleName {
        let digits = self.bit_length.div_ceil(4) as usize;
        RoleName::from(format!("{}-{bin:0digits$x}", self.name_prefix).as_str())
    }

    fn has(&self, name: &RoleName) -> bool {
        let (_, number) = name.as_str().rsplit_once('-').unwrap_or_default();
        u32::from_str_radix(number, 16)
            .is_ok_and(|bin| u64::from(bin) >> self.bit_length == 0 && self.name(bin) == *name)
    }
}
