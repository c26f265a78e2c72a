//! Kinds of which the configuration says where they name images: custom resources.

use std::str::FromStr;

use serde_json::Value;

use super::{
    Error, GroupVersionKind, GroupVersionResource, ImageKind, ImageUse, Limits,
    walk::{POD_SPEC_MEMBERS, Place, Walk, as_object},
};

/// A custom kind whose images can be found. Its objects count as templates: what runs in the end are Pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKind {
    /// What its objects are.
    pub kind: GroupVersionKind,
    /// The resource of the webhook rule.
    pub resource: GroupVersionResource,
    /// Where it has PodSpecs.
    pub pod_specs: Vec<FieldPath>,
    /// Where it names single images.
    pub images: Vec<FieldPath>,
}

/// The way to fields of an object: `spec.templates[*].container.image`, where `[*]` stands for every item of a list and
/// a member named `*` for every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    EveryMember,
    EveryItem,
}

impl FromStr for FieldPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let name = part.trim_end_matches("[*]");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            match name {
                "*" => steps.push(Step::EveryMember),
                name if !name.is_empty() && name.bytes().all(plain) => steps.push(Step::Member(name.to_owned())),
                _ => return Err(Error::MalformedPath { text: text.to_owned() }),
            }
            let lists = (part.len() - name.len()) / "[*]".len();
            steps.extend(std::iter::repeat_n(Step::EveryItem, lists));
        }
        Ok(Self(steps))
    }
}

impl FromStr for CustomKind {
    type Err = Error;

    /// `GROUP/VERSION/RESOURCE/KIND:podSpec=PATH,image=PATH,…`: at least one path, any number of each.
    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = || Error::MalformedKind { text: text.to_owned() };
        let (names, paths) = text.split_once(':').ok_or_else(malformed)?;
        let plain = |name: &str| {
            let mut bytes = name.bytes();
            !name.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
        };
        let names: Vec<&str> = names.split('/').collect();
        let [group, version, resource, kind] = *names.as_slice() else { return Err(malformed()) };
        // The groups of the kinds that are built in: what is said of those here would have no effect.
        if !names.iter().copied().all(plain) || matches!(group, "apps" | "batch") {
            return Err(malformed());
        }
        let [group, version, resource, kind] = [group, version, resource, kind].map(ToOwned::to_owned);
        let (mut pod_specs, mut images) = (Vec::new(), Vec::new());
        for path in paths.split(',') {
            match path.split_once('=').ok_or_else(malformed)? {
                ("podSpec", path) => pod_specs.push(path.parse()?),
                ("image", path) => images.push(path.parse()?),
                _ => return Err(malformed()),
            }
        }
        Ok(Self {
            kind: GroupVersionKind { group: group.clone(), version: version.clone(), kind },
            resource: GroupVersionResource { group, version, resource },
            pod_specs,
            images,
        })
    }
}

impl CustomKind {
    /// Whether a member of this name may lead to an image.
    pub(super) fn keeps(&self, name: &str) -> bool {
        let mut steps = self.pod_specs.iter().chain(&self.images).flat_map(|path| &path.0);
        let leads = steps.any(|step| match step {
            Step::Member(member) => member == name,
            Step::EveryMember => true,
            Step::EveryItem => false,
        });
        leads || POD_SPEC_MEMBERS.contains(&name)
    }

    pub(super) fn images_of(&self, object: &Value, limits: &Limits) -> Result<Vec<ImageUse>, Error> {
        let mut walk = Walk::new(false, limits);
        for path in &self.pod_specs {
            path.visit(object, &mut |value, place| walk.pod_spec(as_object(value, &place)?, &place))?;
        }
        for path in &self.images {
            path.visit(object, &mut |value, place| walk.reference(Some(value), ImageKind::Container, place))?;
        }
        Ok(walk.into_uses())
    }
}

impl FieldPath {
    /// Comes to every field that the path leads to. Where the way ends early, there is nothing; where it leads through
    /// something of another type, the object is not what the configuration says.
    fn visit(&self, object: &Value, found: &mut impl FnMut(&Value, Place) -> Result<(), Error>) -> Result<(), Error> {
        visit(&self.0, object, Place::default(), found)
    }
}

