//! The rules that come next, put in the place of those in force: an edit of the text, so that its comments stay.

use super::{Error, Policy, outline::Outline, raw};

/// Why a policy cannot be edited so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromoteError {
    /// It does not load.
    #[error(transparent)]
    Policy(#[from] Error),
    /// There are no next rules.
    #[error("the policy has no next rules")]
    NoNext,
    /// The lists are not blocks of lines of their own, or share anchors.
    #[error("rules and next are not two blocks of lines that stand by themselves: edit the policy by hand")]
    NotBlocks,
}

/// The text of the policy with `next` as its `rules`. Everything else stays as it is written, comments among it; those
/// within the old rules go with them.
///
/// # Errors
/// The policy does not load, has no `next`, or is written so that the result would say something else.
pub fn promote(text: &str) -> Result<String, PromoteError> {
    let before = Policy::parse(text)?;
    let next = before.next().ok_or(PromoteError::NoNext)?;
    let (_, outline) = raw::read(text)?;
    let edited = edit(text, &outline).ok_or(PromoteError::NotBlocks)?;
    // Whatever the edit may have got wrong, the result says what it should say or nothing.
    let after = Policy::parse(&edited).map_err(|_| PromoteError::NotBlocks)?;
    let same = after.rules() == next
        && after.next().is_none()
        && after.repositories() == before.repositories()
        && after.break_glass() == before.break_glass()
        && after.default_action() == before.default_action();
    if same { Ok(edited) } else { Err(PromoteError::NotBlocks) }
}

fn edit(text: &str, outline: &Outline) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let keys = outline.top_level_lines()?;
    let start_of = |wanted: &str| keys.iter().find(|(key, _)| *key == wanted).map(|(_, line)| *line);
    let (rules, next) = (start_of("rules")?, start_of("next")?);
    // The lines of comment right above the key that follows are about that one.
    let end = |start: usize| {
        let following = keys.iter().map(|(_, line)| *line).filter(|line| *line > start).min();
        let mut end = following.unwrap_or(lines.len());
        while following.is_some() && end > start + 1 && is_remark(lines.get(end - 1)?) {
            end -= 1;
        }
        Some(end)
    };
    let gone = rules..end(rules)?;
    let mut edited = String::new();
    for (index, line) in lines.iter().enumerate().filter(|(index, _)| !gone.contains(index)) {
        if index == next {
            let rest = ["next", "\"next\"", "'next'"].iter().find_map(|key| line.strip_prefix(key))?;
            edited.push_str("rules");
            edited.push_str(rest);
        } else {
            edited.push_str(line);
        }
    }
    Some(edited)
}

/// A comment that begins the line, or nothing.
fn is_remark(line: &str) -> bool {
    line.starts_with('#') || line.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "\
# Who may run what.
version: 1
repositories:
  acme: {url: https://tuf.acme.example, root: acme.root.json} # ours
# The rules in force.
rules:
  - name: old # goes
    match: {images: [\"registry.example/**\"]}
    verify: {repositories: [acme]}
# Stricter from May on.

next:
  # All of them by digest.
  - name: new
    match: {images: [\"registry.example/**\"]}
    verify: {repositories: [acme], tags: deny}
# Nobody else.
default: deny
";

    #[test]
    fn the_next_rules_take_the_place_of_the_rules_and_comments_stay() {
        let expected = POLICY
            .replace("rules:\n  - name: old # goes\n    match: {images: [\"registry.example/**\"]}\n    verify: {repositories: [acme]}\n", "")
            .replace("next:", "rules:");
        assert_eq!(promote(POLICY).as_deref(), Ok(expected.as_str()));
        assert_eq!(promote(&expected), Err(PromoteError::NoNext));
    }

    #[test]
    fn the_order_of_the_keys_and_how_they_are_quoted_does_not_matter() {
        let next_first = "version: 1\n\"next\":\n- {name: b, match: {namespaces: [x], images: [a.example/b]}, allow: why}\nrules: []\ndefault: audit\n";
        let expected = "version: 1\nrules:\n- {name: b, match: {namespaces: [x], images: [a.example/b]}, allow: why}\ndefault: audit\n";
        assert_eq!(promote(next_first).as_deref(), Ok(expected));
        let last = "version: 1\nrules: []\nnext: []";
        assert_eq!(promote(last).as_deref(), Ok("version: 1\nrules: []"));
    }

    #[test]
    fn what_cannot_be_edited_by_lines_is_left_alone() {
        for text in ["{version: 1, rules: [], next: []}", "version: 1\nrules: [\n]\nnext: &n [\n]\n"] {
            let promoted = promote(text);
            assert!(promoted == Err(PromoteError::NotBlocks) || Policy::parse(&promoted.unwrap()).is_ok(), "{text}");
        }
        assert_eq!(promote("{version: 1, rules: [], next: []}"), Err(PromoteError::NotBlocks));
        // The next rules lean on the old ones.
        let shared = POLICY.replace(
            "match: {images: [\"registry.example/**\"]}\n    verify: {repositories: [acme]}\n",
            "match: &m {images: [\"registry.example/**\"]}\n    verify: {repositories: [acme]}\n",
        );
        let shared = shared
            .replace("  - name: new\n    match: {images: [\"registry.example/**\"]}", "  - name: new\n    match: *m");
        assert_eq!(promote(&shared), Err(PromoteError::NotBlocks));
        assert!(matches!(promote("version: 2\nrules: []\n"), Err(PromoteError::Policy(_))));
    }
}
