//! Target paths by placeholders, validated so that two images never share a path.

use std::fmt;

use crate::{
    crypto::Sha256,
    image::{Repository, Tag},
    pattern::TufPattern,
    tuf::TargetPath,
};

/// A text with placeholders: `{registry} {repository} {tag} {digest} {algorithm} {hex}`, and `{1}` to `{9}` for what the
/// wildcards of the rule's pattern took of the image's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
    Capture(usize),
}

/// A placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The host of the repository.
    Registry,
    /// The canonical name of the repository, with its host.
    Repository,
    /// The tag.
    Tag,
    /// `sha256:` and 64 hex digits.
    Digest,
    /// `sha256`
    Algorithm,
    /// 64 hex digits.
    Hex,
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// The repository; a file has none.
    pub repository: Option<&'a Repository>,
    /// The tag, where there is one.
    pub tag: Option<&'a Tag>,
    /// The digest, where it is known.
    pub digest: Option<Sha256>,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `{` without `}` or a `}` without `{`.
    #[error("has a brace without its other half")]
    Brace,
    /// A placeholder that does not exist, or means nothing here.
    #[error("{{{placeholder}}} is no placeholder here: {allowed}")]
    Placeholder {
        /// What stands between the braces.
        placeholder: String,
        /// The placeholders that may stand here.
        allowed: String,
    },
    /// Without these, different images would share one path.
    #[error("needs {0}")]
    Needs(&'static str),
    /// A tag directly beside the repository, so that one path can be read as two images.
    #[error("needs a character between {{tag}} and the repository that a tag cannot have, such as \":\"")]
    Ambiguous,
    /// A wildcard that is not one of [`LayoutScope`].
    #[error("{0:?} has no meaning here: only \"*\" is a wildcard, and it stops at \"/\"")]
    Wildcard(char),
    /// A wildcard in the segment of a placeholder: `layouts/{repository}*` would also fit the layouts of another one.
    #[error("with a \"*\" anywhere, {{{0}}} must be a whole segment: else one repository's layouts fit another's name")]
    PartialSegment(Field),
    /// What a wildcard took, beside other characters of a segment: `{1}-x` and `{1}` could be one path for two names.
    #[error("{{{0}}} must be a whole segment: else the paths of different images could be the same")]
    PartialCapture(usize),
    /// A character that a target path or a parameter cannot hold.
    #[error("{0:?} cannot stand here")]
    Character(char),
    /// Not a path: empty, absolute, or with an empty, `.` or `..` segment.
    #[error("is not a relative path without \".\" and \"..\"")]
    NotAPath,
}

