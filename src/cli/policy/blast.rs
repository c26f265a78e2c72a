//! `pratique policy blast`: whose keys would have to be stolen for an image to run that nobody made?

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cli::verify::{read_policy, summary, world_of},
    crypto::Sha256,
    evidence::{self, Evidence, Forgers, Limits, Name, Proof, Reach, RepositoryName, Requirement, Subject},
    forecast::blast::{Asked, Blast, KeySet, Served, Stolen, Ways},
    image::Reference,
    in_toto::Unsaid,
    policy::{self, Part, Selected, UsedAs},
    repository::{Generation, Repository},
    tuf::TargetPath,
    verdict::{AdmittedBy, Verdict, sanitise},
    verifier::{Question, TagUse, Verifier, World},
};

/// Sets that are written out for people.
const MAX_SHOWN: usize = 64;

/// Images that are looked at of each layout, of those that are admitted.
const MAX_IMAGES: usize = 4;

/// Said where a search was given up.
const TOO_MUCH: &str = "there is more to try than was tried; what is named for it may be less than is needed";

/// What is never looked at.
const BLIND: [&str; 2] = [
    "links that are not published, only for images that were not looked at, or mixed from several may spare a thief keys",
    "whoever has a certificate that a step takes counts only if they signed for an image that was looked at",
];

/// `policy blast`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy
    policy: PathBuf,
    /// An image that is admitted now; another one in its place is what is asked about
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The namespace that the image is to run in
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// The folder with the roots that the policy names; by default that of the policy
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Fail if keys that are online are enough, or none are needed, or there is too much to look through
    #[arg(long)]
    strict: bool,
    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// A line for each set of keys, and one for each key
    Text,
    /// The same as data
    Json,
}

/// What was found.
struct Found {
    rule: Option<String>,
    blast: Blast,
    /// What was too much to look through.
    gaps: BTreeSet<String>,
    /// What it does not tell.
    notes: BTreeSet<String>,
}

/// Returns 0, or 1 with `--strict` if online keys are enough, or may be.
pub(super) fn run(args: &Args, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<u8> {
    let folder = args.roots.as_deref().or(args.policy.parent()).unwrap_or(Path::new("."));
    let found = super::super::runtime()?.block_on(async {
        let world = world_of(read_policy(&args.policy)?, folder, None).await?;
        for (_, repository) in world.repositories() {
            let name = repository.name();
            repository.refresh(now).await.map_err(|error| anyhow::anyhow!("[{}] {name}: {error}", error.code()))?;
        }
        let deadline = Instant::now() + Duration::from_secs(args.timeout);
        Asking { world: &world, args, now, deadline, limits: Limits::default() }.find().await
    })?;
    match args.format {
        Format::Text => text(args, &found, out)?,
        Format::Json => writeln!(out, "{:#}", data(args, &found))?,
    }
    let is_weak = !found.gaps.is_empty() || found.blast.sets.iter().any(KeySet::is_online);
    Ok(u8::from(args.strict && is_weak))
}

struct Asking<'a> {
    world: &'a World,
    args: &'a Args,
    now: Timestamp,
    deadline: Instant,
    limits: Limits,
}

/// A repository as it was read, and what a thief could reach in it.
struct Read {
    name: RepositoryName,
    generation: Arc<Generation>,
    reach: Reach,
}

