//! `pratique policy test`: cases that a policy must get right, for the CI of policies.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    cli::verify::{read_policy, read_text, world_of},
    image::Reference,
    policy::{Policy, Rule, Selected, Subject, UsedAs},
    verdict::{Verdict, codes, sanitise},
    verifier::{Question, TagUse, Verifier, World},
};

/// `policy test`.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// The policy
    policy: PathBuf,
    /// The cases
    cases: PathBuf,
    /// The folder with the roots that the policy names; by default that of the policy
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Seconds that the judgement of one case may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
}

/// An image, and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Option<String>,
    image: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    #[serde(rename = "use", default = "container")]
    used_as: UsedAs,
    /// Judged as of this instant instead of now.
    at: Option<Timestamp>,
    /// By the rules that come next.
    #[serde(default)]
    next: bool,
    rule: Option<String>,
    verdict: Option<Expected>,
    code: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    Admitted,
    Denied,
    Unavailable,
    Misconfigured,
}

/// What was found: the words of one line of the table.
struct Found {
    rule: Option<String>,
    verdict: Option<&'static str>,
    code: Option<&'static str>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn container() -> UsedAs {
    UsedAs::Container
}

/// Tries every case. Returns 0 if all are as expected, else 1.
pub(super) fn run(args: &Test, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let policy = read_policy(&args.policy)?;
    let cases = read(&args.cases, &policy)?;
    let folder = args.roots.as_deref().or(args.policy.parent()).unwrap_or(Path::new("."));
    let judged = super::super::runtime()?.block_on(async {
        // Which rule it is can be told without a repository.
        let world = match cases.iter().any(Case::needs_a_verdict) {
            true => Some(fresh(policy.clone(), folder, now).await?),
            false => None,
        };
        let verifier = Verifier::default();
        let mut judged = Vec::new();
        for case in &cases {
            let deadline = Instant::now() + Duration::from_secs(args.timeout);
            judged.push(case.judge(&policy, world.as_ref(), &verifier, case.at.unwrap_or(now), deadline).await);
        }
        anyhow::Ok(judged)
    })?;
    let failed = table(&cases, &judged, out)?;
    writeln!(out, "{} of {} cases are as expected", cases.len() - failed, cases.len())?;
    Ok(u8::from(failed > 0))
}

async fn fresh(policy: Policy, folder: &Path, now: Timestamp) -> anyhow::Result<World> {
    let world = world_of(policy, folder, None).await?;
    for (_, repository) in world.repositories() {
        if let Err(error) = repository.refresh(now).await {
            tracing::warn!(repository = %repository.name(), %error, "the refresh failed");
        }
    }
    Ok(world)
}

fn read(path: &Path, policy: &Policy) -> anyhow::Result<Vec<Case>> {
    let file = path.display();
    let options = serde_saphyr::options! { strict_booleans: true, no_schema: true, with_snippet: false };
    let Cases { cases } =
        serde_saphyr::from_str_with_options(&read_text(path)?, options).with_context(|| file.to_string())?;
    ensure!(!cases.is_empty(), "{file}: there are no cases");
    for (index, case) in cases.iter().enumerate() {
        let at = format!("{file}: cases[{index}]");
        ensure!(
            case.rule.is_some() || case.verdict.is_some() || case.code.is_some(),
            "{at}: expects nothing: give rule, verdict or code"
        );
        if let Some(code) = case.code.as_ref().filter(|code| codes::lookup(code).is_none()) {
            bail!("{at}.code: {code:?} is no code");
        }
        let rules = if case.next {
            policy.next().with_context(|| format!("{at}: the policy has no next rules"))?
        } else {
            policy.rules()
        };
        if let Some(rule) = case.rule.as_ref().filter(|rule| !has(rules, rule)) {
            bail!("{at}.rule: the policy has no rule {rule:?}");
        }
    }
    Ok(cases)
}

fn has(rules: &[Rule], name: &str) -> bool {
    rules.iter().any(|rule| rule.name().as_str() == name)
}

