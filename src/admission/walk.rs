//! The walk along the members that lead to images, and the names of the places it comes to.

use serde_json::{Map, Value};

use super::{Error, ImageKind, ImageUse, Limits};

/// The members of a PodSpec, and of what is in it, at which [`Walk::pod_spec`] looks: no others are read.
pub(super) const POD_SPEC_MEMBERS: [&str; 6] =
    ["initContainers", "containers", "ephemeralContainers", "volumes", "image", "reference"];

/// Collects the images below PodSpecs.
pub(super) struct Walk<'a> {
    is_pod: bool,
    limits: &'a Limits,
    uses: Vec<ImageUse>,
}

impl<'a> Walk<'a> {
    /// `is_pod`: whether what is walked is going to run as it is.
    pub(super) fn new(is_pod: bool, limits: &'a Limits) -> Self {
        Self { is_pod, limits, uses: Vec::new() }
    }

    /// What was found.
    pub(super) fn into_uses(self) -> Vec<ImageUse> {
        self.uses
    }

    /// Every image field of a PodSpec.
    pub(super) fn pod_spec(&mut self, spec: &Map<String, Value>, place: &Place) -> Result<(), Error> {
        for (list, kind) in [
            ("initContainers", ImageKind::Init),
            ("containers", ImageKind::Container),
            ("ephemeralContainers", ImageKind::Ephemeral),
        ] {
            for (place, container) in items(spec, list, place)? {
                self.reference(member(as_object(container, &place)?, "image"), kind, place.member("image"))?;
            }
        }
        for (place, volume) in items(spec, "volumes", place)? {
            let volume = as_object(volume, &place)?;
            if let Some(source) = member(volume, "image") {
                let place = place.member("image");
                let reference = member(as_object(source, &place)?, "reference");
                self.reference(reference, ImageKind::Volume, place.member("reference"))?;
            }
        }
        Ok(())
    }

    /// An empty reference runs nothing. A template may have one for a higher level to fill in, and the Pod made from
    /// it is judged; in a Pod it is kept, to be refused as what it is.
    pub(super) fn reference(&mut self, image: Option<&Value>, kind: ImageKind, place: Place) -> Result<(), Error> {
        let image = match image {
            None => "",
            Some(Value::String(text)) => text,
            Some(other) => return Err(place.wrong_type("a string", other)),
        };
        if image.is_empty() && !self.is_pod {
            return Ok(());
        }
        if self.uses.len() == self.limits.uses {
            let limit = self.limits.uses;
            return Err(Error::TooManyImages { what: "images", found: limit + 1, limit });
        }
        self.uses.push(ImageUse { field: place.field, pointer: place.pointer, image: image.to_owned(), kind });
        Ok(())
    }
}

/// A member that is there; JSON's `null` is how Go writes that it is not.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// The members of what must be an object.
pub(super) fn as_object<'a>(value: &'a Value, place: &Place) -> Result<&'a Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| place.wrong_type("an object", value))
}

/// The items of a list member, none where it is not there.
fn items<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    place: &Place,
) -> Result<impl Iterator<Item = (Place, &'a Value)> + use<'a>, Error> {
    let place = place.member(name);
    let items = match member(object, name) {
        None => &[][..],
        Some(Value::Array(items)) => items.as_slice(),
        Some(other) => return Err(place.wrong_type("a list", other)),
    };
    Ok(items.iter().enumerate().map(move |(index, item)| (place.item(index), item)))
}

/// A place in an object, in both notations.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// As people write it: `spec.containers[0]`.
    pub(super) field: String,
    /// As RFC 6901 writes it: `/spec/containers/0`.
    pub(super) pointer: String,
}

impl Place {
    /// The member of that name, which is one of the API and has no special characters.
    pub(super) fn member(&self, name: &str) -> Self {
        let dot = if self.field.is_empty() { "" } else { "." };
        Self { field: format!("{}{dot}{name}", self.field), pointer: format!("{}/{name}", self.pointer) }
    }

    /// The member of a name that a user chose: quoted, so that no name looks like a path.
    pub(super) fn entry(&self, name: &str) -> Self {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        Self { field: format!("{}[{name:?}]", self.field), pointer: format!("{}/{escaped}", self.pointer) }
    }

    /// The item at that index.
    pub(super) fn item(&self, index: usize) -> Self {
        Self { field: format!("{}[{index}]", self.field), pointer: format!("{}/{index}", self.pointer) }
    }

    /// That something else stands here.
    pub(super) fn wrong_type(&self, expected: &'static str, found: &Value) -> Error {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Error::WrongType { field: self.field.clone(), expected, found }
    }
}