impl Asking<'_> {
    async fn find(&self) -> anyhow::Result<Found> {
        let question = Question {
            field: "",
            reference: &self.args.image,
            namespace: &self.args.namespace,
            budgeted: false,
            used_as: UsedAs::Container,
            tag: TagUse::NamesNow,
            moment: None,
        };
        let verdict = Verifier::default().verify(self.world, &question, self.now, self.deadline).await;
        let rule = verdict.rule().map(str::to_owned);
        let admitted = match &verdict {
            Verdict::Admitted(admitted) => admitted,
            Verdict::Refused(_) => bail!("it has to be an image that is admitted: {}", summary(&verdict).trim_end()),
        };
        if let AdmittedBy::Exemption(_) | AdmittedBy::Leniency { .. } = admitted.by() {
            let notes = BTreeSet::from([format!("nothing is proven of it: {}", summary(&verdict).trim_end())]);
            return Ok(Found { rule, blast: Blast::of(&Ways::All(Vec::new())), gaps: BTreeSet::new(), notes });
        }
        let digest = admitted.judged().digest.context("the image has no digest")?;
        let reference = Reference::parse(&self.args.image)?;
        let asked = policy::Subject { namespace: &self.args.namespace, image: &reference, used_as: UsedAs::Container };
        let Selected::Rule(selected) = self.world.policy().select(&asked, self.now) else {
            bail!("no rule is for the image");
        };
        let bound = selected.bind(&reference)?;
        let (mut ways, mut gaps) = (Vec::new(), BTreeSet::new());
        for part in &bound.parts {
            let subject = Subject { name: Name::Image(bound.name.clone()), digest, tag: None };
            ways.push(self.part(part, &subject, &mut gaps).await?);
        }
        let blast = Blast::of(&Ways::All(ways));
        if blast.is_cut {
            gaps.insert("there are more sets than are looked at".to_owned());
        }
        let notes = BLIND.iter().map(|note| (*note).to_owned()).collect();
        Ok(Found { rule, blast, gaps, notes })
    }

    /// In which ways one requirement is met by an image that nobody made.
    async fn part(&self, part: &Part, subject: &Subject, gaps: &mut BTreeSet<String>) -> anyhow::Result<Ways> {
        let requirement = &part.requirement;
        let (generation, proof) = self.prove(requirement, subject).await?;
        let here = Evidence::Here(proof.layout());
        let evidence = self.read(&requirement.repository, generation, (subject, here), requirement, gaps).await?;
        let mut others = Vec::new();
        let relied: Vec<TargetPath> = proof.relied().iter().map(|relied| relied.path.clone()).collect();
        for name in requirement.agreement.iter().flat_map(|agreement| &agreement.others) {
            let generation = self.generation(name)?.1;
            // The image comes first.
            let files = relied.get(1..).unwrap_or_default();
            let files = requirement.agreement.as_ref().filter(|agreement| agreement.on_evidence).map(|_| files);
            let there = Evidence::Elsewhere(proof.layout().zip(files));
            others.push(self.read(name, generation, (subject, there), requirement, gaps).await?);
        }
        let proven = match proof.layout() {
            Some(_) => self.layouts(&proof, subject, requirement, evidence.reach.is_retired, gaps).await?,
            None => Vec::new(),
        };
        let all_roles: Vec<_> = others.iter().map(|read| read.generation.roles()).collect();
        let roles = evidence.generation.roles();
        let asked = Asked {
            requirement,
            evidence: evidence.stolen(&roles),
            others: others.iter().zip(&all_roles).map(|(read, roles)| read.stolen(roles)).collect(),
            layouts: proven.iter().filter_map(Layout::served).collect(),
        };
        Ok(asked.ways())
    }

    /// The layouts that serve another image of the name, each as it is seen from images that were made by it.
    async fn layouts(
        &self,
        proof: &Proof,
        subject: &Subject,
        requirement: &Requirement,
        is_retired: bool,
        gaps: &mut BTreeSet<String>,
    ) -> anyhow::Result<Vec<Layout>> {
        let mut layouts = Vec::new();
        let mut add = |layout: Layout| {
            if layout.forgers.is_rough {
                gaps.insert(format!("{}: {TOO_MUCH}", layout.other.as_deref().unwrap_or("the layout")));
            }
            layouts.push(layout);
        };
        if !is_retired {
            let forgers = evidence::forgers(proof, &subject.name, requirement, &self.limits);
            add(Layout { other: None, made: Made::Proven(Box::new(proof.clone())), forgers });
        }
        let (repository, generation) = self.generation(&requirement.repository)?;
        let stranger = evidence::stranger_to(subject.digest);
        let found = repository.look(None, &generation, self.now, self.deadline, |view| {
            evidence::rivals(subject, stranger, requirement, view, self.now, &self.limits)
        });
        let rivals = found.await?.outcome?;
        for rival in rivals.layouts {
            let is_own = proof.layout() == Some(&rival.layout);
            let other = (!is_own).then(|| rival.layout.to_string());
            let mut made = 0_usize;
            for image in rival.images.iter().filter(|image| *image != subject) {
                let judged = self.judge(requirement, image).await;
                let outcome = judged.with_context(|| format!("{} cannot be judged", image.name))?;
                // What is not admitted itself may have links all the same; who has others is told by those.
                let Ok(proof) = outcome else { continue };
                if proof.layout() != Some(&rival.layout) {
                    continue;
                }
                let forgers = evidence::forgers(&proof, &subject.name, requirement, &self.limits);
                add(Layout { other: other.clone(), made: Made::Proven(Box::new(proof)), forgers });
                made = made.saturating_add(1);
                if made >= MAX_IMAGES {
                    break;
                }
            }
            if !is_own {
                let forgers = evidence::forgers_of(&rival.unsaid, subject, requirement, &self.limits);
                add(Layout { other, made: Made::Unsaid(rival.unsaid), forgers });
            }
        }
        if rivals.is_cut {
            gaps.insert(
                "there are more layouts for this name, or images that were made by one, than were looked at".to_owned(),
            );
        }
        Ok(layouts)
    }

    /// The proof, with its trail.
    async fn prove(&self, requirement: &Requirement, subject: &Subject) -> anyhow::Result<(Arc<Generation>, Proof)> {
        let (_, generation) = self.generation(&requirement.repository)?;
        Ok((generation, self.judge(requirement, subject).await??))
    }

    async fn judge(
        &self,
        requirement: &Requirement,
        subject: &Subject,
    ) -> anyhow::Result<Result<Proof, evidence::Error>> {
        let (repository, generation) = self.generation(&requirement.repository)?;
        let judged = repository.look(None, &generation, self.now, self.deadline, |view| {
            evidence::judge(subject, requirement, view, self.now, &self.limits)
        });
        Ok(judged.await?.outcome)
    }

    async fn read(
        &self,
        name: &RepositoryName,
        generation: Arc<Generation>,
        (subject, evidence): (&Subject, Evidence<'_>),
        requirement: &Requirement,
        gaps: &mut BTreeSet<String>,
    ) -> anyhow::Result<Read> {
        let (repository, _) = self.generation(name)?;
        let stranger: Sha256 = evidence::stranger_to(subject.digest);
        let found = repository
            .look(None, &generation, self.now, self.deadline, |view| {
                evidence::reach(subject, stranger, evidence, requirement, view, self.now, &self.limits)
            })
            .await?;
        let reach = found.outcome?;
        if reach.is_cut {
            gaps.insert(format!("{name}: there are more delegations than were looked at"));
        }
        Ok(Read { name: name.clone(), generation, reach })
    }

    fn generation(&self, name: &RepositoryName) -> anyhow::Result<(&Arc<Repository>, Arc<Generation>)> {
        let (_, repository) = self.world.repository(name).map_err(|cause| anyhow::anyhow!("{cause}"))?;
        Ok((repository, repository.generation().with_context(|| format!("{name} was not read"))?))
    }
}

