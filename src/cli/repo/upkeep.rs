//! Looking after a repository: taking it over, its state, what expires.

use std::io::Write;

use jiff::Timestamp;

use super::{Adopt, Common, Export, Renew, read};
use crate::publish::{Publisher, RoleStatus};

pub(super) fn adopt(args: Adopt, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let keys = args.common.keys()?;
    let publisher = Publisher::adopt(&args.common.dir, read(&args.root)?, keys, args.at.unwrap_or(now))?;
    for role in publisher.status()? {
        say(&role, now, out)?;
    }
    let missing = publisher.missing_files()?;
    if let Some(first) = missing.first() {
        writeln!(out, "{} target files are not in {}, such as {first}", missing.len(), args.common.dir.display())?;
    }
    writeln!(out, "adopted: {} holds its root of trust; put the keys beside it", args.common.keys_dir().display())?;
    Ok(())
}

/// Signs again what expires soon. The exit code is 1 where keys for some of it are missing.
pub(super) fn renew(args: &Renew, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut publisher = args.common.open(now)?;
    let expiring = publisher.expiring(args.within)?;
    // What machines sign is renewed where their keys are, and is no business of a request.
    let exported = args.export.is_some();
    let roles = if exported {
        expiring.left.iter().map(|left| &left.role).collect()
    } else {
        Vec::from_iter(&expiring.at_hand)
    };
    for role in roles {
        publisher.renew(role.as_str())?;
    }
    Export { export: args.export.clone() }.finish(publisher, out)?;
    if exported {
        return Ok(0);
    }
    for left in &expiring.left {
        let missing: Vec<&str> = left.missing.iter().map(|keyid| keyid.short()).collect();
        writeln!(
            out,
            "not renewed: {} expires {}: {} of its keys must sign, {} at hand; missing: {}",
            left.role,
            left.expires,
            left.threshold,
            left.at_hand,
            missing.join(", ")
        )?;
    }
    Ok(u8::from(!expiring.left.is_empty()))
}

pub(super) fn status(common: &Common, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let publisher = common.open(now)?;
    for role in publisher.status()? {
        say(&role, now, out)?;
    }
    for group in publisher.bin_groups() {
        let (first, last) = (group.bins.first(), group.bins.last());
        if let (Some(first), Some(last)) = (first, last) {
            writeln!(out, "{} bins below {}: {first} to {last}", group.bins.len(), group.parent)?;
        }
    }
    Ok(())
}

fn say(role: &RoleStatus, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let left = role.expires.duration_since(now).as_hours();
    let expiry = if role.expires <= now { "EXPIRED".to_owned() } else { format!("in {}d {}h", left / 24, left % 24) };
    writeln!(
        out,
        "{} v{}: expires {} ({expiry}); {} of {} keys sign, {} at hand; {} targets",
        role.role, role.version, role.expires, role.threshold, role.keys, role.at_hand, role.targets
    )?;
    Ok(())
}
