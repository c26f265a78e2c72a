//! Is the documentation a whole? Every page is in the book, every link leads somewhere, and no command is named that the
//! program does not have. What is run stands in `documents`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use pratique::{cli, policy, verdict::codes};
use serde_json::Value;

use crate::pages::{self, Block, anchors, code_spans, documents, joined, links, parse, read, root};

#[test]
fn every_page_is_in_the_book_and_the_book_has_no_other() {
    let listed: Vec<String> = links(&read(&root().join("docs/SUMMARY.md")));
    let listed_once: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    assert_eq!(listed_once.len(), listed.len(), "a page is listed twice: {listed:?}");
    let pages = documents();
    let pages = pages.iter().filter(|path| path.parent() == Some(&root().join("docs")));
    let pages: BTreeSet<&str> = pages.map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let wanted: BTreeSet<&str> = pages.into_iter().filter(|name| *name != "SUMMARY.md").collect();
    assert_eq!(listed_once, wanted);
}

/// The pages, and what else is written for people.
fn texts() -> Vec<PathBuf> {
    let others = ["CONTRIBUTING.md", "SECURITY.md", "charts/pratique/README.md", "deploy/README.md"];
    documents().into_iter().chain(others.map(|name| root().join(name))).collect()
}

#[test]
fn every_link_and_every_anchor_leads_somewhere() {
    let mut count = 0;
    for document in texts() {
        let in_the_book = document.parent() == Some(&root().join("docs"));
        let (_, prose) = parse(&read(&document));
        for link in links(&prose).iter().filter(|link| !link.starts_with("https://")) {
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let at = format!("{}: {link}", document.display());
            assert!(target.exists(), "{at}: there is no such file");
            // The book is served without the rest of the repository.
            assert!(!in_the_book || !path.contains('/'), "{at}: leads out of the book");
            if let Some(anchor) = anchor {
                assert!(anchors(&read(&target)).iter().any(|there| there == anchor), "{at}: there is no such heading");
            }
            count += 1;
        }
    }
    assert!(count > 100, "only {count} links were found: the search is broken");
}

/// Whether the program has the command and the options of a line; a line of which only the beginning is written counts
/// as far as it goes.
fn known(words: &[String]) -> Result<(), String> {
    let mut command = cli::command();
    command.build();
    let mut rest = words.iter();
    let mut at = &command;
    while at.has_subcommands() {
        let Some(word) = rest.next() else { return Ok(()) };
        if word.starts_with('-') || word.contains(['|', '…']) || word.chars().all(char::is_uppercase) {
            break;
        }
        at = at.find_subcommand(word).ok_or_else(|| format!("{} has no command {word}", at.get_name()))?;
    }
    for word in rest.filter_map(|word| word.strip_prefix("--")).filter(|word| !word.is_empty()) {
        let option = word.split('=').next().unwrap_or_default();
        let there = at.get_arguments().any(|argument| argument.get_long() == Some(option));
        if !there && !matches!(option, "help" | "version") {
            return Err(format!("{} has no option --{option}", at.get_name()));
        }
    }
    Ok(())
}

/// The words of a command line, as a shell has them, up to what belongs to another command.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut depth = 0;
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) if depth == 0 => words.extend(word.take()),
            ('|' | '>' | ';' | '&' | '#', None) if depth == 0 && word.is_none() => return words,
            (c, _) => {
                depth += match c {
                    '(' => 1,
                    ')' => -1,
                    _ => 0,
                };
                word.get_or_insert_default().push(c);
            }
        }
    }
    words.extend(word);
    words
}

/// What follows `pratique` in a line that calls the program, alone or as a plugin of kubectl.
fn call(line: &str) -> Option<Vec<String>> {
    let line = line.trim_start_matches("- ").trim_start_matches("run: ").trim_start_matches("kubectl ");
    line.starts_with("pratique ").then(|| words(line).split_off(1))
}

