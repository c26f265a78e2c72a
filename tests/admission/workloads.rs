//! What is judged about an object, and what makes it unreadable.

use pratique::admission::{CustomKind, Error, GroupVersionKind, GroupVersionResource, Limits, Request, Workload};
use proptest::prelude::*;
use serde_json::{Value, json};

struct Review {
    operation: &'static str,
    object: Value,
    old: Value,
    sub_resource: &'static str,
    groups: Vec<&'static str>,
}

impl Review {
    fn create(object: Value) -> Self {
        Self { operation: "CREATE", object, old: Value::Null, sub_resource: "", groups: vec![] }
    }

    fn update(old: Value, object: Value) -> Self {
        Self { operation: "UPDATE", object, old, sub_resource: "", groups: vec![] }
    }

    fn of(&self, kind: &str, resource: &str) -> Request {
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": self.operation, "object": self.object, "oldObject": self.old,
            "subResource": self.sub_resource, "userInfo": {"username": "someone", "groups": self.groups},
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": "", "version": "v1", "resource": resource},
        }});
        Request::parse(body.to_string().as_bytes()).unwrap()
    }

    fn pod(&self) -> Result<Workload, Error> {
        Workload::read(&self.of("Pod", "pods"), &[], &Limits::default())
    }
}

fn pod(images: &[&str]) -> Value {
    let containers: Vec<Value> = images.iter().map(|image| json!({"image": image})).collect();
    json!({"spec": {"containers": containers}})
}

fn fields(workload: &Workload) -> Vec<&str> {
    workload.uses.iter().map(|image_use| image_use.field.as_str()).collect()
}

#[test]
fn an_image_that_moves_to_another_place_is_judged_there() {
    let workload = Review::update(pod(&["a", "b"]), pod(&["b", "a"])).pod().unwrap();
    assert_eq!(fields(&workload), ["spec.containers[0].image", "spec.containers[1].image"]);
}

#[test]
fn an_update_whose_old_object_cannot_be_read_is_judged_as_a_whole() {
    for old in [Value::Null, json!("x"), json!({}), json!({"spec": {"containers": "x"}})] {
        let workload = Review::update(old.clone(), pod(&["a", "b"])).pod().unwrap();
        assert_eq!(workload.uses.len(), 2, "{old}");
    }
}

#[test]
fn a_subresource_without_an_own_image_list_is_judged_like_its_object() {
    let mut review = Review::update(pod(&["a"]), pod(&["a"]));
    review.sub_resource = "resize";
    assert!(review.pod().unwrap().uses.is_empty());
    review.object = pod(&["b"]);
    assert_eq!(fields(&review.pod().unwrap()), ["spec.containers[0].image"]);
}

#[test]
fn an_object_may_name_so_many_different_images_and_no_more() {
    let many = |count: usize| (0..count).map(|index| format!("image-{index}")).collect::<Vec<_>>();
    let pod_of = |images: &[String]| pod(&images.iter().map(String::as_str).collect::<Vec<_>>());
    let limit = Limits::default().images;
    assert_eq!(Review::create(pod_of(&many(limit))).pod().unwrap().uses.len(), limit);
    assert_eq!(
        Review::create(pod_of(&many(limit + 1))).pod(),
        Err(Error::TooManyImages { what: "different images", found: limit + 1, limit })
    );
    // The same image many times is one to judge.
    let same = vec!["image".to_owned(); limit * 2];
    assert_eq!(Review::create(pod_of(&same)).pod().unwrap().uses.len(), limit * 2);
    // Only what changes is counted.
    let grown = many(limit + 1);
    assert!(Review::update(pod_of(&many(limit)), pod_of(&grown)).pod().is_ok());
    let limit = Limits::default().uses;
    assert_eq!(
        Review::create(pod_of(&vec!["image".to_owned(); limit + 1])).pod(),
        Err(Error::TooManyImages { what: "images", found: limit + 1, limit })
    );
}

#[test]
fn an_object_that_is_nested_too_deeply_is_refused_and_not_the_call() {
    let mut deep = json!("leaf");
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "object": {"metadata": deep},
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
    }});
    let request = Request::parse(body.to_string().as_bytes()).unwrap();
    let error = Workload::read(&request, &[], &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::UnreadableObject { .. }), "{error}");
}

