//! The walk knows every image field of the newest Pod schema: a field that a later API adds fails here first.
//!
//! The typed models are asked which members they read. What sounds like an image is either judged or listed here with
//! the reason why it is not.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, PodSpec, PodTemplateSpec, Volume};
use pratique::admission::{KINDS, Limits, Request, Workload};
use serde::{
    Deserialize,
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
        value::{Error, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Value, json};

/// What the walk judges.
const JUDGED: [&str; 4] =
    ["containers[].image", "ephemeralContainers[].image", "initContainers[].image", "volumes[].image.reference"];

/// What sounds like an image and is none.
const NO_IMAGE: [(&str, &str); 7] = [
    ("containers[].imagePullPolicy", "when to pull, not what"),
    ("ephemeralContainers[].imagePullPolicy", "when to pull, not what"),
    ("initContainers[].imagePullPolicy", "when to pull, not what"),
    ("imagePullSecrets[].name", "with which credentials to pull"),
    ("volumes[].image.pullPolicy", "when to pull, not what"),
    ("volumes[].quobyte.registry", "the address of a storage service"),
    ("volumes[].rbd.image", "a block device of Ceph: data, which no kubelet runs"),
];

#[test]
fn every_field_that_sounds_like_an_image_is_judged_or_explained() {
    let known: BTreeSet<&str> = JUDGED.into_iter().chain(NO_IMAGE.map(|(path, _)| path)).collect();
    let paths = paths_of::<PodSpec>();
    assert!(paths.len() > 300, "only {} fields were found: the search is broken", paths.len());
    for path in &paths {
        let path = path.as_str();
        let lower = path.to_lowercase();
        let suspicious = ["image", "artifact", "oci", "registry"].iter().any(|word| lower.contains(word))
            && !lower.contains("associ");
        assert!(!suspicious || known.contains(path), "{path} may name an image that is not judged");
    }
    for path in known {
        assert!(paths.contains(path), "{path} is no longer in the schema");
    }
}

#[test]
fn containers_of_all_three_lists_and_templates_have_the_same_image_fields() {
    for paths in [paths_of::<Container>(), paths_of::<EphemeralContainer>()] {
        assert!(paths.contains("image"));
        assert!(!paths.iter().any(|path| path.contains("[].image")));
    }
    assert!(paths_of::<Volume>().contains("image.reference"));
    let template = paths_of::<PodTemplateSpec>();
    assert!(JUDGED.iter().all(|path| template.contains(&format!("spec.{path}"))));
}

#[test]
fn the_walk_finds_every_image_field_in_every_kind() {
    for kind in KINDS {
        let spec = json!({
            "containers": [{"image": "a.example/containers"}],
            "ephemeralContainers": [{"image": "a.example/ephemeral"}],
            "initContainers": [{"image": "a.example/init"}],
            "volumes": [{"image": {"reference": "a.example/volume"}}],
        });
        let object = kind.pod_spec.iter().rev().fold(spec, |inner, name| json!({ *name: inner }));
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "CREATE", "object": object,
            "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
            "resource": {"group": kind.group, "version": kind.version, "resource": kind.resource},
        }});
        let request = Request::parse(body.to_string().as_bytes()).unwrap();
        let workload = Workload::read(&request, &[], &Limits::default()).unwrap();
        let found: BTreeSet<String> = workload.uses.into_iter().map(|image_use| image_use.field).collect();
        let prefix = kind.pod_spec.join(".");
        let expected = JUDGED.iter().map(|path| format!("{prefix}.{}", path.replace("[]", "[0]"))).collect();
        assert_eq!(found, expected, "{}", kind.kind);
    }
}

/// The paths of every member that `T` reads, with `[]` for the items of lists and the values of maps.
fn paths_of<T: DeserializeOwned>() -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    T::deserialize(Tracer { path: String::new(), paths: &mut paths }).unwrap();
    paths
}

/// Answers whatever a type asks for, and writes down the way that led there.
struct Tracer<'a> {
    path: String,
    paths: &'a mut BTreeSet<String>,
}

impl Tracer<'_> {
    fn below(&mut self, path: String) -> Tracer<'_> {
        Tracer { path, paths: self.paths }
    }
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    // An instant is also a quantity, a name and a port.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.paths.insert(self.path);
        visitor.visit_str("2026-01-01T00:00:00Z")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.paths.insert(self.path);
        visitor.visit_bool(true)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.paths.insert(self.path);
        visitor.visit_i32(1)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.paths.insert(self.path);
        visitor.visit_i64(1)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let path = format!("{}[]", self.path);
        visitor.visit_seq(Once(Some(self.below(path))))
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let path = format!("{}[]", self.path);
        visitor.visit_map(Members { names: &["key"], fixed: Some(path), tracer: self.below(String::new()) })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Members { names, fixed: None, tracer: self })
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

struct Once<'a>(Option<Tracer<'a>>);

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|tracer| seed.deserialize(tracer)).transpose()
    }
}

struct Members<'a> {
    names: &'static [&'static str],
    fixed: Option<String>,
    tracer: Tracer<'a>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.names.first() else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, rest) = self.names.split_first().expect("a value follows a name");
        self.names = rest;
        let dot = if self.tracer.path.is_empty() { "" } else { "." };
        let path = self.fixed.clone().unwrap_or_else(|| format!("{}{dot}{name}", self.tracer.path));
        seed.deserialize(self.tracer.below(path))
    }
}

#[test]
fn the_search_sees_members_of_lists_maps_and_options() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its members' names are read")]
    struct Outer {
        list: Vec<Inner>,
        map: std::collections::BTreeMap<String, Inner>,
        any: Option<Value>,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its members' names are read")]
    struct Inner {
        flag: bool,
    }
    let paths = paths_of::<Outer>();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["any", "list[].flag", "map[].flag"]);
}