/// Every script in a document of YAML: the texts under `run` and `script`.
fn scripts(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("run", Value::String(script)) => into.push(script.clone()),
                    ("script" | "before_script", Value::Array(lines)) => {
                        into.push(lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"));
                    }
                    _ => scripts(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| scripts(item, into)),
        _ => {}
    }
}

fn yaml(block: &Block, document: &Path) -> Value {
    serde_saphyr::from_str(&block.text)
        .unwrap_or_else(|error| panic!("{}: {error}\n{}", document.display(), block.text))
}

#[test]
fn what_hosted_services_would_run_is_yaml_and_shell() {
    let mut count = 0;
    for document in documents() {
        for block in parse(&read(&document)).0.iter().filter(|block| block.language == "yaml") {
            let mut found = Vec::new();
            scripts(&yaml(block, &document), &mut found);
            for script in found {
                // GitHub puts a value in the place of an expression before the shell sees it.
                let script = script.replace("${{", "${").replace("}}", "}").replace("${ ", "${").replace('.', "_");
                let mut shell = Command::new("sh");
                shell.args(["-n", "-c", &script]).stdin(Stdio::null());
                let output = shell.output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{}: {said}\n{script}", document.display());
                count += 1;
            }
        }
    }
    assert!(count > 5, "only {count} scripts were found: the search is broken");
}

#[test]
fn the_program_has_every_command_that_cannot_be_run_here() {
    let mut count = 0;
    for document in documents() {
        let (blocks, _) = parse(&read(&document));
        for block in blocks.iter().filter(|block| matches!(block.language.as_str(), "text" | "yaml")) {
            let mut lines = block.commands();
            if block.language == "yaml" {
                let mut found = Vec::new();
                scripts(&yaml(block, &document), &mut found);
                lines = found.iter().flat_map(|script| joined(script)).collect();
            }
            for line in lines {
                let Some(arguments) = call(&line) else { continue };
                let parsed = cli::command().try_get_matches_from(["pratique".to_owned()].iter().chain(&arguments));
                let shows = parsed.as_ref().err().is_some_and(|error| !error.use_stderr());
                assert!(parsed.is_ok() || shows, "{}: {line}\n{}", document.display(), parsed.unwrap_err());
                count += 1;
            }
        }
    }
    assert!(count > 15, "only {count} commands were found: the search is broken");
}

#[test]
fn no_sentence_names_a_command_that_is_not_there() {
    let mut count = 0;
    let mut check = |at: &str, text: &str| {
        for rest in text.split("pratique ").skip(1) {
            let words: Vec<String> =
                words(rest).iter().map(|word| word.trim_matches([',', ':', '.']).to_owned()).collect();
            known(&words).unwrap_or_else(|error| panic!("{at}: {text}: {error}"));
            count += 1;
        }
    };
    for document in texts() {
        let (_, prose) = parse(&read(&document));
        for span in
            code_spans(&prose).iter().filter(|span| span.trim_start_matches("kubectl ").starts_with("pratique "))
        {
            check(&document.display().to_string(), span);
        }
    }
    for info in codes::CODES.iter().filter(|info| !info.meaning.contains("defect of pratique")) {
        // A cure is a sentence: the command ends where the next word is none of it.
        for rest in info.cure.split("pratique ").skip(1) {
            let rest: Vec<&str> = rest.split([' ', ';', ',']).collect();
            let end = if matches!(rest.first(), Some(&("repo" | "policy"))) { 2 } else { 1 };
            check(info.code, &format!("pratique {}", rest[..end.min(rest.len())].join(" ")));
        }
    }
    assert!(count > 40, "only {count} commands were found: the search is broken");
}

