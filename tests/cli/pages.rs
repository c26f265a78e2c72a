//! What the pages of the documentation are made of: blocks, links, headings.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and every page of the book.
pub(crate) fn documents() -> Vec<PathBuf> {
    let mut documents = vec![root().join("README.md")];
    documents.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    documents.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    documents.sort();
    documents
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// What stands behind the fence: `sh`, `text`, `yaml`.
    pub(crate) language: String,
    pub(crate) text: String,
}

impl Block {
    /// The name in a first line `# file: NAME`: readers keep such a block under that name, and so does the test.
    pub(crate) fn file(&self) -> Option<&str> {
        self.text.lines().next()?.strip_prefix("# file: ")
    }

    /// Its lines without indentation and empty ones, continued ones joined.
    pub(crate) fn commands(&self) -> Vec<String> {
        joined(&self.text)
    }
}

/// Lines without indentation and empty ones, those that end in `\` with what follows.
pub(crate) fn joined(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut continued = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (line, more) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match commands.last_mut().filter(|_| continued) {
            Some(last) => last.push_str(line),
            None => commands.push(line.to_owned()),
        }
        continued = more;
    }
    commands
}

/// The blocks of a page, and its text without them.
pub(crate) fn parse(text: &str) -> (Vec<Block>, String) {
    let mut blocks = Vec::new();
    let mut prose = String::new();
    let mut open: Option<(Block, usize)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((Block { language: language.to_owned(), text: String::new() }, indent));
            }
            (Some((_, of)), Some("")) if *of == indent => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, _)), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {
                prose.push_str(line);
                prose.push('\n');
            }
        }
    }
    assert_eq!(open, None, "a block is not closed");
    (blocks, prose)
}

/// The text between single backticks.
pub(crate) fn code_spans(prose: &str) -> Vec<&str> {
    prose.split('`').skip(1).step_by(2).collect()
}

/// Where the inline links of a text lead.
pub(crate) fn links(prose: &str) -> Vec<String> {
    let without_code: String = prose.split('`').step_by(2).collect();
    let targets = without_code.split("](").skip(1);
    targets.map(|rest| rest.split_once(')').expect("a link is closed").0.to_owned()).collect()
}

/// The anchors of a page: what a forge and mdBook make of its headings, and those that are written out.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let (_, prose) = parse(text);
    let mut anchors: Vec<String> = Vec::new();
    for line in prose.lines() {
        let heading = line.trim_start_matches('#');
        let level = line.len() - heading.len();
        if (1..=6).contains(&level) && heading.starts_with(' ') {
            let kept = heading.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let before = anchors.iter().filter(|earlier| **earlier == anchor).count();
            anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
        }
        anchors.extend(line.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    anchors
}
