//! A supply chain as a picture that every browser shows: steps from top to bottom, what flows between them at their side.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Line, hint, label, lines};
use crate::in_toto::{Flow, Survey};

const MARGIN: usize = 20;
const WIDTH: usize = 620;
const LINE: usize = 18;
const GAP: usize = 44;
/// Room for the edges, to the right of the boxes.
const EDGES: usize = 420;
/// Characters of a line; the whole of it is in the hint.
const SHOWN: usize = 84;

const STYLE: &str = "text{font:13px sans-serif}.name{font-weight:bold}rect{fill:#fff;stroke:#444}path{fill:none;stroke:#444}\
                     .broken rect,path.broken{stroke:#c00;stroke-width:2}path.broken{stroke-dasharray:6 4}\
                     text.broken{fill:#c00}";

/// The supply chains one below the other. What is broken is red.
pub fn svg(surveys: &[Survey]) -> String {
    let mut body = String::new();
    let mut top = MARGIN;
    for survey in surveys {
        top = chain(&mut body, survey, top);
    }
    let (width, height) = (MARGIN + WIDTH + EDGES, top + MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" style=\"fill:context-stroke;stroke:none\"/></marker></defs>\n{body}</svg>\n"
    )
}

/// Where a box is.
#[derive(Clone, Copy)]
struct Place {
    top: usize,
    bottom: usize,
}

fn chain(out: &mut String, survey: &Survey, mut top: usize) -> usize {
    let signers: Vec<&str> = survey.layout_signers.iter().map(|keyid| keyid.short()).collect();
    let heading = match signers.is_empty() {
        true => "layout".to_owned(),
        false => format!("layout signed by {}", signers.join(", ")),
    };
    top = written(out, MARGIN, top + LINE, "name", &heading);
    if let Some(failure) = &survey.failure {
        top = written(out, MARGIN, top + LINE, "broken", &super::sanitise(&format!("[{}] {failure}", failure.code())));
    }
    top += LINE;
    let mut places = BTreeMap::new();
    for item in &survey.items {
        let lines = lines(item);
        let bottom = top + LINE * (lines.len() + 2);
        let class = if item.failure.is_some() { "broken" } else { "step" };
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "<g class=\"{class}\"><rect x=\"{MARGIN}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{}\" rx=\"4\"/>",
            bottom - top
        );
        let mut at = written(out, MARGIN + 10, top + LINE + 2, "name", &super::sanitise(item.name.as_str()));
        for Line { text, is_bad } in lines {
            at = written(out, MARGIN + 10, at + LINE, if is_bad { "broken" } else { "line" }, &text);
        }
        out.push_str("</g>\n");
        places.insert(item.name.as_str(), Place { top, bottom });
        top = bottom + GAP;
    }
    for (number, flow) in survey.flows().iter().enumerate() {
        edge(out, flow, number, &places);
    }
    top
}

/// An edge along the right side of the boxes; those between the same boxes stand beside each other.
fn edge(out: &mut String, flow: &Flow, number: usize, places: &BTreeMap<&str, Place>) {
    let (from, to) = (places.get(flow.from.0.as_str()), places.get(flow.to.0.as_str()));
    let Some(to) = to else { return };
    // What is not there is pointed at from nowhere.
    let from = from.unwrap_or(to);
    let shift = number % 4;
    let right = MARGIN + WIDTH;
    let (start, end) = (from.bottom - LINE * (1 + shift % 2), to.top + LINE * (1 + shift % 2));
    let bend = right + 60 + shift * 26;
    let class = if flow.broken.is_some() { "broken" } else { "flow" };
    let hint = escaped(&hint(flow));
    let _ = writeln!(
        out,
        "<path class=\"{class}\" marker-end=\"url(#end)\" d=\"M{right} {start}C{bend} {start} {bend} {end} {right} {end}\">\
         <title>{hint}</title></path>"
    );
    let middle = (start + end) / 2 + 4;
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{}\" y=\"{}\">{}<title>{hint}</title></text>",
        right + 52 + shift * 20,
        middle + LINE * shift - LINE,
        escaped(&clipped(&label(flow), 40)),
    );
}

/// One line of text; returns where it stands.
fn written(out: &mut String, x: usize, y: usize, class: &str, text: &str) -> usize {
    let (shown, whole) = (escaped(&clipped(text, SHOWN)), escaped(text));
    let _ = writeln!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{shown}<title>{whole}</title></text>");
    y
}

fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