const ALL: [Field; 6] = [Field::Registry, Field::Repository, Field::Tag, Field::Digest, Field::Algorithm, Field::Hex];

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Repository => "repository",
            Self::Tag => "tag",
            Self::Digest => "digest",
            Self::Algorithm => "algorithm",
            Self::Hex => "hex",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Template {
    /// `{repository}@{digest}`
    pub fn by_digest() -> Self {
        Self(vec![Piece::Field(Field::Repository), Piece::Text("@".to_owned()), Piece::Field(Field::Digest)])
    }

    /// `{repository}:{tag}`
    pub fn by_tag() -> Self {
        Self(vec![Piece::Field(Field::Repository), Piece::Text(":".to_owned()), Piece::Field(Field::Tag)])
    }

    /// Reads the target path of an image that is named by its digest.
    ///
    /// # Errors
    /// Among others, when the path does not depend on the repository and the digest.
    pub fn digest_target(text: &str) -> Result<Self, TemplateError> {
        let template =
            Self::path(text, &[Field::Registry, Field::Repository, Field::Digest, Field::Algorithm, Field::Hex])?;
        template.require(&[Field::Repository], "{repository}")?;
        template.require(&[Field::Digest, Field::Hex], "{digest} or {hex}")?;
        Ok(template)
    }

    /// Reads the target path of an image that is named by a tag.
    ///
    /// # Errors
    /// Among others, when two pairs of repository and tag would share a path.
    pub fn tag_target(text: &str) -> Result<Self, TemplateError> {
        let template = Self::path(text, &[Field::Registry, Field::Repository, Field::Tag])?;
        template.require(&[Field::Repository], "{repository}")?;
        template.require(&[Field::Tag], "{tag}")?;
        let separates = |text: &str| text.chars().any(|character| !is_tag_character(character));
        let of_tag = |left: &Field, right: &Field| *left == Field::Tag || *right == Field::Tag;
        let touching = template
            .0
            .windows(2)
            .any(|pair| matches!(pair, [Piece::Field(left), Piece::Field(right)] if of_tag(left, right)));
        let glued = template.0.windows(3).any(|three| {
            matches!(three, [Piece::Field(left), Piece::Text(text), Piece::Field(right)]
                if of_tag(left, right) && !separates(text))
        });
        if touching || glued { Err(TemplateError::Ambiguous) } else { Ok(template) }
    }

    /// Reads the value of a layout's parameter.
    ///
    /// # Errors
    /// Characters that have a meaning in artifact rules, and control characters (trust.md §4).
    pub fn parameter(text: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(text, &ALL)?;
        let forbidden = |character: char| matches!(character, '*' | '?' | '[' | ']' | '\\') || character.is_control();
        match template.find_character(forbidden) {
            Some(character) => Err(TemplateError::Character(character)),
            None => Ok(template),
        }
    }

    /// Reads a text in which only `{1}` to `{9}` are placeholders: a name or a role.
    ///
    /// # Errors
    /// Any other placeholder.
    pub fn of_captures(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text, &[])
    }

    /// The same with `captures` for `{1}` and so on; `None` if there are too few.
    pub fn with_captures(&self, captures: &[String]) -> Option<Self> {
        let replaced = self.0.iter().map(|piece| match piece {
            Piece::Capture(number) => captures.get(number.checked_sub(1)?).cloned().map(Piece::Text),
            other => Some(other.clone()),
        });
        replaced.collect::<Option<_>>().map(Self)
    }

    /// The numbers of the wildcards that it uses.
    pub fn captures(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Capture(number) => Some(*number),
            Piece::Text(_) | Piece::Field(_) => None,
        })
    }

    /// The text with every placeholder replaced; `None` if it needs a repository, tag or digest that is not there.
    pub fn expand(&self, fields: &Fields<'_>) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(Field::Registry) => out.push_str(fields.repository?.host()),
                Piece::Field(Field::Repository) => out.push_str(fields.repository?.as_str()),
                Piece::Field(Field::Tag) => out.push_str(fields.tag?.as_str()),
                Piece::Field(Field::Digest) => out.push_str(&format!("sha256:{}", fields.digest?)),
                Piece::Field(Field::Algorithm) => out.push_str("sha256"),
                Piece::Field(Field::Hex) => out.push_str(&fields.digest?.to_string()),
                // Only `with_captures` knows.
                Piece::Capture(_) => return None,
            }
        }
        Some(out)
    }

    /// Whether a placeholder stands in it.
    pub fn uses(&self, field: Field) -> bool {
        self.0.contains(&Piece::Field(field))
    }

    fn parse(text: &str, allowed: &[Field]) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) = tail.split_once('}').ok_or(TemplateError::Brace)?;
            let field = allowed.iter().find(|field| field.name() == name).map(|field| Piece::Field(*field));
            let placeholder = field.or_else(|| capture(name)).ok_or_else(|| unknown(name, allowed))?;
            pieces.extend((!literal.is_empty()).then(|| Piece::Text(literal.to_owned())));
            pieces.push(placeholder);
            rest = tail;
        }
        pieces.extend((!rest.is_empty()).then(|| Piece::Text(rest.to_owned())));
        let template = Self(pieces);
        if template.texts().any(|text| text.contains('}')) { Err(TemplateError::Brace) } else { Ok(template) }
    }

    /// Reads a template for a target path without wildcards.
    fn path(text: &str, allowed: &[Field]) -> Result<Self, TemplateError> {
        let template = Self::parse(text, allowed)?;
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(TemplateError::NotAPath);
        }
        whole_captures(text, &template)?;
        match template.find_character(|character| !is_path_character(character) || is_wildcard(character)) {
            Some(character) => Err(TemplateError::Character(character)),
            None => Ok(template),
        }
    }

    fn require(&self, one_of: &[Field], needs: &'static str) -> Result<(), TemplateError> {
        if one_of.iter().any(|field| self.uses(*field)) { Ok(()) } else { Err(TemplateError::Needs(needs)) }
    }

    fn find_character(&self, wanted: impl Fn(char) -> bool) -> Option<char> {
        self.texts().flat_map(str::chars).find(|&character| wanted(character))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Field(_) | Piece::Capture(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Field(field) => write!(f, "{{{field}}}"),
            Piece::Capture(number) => write!(f, "{{{number}}}"),
        })
    }
}

