//! Which names do some patterns tell apart?

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Fnmatch, Token};

/// Of all names that patterns answer alike, one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apart {
    /// One name for each way in which the patterns answer, the shortest that is usable.
    pub names: Vec<String>,
    /// Whether there were more places to go to than are looked at.
    pub is_cut: bool,
}

/// Where in each pattern a name has come to so far, one of several places perhaps.
type Places = Vec<BTreeSet<usize>>;

impl Fnmatch {
    /// For each way in which `patterns` can answer to a `usable` name that fits this pattern, one such name. All of them are
    /// walked through at once, character by character, to at most so many places.
    pub fn told_apart(&self, patterns: &[&Self], usable: impl Fn(&str) -> bool, most: usize) -> Apart {
        let all: Vec<Vec<Token>> = std::iter::once(self).chain(patterns.iter().copied()).map(Self::whole).collect();
        let alphabet = alphabet(&all);
        let mut start: Places = all.iter().map(|tokens| settled(tokens, BTreeSet::from([0]))).collect();
        // There is one way through what every name begins with.
        for c in self.prefix.chars() {
            start = all.iter().zip(&start).map(|(tokens, places)| step(tokens, places, c)).collect();
        }
        let mut seen = BTreeSet::from([start.clone()]);
        let mut next = VecDeque::from([(start, self.prefix.clone())]);
        let (mut found, mut is_cut): (BTreeMap<Vec<bool>, String>, bool) = (BTreeMap::new(), false);
        while let Some((places, name)) = next.pop_front() {
            let answers: Vec<bool> =
                all.iter().zip(&places).map(|(tokens, places)| places.contains(&tokens.len())).collect();
            if answers.first() == Some(&true) && !found.contains_key(&answers) && usable(&name) {
                found.insert(answers, name.clone());
            }
            for c in &alphabet {
                let after: Places = all.iter().zip(&places).map(|(tokens, places)| step(tokens, places, *c)).collect();
                let is_dead = after.first().is_none_or(BTreeSet::is_empty);
                if is_dead || !seen.insert(after.clone()) {
                    continue;
                }
                if seen.len() > most {
                    is_cut = true;
                    next.clear();
                    break;
                }
                next.push_back((after, format!("{name}{c}")));
            }
        }
        Apart { names: found.into_values().collect(), is_cut }
    }

    fn whole(&self) -> Vec<Token> {
        self.prefix.chars().map(Token::Literal).chain(self.tokens.iter().cloned()).collect()
    }
}

/// One character for all that no token tells apart, letters first.
fn alphabet(all: &[Vec<Token>]) -> Vec<char> {
    let literals = all.iter().flatten().filter_map(|token| if let Token::Literal(c) = token { Some(*c) } else { None });
    let ordinary = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("._-/#:@".chars()).chain(' '..='~');
    let mut known: BTreeMap<Vec<bool>, char> = BTreeMap::new();
    for c in ordinary.chain(literals) {
        known.entry(all.iter().flatten().map(|token| token.fits(c)).collect()).or_insert(c);
    }
    known.into_values().collect()
}

fn step(tokens: &[Token], places: &BTreeSet<usize>, c: char) -> BTreeSet<usize> {
    let mut after = BTreeSet::new();
    for place in places {
        match tokens.get(*place) {
            Some(Token::Any) => after.insert(*place),
            Some(token) if token.fits(c) => after.insert(place.saturating_add(1)),
            _ => false,
        };
    }
    settled(tokens, after)
}

/// A `*` may be nothing.
fn settled(tokens: &[Token], mut places: BTreeSet<usize>) -> BTreeSet<usize> {
    let stars: Vec<usize> = places.iter().copied().filter(|place| tokens.get(*place) == Some(&Token::Any)).collect();
    // Two never stand side by side.
    places.extend(stars.into_iter().map(|star| star.saturating_add(1)));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(among: &str, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<Fnmatch> = patterns.iter().map(|text| Fnmatch::new(text)).collect();
        let apart = Fnmatch::new(among).told_apart(&patterns.iter().collect::<Vec<_>>(), |_| true, 10_000);
        assert!(!apart.is_cut);
        // Each answers otherwise than the others, and is what was asked for.
        let answers: BTreeSet<Vec<bool>> =
            apart.names.iter().map(|name| patterns.iter().map(|pattern| pattern.matches(name)).collect()).collect();
        assert_eq!(answers.len(), apart.names.len());
        assert!(apart.names.iter().all(|name| Fnmatch::new(among).matches(name)));
        apart.names
    }

    #[test]
    fn there_is_a_name_for_every_answer() {
        assert_eq!(apart("app#?*/?*", &["app#*"]).len(), 1);
        assert_eq!(apart("app#?*/?*", &["app#linux/*"]).len(), 2);
        let names = apart("app#?*/?*", &["app#linux/*", "*/arm64", "app#linux/amd64", "app"]);
        // linux or not, arm64 or not, and the one that is both linux and amd64.
        assert_eq!(names.len(), 5, "{names:?}");
        assert_eq!(apart("app#?*/?*", &["app#[!a-z]*", "app#[a-c]*"]).len(), 3);
        assert_eq!(apart("a?", &["ab", "a[x-z]", "*y"]).len(), 4);
    }

    #[test]
    fn what_is_not_usable_is_passed_over_and_what_is_too_much_is_cut() {
        let all = Fnmatch::new("*");
        let apart = all.told_apart(&[], |name| name.len() > 2, 10_000);
        assert!(apart.names.is_empty() && !apart.is_cut, "the same place by a shorter name");
        let patterns: Vec<Fnmatch> = (0..8).map(|n| Fnmatch::new(&format!("*{n}???????????"))).collect();
        assert!(all.told_apart(&patterns.iter().collect::<Vec<_>>(), |_| true, 1000).is_cut);
    }
}
