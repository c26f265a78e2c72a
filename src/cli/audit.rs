//! `pratique audit`: what runs, judged by the code that the webhook runs.

#![expect(clippy::disallowed_methods, reason = "the command line reads files")]

use std::{
    fs,
    io::{Read as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use jiff::{Timestamp, civil, tz::TimeZone};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::verify::local_world;
use crate::{
    admission::LivePod,
    audit::{Auditor, Finding, Inventory, Report, pods},
    cluster::connect,
    forecast::{Ending, Outlook, Supposing},
    verdict::{AdmittedBy, Class, Verdict, sanitise},
};

/// What to judge, and by what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy; the roots that it names are files beside it
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The folder that keeps what is trusted from one run to the next; without one nothing is remembered
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Pods in a file, as `kubectl get pods -A -o yaml` (or json) prints them, or - for the standard input; without one
    /// the cluster of the kubeconfig is asked
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only this namespace; by default all of them
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Say what would be refused by then: an instant (RFC 3339), or a day (2027-01-31), which begins at midnight UTC
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    at: Option<Timestamp>,
    /// Suppose that nothing is renewed; by default only what people have to renew comes to an end
    #[arg(long)]
    nothing_renewed: bool,
    /// Judge by the rules that come next in the policy, and say where they decide otherwise than those in force
    #[arg(long, conflicts_with_all = ["at", "nothing_renewed"])]
    next: bool,
    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One image: what was found, the verdict that was asked about, and what follows from it.
struct Row<'a> {
    finding: &'a Finding,
    verdict: &'a Verdict,
    outcome: Outcome<'a>,
}

/// What became of one image, at the instant that was asked about.
enum Outcome<'a> {
    Admitted,
    Refused { code: &'static str, text: String },
    Later(&'a Ending),
    NotJudged { code: &'static str, text: String },
}

/// Judges, and says what was found. Returns the exit code: 0 all would be admitted, 1 something would be refused, 2 nothing
/// would, and something could not be judged.
pub fn run(args: Args, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    if let Some(at) = args.at {
        ensure!(at >= now, "{at} has passed; pratique verify --at judges an image as of an earlier time");
    }
    let (report, next) = super::runtime()?.block_on(async {
        let pods = match &args.file {
            Some(file) => read_pods(file)?,
            None => {
                let client = connect::client().await.context("the API server")?;
                pods::list(client, args.namespace.as_deref()).await.context("the Pods of the cluster")?
            }
        };
        let wanted = |pod: &&LivePod| args.namespace.as_ref().is_none_or(|namespace| pod.namespace == *namespace);
        let inventory = Inventory::of(pods.iter().filter(wanted));
        let world = local_world(&args.policy, args.state.as_deref()).await?;
        for (_, repository) in world.repositories() {
            if let Err(error) = repository.refresh(now).await {
                tracing::warn!(repository = %repository.name(), %error, "the refresh failed");
            }
        }
        let auditor = Auditor::default();
        let report = auditor.audit(&world, &inventory, now).await;
        let next = match args.next {
            true => {
                let next = auditor.audit_next(&world, &report.findings, now).await;
                Some(next.with_context(|| format!("{} has no rules that come next", args.policy.display()))?)
            }
            false => None,
        };
        anyhow::Ok((report, next))
    })?;
    let rows: Vec<Row<'_>> = match &next {
        Some(next) => report.findings.iter().zip(next).map(|(finding, verdict)| Row::next(finding, verdict)).collect(),
        None => report.findings.iter().map(|finding| args.row(finding)).collect(),
    };
    match args.format {
        Format::Json => writeln!(out, "{:#}", args.json(&report, &rows))?,
        Format::Text => args.write(&report, &rows, out)?,
    }
    Ok(exit_code(&report, &rows))
}

impl<'a> Row<'a> {
    /// By the rules that come next.
    fn next(finding: &'a Finding, verdict: &'a Verdict) -> Self {
        let outcome = match verdict {
            Verdict::Admitted(_) => Outcome::Admitted,
            Verdict::Refused(refusal) => {
                let (code, text) = (refusal.code(), refusal.cause.to_string());
                match refusal.class() {
                    Class::Denied => Outcome::Refused { code, text },
                    Class::Unavailable | Class::Misconfigured => Outcome::NotJudged { code, text },
                }
            }
        };
        Self { finding, verdict, outcome }
    }

    /// What the rules in force say, where those that come next were asked and say something else.
    fn now(&self) -> Option<&'static str> {
        let now = Self::next(self.finding, &self.finding.judged.verdict).outcome.word();
        (now != self.outcome.word()).then_some(now)
    }
}

impl Outcome<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Admitted | Self::Later(_) => "admitted",
            Self::Refused { .. } => "refused",
            Self::NotJudged { .. } => "not judged",
        }
    }
}