/// Which layouts may serve the images of a rule: a target path in which `{repository}` and `{registry}` are replaced,
/// and in which `*` stands for any run of characters but `/`.
///
/// Because `*` stops at `/` and a placeholder beside a `*` is a whole segment, no path fits the scopes of two
/// repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutScope(Template);

impl LayoutScope {
    /// Reads a scope.
    ///
    /// # Errors
    /// Other wildcards than `*`, placeholders beside a `*` that are not a whole segment, texts that are not a path.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let template = Template::parse(text, &[Field::Registry, Field::Repository])?;
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(TemplateError::NotAPath);
        }
        whole_captures(text, &template)?;
        if let Some(wildcard) = template.find_character(|character| is_wildcard(character) && character != '*') {
            return Err(TemplateError::Wildcard(wildcard));
        }
        if let Some(character) = template.find_character(|character| !is_path_character(character)) {
            return Err(TemplateError::Character(character));
        }
        if text.contains('*') {
            let partial = |segment: &str| {
                [Field::Registry, Field::Repository].into_iter().find(|field| {
                    let placeholder = format!("{{{field}}}");
                    segment.contains(&placeholder) && segment != placeholder
                })
            };
            if let Some(field) = text.split('/').find_map(partial) {
                return Err(TemplateError::PartialSegment(field));
            }
        }
        Ok(Self(template))
    }

    /// The same with `captures` for `{1}` and so on; `None` if there are too few.
    pub fn with_captures(&self, captures: &[String]) -> Option<Self> {
        self.0.with_captures(captures).map(Self)
    }

    /// The numbers of the wildcards that it uses.
    pub fn captures(&self) -> impl Iterator<Item = usize> {
        self.0.captures()
    }

    /// The one path that fits, if there is no `*`: a pin, which overrides the listed layout (trust.md §1).
    pub fn pinned(&self, repository: Option<&Repository>) -> Option<TargetPath> {
        if self.is_glob() { None } else { self.expand(repository).map(TargetPath::from) }
    }

    /// Whether a layout at this path may serve images of this repository, or, without one, a file.
    pub fn fits(&self, repository: Option<&Repository>, path: &TargetPath) -> bool {
        // The canonical name holds no character that a pattern gives a meaning.
        self.expand(repository).is_some_and(|pattern| TufPattern::new(&pattern).matches(path.as_str()))
    }

    /// Whether more than one path may fit.
    pub fn is_glob(&self) -> bool {
        self.0.texts().any(|text| text.contains('*'))
    }

    /// Whether the scope differs from repository to repository.
    pub fn names_repository(&self) -> bool {
        self.0.uses(Field::Repository)
    }

    fn expand(&self, repository: Option<&Repository>) -> Option<String> {
        self.0.expand(&Fields { repository, tag: None, digest: None })
    }
}

impl fmt::Display for LayoutScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `1` to `9`.
fn capture(name: &str) -> Option<Piece> {
    match name.as_bytes() {
        [digit @ b'1'..=b'9'] => Some(Piece::Capture(usize::from(digit - b'0'))),
        _ => None,
    }
}

/// In paths what a wildcard took is one whole segment, so that one path is not read as two images.
fn whole_captures(text: &str, template: &Template) -> Result<(), TemplateError> {
    let is_partial = |number: &usize| {
        let placeholder = format!("{{{number}}}");
        text.split('/').any(|segment| segment.contains(&placeholder) && segment != placeholder)
    };
    match template.captures().find(is_partial) {
        Some(number) => Err(TemplateError::PartialCapture(number)),
        None => Ok(()),
    }
}

fn unknown(name: &str, allowed: &[Field]) -> TemplateError {
    let allowed: Vec<String> = allowed.iter().map(|field| format!("{{{field}}}")).collect();
    TemplateError::Placeholder { placeholder: name.to_owned(), allowed: allowed.join(" ") }
}

fn is_tag_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

fn is_wildcard(character: char) -> bool {
    matches!(character, '*' | '?' | '[' | ']' | '\\')
}

fn is_path_character(character: char) -> bool {
    !character.is_control() && !character.is_whitespace()
}

#[cfg(test)]
mod tests;
