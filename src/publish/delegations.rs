//! What the delegations of a role say: which roles there are below it, by whose keys, for which paths.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Error;
use crate::{crypto::Sha256, pattern::TufPattern, tuf::RoleName};

/// Delegations by hash of which there are more in one role are read when they are needed.
const READ_AT_ONCE: usize = 256;

/// The delegations of a targets role that are listed by name, and their entries.
pub(super) fn listed(signed: &Value) -> impl Iterator<Item = (RoleName, &Value)> {
    entries(signed).iter().filter_map(|entry| Some((entry["name"].as_str()?.into(), entry)))
}

fn entries(signed: &Value) -> &[Value] {
    signed.pointer("/delegations/roles").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn succinct(signed: &Value) -> Option<&Value> {
    signed.pointer("/delegations/succinct_roles")
}

/// The roles below one that are read with it: all but bins.
pub(super) fn read_at_once(signed: &Value) -> Vec<RoleName> {
    let many = entries(signed).iter().filter(|entry| is_by_hash(entry)).count() > READ_AT_ONCE;
    listed(signed).filter(|(_, entry)| !(many && is_by_hash(entry))).map(|(name, _)| name).collect()
}

/// Every role to which one delegates, bins too.
pub(super) fn all(signed: &Value) -> Vec<RoleName> {
    let mut roles: Vec<RoleName> = listed(signed).map(|(name, _)| name).collect();
    if let Some((prefix, bits)) = succinct(signed).and_then(succinct_shape) {
        roles.extend((0..1_u64 << bits).map(|bin| bin_name(prefix, bits, bin)));
    }
    roles
}

/// The entry by which a role is delegated to: its own, or that of all succinct bins.
pub(super) fn entry_of<'a>(signed: &'a Value, role: &RoleName) -> Option<&'a Value> {
    let entries = entries(signed);
    let is_it = |entry: &&Value| entry["name"] == role.as_str();
    // The bins of a role stand in the order of their numbers, and there may be tens of thousands.
    let number = role.as_str().rsplit_once('-').and_then(|(_, hex)| usize::from_str_radix(hex, 16).ok());
    let guess = number.and_then(|number| entries.get(number)).filter(is_it);
    let listed = guess.or_else(|| entries.iter().find(is_it));
    listed.or_else(|| succinct(signed).filter(|succinct| is_bin(succinct, role)))
}

/// Whether a delegation covers a target path (TUF 4.5, TAP 15).
pub(super) fn covers(role: &RoleName, entry: &Value, path: &str) -> bool {
    if succinct_shape(entry).is_some() {
        return succinct_bin(entry, path).is_some_and(|bin| bin == *role);
    }
    let texts = |member: &str| entry[member].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut prefixes = texts("path_hash_prefixes").peekable();
    if prefixes.peek().is_some() {
        let hash = Sha256::of(path.as_bytes()).to_string();
        return prefixes.any(|prefix| hash.starts_with(prefix));
    }
    texts("paths").any(|pattern| TufPattern::new(pattern).matches(path))
}

/// The roles to which one delegates a path, in the order of priority.
pub(super) fn covering(signed: &Value, path: &str) -> Vec<RoleName> {
    let mut roles: Vec<RoleName> =
        listed(signed).filter(|(name, entry)| covers(name, entry, path)).map(|(name, _)| name).collect();
    roles.extend(succinct(signed).and_then(|succinct| succinct_bin(succinct, path)));
    roles
}

/// The one bin of a role for a path, if it delegates to bins: by succinct roles, or by several delegations by hash of
/// which exactly one covers the path.
pub(super) fn bin_for(signed: &Value, path: &str) -> Option<RoleName> {
    if let Some(succinct) = succinct(signed) {
        return succinct_bin(succinct, path);
    }
    let mut by_hash = listed(signed).filter(|(_, entry)| is_by_hash(entry)).peekable();
    by_hash.peek()?;
    let covering: Vec<RoleName> =
        by_hash.filter(|(name, entry)| covers(name, entry, path)).map(|(name, _)| name).collect();
    match covering.as_slice() {
        [one] if entries(signed).len() > 1 => Some(one.clone()),
        _ => None,
    }
}

/// What the names of a role's bins start with, where they are not read at once.
pub(super) fn bin_prefixes(signed: &Value) -> BTreeSet<String> {
    if let Some((prefix, _)) = succinct(signed).and_then(succinct_shape) {
        return BTreeSet::from([prefix.to_owned()]);
    }
    let known: BTreeSet<RoleName> = read_at_once(signed).into_iter().collect();
    let bins = listed(signed).filter(|(name, _)| !known.contains(name));
    bins.filter_map(|(name, _)| Some(name.as_str().rsplit_once('-')?.0.to_owned())).collect()
}

/// The bins of one name: `<prefix>-<number>`, in the order of their numbers.
pub(super) fn bins_named(signed: &Value, prefix: &str) -> Vec<RoleName> {
    let fits = |role: &RoleName| {
        let number = role.as_str().strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok())
    };
    if let Some((own, _)) = succinct(signed).and_then(succinct_shape) {
        return if own == prefix { all(signed) } else { Vec::new() };
    }
    listed(signed).filter(|(name, entry)| is_by_hash(entry) && fits(name)).map(|(name, _)| name).collect()
}

fn is_by_hash(entry: &Value) -> bool {
    entry.get("path_hash_prefixes").is_some()
}

/// `name_prefix` and `bit_length` (TAP 15).
fn succinct_shape(entry: &Value) -> Option<(&str, u32)> {
    let bits = entry.get("bit_length")?.as_u64().and_then(|bits| u32::try_from(bits).ok())?;
    (1..=32).contains(&bits).then_some((entry["name_prefix"].as_str()?, bits))
}