impl Args {
    fn supposing(&self) -> Supposing {
        if self.nothing_renewed { Supposing::NothingIsRenewed } else { Supposing::MachinesGoOn }
    }

    fn row<'a>(&self, finding: &'a Finding) -> Row<'a> {
        Row { finding, verdict: &finding.judged.verdict, outcome: self.outcome(finding) }
    }

    fn outcome<'a>(&self, finding: &'a Finding) -> Outcome<'a> {
        let judged = &finding.judged;
        if let Some(refusal) = finding.refusal() {
            return Outcome::Refused { code: refusal.code(), text: refusal.cause.to_string() };
        }
        if let Some(refusal) = finding.outage() {
            return Outcome::NotJudged { code: refusal.code(), text: refusal.cause.to_string() };
        }
        let outlook = match self.supposing() {
            Supposing::NothingIsRenewed => &judged.nothing_renewed,
            Supposing::MachinesGoOn => &judged.machines_go_on,
        };
        match (outlook, self.at) {
            (Outlook::Ends(ending), Some(at)) if ending.at <= at => {
                Outcome::Refused { code: ending.code, text: ending.what.clone() }
            }
            (Outlook::Ends(ending), _) => Outcome::Later(ending),
            (Outlook::Refused | Outlook::Unknown | Outlook::Holds, _) => Outcome::Admitted,
        }
    }

    fn json(&self, report: &Report, rows: &[Row<'_>]) -> Value {
        let mut json = report.to_json();
        if let Some(members) = json.as_object_mut() {
            members.insert("asOf".to_owned(), json!(self.at.unwrap_or(report.at)));
        }
        let images = json.get_mut("images").and_then(Value::as_array_mut);
        for (image, row) in images.into_iter().flatten().zip(rows) {
            if let Some(members) = image.as_object_mut() {
                members.insert("outcome".to_owned(), json!(row.outcome.word().replace(' ', "-")));
                if self.next {
                    members.insert("next".to_owned(), row.verdict.to_json());
                }
            }
        }
        json
    }

    fn write(&self, report: &Report, rows: &[Row<'_>], out: &mut dyn Write) -> anyhow::Result<()> {
        for row in rows {
            let Row { finding, verdict, outcome } = row;
            let image = format!("{}: {}", finding.running.namespace, sanitise(&finding.running.image));
            let word = outcome.word();
            let rest = match outcome {
                Outcome::Admitted => how(verdict),
                Outcome::Later(ending) => {
                    format!("{}, until {}: [{}] {}", how(verdict), ending.at, ending.code, sanitise(&ending.what))
                }
                Outcome::Refused { code, text } | Outcome::NotJudged { code, text } => {
                    format!("[{code}] {}", sanitise(text))
                }
            };
            let now = row.now().filter(|_| self.next).map(|now| format!("; now {now}")).unwrap_or_default();
            writeln!(out, "{word}: {image}: {rest}{now}; {}", used_by(finding))?;
            if let Some(other) = &finding.judged.other {
                writeln!(out, "another: {image}: [{}] {other}; {}", other.code(), used_by(finding))?;
            }
        }
        for unreadable in &report.unreadable {
            let (holder, error) = (&unreadable.holder, &unreadable.error);
            let (kind, namespace, name) = (&holder.kind, &holder.namespace, &holder.name);
            writeln!(
                out,
                "not judged: {kind} {namespace}/{name}: [{}] {}",
                error.code(),
                sanitise(&error.to_string())
            )?;
        }
        let count = |word: &str| rows.iter().filter(|row| row.outcome.word() == word).count();
        let others = report.findings.iter().filter(|finding| finding.judged.other.is_some()).count();
        writeln!(
            out,
            "{} Pods, {} images at {}{}: {} admitted, {} refused, {} not judged, {others} of another digest",
            report.pods,
            rows.len(),
            self.at.unwrap_or(report.at).strftime("%Y-%m-%dT%H:%M:%SZ"),
            if self.next { " by the rules that come next" } else { "" },
            count("admitted"),
            count("refused"),
            count("not judged") + report.unreadable.len(),
        )?;
        Ok(())
    }
}

fn how(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Refused(refusal) => format!("[{}] {}", refusal.code(), sanitise(&refusal.cause.to_string())),
        Verdict::Admitted(admitted) => {
            let rule = admitted.judged().rule.as_deref().unwrap_or("default");
            match admitted.by() {
                AdmittedBy::Proof(_) => format!("verified by rule {rule:?}"),
                AdmittedBy::Exemption(exemption) => format!("exempt by rule {rule:?}: {}", sanitise(&exemption.reason)),
                AdmittedBy::Leniency { mode, refusal } => {
                    let text = sanitise(&refusal.cause.to_string());
                    format!("by rule {rule:?} in mode {}: [{}] {text}", mode.as_str(), refusal.code())
                }
            }
        }
    }
}