#[test]
fn only_a_node_that_creates_a_pod_makes_a_mirror_of_it() {
    let mut object = pod(&["a"]);
    object["metadata"] = json!({"annotations": {"kubernetes.io/config.mirror": ""}});
    let mut review = Review::create(object.clone());
    assert!(!review.pod().unwrap().mirror);
    review.groups = vec!["system:nodes"];
    assert!(review.pod().unwrap().mirror);
    review.groups = vec!["system:nodes:x", "system:masters"];
    assert!(!review.pod().unwrap().mirror);
    let mut update = Review::update(pod(&["b"]), object.clone());
    update.groups = vec!["system:nodes"];
    assert!(!update.pod().unwrap().mirror);
    object["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": null});
    assert!(Review { groups: vec!["system:nodes"], ..Review::create(pod(&["a"])) }.pod().is_ok_and(|pod| !pod.mirror));
    object["metadata"] = json!("kubernetes.io/config.mirror");
    assert!(Review { groups: vec!["system:nodes"], ..Review::create(object) }.pod().is_ok_and(|pod| !pod.mirror));
}

#[test]
fn a_custom_kind_is_judged_along_its_paths_and_as_a_template() {
    let kind = GroupVersionKind { group: String::new(), version: "v1".into(), kind: "Flow".into() };
    let resource = GroupVersionResource { group: String::new(), version: "v1".into(), resource: "flows".into() };
    let custom = CustomKind {
        kind,
        resource,
        pod_specs: vec!["spec.template.spec".parse().unwrap()],
        images: vec!["spec.image".parse().unwrap()],
    };
    let object = json!({"spec": {"image": "a", "template": pod(&["b", ""])}});
    let request = Review::create(object.clone()).of("Flow", "flows");
    let workload = Workload::read(&request, std::slice::from_ref(&custom), &Limits::default()).unwrap();
    assert_eq!(fields(&workload), ["spec.template.spec.containers[0].image", "spec.image"]);
    assert!(!workload.is_pod);
    let unchanged = Review::update(object.clone(), object).of("Flow", "flows");
    assert!(Workload::read(&unchanged, &[custom], &Limits::default()).unwrap().uses.is_empty());
    let unknown = Workload::read(&request, &[], &Limits::default());
    assert!(matches!(unknown, Err(Error::UnknownKind { .. })));
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = || {
        prop_oneof![
            Just("spec"),
            Just("containers"),
            Just("initContainers"),
            Just("ephemeralContainers"),
            Just("volumes"),
            Just("image"),
            Just("reference"),
            Just("metadata"),
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(names().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Every image of a PodSpec by another way than the walk: `None` where something has a wrong type.
fn images(spec: &Value) -> Option<Vec<String>> {
    let list = |name: &str| match &spec[name] {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => Some(items.clone()),
        _ => None,
    };
    let text = |value: &Value| match value {
        Value::Null => Some(String::new()),
        other => other.as_str().map(str::to_owned),
    };
    let mut images = Vec::new();
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(name)? {
            images.push(text(&container.as_object()?.get("image").cloned().unwrap_or_default())?);
        }
    }
    for volume in list("volumes")? {
        match volume.as_object()?.get("image") {
            None | Some(Value::Null) => {}
            Some(source) => images.push(text(&source.as_object()?.get("reference").cloned().unwrap_or_default())?),
        }
    }
    Some(images)
}

proptest! {
    #[test]
    fn whatever_the_object_each_image_is_found_or_the_object_refused(spec in any_json()) {
        let read = Review::create(json!({ "spec": spec.clone() })).pod();
        match spec.as_object().and_then(|_| images(&spec)) {
            Some(expected) => {
                let found: Vec<String> = read.unwrap().uses.into_iter().map(|image_use| image_use.image).collect();
                prop_assert_eq!(found, expected);
            }
            None => {
                let refused = matches!(read, Err(Error::WrongType { .. } | Error::MissingField { .. }));
                prop_assert!(refused, "{read:?}");
            }
        }
    }

    #[test]
    fn an_update_judges_exactly_what_differs(
        before in proptest::collection::vec("[ab]", 0..5),
        after in proptest::collection::vec("[ab]", 0..5),
    ) {
        let texts = |images: &[String]| pod(&images.iter().map(String::as_str).collect::<Vec<_>>());
        let workload = Review::update(texts(&before), texts(&after)).pod().unwrap();
        let differs = |index: &usize| before.get(*index) != after.get(*index);
        let expected: Vec<String> =
            (0..after.len()).filter(differs).map(|index| format!("spec.containers[{index}].image")).collect();
        prop_assert_eq!(fields(&workload), expected);
    }
}
