//! Which paths does this Rust source name, outside its tests? A lexer and just enough grammar to answer that.

/// What a source says that matters here; code under `#[cfg(test)]` is left out.
#[derive(Debug, Default)]
pub(crate) struct Source<'a> {
    /// Every path that is named, those of a grouped `use` one by one.
    pub(crate) paths: Vec<Named<'a>>,
    /// Modules declared under `#[cfg(test)]`.
    pub(crate) test_modules: Vec<&'a str>,
    /// The other modules declared at the top of the file, in order.
    pub(crate) declared: Vec<Declared<'a>>,
    /// Lines that are not tests.
    pub(crate) lines: usize,
    /// The whole file is a test (`#![cfg(test)]`).
    pub(crate) is_test: bool,
}

/// `mod name;`
#[derive(Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// Behind `#[cfg(feature = "shell")]`.
    pub(crate) shell: bool,
}

/// A path as it is written, with what is needed to judge it.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub(crate) segments: Vec<&'a str>,
    pub(crate) line: usize,
    /// The token behind it.
    pub(crate) follower: &'a str,
    pub(crate) in_attribute: bool,
    /// How many inline `mod name { … }` it stands in.
    inline: usize,
}

impl<'a> Named<'a> {
    /// The path from the crate's root, when it is written with `crate::` or climbs out of `module`, the module of its
    /// file, with `super::`.
    pub(crate) fn path_from_root(&self, module: &[&str]) -> Option<&[&'a str]> {
        match self.segments.as_slice() {
            ["crate", rest @ ..] => Some(rest),
            ["super" | "self", ..] => {
                let written = self.segments.iter().take_while(|segment| ["super", "self"].contains(segment)).count();
                let up = self.segments.iter().filter(|segment| **segment == "super").count();
                (up >= module.len() + self.inline).then(|| &self.segments[written..])
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let tokens = lex(text);
        let mut source = Self { lines: text.lines().count(), ..Self::default() };
        let mut kept = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let Some((inner, attribute)) = attribute(&tokens, at) else {
                kept.push(tokens[at]);
                at += 1;
                continue;
            };
            let end = at + attribute.len();
            if !only_in_tests(attribute) {
                kept.extend(attribute);
                at = end;
            } else if inner {
                return Self { is_test: true, ..Self::default() };
            } else {
                let item = item(&tokens[end..]);
                if let Some(module) = item.windows(2).find(|pair| pair[0].text == "mod") {
                    source.test_modules.push(module[1].text);
                }
                let last = item.last().unwrap_or(&tokens[at]);
                source.lines -= last.line - tokens[at].line + 1;
                at = end + item.len();
            }
        }
        source.declared = declared(&kept);
        source.paths = paths(&kept);
        source
    }
}

/// The attribute that starts here, and whether it is an inner one.
fn attribute<'t, 'a>(tokens: &'t [Token<'a>], at: usize) -> Option<(bool, &'t [Token<'a>])> {
    let inner = tokens.get(at + 1)?.text == "!";
    let bracket = at + 1 + usize::from(inner);
    if tokens[at].text != "#" || tokens.get(bracket)?.text != "[" {
        return None;
    }
    let mut depth = 0_usize;
    let close = tokens[bracket..].iter().position(|token| {
        depth += usize::from(token.text == "[");
        depth -= usize::from(token.text == "]");
        depth == 0
    })?;
    Some((inner, &tokens[at..=bracket + close]))
}

/// `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn only_in_tests(attribute: &[Token<'_>]) -> bool {
    let words: String = attribute.iter().filter(|token| !["#", "!"].contains(&token.text)).map(|t| t.text).collect();
    words == "[cfg(test)]" || words.starts_with("[cfg(all(test,")
}

/// The item that these tokens start with: to its `;` or the end of its body.
fn item<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut start = 0;
    while let Some((_, attribute)) = attribute(tokens, start) {
        start += attribute.len();
    }
    let is_use = tokens[start..].iter().take_while(|token| token.text != "{").any(|token| token.text == "use");
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            // A field: what it stands in ends first.
            "}" | ")" | "]" if depth == 0 => return &tokens[..at],
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token.text == ";" || (token.text == "}" && !is_use)) {
            return &tokens[..=at];
        }
    }
    tokens
}

