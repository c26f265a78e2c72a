use serde_json::json;

use super::*;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn descriptor(media_type: &str, byte: u8) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", Sha256::of(&[byte])), "size": 7})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", 0),
        "layers": [descriptor(LAYER, 1), descriptor(LAYER, 2)],
        "annotations": {"org.opencontainers.image.source": "https://git.example/app"},
    })
}

fn index() -> Value {
    let mut arm = descriptor(IMAGE, 1);
    arm["platform"] = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
    let mut amd = descriptor(IMAGE, 2);
    amd["platform"] = json!({"os": "linux", "architecture": "amd64"});
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [arm, amd, descriptor(IMAGE, 3)]})
}

fn read(value: &Value) -> Result<Manifest, Error> {
    parse(value.to_string().as_bytes())
}

fn fault(value: &Value) -> ManifestFault {
    match read(value) {
        Err(Error::AmbiguousManifest(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// `value` with the member at `pointer` replaced, or removed by a null.
fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(members) if member.is_null() => drop(members.remove(name)),
        Value::Object(members) => drop(members.insert(name.to_owned(), member)),
        other => panic!("{other}"),
    }
    value
}

#[test]
fn an_image_manifest_lists_its_config_and_layers() {
    let Ok(Manifest::Image { config, layers }) = read(&image()) else { panic!() };
    assert_eq!(config.digest, Sha256::of(&[0]));
    assert_eq!(layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(), [Sha256::of(&[1]), Sha256::of(&[2])]);
    assert_eq!(layers[0].size, 7);
}

#[test]
fn an_index_lists_its_platforms() {
    let Ok(Manifest::Index { children }) = read(&index()) else { panic!() };
    let platforms: Vec<_> = children.iter().map(|child| child.platform.as_ref().map(Platform::to_string)).collect();
    assert_eq!(platforms, [Some("linux/arm/v7".to_owned()), Some("linux/amd64".to_owned()), None]);
}

#[test]
fn without_a_media_type_the_members_decide() {
    assert!(matches!(read(&with(image(), "/mediaType", Value::Null)), Ok(Manifest::Image { .. })));
    assert!(matches!(read(&with(index(), "/mediaType", Value::Null)), Ok(Manifest::Index { .. })));
}

#[test]
fn the_types_of_docker_are_known() {
    let docker = |kind: &str| json!(format!("application/vnd.docker.distribution.{kind}+json"));
    assert!(matches!(read(&with(image(), "/mediaType", docker("manifest.v2"))), Ok(Manifest::Image { .. })));
    assert!(matches!(read(&with(index(), "/mediaType", docker("manifest.list.v2"))), Ok(Manifest::Index { .. })));
}

#[test]
fn a_document_that_is_both_an_image_and_an_index_is_ambiguous() {
    let manifests = index()["manifests"].clone();
    for declared in [Value::Null, json!(IMAGE), json!(INDEX)] {
        let both = with(with(image(), "/mediaType", declared), "/manifests", manifests.clone());
        assert!(matches!(fault(&both), ManifestFault::Members { .. }));
        assert_eq!(read(&both).unwrap_err().code(), "image/ambiguous-manifest");
    }
    let partly = with(index(), "/layers", json!([]));
    assert_eq!(fault(&partly), ManifestFault::Members { found: vec!["layers", "manifests"], wanted: "an index" });
}

#[test]
fn a_document_that_is_not_what_its_media_type_says_is_ambiguous() {
    assert_eq!(
        fault(&with(image(), "/mediaType", json!(INDEX))),
        ManifestFault::Members { found: vec!["config", "layers"], wanted: "an index" }
    );
    assert_eq!(
        fault(&with(index(), "/mediaType", json!(IMAGE))),
        ManifestFault::Members { found: vec!["manifests"], wanted: "an image manifest" }
    );
}

#[test]
fn an_image_without_config_or_layers_is_none() {
    for member in ["/config", "/layers"] {
        assert!(matches!(fault(&with(image(), member, Value::Null)), ManifestFault::Members { .. }));
    }
    assert!(matches!(fault(&json!({"schemaVersion": 2})), ManifestFault::Members { .. }));
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let text = image().to_string().replacen('{', "{\"layers\":[],", 1);
    assert!(matches!(parse(text.as_bytes()), Err(Error::AmbiguousManifest(ManifestFault::Json(_)))));
}

#[test]
fn schema_1_is_refused() {
    assert_eq!(fault(&with(image(), "/schemaVersion", json!(1))), ManifestFault::SchemaVersion("1".into()));
    assert_eq!(fault(&with(image(), "/schemaVersion", json!("2"))), ManifestFault::SchemaVersion("\"2\"".into()));
    assert_eq!(fault(&with(image(), "/schemaVersion", Value::Null)), ManifestFault::SchemaVersion("null".into()));
    assert!(matches!(fault(&with(image(), "/fsLayers", json!([]))), ManifestFault::Members { .. }));
}

#[test]
fn an_unknown_media_type_is_refused() {
    let type_of_config = "application/vnd.oci.image.config.v1+json";
    assert_eq!(
        fault(&with(image(), "/mediaType", json!(type_of_config))),
        ManifestFault::MediaType(type_of_config.into())
    );
    assert_eq!(fault(&with(image(), "/mediaType", json!(7))), ManifestFault::MediaType("7".into()));
}

#[test]
fn an_index_within_an_index_is_refused() {
    let nested = with(index(), "/manifests", json!([descriptor(INDEX, 1)]));
    let expected = ManifestFault::NestedIndex { place: "manifests[0]".into(), media_type: INDEX.into() };
    assert_eq!(fault(&nested), expected);
}

#[test]
fn only_sha256_is_compared() {
    let mut sha512 = image();
    sha512["layers"][1]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
    let expected = Error::UnsupportedDigest { subject: "layers[1].digest".into(), algorithm: "sha512".into() };
    assert_eq!(read(&sha512), Err(expected));
}

#[test]
fn each_malformed_member_is_named() {
    let set = |pointer: &str, member: Value| {
        let mut value = if pointer.starts_with("/manifests") { index() } else { image() };
        *value.pointer_mut(pointer).unwrap() = member;
        fault(&value)
    };
    for (pointer, member, place) in [
        ("/config", json!([]), "config"),
        ("/layers", json!({}), "layers"),
        ("/layers/1", json!("x"), "layers[1]"),
        ("/layers/0/mediaType", json!(null), "layers[0].mediaType"),
        ("/layers/0/digest", json!(7), "layers[0].digest"),
        ("/layers/0/digest", json!("sha256:abc"), "layers[0].digest"),
        ("/layers/0/digest", json!("abc"), "layers[0].digest"),
        ("/layers/0/size", json!(-1), "layers[0].size"),
        ("/layers/0/size", json!("7"), "layers[0].size"),
        ("/manifests/0/platform", json!("linux/arm"), "manifests[0].platform.os"),
        ("/manifests/0/platform/os", json!("linux/arm"), "manifests[0].platform.os"),
        ("/manifests/0/platform/os", json!(""), "manifests[0].platform.os"),
        ("/manifests/0/platform/architecture", json!("amd64#x"), "manifests[0].platform.architecture"),
        ("/manifests/0/platform/variant", json!(7), "manifests[0].platform.variant"),
    ] {
        let got = set(pointer, member);
        assert!(matches!(&got, ManifestFault::Malformed { place: named, .. } if named == place), "{pointer}: {got}");
    }
}

#[test]
fn sizes_are_capped() {
    let entries = |count: usize| with(image(), "/layers", Value::Array(vec![descriptor(LAYER, 1); count]));
    assert!(read(&entries(MAX_DESCRIPTORS)).is_ok());
    let expected = ManifestFault::TooMany { place: "layers", count: MAX_DESCRIPTORS + 1, limit: MAX_DESCRIPTORS };
    assert_eq!(fault(&entries(MAX_DESCRIPTORS + 1)), expected);
    // Of a document that is hardly larger than it should be, hundreds of times its bytes would be taken in memory.
    let values = |count: usize| {
        let mut manifest = image();
        manifest["annotations"] = json!(0);
        let others = values_of(&manifest) - 1;
        manifest["annotations"] = Value::Array(vec![json!(0); count - others - 1]);
        manifest
    };
    assert!(read(&values(MAX_VALUES)).is_ok());
    let found = fault(&values(MAX_VALUES + 1));
    assert!(matches!(&found, ManifestFault::Json(why) if why.0.contains("more than 100000 values")), "{found}");
    let long = vec![b' '; MAX_BYTES + 1];
    let expected = ManifestFault::TooLarge { length: MAX_BYTES + 1, limit: MAX_BYTES };
    assert_eq!(parse(&long), Err(Error::AmbiguousManifest(expected)));
}

fn values_of(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Array(items) => items.iter().map(values_of).sum(),
        Value::Object(members) => members.values().map(values_of).sum(),
        _ => 0,
    };
    inner + 1
}

#[test]
fn what_is_not_an_object_is_refused() {
    assert_eq!(fault(&json!([])), ManifestFault::NotAnObject);
    assert!(matches!(parse(b"\xff"), Err(Error::AmbiguousManifest(ManifestFault::Json(_)))));
}
