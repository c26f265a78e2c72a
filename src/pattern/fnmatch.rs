//! in-toto's patterns: python's `fnmatchcase`, in which `*` and `?` cross `/`.

mod apart;

use std::{collections::VecDeque, fmt};

pub use apart::Apart;

/// A pattern of an artifact rule (in-toto 4.3.3: "Unix shell-style wildcards", and the reference reads them as python's
/// `fnmatch` does).
///
/// `*` is any text, `?` one code point, `[a-z]` and `[!a-z]` one code point in or outside a class; `^`, `\`, braces, a
/// leading `]` and an unclosed `[` are literal. Whole names are matched, by code points, without normalisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fnmatch {
    text: String,
    /// What every name begins with that fits.
    prefix: String,
    /// What follows.
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Fnmatch {
    /// Reads a pattern; every text is one.
    pub fn new(text: &str) -> Self {
        let mut tokens = tokens(&text.chars().collect::<Vec<_>>());
        let literal = |token: &Token| if let Token::Literal(c) = token { Some(*c) } else { None };
        let prefix: String = tokens.iter().map_while(literal).collect();
        tokens.drain(..prefix.chars().count());
        Self { text: text.to_owned(), prefix, tokens }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether in-toto-golang reads the pattern alike: it has no backslash, which escapes there, and its classes are
    /// closed lists of characters and ranges without hyphens and brackets of their own, and without `^` in front.
    pub fn is_portable(&self) -> bool {
        let chars: Vec<char> = self.text.chars().collect();
        let mut rest = chars.as_slice();
        while let Some(at) = rest.iter().position(|c| matches!(c, '[' | '\\')) {
            let Some(inside) = rest.get(at..).and_then(|class| class.strip_prefix(&['['])) else { return false };
            let inside = inside.strip_prefix(&['!']).unwrap_or(inside);
            let Some(end) = inside.iter().position(|c| *c == ']') else { return false };
            let (mut members, after) = inside.split_at(end);
            if members.is_empty() || members.first() == Some(&'^') || members.contains(&'\\') {
                return false;
            }
            while let [first, others @ ..] = members {
                members = match others {
                    ['-', last, others @ ..] if *last != '-' => others,
                    others => others,
                };
                if *first == '-' {
                    return false;
                }
            }
            rest = after;
        }
        true
    }

    /// Whether the whole of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        self.matches_counted(name, &mut 0)
    }

    /// The same, with the number of comparisons that it took added to `steps`. Only the last `*` is ever retried, so they
    /// are no more than the product of both lengths.
    pub fn matches_counted(&self, name: &str, steps: &mut usize) -> bool {
        let Some(name) = name.strip_prefix(&self.prefix) else { return false };
        let mut tokens = self.tokens.as_slice();
        let mut rest = name.chars();
        // Where to go on when the current attempt fails: behind the last `*`, one code point further.
        let mut retry = None;
        loop {
            if let [Token::Any, after @ ..] = tokens {
                if after.is_empty() {
                    return true;
                }
                tokens = after;
                retry = Some((after, rest.clone()));
                continue;
            }
            let mut ahead = rest.clone();
            *steps = steps.saturating_add(tokens.first().map_or(1, Token::cost));
            match (tokens, ahead.next()) {
                ([], None) => return true,
                ([token, after @ ..], Some(found)) if token.fits(found) => {
                    tokens = after;
                    rest = ahead;
                }
                _ => {
                    let Some((after, from)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    tokens = after;
                    rest = from.clone();
                }
            }
        }
    }
}

impl fmt::Display for Fnmatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Token {
    /// How many comparisons [`Self::fits`] takes.
    fn cost(&self) -> usize {
        match self {
            Self::Class { ranges, .. } => ranges.len().max(1),
            _ => 1,
        }
    }

    fn fits(&self, found: char) -> bool {
        match self {
            Self::Literal(wanted) => *wanted == found,
            Self::One => true,
            Self::Any => false,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&found)) != *negated
            }
        }
    }
}

fn tokens(mut pattern: &[char]) -> Vec<Token> {
    let mut out = Vec::new();
    while let [first, rest @ ..] = pattern {
        pattern = rest;
        match first {
            '*' if out.last() == Some(&Token::Any) => {}
            '*' => out.push(Token::Any),
            '?' => out.push(Token::One),
            '[' => match class_end(rest) {
                Some(end) => {
                    let (inside, after) = rest.split_at(end);
                    out.push(class(inside));
                    pattern = after.get(1..).unwrap_or_default();
                }
                None => out.push(Token::Literal('[')),
            },
            other => out.push(Token::Literal(*other)),
        }
    }
    out
}

/// Where the `]` stands that closes a class. One right after `[` or `[!` is a member of the class.
fn class_end(rest: &[char]) -> Option<usize> {
    let skipped = usize::from(rest.first() == Some(&'!'));
    let skipped = skipped + usize::from(rest.get(skipped) == Some(&']'));
    let found = rest.get(skipped..)?.iter().position(|c| *c == ']')?;
    Some(skipped + found)
}