fn used_by(finding: &Finding) -> String {
    let uses = &finding.uses;
    let first = uses.holders.first().map(|holder| format!("{} {}/{}", holder.kind, holder.namespace, holder.name));
    let first = first.unwrap_or_default();
    match uses.holders.len() {
        0 | 1 => format!("{} of {first}", uses.count),
        more => format!("{} of {first} and {} others", uses.count, more.saturating_sub(1)),
    }
}

fn exit_code(report: &Report, rows: &[Row<'_>]) -> u8 {
    let refused = rows.iter().any(|row| matches!(row.outcome, Outcome::Refused { .. }));
    let others = report.findings.iter().any(|finding| finding.judged.other.is_some());
    let not_judged = rows.iter().any(|row| matches!(row.outcome, Outcome::NotJudged { .. }));
    match (refused || others, not_judged || !report.unreadable.is_empty()) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    }
}

fn read_pods(file: &Path) -> anyhow::Result<Vec<LivePod>> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("the standard input")?;
    } else {
        text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    // What kubectl prints as JSON may be larger than a YAML reader takes.
    let documents = match serde_json::from_str::<Value>(&text) {
        Ok(document) => vec![document],
        Err(_) => serde_saphyr::from_multiple(&text).with_context(|| file.display().to_string())?,
    };
    let mut pods = Vec::new();
    for document in &documents {
        let listed = document.get("items").and_then(Value::as_array);
        let items = listed.map_or(std::slice::from_ref(document), Vec::as_slice);
        for item in items {
            let kind = item.get("kind").and_then(Value::as_str);
            // The items of a PodList do not say again what they are.
            if kind.is_some_and(|kind| kind != "Pod") || (kind.is_none() && listed.is_none()) {
                bail!("{}: {} is not a Pod", file.display(), kind.unwrap_or("what has no kind"));
            }
            pods.push(LivePod::deserialize(item).with_context(|| file.display().to_string())?);
        }
    }
    Ok(pods)
}

fn parse_date(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let day: civil::Date = text.parse().map_err(|_| format!("{text:?} is neither an instant (RFC 3339) nor a day"))?;
    day.to_zoned(TimeZone::UTC).map(|day| day.timestamp()).map_err(|error| error.to_string())
}