fn succinct_bin(entry: &Value, path: &str) -> Option<RoleName> {
    let (prefix, bits) = succinct_shape(entry)?;
    let [a, b, c, d, ..] = *Sha256::of(path.as_bytes()).as_bytes();
    let bin = u64::from(u32::from_be_bytes([a, b, c, d])) >> (32 - bits);
    Some(bin_name(prefix, bits, bin))
}

fn is_bin(entry: &Value, role: &RoleName) -> bool {
    let Some((prefix, bits)) = succinct_shape(entry) else { return false };
    let number = role.as_str().strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let bin = number.and_then(|hex| u64::from_str_radix(hex, 16).ok());
    bin.is_some_and(|bin| bin >> bits == 0 && bin_name(prefix, bits, bin) == *role)
}

/// TAP 15: the number in as many hex digits as all numbers need.
fn bin_name(prefix: &str, bits: u32, bin: u64) -> RoleName {
    let digits = bits.div_ceil(4) as usize;
    RoleName::from(format!("{prefix}-{bin:0digits$x}").as_str())
}

/// How a role's paths are spread over bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bins {
    /// This many delegations by `path_hash_prefixes`, a power of two (PEP 458).
    HashPrefixes(u32),
    /// Two to the power of this many succinct roles (TAP 15).
    Succinct(u32),
}

/// Bins of one role. Each is a file, and the snapshot lists them all.
const MAX_BITS: u32 = 16;

impl Bins {
    fn bits(self) -> Result<u32, Error> {
        let bits = match self {
            Self::HashPrefixes(count) if count.is_power_of_two() => count.trailing_zeros(),
            Self::HashPrefixes(count) => {
                return Err(Error::input("hash bins", format!("{count} is not a power of two")));
            }
            Self::Succinct(bits) => bits,
        };
        if !(1..=MAX_BITS).contains(&bits) {
            return Err(Error::input("hash bins", format!("2 to {} of them, not 2^{bits}", 1 << MAX_BITS)));
        }
        Ok(bits)
    }

    /// The bins and, for delegations by hash prefix, the prefixes of each.
    pub(super) fn plan(self, prefix: &str) -> Result<Vec<(RoleName, Vec<String>)>, Error> {
        let bits = self.bits()?;
        let digits = bits.div_ceil(4) as usize;
        let each = 1_u64 << (bits.div_ceil(4) * 4 - bits);
        let prefixes = |bin: u64| (bin * each..(bin + 1) * each).map(|number| format!("{number:0digits$x}")).collect();
        Ok((0..1_u64 << bits).map(|bin| (bin_name(prefix, bits, bin), prefixes(bin))).collect())
    }
}

/// Names that stand more than once would be one role for two delegations.
pub(super) fn all_new(roles: &BTreeSet<RoleName>, names: impl IntoIterator<Item = RoleName>) -> Result<(), Error> {
    match names.into_iter().find(|name| roles.contains(name)) {
        Some(name) => Err(Error::RoleExists(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(text: &str) -> RoleName {
        RoleName::from(text)
    }

    #[test]
    fn bins_share_all_prefixes_evenly() {
        let plan = Bins::HashPrefixes(8).plan("bin").unwrap();
        assert_eq!(plan.len(), 8);
        assert_eq!(plan[0], (name("bin-0"), vec!["0".to_owned(), "1".to_owned()]));
        assert_eq!(plan[7], (name("bin-7"), vec!["e".to_owned(), "f".to_owned()]));
        let plan = Bins::HashPrefixes(16384).plan("bin").unwrap();
        assert_eq!(plan[16383], (name("bin-3fff"), ["fffc", "fffd", "fffe", "ffff"].map(str::to_owned).to_vec()));
        for refused in [0, 1, 3, 1 << 17] {
            assert!(Bins::HashPrefixes(refused).plan("bin").is_err(), "{refused}");
        }
        for refused in [0, 17] {
            assert!(Bins::Succinct(refused).plan("bin").is_err(), "{refused}");
        }
    }

    #[test]
    fn a_path_has_the_bin_of_its_hash() {
        let path = "registry.example/team/app:1";
        let hash = Sha256::of(path.as_bytes()).to_string();
        let entry = json!({"name_prefix": "bin", "bit_length": 8});
        let signed = json!({"delegations": {"succinct_roles": entry}});
        let bin = name(&format!("bin-{}", &hash[..2]));
        assert_eq!(bin_for(&signed, path), Some(bin.clone()));
        assert_eq!(covering(&signed, path), std::slice::from_ref(&bin));
        assert!(covers(&bin, &entry, path));
        assert!(!covers(&name("bin-zz"), &entry, path));
        assert_eq!(all(&signed).len(), 256);
        assert_eq!(bins_named(&signed, "bin").len(), 256);
        assert_eq!(bins_named(&signed, "other").len(), 0);
        for (role, is) in [("bin-00", true), ("bin-100", false), ("bin-0", false), ("bin-0A", false), ("bun-00", false)]
        {
            assert_eq!(entry_of(&signed, &name(role)).is_some(), is, "{role}");
        }
    }

    #[test]
    fn one_role_for_everything_is_no_bin() {
        let digits: Vec<String> = (0..16).map(|digit| format!("{digit:x}")).collect();
        let everything = |name: &str| json!({"name": name, "path_hash_prefixes": digits});
        assert_eq!(bin_for(&json!({"delegations": {"roles": [everything("images")]}}), "x"), None);
        let two = json!({"delegations": {"roles": [everything("team-a"), everything("team-b")]}});
        assert_eq!(bin_for(&two, "x"), None);
        assert_eq!(covering(&two, "x"), [name("team-a"), name("team-b")]);
    }
}
