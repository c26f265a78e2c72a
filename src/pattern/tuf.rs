//! TUF's path patterns (4.5, PATHPATTERN): shell patterns in which `*` and `?` stop at `/`.
//!
//! Path and pattern are cut at `/`; they fit if they have as many segments and each segment fits its own. Within a
//! segment the rules are those of python's `fnmatchcase`, which the reference implementation uses: `*`, `?`,
//! `[set]`, `[!set]`, no escapes, case counts, and an unclosed `[` is itself. `**` and `{a,b}` mean nothing special.

/// A pattern of a delegation's `paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufPattern {
    text: String,
    segments: Vec<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Literal(char),
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl TufPattern {
    /// Reads a pattern. Every text is one.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), segments: text.split('/').map(tokens).collect() }
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `path` fits.
    pub fn matches(&self, path: &str) -> bool {
        path.split('/').count() == self.segments.len()
            && path.split('/').zip(&self.segments).all(|(segment, tokens)| fits(segment, tokens))
    }
}

fn tokens(segment: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = segment;
    while let Some((first, behind)) = split_first(rest) {
        rest = behind;
        match first {
            // Several stars in a row fit what one fits.
            '*' if out.last() == Some(&Token::Star) => {}
            '*' => out.push(Token::Star),
            '?' => out.push(Token::Any),
            '[' => match set(rest) {
                Some((token, after)) => {
                    out.push(token);
                    rest = after;
                }
                None => out.push(Token::Literal('[')),
            },
            other => out.push(Token::Literal(other)),
        }
    }
    out
}

/// Reads a set whose `[` was just passed; nothing if it is never closed. A `]` that comes first is a member.
fn set(text: &str) -> Option<(Token, &str)> {
    let (negated, body) = text.strip_prefix('!').map_or((false, text), |body| (true, body));
    let (end, _) = body.char_indices().find(|&(at, member)| at > 0 && member == ']')?;
    let (members, after) = (body.get(..end)?, body.get(end..)?.strip_prefix(']')?);
    let members: Vec<char> = members.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = members.as_slice();
    loop {
        rest = match *rest {
            // A range that runs backwards holds nothing.
            [low, '-', high, ref after @ ..] => {
                if low <= high {
                    ranges.push((low, high));
                }
                after
            }
            [one, ref after @ ..] => {
                ranges.push((one, one));
                after
            }
            [] => break,
        };
    }
    Some((Token::Set { negated, ranges }, after))
}

/// Matches with one point of return, the last star: what an earlier star might take instead cannot help.
fn fits(segment: &str, tokens: &[Token]) -> bool {
    let (mut text, mut pattern) = (segment, tokens);
    let mut retry: Option<(&str, &[Token])> = None;
    loop {
        match (pattern, split_first(text)) {
            ([Token::Star, after @ ..], _) => {
                retry = Some((text, after));
                pattern = after;
                continue;
            }
            ([token, after @ ..], Some((next, behind))) if fits_one(token, next) => {
                (text, pattern) = (behind, after);
                continue;
            }
            ([], None) => return true,
            _ => {}
        }
        let Some((from, after)) = retry else { return false };
        let Some((_, from)) = split_first(from) else { return false };
        retry = Some((from, after));
        (text, pattern) = (from, after);
    }
}

/// The first character, and what stands behind it.
fn split_first(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    Some((characters.next()?, characters.as_str()))
}

fn fits_one(token: &Token, next: char) -> bool {
    match token {
        Token::Star => false,
        Token::Any => true,
        Token::Literal(wanted) => *wanted == next,
        Token::Set { negated, ranges } => ranges.iter().any(|&(low, high)| (low..=high).contains(&next)) != *negated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        TufPattern::new(pattern).matches(path)
    }

    #[test]
    fn wildcards_stop_at_slashes() {
        assert!(fits("*", "a.b") && fits("*", ""));
        assert!(!fits("*", "a/b") && !fits("**", "a/b") && !fits("rel/**", "rel/a/b") && !fits("a?b", "a/b"));
        assert!(fits("releases/*/*", "releases/x/y") && !fits("releases/*/*", "releases/x"));
        assert!(!fits("[!x]", "/") && !fits("a[/]b", "a/b"));
        assert!(fits("a[/]b", "a[/]b"), "segments are cut before sets are read");
    }

    #[test]
    fn patterns_are_anchored_and_case_counts() {
        assert!(!fits("*.md", "README.MD") && !fits("a", "ab") && !fits("b", "ab"));
        assert!(!fits("/a", "a") && !fits("a/", "a"));
    }

    #[test]
    fn braces_backslashes_and_unclosed_sets_are_themselves() {
        assert!(fits("{a,b}", "{a,b}") && !fits("{a,b}", "a"));
        assert!(fits(r"\*", r"\x") && !fits(r"\*", "*"));
        assert!(fits("[", "[") && fits("[a", "[a") && fits("[]", "[]") && fits("[!", "[!") && !fits("[a", "a"));
    }

    #[test]
    fn sets_are_pythons() {
        for (pattern, good, bad) in [
            ("[abc]", "abc", "d^]"),
            ("[!abc]", "d^", "abc"),
            ("[a-c]", "abc", "d-"),
            ("[]a]", "]a", "[b"),
            ("[!]a]", "[b", "]a"),
            ("[-a]", "-a", "b"),
            ("[a-]", "-a", "b"),
            ("[^a]", "^a", "b"),
            ("[a-b-c]", "ab-c", "d"),
            ("[a--b]", "b", "a-c"),
            ("[--0]", "-./0"[..1].trim(), "1,"),
            ("[\\]", "\\", "]"),
        ] {
            assert!(good.chars().all(|c| fits(pattern, &c.to_string())), "{pattern} {good}");
            assert!(bad.chars().all(|c| !fits(pattern, &c.to_string())), "{pattern} {bad}");
        }
        assert!(!fits("[b-a]", "a") && !fits("[b-a]", "b") && !fits("[b-a]", ""));
        assert!(fits("[!b-a]", "a") && !fits("[!b-a]", ""));
    }

    #[test]
    fn many_stars_do_not_take_long() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!fits(&pattern, &"a".repeat(5000)));
        assert!(fits("*a*b*", "xxaxxbxx") && fits("*é?", "caféx"));
    }
}
