//! Policy's patterns: matched by segments, anchored at both ends.
//!
//! `*` stands for any run of characters within one segment, also for none; the segment `**` stands for any number of
//! segments, also for none. The first segment of a repository is its host with its port.

use std::{fmt, ops::Range};

/// A pattern of `match.images` in a policy, over canonical repository names.
///
/// It must itself be written in canonical form, so that what one reads is what is matched: `docker.io/library/nginx`,
/// not `nginx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePattern(Vec<Segment>);

/// A pattern for one name, such as that of a namespace: an [`ImagePattern`] of a single segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`
    Any,
    /// Text in which `*` stands for any run of characters.
    Glob(String),
}

/// What stands in a pattern for more than one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wildcard {
    /// `*`: no more than one segment.
    Run,
    /// `**`: any number of segments.
    Segments,
}

/// Why a text is not a pattern. Each says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing was given.
    #[error("is empty")]
    Empty,
    /// A character that no canonical name has.
    #[error("{character:?} stands in no canonical name")]
    Character {
        /// The first such character.
        character: char,
    },
    /// Canonical names are in lower case.
    #[error("upper case stands in no canonical name: write {canonical:?}")]
    UpperCase {
        /// The same in lower case.
        canonical: String,
    },
    /// A scheme, a tag or a digest.
    #[error("a pattern has no {0}: it names repositories")]
    NotARepository(&'static str),
    /// The first segment is not a host.
    #[error("a pattern begins with a host: write {canonical:?}")]
    NoHost {
        /// What was probably meant.
        canonical: String,
    },
    /// A spelling that the normal form replaces, so that the pattern would never match.
    #[error("canonical names are written otherwise: write {canonical:?}")]
    NotCanonical {
        /// The canonical spelling.
        canonical: String,
    },
    /// An empty segment: two slashes, one at the end, or a host without a repository.
    #[error("has an empty segment")]
    EmptySegment,
    /// `**` beside other characters.
    #[error("\"**\" must be a whole segment, not a part of {segment:?}")]
    PartialAny {
        /// The segment.
        segment: String,
    },
}

impl ImagePattern {
    /// `**`, which every repository fits.
    pub fn any() -> Self {
        Self(vec![Segment::Any])
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// Every pattern that could not match any canonical name, with the one that was probably meant.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        check_characters(text)?;
        let segments = text.split('/').map(Segment::new).collect::<Result<Vec<_>, _>>()?;
        check_canonical(text)?;
        Ok(Self(segments))
    }

    /// Whether a canonical repository name fits.
    pub fn matches(&self, repository: &str) -> bool {
        let names: Vec<&str> = repository.split('/').collect();
        wildcard(&self.0, &names, |segment| *segment == Segment::Any, |segment, name| segment.matches(name), None)
    }

    /// Its wildcards, from the left.
    pub fn wildcards(&self) -> Vec<Wildcard> {
        let of_segment = |segment: &Segment| match segment {
            Segment::Any => vec![Wildcard::Segments],
            Segment::Glob(text) => vec![Wildcard::Run; text.bytes().filter(|byte| *byte == b'*').count()],
        };
        self.0.iter().flat_map(of_segment).collect()
    }

    /// What each wildcard took of a name that fits, from the left; `None` for a name that does not. Where a name can be
    /// read in several ways, each wildcard in turn takes as little as it can.
    pub fn captures(&self, repository: &str) -> Option<Vec<String>> {
        let names: Vec<&str> = repository.split('/').collect();
        let mut spans = Vec::new();
        let fits = |segment: &Segment, name: &&str| segment.matches(name);
        if !wildcard(&self.0, &names, |segment| *segment == Segment::Any, fits, Some(&mut spans)) {
            return None;
        }
        let (mut captures, mut spans, mut at) = (Vec::new(), spans.into_iter(), 0);
        for segment in &self.0 {
            match segment {
                Segment::Any => {
                    let span = spans.next()?;
                    at = span.end;
                    captures.push(names.get(span)?.join("/"));
                }
                Segment::Glob(pattern) => {
                    let name = *names.get(at)?;
                    let mut runs = Vec::new();
                    glob(pattern, name, Some(&mut runs)).then_some(())?;
                    for run in runs {
                        captures.push(name.get(run)?.to_owned());
                    }
                    at += 1;
                }
            }
        }
        Some(captures)
    }

    /// Whether every name that fits `other` also fits this. `false` where it cannot be told.
    pub fn covers(&self, other: &Self) -> bool {
        // What only a wildcard of `other` can become, only a wildcard of ours takes.
        wildcard(
            &self.0,
            &other.0,
            |segment| *segment == Segment::Any,
            |ours, theirs| match (ours, theirs) {
                (Segment::Any, _) => true,
                (Segment::Glob(_), Segment::Any) => false,
                (Segment::Glob(_), Segment::Glob(theirs)) => ours.matches(theirs),
            },
            None,
        )
    }

    /// Whether the host, with its port, is written out.
    pub fn host_is_literal(&self) -> bool {
        self.0.first().is_some_and(Segment::is_literal)
    }

