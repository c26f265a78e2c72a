//! What all replicas remember of a repository together, in ConfigMaps of our own namespace (trust.md §5, R1 to R3).
//!
//! ```text
//! <prefix>-acme                 the head: which parts make up the state; what is watched
//! <prefix>-acme.0 … .3          the parts: signed bytes
//! <prefix>-acme.born            immutable: there was a first state once (R6); not ours to write
//! ```
//!
//! One writer after the other: whoever writes has read the parts, then claims the head, writes parts that the head does not
//! name, and lets the head name them. Each of these compares resourceVersions, so whoever comes between two steps of
//! another makes the other begin again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, ObjectReference},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};

use super::{
    events::{Event, Events, Kind},
    one,
};
use crate::{
    repository::{
        memory::{Alert, Join, Kept, Memories, Memory, MemoryError},
        transport::between,
    },
    telemetry::{causes, sanitise},
    tuf::{
        Remembered,
        codec::{self, CodecError, Encoded, Head},
    },
};

/// The key of the head, in the ConfigMap of that.
pub const HEAD: &str = "head";
/// The key of a part, in the ConfigMap of that.
pub const PART: &str = "part";
/// While somebody writes: who. No two such texts are the same.
const WRITING: &str = "writing";
/// How often a write is begun.
const ATTEMPTS: u32 = 12;
/// How often a reader looks again for parts that the head names and that were not there when it looked for them.
const LOOKS: u32 = 4;
/// For as long as somebody else may be writing, at the longest and at the least half of it: two who met are not to meet
/// again.
const PAUSE: Duration = Duration::from_millis(50);
const FIELD_MANAGER: &str = "pratique-trust";

/// The objects of every repository.
#[derive(Clone)]
pub struct Objects {
    /// The API server.
    pub client: Client,
    /// The namespace that they are in.
    pub namespace: String,
    /// What their names begin with, before the name of the repository.
    pub prefix: String,
    /// The name of this replica.
    pub instance: String,
    /// Where Events go.
    pub events: Option<Events>,
}

/// The objects of one repository.
pub struct ObjectsOf {
    api: Api<ConfigMap>,
    objects: Objects,
    repository: String,
    /// It is never unborn again.
    born: AtomicBool,
}

/// What is there, and the objects that it was read from.
struct Seen {
    kept: Kept,
    head: Option<Head>,
    object: ConfigMap,
    parts: Vec<Option<ConfigMap>>,
}

impl Memories for Objects {
    fn of(&self, repository: &str) -> Arc<dyn Memory> {
        Arc::new(self.repository(repository))
    }
}

impl Objects {
    /// The objects of one repository. Nobody is asked.
    pub fn repository(&self, repository: &str) -> ObjectsOf {
        ObjectsOf {
            api: Api::namespaced(self.client.clone(), &self.namespace),
            objects: self.clone(),
            repository: repository.to_owned(),
            born: AtomicBool::new(false),
        }
    }
}

impl std::fmt::Debug for ObjectsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectsOf({})", self.place(&self.head_name()))
    }
}

#[async_trait::async_trait]
impl Memory for ObjectsOf {
    async fn update(&self, join: &Join<'_>) -> Result<(), MemoryError> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(between(PAUSE / 2, PAUSE)).await;
            }
            let seen = self.look().await?;
            // Somebody who was interrupted never ends.
            if attempt < LOOKS && is_being_written(&seen.object) {
                continue;
            }
            let Some(next) = join(&seen.kept) else { return Ok(()) };
            let encoded = next.encode(seen.head.as_ref());
            let encoded =
                encoded.map_err(|error| MemoryError::TooLarge { place: self.place(&self.head_name()), error })?;
            if self.write(seen, encoded).await? {
                return Ok(());
            }
        }
        Err(self.unavailable(&self.head_name(), "others wrote there all the time"))
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        // The parts as well: whoever damages one would not be noticed before all replicas have forgotten it.
        let names = (0..codec::PARTS).map(|object| self.part_name(object)).chain([self.head_name()]);
        let all = stream::select_all(names.map(|name| self.changes_of(&name)));
        // What comes together is looked at once.
        all.ready_chunks(2 * codec::PARTS).map(drop).chain(stream::pending()).boxed()
    }

    fn tell(&self, alert: &Alert) {
        let Some(events) = &self.objects.events else { return };
        events.write(Event {
            kind: Kind::Warning,
            reason: match alert.code {
                "trust/reset" => "TrustReset",
                "trust/equivocation" => "TrustEquivocation",
                "trust/memory-full" => "TrustMemoryFull",
                _ => "TrustTampered",
            },
            action: "Remember",
            note: format!("[{}] repository {}: {}", alert.code, self.repository, sanitise(&alert.text)),
            regarding: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("ConfigMap".to_owned()),
                namespace: Some(self.objects.namespace.clone()),
                name: Some(self.head_name()),
                ..ObjectReference::default()
            },
        });
    }
}