/// Reads what stands between the brackets, the way `fnmatch.translate` does, down to its corners: the text is cut at
/// the hyphens that make ranges; a reversed range vanishes, and what then stands first decides about negation.
fn class(inside: &[char]) -> Token {
    let mut cut = cut_at_hyphens(inside);
    let mut chunks: VecDeque<Vec<char>> = VecDeque::new();
    while let Some(mut chunk) = cut.pop() {
        match chunks.front_mut() {
            Some(next) if next.first().is_some_and(|high| chunk.last() > Some(high)) => {
                chunk.pop();
                chunk.extend(next.iter().skip(1));
                *next = chunk;
            }
            _ => chunks.push_front(chunk),
        }
    }
    let negated = chunks.front().is_some_and(|chunk| chunk.first() == Some(&'!'));
    let singles = chunks.iter().flatten().skip(usize::from(negated)).map(|c| (*c, *c));
    let pairs = chunks.iter().zip(chunks.iter().skip(1));
    let ranges = pairs.filter_map(|(low, high)| Some((*low.last()?, *high.first()?)));
    Token::Class { negated, ranges: singles.chain(ranges).collect() }
}

/// Cuts at the hyphens between the two ends of a range; one at either end of the text, or right behind a range, is a
/// member of the class.
fn cut_at_hyphens(inside: &[char]) -> Vec<Vec<char>> {
    let part = |from: usize, to: usize| inside.get(from..to).unwrap_or_default().to_vec();
    let mut chunks: Vec<Vec<char>> = Vec::new();
    let mut start = 0;
    let mut search = if inside.first() == Some(&'!') { 2 } else { 1 };
    while let Some(found) = inside.get(search..).and_then(|rest| rest.iter().position(|c| *c == '-')) {
        let hyphen = search + found;
        chunks.push(part(start, hyphen));
        start = hyphen + 1;
        search = hyphen + 3;
    }
    match (part(start, inside.len()), chunks.last_mut()) {
        (tail, Some(last)) if tail.is_empty() => last.push('-'),
        (tail, _) => chunks.push(tail),
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Fnmatch::new(pattern).matches(name)
    }

    #[test]
    fn reads_patterns_as_python_does() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "a/b\nc", true),
            ("", "", true),
            ("", "a", false),
            ("?", "\u{1f600}", true),
            ("?", "ab", false),
            ("a?b", "a/b", true),
            ("foo/*", "foo", false),
            ("*.py", "dir/.a.py", true),
            ("**", "a/b", true),
            ("*a*b*c", "xxaybyycd", false),
            ("*ab", "abab", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a]x", "ax", true),
            ("[^a]x", "bx", false),
            ("[]a]x", "]x", true),
            ("[!]a]x", "]x", false),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[a-c-e]", "-", true),
            ("[a-c-e]", "d", false),
            ("[abc", "[abc", true),
            ("[", "[", true),
            ("[!", "[!", true),
            ("[z-a]x", "mx", false),
            ("[!z-a]x", "mx", true),
            ("[z-a!b]", "c", true),
            ("[z-a!b]", "b", false),
            ("[!-a]", "-", false),
            ("[&&~~||]", "&", true),
            ("[\\]", "\\", true),
            ("a\\*", "a\\anything", true),
            ("a\\*", "a*", false),
            ("{a,b}", "a", false),
            ("caf\u{e9}", "cafe\u{301}", false),
            ("[\u{e0}-\u{ff}]", "\u{e9}", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn patterns_that_go_reads_otherwise_are_told() {
        for pattern in ["", "a*?]", "[a-c]x[!d]", "[a-cx-z_]", "a]b"] {
            assert!(Fnmatch::new(pattern).is_portable(), "{pattern:?}");
        }
        for pattern in
            ["a\\b", "[", "[abc", "[]a]", "[!]a]", "[a-]", "[-a]", "[a-c-e]", "[^a]", "[!^a]", "[\\a]", "x[a]["]
        {
            assert!(!Fnmatch::new(pattern).is_portable(), "{pattern:?}");
        }
    }

    #[test]
    fn many_stars_do_not_make_it_slow() {
        let pattern = "*a".repeat(200) + "*b";
        assert!(!matches(&pattern, &"a".repeat(4000)));
    }

    #[test]
    fn comparisons_are_counted_and_bounded_by_both_lengths() {
        let steps = |pattern: &str, name: &str| {
            let mut steps = 0;
            Fnmatch::new(pattern).matches_counted(name, &mut steps);
            steps
        };
        assert_eq!((steps("*", &"a".repeat(4000)), steps("b*", &"a".repeat(4000))), (0, 0));
        assert_eq!((steps("abc", "abc"), steps("[a-cx-z]", "x")), (1, 7));
        // The worst: what stands behind the last star fits nearly, everywhere.
        let pattern = format!("*{}b", "a".repeat(50));
        assert!(
            (100 * 50..=151 * 52).contains(&steps(&pattern, &"a".repeat(150))),
            "{}",
            steps(&pattern, &"a".repeat(150))
        );
        assert!(steps(&("*a".repeat(50) + "*b"), &"a".repeat(150)) <= 2 * 151);
        let class = format!("*[{}]", "b-c".repeat(10));
        assert!((1500..=151 * 61).contains(&steps(&class, &"a".repeat(150))), "{}", steps(&class, &"a".repeat(150)));
    }
}
