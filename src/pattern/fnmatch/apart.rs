//! Which names do some patterns tell apart?

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Fnmatch, Token};

/// Of all names that patterns answer alike, one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Apart {
    /// One name for each way in which the patterns answer, the shortest that is usable.
    pub names: Vec<String>,
    /// Whether there was more to look at than may be.
    pub is_cut: bool,
}

/// Where in each pattern a name has come to so far, one of several places perhaps.
type Places = Vec<BTreeSet<usize>>;

impl Fnmatch {
    /// For each way in which `patterns` can answer to a `usable` name that fits this pattern, one such name. All of them are
    /// walked through at once, character by character. A look is at one place of one pattern, with one character; at most so
    /// many are taken.
    pub fn told_apart(&self, patterns: &[&Self], usable: impl Fn(&str) -> bool, most: usize) -> Apart {
        let mut found = BTreeMap::new();
        let is_cut = self.walk(patterns, usable, Looks(most), &mut found).is_none();
        Apart { names: found.into_values().collect(), is_cut }
    }

    /// Nothing where there was more to look at than may be.
    fn walk(
        &self,
        patterns: &[&Self],
        usable: impl Fn(&str) -> bool,
        mut looks: Looks,
        found: &mut BTreeMap<Vec<bool>, String>,
    ) -> Option<()> {
        let all: Vec<Vec<Token>> = std::iter::once(self).chain(patterns.iter().copied()).map(Self::whole).collect();
        let alphabet = alphabet(&all, &mut looks)?;
        let mut start: Places = all.iter().map(|tokens| settled(tokens, BTreeSet::from([0]))).collect();
        // There is one way through what every name begins with.
        for c in self.prefix.chars() {
            start = looks.step(&all, &start, c)?;
        }
        let mut seen = BTreeSet::from([start.clone()]);
        let mut next = VecDeque::from([(start, self.prefix.clone())]);
        while let Some((places, name)) = next.pop_front() {
            let answers: Vec<bool> =
                all.iter().zip(&places).map(|(tokens, places)| places.contains(&tokens.len())).collect();
            if answers.first() == Some(&true) && !found.contains_key(&answers) && usable(&name) {
                found.insert(answers, name.clone());
            }
            for c in &alphabet {
                let after = looks.step(&all, &places, *c)?;
                let is_dead = after.first().is_none_or(BTreeSet::is_empty);
                if !is_dead && seen.insert(after.clone()) {
                    next.push_back((after, format!("{name}{c}")));
                }
            }
        }
        Some(())
    }

    fn whole(&self) -> Vec<Token> {
        self.prefix.chars().map(Token::Literal).chain(self.tokens.iter().cloned()).collect()
    }
}

/// How many looks may still be taken.
struct Looks(usize);

impl Looks {
    fn take(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.checked_sub(count)?;
        Some(())
    }

    fn step(&mut self, all: &[Vec<Token>], places: &Places, c: char) -> Option<Places> {
        for (tokens, places) in all.iter().zip(places) {
            // Each pattern takes one, also when it has come to an end.
            self.take(1)?;
            places.iter().filter_map(|place| tokens.get(*place)).try_for_each(|token| self.take(cost(token)))?;
        }
        Some(all.iter().zip(places).map(|(tokens, places)| step(tokens, places, c)).collect())
    }
}

/// How many looks a token takes: one for each range of a class.
fn cost(token: &Token) -> usize {
    if let Token::Class { ranges, .. } = token { ranges.len().saturating_add(1) } else { 1 }
}

/// One character for all that no token tells apart. Letters stand first: of names that come to the same places the later
/// ones are not looked at, and one of them may be the only usable one.
fn alphabet(all: &[Vec<Token>], looks: &mut Looks) -> Option<Vec<char>> {
    let mut classes: Vec<&Token> = Vec::new();
    let (mut literals, mut ends, mut costs) = (BTreeSet::new(), BTreeSet::new(), 0_usize);
    for token in all.iter().flatten() {
        looks.take(1)?;
        match token {
            Token::Literal(c) => _ = literals.insert(*c),
            Token::One | Token::Any => {}
            Token::Class { ranges, .. } => {
                looks.take(costs)?;
                if !classes.contains(&token) {
                    costs = costs.saturating_add(cost(token));
                    ends.extend(ranges.iter().flat_map(|(low, high)| [*low, *high]));
                    classes.push(token);
                }
            }
        }
    }
    let ordinary = ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("._-/#:@".chars()).chain(' '..='~');
    let (mut known, mut alphabet) = (BTreeSet::new(), Vec::new());
    for c in ordinary.chain(literals.iter().copied()).chain(ends) {
        looks.take(costs)?;
        // A literal tells its character from all others.
        let own = literals.contains(&c).then_some(c);
        if known.insert((own, classes.iter().map(|class| class.fits(c)).collect::<Vec<bool>>())) {
            alphabet.push(c);
        }
    }
    Some(alphabet)
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
        let apart = Fnmatch::new(among).told_apart(&patterns.iter().collect::<Vec<_>>(), |_| true, 100_000);
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
    fn a_class_of_other_characters_is_told_apart_as_well() {
        // In the range or not, and `x` with something behind it.
        assert_eq!(apart("*", &["[é-ü]*", "x[!ж]"]).len(), 3);
    }

    #[test]
    fn of_names_that_no_pattern_tells_apart_one_with_letters_is_found() {
        // Every small letter stands somewhere, and no pattern is about what begins with one.
        let letters = Fnmatch::new("0abcdefghijklmnopqrstuvwxyz-");
        let usable = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase());
        assert_eq!(Fnmatch::new("*").told_apart(&[&letters], usable, 100_000).names, ["a"]);
    }

    #[test]
    fn what_is_not_usable_is_passed_over_and_what_is_too_much_is_cut() {
        let all = Fnmatch::new("*");
        let apart = all.told_apart(&[], |name| name.len() > 2, 100_000);
        assert!(apart.names.is_empty() && !apart.is_cut, "the same place by a shorter name");
        let is_cut = |patterns: &[String]| {
            let patterns: Vec<Fnmatch> = patterns.iter().map(|text| Fnmatch::new(text)).collect();
            all.told_apart(&patterns.iter().collect::<Vec<_>>(), |_| true, 100_000).is_cut
        };
        assert!(is_cut(&(0..8).map(|n| format!("*{n}???????????")).collect::<Vec<_>>()), "places");
        // What comes before any name is looked at is counted, too.
        let characters: String = ('\u{4e00}'..='\u{9fff}').collect();
        assert!(is_cut(&[characters.repeat(50)]), "characters");
        let classes = characters.chars().map(|c| format!("[{c}]")).collect::<String>();
        assert!(is_cut(&[classes]), "classes");
        assert!(is_cut(&[format!("*[{characters}]*[!{characters}]")]), "ranges");
    }
}
