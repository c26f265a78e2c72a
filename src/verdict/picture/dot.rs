//! A supply chain in the language of Graphviz.

use super::{Line, hint, label, lines};
use crate::in_toto::Survey;

/// The supply chains, each a graph of its own: steps are nodes, and what flows between them edges. What is broken is red.
pub fn dot(surveys: &[Survey]) -> String {
    surveys.iter().map(graph).collect()
}

fn graph(survey: &Survey) -> String {
    let mut out = String::from(
        "digraph supply_chain {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\"];\n",
    );
    if let Some(failure) = &survey.failure {
        let text = super::sanitise(&format!("[{}] {failure}", failure.code()));
        out.push_str(&format!("  label={};\n  fontcolor=red;\n", quoted(&text)));
    }
    for item in &survey.items {
        let mut text = super::sanitise(item.name.as_str());
        for Line { text: line, is_bad } in lines(item) {
            text.push_str(if is_bad { "\n✗ " } else { "\n" });
            text.push_str(&line);
        }
        let colour = if item.failure.is_some() { ", color=red" } else { "" };
        out.push_str(&format!("  {} [label={}{colour}];\n", quoted(item.name.as_str()), quoted(&text)));
    }
    for flow in survey.flows() {
        let colour = if flow.broken.is_some() { ", color=red, fontcolor=red, style=dashed" } else { "" };
        out.push_str(&format!(
            "  {} -> {} [label={}, tooltip={}{colour}];\n",
            quoted(&flow.from.0),
            quoted(flow.to.0.as_str()),
            quoted(&label(&flow)),
            quoted(&hint(&flow)),
        ));
    }
    out.push_str("}\n");
    out
}

/// A string of the language. Line breaks are those that are made here: names have none.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\l"))
}
