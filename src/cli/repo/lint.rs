//! `pratique repo lint`: what a layout allows though its author hardly means it.

use std::{io::Write, path::Path};

use super::{Lint, read};
use crate::in_toto::{self, Limits};

/// Says what is found in each layout. Exit code 1 where more is found than notes.
pub(super) fn run(args: &Lint, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut code = 0;
    for path in &args.layouts {
        let found = say(path, &read(path)?, out)?;
        code = code.max(u8::from(found));
    }
    Ok(code)
}

/// Says what is found in one layout; whether more than notes.
pub(super) fn say(path: &Path, layout: &[u8], out: &mut dyn Write) -> anyhow::Result<bool> {
    let found = in_toto::lint(layout, &Limits::default())
        .map_err(|error| anyhow::anyhow!("{}: [{}] {error}", path.display(), error.code()))?;
    for lint in &found {
        let kind = if lint.is_note() { "note" } else { "warning" };
        writeln!(out, "{}: {kind}: {lint}", path.display())?;
    }
    Ok(found.iter().any(|lint| !lint.is_note()))
}