impl ObjectsOf {
    /// The name of the head. No name of a repository has a dot, so no object has the name of another repository's.
    pub fn head_name(&self) -> String {
        format!("{}-{}", self.objects.prefix, self.repository)
    }

    /// The name of a part, by its number from 0.
    pub fn part_name(&self, object: usize) -> String {
        format!("{}.{object}", self.head_name())
    }

    /// The name of what says that there was a first state.
    pub fn born_name(&self) -> String {
        format!("{}.born", self.head_name())
    }

    /// That the chart knows this repository.
    pub async fn check(&self) -> Result<(), MemoryError> {
        self.get(&self.head_name()).await?.map(drop).ok_or_else(|| self.unknown(&self.head_name()))
    }

    /// What is there.
    pub async fn read(&self) -> Result<Kept, MemoryError> {
        Ok(self.look().await?.kept)
    }

    /// Creates the head and the parts that are not there yet, each out of its manifest. What is there stays as it is.
    ///
    /// # Errors
    /// A manifest is missing, or the API server refuses.
    pub async fn create(&self, manifests: &[ConfigMap]) -> Result<(), MemoryError> {
        let names = (0..codec::PARTS).map(|object| self.part_name(object)).chain([self.head_name()]);
        for name in names {
            if self.get(&name).await?.is_some() {
                continue;
            }
            let manifest = manifests.iter().find(|map| map.metadata.name.as_ref() == Some(&name));
            let mut manifest = manifest.ok_or_else(|| self.unknown(&name))?.clone();
            // Only empty objects are made.
            (manifest.data, manifest.binary_data, manifest.immutable) = (None, None, None);
            self.apply(&name, &manifest).await?;
        }
        Ok(())
    }

    /// R6: says for ever that there was a first state.
    pub async fn bear(&self, now: Timestamp) -> Result<(), MemoryError> {
        let name = self.born_name();
        let mut born = ConfigMap {
            data: Some(BTreeMap::from([("since".to_owned(), format!("{now:.0}"))])),
            immutable: Some(true),
            ..ConfigMap::default()
        };
        born.metadata.name = Some(name.clone());
        self.apply(&name, &born).await
    }

    /// A server-side apply: what it creates is looked at by name, so that the right to create can be given for that alone.
    async fn apply(&self, name: &str, object: &ConfigMap) -> Result<(), MemoryError> {
        let patched = self.api.patch(name, &PatchParams::apply("pratique-chart"), &Patch::Apply(object)).await;
        patched.map(drop).map_err(|error| self.unavailable(name, &error.to_string()))
    }