/// A layout by which another image could pass.
struct Layout {
    /// Its name, where it is another than that of the image.
    other: Option<String>,
    made: Made,
    forgers: Forgers,
}

enum Made {
    /// By it an image was proven.
    Proven(Box<Proof>),
    /// Nothing was signed by it.
    Unsaid(Unsaid),
}

impl Layout {
    fn served(&self) -> Option<Served<'_>> {
        let verified = match &self.made {
            Made::Proven(proof) => proof.verified()?,
            Made::Unsaid(unsaid) => unsaid.as_verified(),
        };
        Some(Served { other: self.other.as_deref(), verified, forgers: &self.forgers })
    }
}

impl Read {
    fn stolen<'a>(&'a self, roles: &'a crate::tuf::Delegated) -> Stolen<'a> {
        Stolen { name: self.name.as_str(), trusted: self.generation.trusted(), roles, reach: &self.reach }
    }
}

fn text(args: &Args, found: &Found, out: &mut dyn Write) -> anyhow::Result<()> {
    let rule = found.rule.as_deref().unwrap_or("default");
    let count = found.blast.sets.len();
    writeln!(
        out,
        "{}: by rule {rule:?} an image that nobody made is admitted with the keys of any of these {count} sets",
        sanitise(&args.image)
    )?;
    for (index, set) in found.blast.sets.iter().take(MAX_SHOWN).enumerate() {
        let what = match set.0.len() {
            0 => "no key at all".to_owned(),
            1 => "1 key".to_owned(),
            number => format!("{number} keys"),
        };
        let online = if set.is_online() { ", none of them offline" } else { "" };
        writeln!(out, "{}. {what}{online}", index.saturating_add(1))?;
        for key in set.0.values() {
            let of: Vec<&str> = key.of.iter().map(String::as_str).collect();
            writeln!(out, "   {}… of {}", sanitise(key.keyid.short()), sanitise(&of.join(", ")))?;
        }
    }
    if count > MAX_SHOWN {
        writeln!(out, "and {} more sets; --format json has all", count.saturating_sub(MAX_SHOWN))?;
    }
    for gap in &found.gaps {
        writeln!(out, "incomplete: {}", sanitise(gap))?;
    }
    for note in &found.notes {
        writeln!(out, "note: {}", sanitise(note))?;
    }
    Ok(())
}

fn data(args: &Args, found: &Found) -> Value {
    let sets = found.blast.sets.iter().map(|set| {
        let keys =
            set.0.values().map(|key| json!({"keyid": key.keyid.as_str(), "of": key.of, "online": key.is_online}));
        json!({"online": set.is_online(), "keys": keys.collect::<Vec<_>>()})
    });
    json!({
        "image": args.image,
        "rule": found.rule,
        "sets": sets.collect::<Vec<_>>(),
        "complete": found.gaps.is_empty(),
        "gaps": found.gaps,
        "notes": found.notes,
    })
}