fn declared<'a>(tokens: &[Token<'a>]) -> Vec<Declared<'a>> {
    let mut found = Vec::new();
    let mut shell = false;
    let mut at = 0;
    while at < tokens.len() {
        if let Some((_, attribute)) = attribute(tokens, at) {
            shell |= attribute.iter().map(|token| token.text).collect::<String>() == "#[cfg(feature=\"shell\")]";
            at += attribute.len();
            continue;
        }
        if let [word, name, end, ..] = &tokens[at..]
            && word.text == "mod"
            && end.text == ";"
        {
            found.push(Declared { name: name.text, line: name.line, shell });
        }
        shell &= ![";", "}"].contains(&tokens[at].text);
        at += 1;
    }
    found
}

fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Named<'a>> {
    let mut found = Vec::new();
    let mut braces: Vec<bool> = Vec::new();
    let mut attribute_end = 0;
    let mut at = 0;
    while at < tokens.len() {
        if let Some((_, attribute)) = attribute(tokens, at) {
            attribute_end = at + attribute.len();
        }
        let before = |n: usize| at.checked_sub(n).map_or("", |at| tokens[at].text);
        let inline = braces.iter().filter(|is_module| **is_module).count();
        let in_attribute = at < attribute_end;
        match tokens[at].text {
            "{" => braces.push(before(2) == "mod"),
            "}" => drop(braces.pop()),
            // `use<'a>` is a bound.
            "use" if tokens.get(at + 1).is_some_and(|token| token.text != "<") => {
                at = use_tree(tokens, at + 1, &[], inline, &mut found);
                continue;
            }
            text if is_word(text) => {
                let continues = before(1) == "::" && (is_word(before(2)) || before(2) == ">");
                let is_member = before(1) == "." && before(2) != ".";
                let (segments, end) = words(tokens, at);
                if !continues && !is_member {
                    let follower = tokens.get(end).map_or("", |token| token.text);
                    // `crate` alone is the `crate` of `pub(crate)`.
                    if segments != ["crate"] {
                        found.push(Named { segments, line: tokens[at].line, follower, in_attribute, inline });
                    }
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The words joined by `::` from here on, and where they end.
fn words<'a>(tokens: &[Token<'a>], mut at: usize) -> (Vec<&'a str>, usize) {
    let mut words = vec![tokens[at].text];
    while let [colons, word, ..] = &tokens[at + 1..]
        && colons.text == "::"
        && is_word(word.text)
    {
        words.push(word.text);
        at += 2;
    }
    (words, at + 1)
}

/// Takes the tree of a `use` apart; answers where it ends.
fn use_tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &[&'a str],
    inline: usize,
    found: &mut Vec<Named<'a>>,
) -> usize {
    let start = at;
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        match token.text {
            "::" => {}
            "as" => at += 1,
            "{" => {
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = use_tree(tokens, at + 1, &segments, inline, found);
                }
                return at + 1;
            }
            "," | "}" | ";" => break,
            // `{self}` names what stands before the brace.
            "self" if !prefix.is_empty() => {}
            text => segments.push(text),
        }
        at += 1;
    }
    if at > start {
        found.push(Named { segments, line, follower: "", in_attribute: false, inline });
    }
    at
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Words, `::`, single characters, and string literals whole; comments and character literals are dropped.
fn lex(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest).unwrap_or_else(|| {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            match rest {
                _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                _ if rest.starts_with("/*") => block_comment(rest),
                _ if rest.starts_with("r#") => 2,
                _ if rest.starts_with("::") => 2,
                _ if word > 0 => word,
                _ => first.len_utf8(),
            }
        });
        let (token, after) = rest.split_at(length);
        let dropped = token.starts_with(['\'', '/']) && token.len() > 1 || token == "r#" || token == "'";
        if !dropped && !first.is_whitespace() {
            tokens.push(Token { text: token, line });
        }
        line += token.matches('\n').count();
        rest = after;
    }
    tokens
}

/// The length of the string or character literal that starts here. A lifetime is none.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - body.len();
    let raw = body.strip_prefix('r').unwrap_or(body);
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if prefix <= 1 && raw.len() < body.len() && raw[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let length = raw[hashes + 1..].find(&end).map_or(raw.len(), |at| hashes + 1 + at + end.len());
        return Some(prefix + 1 + length);
    }
    let quote = body.chars().next().filter(|c| prefix <= 1 && ['"', '\''].contains(c))?;
    if quote == '\'' && !body.starts_with("'\\") && body.chars().nth(2) != Some('\'') {
        return None;
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(prefix + at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    Some(rest.len())
}

/// The length of the block comment that starts here; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}