    fn changes_of(&self, name: &str) -> BoxStream<'static, ()> {
        let place = self.place(name);
        let changes =
            one::follow(self.objects.client.clone(), &self.objects.namespace, name).filter_map(move |change| {
                let changed = match change {
                    Ok(map) => !map.as_ref().is_some_and(is_being_written),
                    Err(error) => {
                        tracing::warn!(
                            place,
                            error = causes(&error),
                            "what replicas remember together cannot be watched"
                        );
                        false
                    }
                };
                std::future::ready(changed.then_some(()))
            });
        changes.boxed()
    }

    /// First the parts, then the head: so what is compared when it is written was read before it was claimed.
    async fn look(&self) -> Result<Seen, MemoryError> {
        let born = self.is_born().await?;
        let mut looks = 0;
        loop {
            let parts = (0..codec::PARTS).map(|object| self.part_name(object));
            let parts = futures::future::try_join_all(parts.map(async |name| self.get(&name).await)).await?;
            let object = self.get(&self.head_name()).await?.ok_or_else(|| self.unknown(&self.head_name()))?;
            let text = object.data.as_ref().and_then(|data| data.get(HEAD));
            let place = self.place(&self.head_name());
            let (head, remembered) = match text.map(|text| Head::parse(text)) {
                None => (None, Err(format!("{place} is empty"))),
                Some(Err(error)) => (None, Err(format!("{place}: {error}"))),
                Some(Ok(head)) => match decode(&head, &parts) {
                    // It was written between the two looks.
                    Err(CodecError::NotThePart { .. }) if looks < LOOKS => {
                        looks += 1;
                        tokio::time::sleep(between(PAUSE / 2, PAUSE)).await;
                        continue;
                    }
                    decoded => (Some(head), decoded.map_err(|error| format!("{place}: {error}"))),
                },
            };
            let kept = Kept { remembered, born };
            return Ok(Seen { kept, head, object, parts });
        }
    }

    async fn is_born(&self) -> Result<Result<(), String>, MemoryError> {
        if self.born.load(Ordering::Relaxed) {
            return Ok(Ok(()));
        }
        let name = self.born_name();
        Ok(match self.get(&name).await? {
            // Whoever may edit it could make it anything.
            Some(map) if map.immutable == Some(true) => {
                self.born.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some(_) => Err(format!("{}, which is immutable,", self.place(&name))),
            None => Err(self.place(&name)),
        })
    }

    /// Whether nobody came between.
    async fn write(&self, seen: Seen, Encoded { head, parts }: Encoded) -> Result<bool, MemoryError> {
        let Seen { mut object, parts: mut objects, .. } = seen;
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        let claim = format!("{} after {version}", self.objects.instance);
        object.data.get_or_insert_default().insert(WRITING.to_owned(), claim);
        let Some(mut object) = self.put(object).await? else { return Ok(false) };
        for (number, bytes) in parts {
            let name = self.part_name(number);
            let part = objects.get_mut(number).and_then(Option::take);
            let mut part = part.ok_or_else(|| self.unknown(&name))?;
            part.binary_data = Some(BTreeMap::from([(PART.to_owned(), ByteString(bytes))]));
            if self.put(part).await?.is_none() {
                return Ok(false);
            }
        }
        object.data = Some(BTreeMap::from([(HEAD.to_owned(), head)]));
        Ok(self.put(object).await?.is_some())
    }

    /// None where somebody else wrote it since it was read.
    async fn put(&self, object: ConfigMap) -> Result<Option<ConfigMap>, MemoryError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api.replace(&name, &params, &object).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(self.unavailable(&name, &error.to_string())),
        }
    }

    async fn get(&self, name: &str) -> Result<Option<ConfigMap>, MemoryError> {
        match self.api.get_opt(name).await {
            Ok(found) => Ok(found),
            // The rights are given together with the object.
            Err(kube::Error::Api(status)) if status.code == 403 => Err(self.unknown(name)),
            Err(error) => Err(self.unavailable(name, &error.to_string())),
        }
    }

    fn place(&self, name: &str) -> String {
        format!("ConfigMap {}/{name}", self.objects.namespace)
    }

    fn unknown(&self, name: &str) -> MemoryError {
        let cure = format!("name {} under repositories in the values of the chart", self.repository);
        MemoryError::Unknown { place: self.place(name), cure }
    }

    fn unavailable(&self, name: &str, why: &str) -> MemoryError {
        MemoryError::Unavailable { place: self.place(name), why: why.to_owned() }
    }
}

fn decode(head: &Head, parts: &[Option<ConfigMap>]) -> Result<Remembered, CodecError> {
    let bytes = |object: usize| parts.get(object)?.as_ref()?.binary_data.as_ref()?.get(PART).map(|part| part.0.clone());
    let parts: Vec<Vec<u8>> = head.parts().iter().map(|named| bytes(named.object).unwrap_or_default()).collect();
    head.decode(&parts)
}

fn is_being_written(head: &ConfigMap) -> bool {
    head.data.as_ref().is_some_and(|data| data.contains_key(WRITING))
}