    /// Whether only one repository fits.
    pub fn is_literal(&self) -> bool {
        self.0.iter().all(Segment::is_literal)
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            f.write_str(match segment {
                Segment::Any => "**",
                Segment::Glob(text) => text,
            })?;
        }
        Ok(())
    }
}

impl NamePattern {
    /// `*`, which every name fits.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Reads a pattern for DNS labels.
    ///
    /// # Errors
    /// A character that no label has.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.contains("**") {
            return Err(PatternError::PartialAny { segment: text.to_owned() });
        }
        match text.chars().find(|character| !matches!(character, 'a'..='z' | '0'..='9' | '-' | '*')) {
            Some(character) if character.is_ascii_uppercase() => {
                Err(PatternError::UpperCase { canonical: text.to_ascii_lowercase() })
            }
            Some(character) => Err(PatternError::Character { character }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        glob(&self.0, name, None)
    }

    /// Whether every name that fits `other` also fits this. `false` where it cannot be told.
    pub fn covers(&self, other: &Self) -> bool {
        glob(&self.0, &other.0, None)
    }

    /// Whether only one name fits.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Segment {
    fn new(text: &str) -> Result<Self, PatternError> {
        match text {
            "" => Err(PatternError::EmptySegment),
            "**" => Ok(Self::Any),
            _ if text.contains("**") => Err(PatternError::PartialAny { segment: text.to_owned() }),
            _ => Ok(Self::Glob(text.to_owned())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Glob(pattern) => glob(pattern, name, None),
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Glob(text) if !text.contains('*'))
    }
}

fn glob(pattern: &str, name: &str, spans: Option<&mut Vec<Range<usize>>>) -> bool {
    wildcard(pattern.as_bytes(), name.as_bytes(), |byte| *byte == b'*', |pattern, byte| pattern == byte, spans)
}

/// Matches a sequence against a pattern in which some items stand for any run. Going back to the last such item only is
/// enough, so the time is bounded by the product of both lengths. `spans` is given what each of them took.
fn wildcard<P, N>(
    pattern: &[P],
    names: &[N],
    is_any: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &N) -> bool,
    mut spans: Option<&mut Vec<Range<usize>>>,
) -> bool {
    let (mut at, mut name) = (0, 0);
    let mut last_any: Option<(usize, usize)> = None;
    while let Some(current) = names.get(name) {
        match pattern.get(at) {
            Some(item) if is_any(item) => {
                last_any = Some((at, name));
                if let Some(spans) = spans.as_deref_mut() {
                    spans.push(name..name);
                }
                at += 1;
            }
            Some(item) if fits(item, current) => {
                at += 1;
                name += 1;
            }
            _ => match last_any {
                Some((any, taken)) => {
                    last_any = Some((any, taken + 1));
                    if let Some(span) = spans.as_deref_mut().and_then(|spans| spans.last_mut()) {
                        span.end = taken + 1;
                    }
                    at = any + 1;
                    name = taken + 1;
                }
                None => return false,
            },
        }
    }
    let Some(rest) = pattern.get(at..) else { return false };
    if let Some(spans) = spans {
        spans.extend(rest.iter().map(|_| names.len()..names.len()));
    }
    rest.iter().all(is_any)
}

fn check_characters(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.contains("://") {
        return Err(PatternError::NotARepository("scheme"));
    }
    if text.contains('@') {
        return Err(PatternError::NotARepository("digest"));
    }
    if text.rsplit('/').next().is_some_and(|last| text.contains('/') && last.contains(':')) {
        return Err(PatternError::NotARepository("tag"));
    }
    let known =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | ':' | '/' | '*');
    if let Some(character) = text.chars().find(|&character| !known(character)) {
        return Err(PatternError::Character { character });
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(PatternError::UpperCase { canonical: text.to_ascii_lowercase() });
    }
    Ok(())
}

/// Refuses the spellings that the normal form of `image::Reference` replaces: they would silently never match.
fn check_canonical(text: &str) -> Result<(), PatternError> {
    let (host, path) = match text.split_once('/') {
        Some((host, path)) => (host, path),
        None if text == "**" => return Ok(()),
        // `*`, and hosts without a repository.
        None if text.contains(['*', '.', ':']) || text == "localhost" => {
            return Err(PatternError::NotCanonical { canonical: format!("{text}/**") });
        }
        None => return Err(PatternError::NoHost { canonical: format!("docker.io/library/{text}") }),
    };
    if !host.contains(['*', '.', ':']) && host != "localhost" {
        return Err(PatternError::NoHost { canonical: format!("docker.io/{text}") });
    }
    let not_canonical = |canonical: String| Err(PatternError::NotCanonical { canonical });
    match host.strip_suffix(":443") {
        Some(bare) if bare.contains('.') || bare == "localhost" => return not_canonical(format!("{bare}/{path}")),
        _ => {}
    }
    if host == "index.docker.io" {
        return not_canonical(format!("docker.io/{path}"));
    }
    if host == "docker.io" && !path.contains('/') && path != "**" {
        return not_canonical(format!("docker.io/library/{path}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