#[test]
fn a_command_that_is_not_there_is_found() {
    let line = |text: &str| known(&words(text));
    assert_eq!(line("repo sign shop images"), Ok(()));
    assert_eq!(line("policy check --strict"), Ok(()));
    assert!(line("repo resign").unwrap_err().contains("no command resign"));
    assert!(line("verify --polcy p.yaml").unwrap_err().contains("no option --polcy"));
    assert_eq!(words("verify 'a b' \"$(cat x | wc)\" | less"), ["verify", "a b", "$(cat x | wc)"]);
    assert_eq!(call("- kubectl pratique why x"), Some(vec!["why".to_owned(), "x".to_owned()]));
    assert_eq!(call("kubectl get pods"), None);
}

/// The page of the policy's words, from its JSON Schema.
fn policy_reference() -> String {
    let schema = policy::schema();
    let mut page = "# Policy reference\n\nEvery word of the policy, from its JSON Schema (`pratique policy schema`). \
                    What they mean together stands in [Policy](policy.md).\n\n<!-- Generated: UPDATE_DOCS=1 cargo test \
                    --test cli policy_reference -->\n"
        .to_owned();
    section(&mut page, "The policy", &schema);
    for (name, described) in schema["$defs"].as_object().unwrap() {
        section(&mut page, &title(name), described);
    }
    page
}

/// `RawBreakGlass` is `BreakGlass` to whoever reads.
fn title(name: &str) -> String {
    name.trim_start_matches("Raw").to_owned()
}

fn section(page: &mut String, title: &str, described: &Value) {
    let text = |value: &Value| value["description"].as_str().unwrap_or_default().replace('|', "\\|");
    page.push_str(&format!("\n## {title}\n"));
    if !text(described).is_empty() {
        page.push_str(&format!("{}\n", text(described)));
    }
    if let Some(words) = described["properties"].as_object() {
        page.push_str("\n| word | type | what it says |\n|---|---|---|\n");
        let required: Vec<&str> =
            described["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (word, value) in words {
            let must = if required.contains(&word.as_str()) { " Required." } else { "" };
            page.push_str(&format!("| `{word}` | {} | {}{must} |\n", kind(value), text(value)));
        }
    } else {
        page.push_str(&format!("\n{}\n", kind(described)));
        for value in described["oneOf"].as_array().into_iter().flatten().filter(|value| value["const"].is_string()) {
            page.push_str(&format!("- {}: {}\n", kind(value), text(value)));
        }
    }
}

/// The type of a value, with a link to where it is described.
fn kind(value: &Value) -> String {
    if let Some(name) = value["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        let title = title(name);
        return format!("[{title}](#{})", title.to_lowercase());
    }
    if let Some(word) = value["const"].as_str() {
        return format!("`{word}`");
    }
    for list in ["enum", "oneOf", "anyOf"] {
        if let Some(items) = value[list].as_array() {
            let kinds = items.iter().map(|item| item.as_str().map_or_else(|| kind(item), |word| format!("`{word}`")));
            return kinds.collect::<Vec<_>>().join(" or ");
        }
    }
    match value["type"].as_str() {
        Some("array") => format!("list of {}", kind(&value["items"])),
        Some("object") if value["additionalProperties"].is_object() => {
            format!("map to {}", kind(&value["additionalProperties"]))
        }
        Some("object") => "mapping".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

#[test]
fn the_policy_reference_is_that_of_the_schema() {
    let path = root().join("docs/policy-reference.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, policy_reference()).unwrap();
    }
    assert!(read(&path) == policy_reference(), "UPDATE_DOCS=1 cargo test --test cli policy_reference");
}

#[test]
fn pages_are_read_as_they_are_written() {
    let text = "# A `b` c\n\n[x](y.md#z) `[no](link)`\n\n```sh\none \\\n  two # exit code 1\n```\n- item\n  ```yaml\n  # file: x\n  ```\n## A b c\n";
    let (blocks, prose) = parse(text);
    assert_eq!(blocks[0].commands(), ["one two # exit code 1"]);
    assert_eq!((blocks[0].file(), blocks.len()), (None, 2));
    assert_eq!(links(&prose), ["y.md#z"]);
    assert_eq!(pages::anchors(text), ["a-b-c", "a-b-c-1"]);
}
