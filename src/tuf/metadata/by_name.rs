//! A list by name that holds tens of thousands of small things in two pieces of memory.

use std::fmt;

/// Values by their names, in order; several may have one name. A repository with hash bins lists thousands in each file
/// that it replaces, and a map of owned names takes three times the memory and leaves it in pieces.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::tuf) struct ByName<T> {
    /// One after another.
    names: Box<str>,
    /// Where the name ends, and what has it.
    values: Box<[(usize, T)]>,
}

impl<T> ByName<T> {
    /// Of pairs that are in the order of their names.
    pub(super) fn of_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, T)>) -> Self {
        let mut names = String::new();
        let values = pairs.into_iter().map(|(name, value)| {
            names.push_str(name);
            (names.len(), value)
        });
        let values = values.collect();
        Self { names: names.into(), values }
    }

    /// What has that name, the first if there are several.
    pub(in crate::tuf) fn get(&self, name: &str) -> Option<&T> {
        self.all(name).first().map(|(_, value)| value)
    }

    /// All that have that name, each behind where its name ends.
    pub(super) fn all(&self, name: &str) -> &[(usize, T)] {
        let from = self.first_not(0, |found| found < name);
        let to = self.first_not(from, |found| found == name);
        self.values.get(from..to).unwrap_or_default()
    }

    /// The first place from `from` on whose name is not `before` what is looked for.
    fn first_not(&self, mut from: usize, before: impl Fn(&str) -> bool) -> usize {
        let mut to = self.values.len();
        while from < to {
            let middle = from.midpoint(to);
            if before(self.name(middle)) { from = middle.saturating_add(1) } else { to = middle }
        }
        from
    }

    /// Names and values, in order.
    pub(in crate::tuf) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.values.iter().enumerate().map(|(index, (_, value))| (self.name(index), value))
    }

    fn name(&self, index: usize) -> &str {
        let end = |index: usize| self.values.get(index).map(|(end, _)| *end);
        let from = index.checked_sub(1).and_then(end).unwrap_or(0);
        end(index).and_then(|end| self.names.get(from..end)).unwrap_or_default()
    }
}

impl<T: fmt::Debug> fmt::Debug for ByName<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_is_found_by_its_name_and_nothing_else_is() {
        let of = |names: &[&'static str]| ByName::of_sorted(names.iter().copied().zip(0..));
        let one: ByName<i32> = of(&["", "a", "ab", "b", "b", "c"]);
        for (name, found) in [
            ("", vec![0]),
            ("a", vec![1]),
            ("ab", vec![2]),
            ("b", vec![3, 4]),
            ("c", vec![5]),
            ("aa", vec![]),
            ("d", vec![]),
        ] {
            assert_eq!(one.all(name).iter().map(|(_, value)| *value).collect::<Vec<_>>(), found, "{name}");
            assert_eq!(one.get(name), found.first());
        }
        assert_eq!(one.iter().map(|(name, _)| name).collect::<String>(), "aabbbc");
        // The same letters with other ends are another list.
        assert_ne!(of(&["a", "bc"]), of(&["ab", "c"]));
        assert_eq!(of(&[]).get(""), None);
    }
}
