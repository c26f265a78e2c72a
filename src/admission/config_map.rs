//! Which policy does this edit of a ConfigMap bring?

use super::{
    Error, Operation, Request,
    object::read_object,
    walk::{Place, as_object, member},
};

/// The text under `key` in the ConfigMap that the request writes; `None` where it writes none.
///
/// # Errors
/// The object is no ConfigMap, is not what it says, or has nothing under `key`.
pub fn config_map_entry(request: &Request, key: &str) -> Result<Option<String>, Error> {
    match request.operation {
        Operation::Delete | Operation::Connect => return Ok(None),
        Operation::Create | Operation::Update => {}
    }
    if (&*request.kind.group, &*request.kind.version, &*request.kind.kind) != ("", "v1", "ConfigMap") {
        return Err(Error::UnknownKind {
            api_version: request.kind.api_version(),
            kind: request.kind.kind.clone(),
            resource: request.resource_path(),
        });
    }
    let Some(object) = &request.object else {
        return Err(Error::NoObject { operation: request.operation.as_str() });
    };
    let object = read_object(object, &|name| name == "data" || name == key)?;
    let object = as_object(&object, &Place::default())?;
    let place = Place::default().member("data");
    let entry = match member(object, "data") {
        Some(data) => as_object(data, &place)?.get(key),
        None => None,
    };
    let place = place.entry(key);
    let Some(entry) = entry else { return Err(Error::MissingField { field: place.field }) };
    match entry.as_str() {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(place.wrong_type("a string", entry)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(operation: &str, object: &Value) -> Result<Option<String>, Error> {
        let kind = object.get("kind").cloned().unwrap_or(json!("ConfigMap"));
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": operation, "object": object,
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        }});
        config_map_entry(&Request::parse(body.to_string().as_bytes()).unwrap(), "policy.yaml")
    }

    #[test]
    fn the_text_under_the_key_is_found() {
        let object = json!({"data": {"policy.yaml": "version: 1", "other": ""}});
        assert_eq!(entry("CREATE", &object), Ok(Some("version: 1".into())));
        assert_eq!(entry("UPDATE", &object), Ok(Some("version: 1".into())));
        assert_eq!(entry("DELETE", &object), Ok(None));
    }

    #[test]
    fn what_has_no_policy_is_an_error() {
        let missing = Err(Error::MissingField { field: "data[\"policy.yaml\"]".into() });
        assert_eq!(entry("UPDATE", &json!({})), missing);
        assert_eq!(entry("UPDATE", &json!({"data": null})), missing);
        assert_eq!(entry("UPDATE", &json!({"data": {"Policy.yaml": ""}})), missing);
        assert!(matches!(entry("UPDATE", &json!({"data": {"policy.yaml": 1}})), Err(Error::WrongType { .. })));
        assert!(matches!(entry("UPDATE", &json!({"data": []})), Err(Error::WrongType { .. })));
        assert!(matches!(entry("UPDATE", &Value::Null), Err(Error::NoObject { .. })));
        assert!(matches!(entry("UPDATE", &json!({"kind": "Secret"})), Err(Error::UnknownKind { .. })));
    }
}