/// As deep as the configured path is long.
fn visit(
    steps: &[Step],
    value: &Value,
    place: Place,
    found: &mut impl FnMut(&Value, Place) -> Result<(), Error>,
) -> Result<(), Error> {
    if value.is_null() {
        return Ok(());
    }
    let Some((step, rest)) = steps.split_first() else { return found(value, place) };
    match step {
        Step::Member(name) => match as_object(value, &place)?.get(name) {
            Some(child) => visit(rest, child, place.member(name), found),
            None => Ok(()),
        },
        Step::EveryMember => {
            as_object(value, &place)?.iter().try_for_each(|(name, child)| visit(rest, child, place.entry(name), found))
        }
        Step::EveryItem => {
            let items = value.as_array().ok_or_else(|| place.wrong_type("a list", value))?;
            items.iter().enumerate().try_for_each(|(index, child)| visit(rest, child, place.item(index), found))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn custom(pod_specs: &[&str], images: &[&str]) -> CustomKind {
        let paths = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let (group, version) = ("example.org".to_owned(), "v1".to_owned());
        CustomKind {
            kind: GroupVersionKind { group: group.clone(), version: version.clone(), kind: "Flow".into() },
            resource: GroupVersionResource { group, version, resource: "flows".into() },
            pod_specs: paths(pod_specs),
            images: paths(images),
        }
    }

    fn found(custom: &CustomKind, object: &Value) -> Vec<(String, String, String)> {
        let uses = custom.images_of(object, &Limits::default()).unwrap();
        uses.into_iter().map(|image_use| (image_use.field, image_use.pointer, image_use.image)).collect()
    }

    #[test]
    fn a_path_leads_through_lists_and_members() {
        let custom = custom(&["spec.replicas.*.template.spec"], &["spec.steps[*].image", "spec.grid[*][*].image"]);
        let object = json!({"spec": {
            "replicas": {"a/b~c": {"template": {"spec": {"containers": [{"image": "one"}]}}}},
            "steps": [{"image": "two"}, {"script": "no image"}, {"image": null}],
            "grid": [[{"image": "three"}], []],
        }});
        let text = |field: &str, pointer: &str, image: &str| (field.to_owned(), pointer.to_owned(), image.to_owned());
        assert_eq!(
            found(&custom, &object),
            [
                text(
                    "spec.replicas[\"a/b~c\"].template.spec.containers[0].image",
                    "/spec/replicas/a~1b~0c/template/spec/containers/0/image",
                    "one"
                ),
                text("spec.steps[0].image", "/spec/steps/0/image", "two"),
                text("spec.grid[0][0].image", "/spec/grid/0/0/image", "three"),
            ]
        );
        for (_, pointer, image) in found(&custom, &object) {
            assert_eq!(object.pointer(&pointer).unwrap(), &image);
        }
    }

    #[test]
    fn where_the_way_ends_early_there_is_nothing() {
        let custom = custom(&["spec.template.spec"], &["spec.image"]);
        for object in [json!({}), json!({"spec": null}), json!({"spec": {"template": {}}})] {
            assert!(found(&custom, &object).is_empty(), "{object}");
        }
    }

    #[test]
    fn another_type_on_the_way_is_an_error() {
        let custom = custom(&["spec.template.spec"], &["spec.images[*]", "spec.by.*"]);
        for object in [
            json!([]),
            json!({"spec": "x"}),
            json!({"spec": {"template": {"spec": []}}}),
            json!({"spec": {"images": {"a": "b"}}}),
            json!({"spec": {"images": [7]}}),
            json!({"spec": {"by": ["x"]}}),
        ] {
            let error = custom.images_of(&object, &Limits::default()).unwrap_err();
            assert!(matches!(error, Error::WrongType { .. }), "{object}: {error}");
        }
    }

    #[test]
    fn a_kind_is_read_as_it_is_configured() {
        let read = "example.org/v1/flows/Flow:podSpec=spec.a.spec,image=spec.steps[*].image,podSpec=spec.b".parse();
        assert_eq!(read, Ok(custom(&["spec.a.spec", "spec.b"], &["spec.steps[*].image"])));
        for text in [
            "",
            "example.org/v1/flows/Flow",
            "example.org/v1/flows/Flow:",
            "example.org/v1/flows:image=a",
            "example.org/v1/flows/Flow/x:image=a",
            "/v1/flows/Flow:image=a",
            "apps/v1/deployments/Deployment:image=a",
            "example.org/v1/flows/Fl ow:image=a",
            "example.org/v1/flows/Flow:images=a",
            "example.org/v1/flows/Flow:image=a,",
        ] {
            let error = text.parse::<CustomKind>().unwrap_err();
            assert_eq!(error, Error::MalformedKind { text: text.to_owned() });
            assert_eq!(error.code(), "admission/malformed-kind");
        }
        let error = "example.org/v1/flows/Flow:image=a[0]".parse::<CustomKind>().unwrap_err();
        assert_eq!(error, Error::MalformedPath { text: "a[0]".to_owned() });
    }

    #[test]
    fn what_is_not_a_path_is_refused_with_the_configuration() {
        for text in
            ["", ".", "spec.", "spec..image", "spec.[*]", "spec.a[0]", "spec.a[*]b", "spec.*[x]", "a b", "/spec"]
        {
            let error = text.parse::<FieldPath>().unwrap_err();
            assert_eq!(error, Error::MalformedPath { text: text.to_owned() });
            assert_eq!(error.code(), "admission/malformed-path");
        }
    }
}