impl Case {
    fn needs_a_verdict(&self) -> bool {
        self.verdict.is_some() || self.code.is_some()
    }

    async fn judge(
        &self,
        policy: &Policy,
        world: Option<&World>,
        verifier: &Verifier,
        now: Timestamp,
        deadline: Instant,
    ) -> Found {
        let Some(world) = world.filter(|_| self.needs_a_verdict()) else {
            return Found { rule: self.selected(policy, now), verdict: None, code: None };
        };
        let question = Question {
            field: "",
            reference: &self.image,
            namespace: &self.namespace,
            budgeted: false,
            used_as: self.used_as,
            tag: TagUse::NamesNow,
            moment: None,
        };
        let verdict = match self.next {
            true => verifier.verify_next(world, &question, now, deadline).await,
            false => Some(verifier.verify(world, &question, now, deadline).await),
        };
        let (word, code) = match &verdict {
            Some(Verdict::Admitted(_)) => (Some("admitted"), None),
            Some(Verdict::Refused(refusal)) => (Some(refusal.class().as_str()), Some(refusal.code())),
            None => (None, None),
        };
        // Of what a rule does not enforce the code is told, too.
        let unenforced = verdict.as_ref().and_then(|verdict| Some(verdict.refusal()?.code()));
        let rule = verdict.as_ref().and_then(Verdict::rule).map(str::to_owned);
        Found { rule, verdict: word, code: code.or(unenforced) }
    }

    fn selected(&self, policy: &Policy, now: Timestamp) -> Option<String> {
        let image = Reference::parse(&self.image).ok()?;
        let subject = Subject { namespace: &self.namespace, image: &image, used_as: self.used_as };
        let selected = match self.next {
            true => policy.select_next(&subject, now)?,
            false => policy.select(&subject, now),
        };
        match selected {
            Selected::Rule(rule) => Some(rule.name().to_string()),
            Selected::Default(_) => None,
        }
    }

    /// What is otherwise than expected.
    fn complaints(&self, found: &Found) -> Vec<String> {
        let differs = |what: &str, expected: Option<&str>, found: Option<&str>| {
            let expected = expected.filter(|expected| Some(*expected) != found)?;
            Some(format!(
                "{what} {expected:?} is expected, found {}",
                found.map_or("none".to_owned(), |found| format!("{found:?}"))
            ))
        };
        let verdict = self.verdict.map(Expected::as_str);
        [
            differs("rule", self.rule.as_deref(), found.rule.as_deref()),
            differs("verdict", verdict, found.verdict),
            differs("code", self.code.as_deref(), found.code),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn title(&self) -> String {
        sanitise(self.name.as_deref().unwrap_or(&self.image))
    }
}

impl Expected {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// One line for each case, and one more for whatever is otherwise than expected. Returns how many cases are.
fn table(cases: &[Case], judged: &[Found], out: &mut dyn Write) -> anyhow::Result<usize> {
    let row = |found: &Found| {
        let word = |text: Option<&str>| text.unwrap_or("-").to_owned();
        [word(found.rule.as_deref()), word(found.verdict), word(found.code)]
    };
    let rows: Vec<[String; 3]> = judged.iter().map(row).collect();
    let width = |column: usize, title: &str| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).chain([title.len()]).max().unwrap_or(0)
    };
    let [rule, verdict, code] = [width(0, "RULE"), width(1, "VERDICT"), width(2, "CODE")];
    writeln!(out, "{:6}  {:rule$}  {:verdict$}  {:code$}  CASE", "RESULT", "RULE", "VERDICT", "CODE")?;
    let mut failed = 0;
    for ((case, found), [first, second, third]) in cases.iter().zip(judged).zip(&rows) {
        let complaints = case.complaints(found);
        let result = if complaints.is_empty() { "ok" } else { "failed" };
        failed += usize::from(!complaints.is_empty());
        writeln!(out, "{result:6}  {first:rule$}  {second:verdict$}  {third:code$}  {}", case.title())?;
        for complaint in complaints {
            writeln!(out, "        {complaint}")?;
        }
    }
    Ok(failed)
}
