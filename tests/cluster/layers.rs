//! A layout that looks at the files of an image, with docker-registry as the source of its layers.

use std::{fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use jiff::{SignedDuration, Timestamp};
use pratique::{
    crypto::Sha256,
    publish::{Format, Layout, Link, LinkSource, NewImage, NewLayout, SigningKey, Step},
};
use serde_json::json;

use crate::{
    registry::Registry,
    support::{
        chain::{Chain, NAME},
        cluster::Cluster,
        objects,
        webhook::{Settings, Webhook},
    },
};

const LAYOUT: &str = "layouts/registry.example/team/app/files.layout";

/// A packed layer of these files.
fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for (name, content) in files {
        let mut block = vec![0; 512];
        let fields = [
            (0, name.as_bytes().to_vec()),
            (124, format!("{:011o}", content.len()).into_bytes()),
            (148, b"        ".to_vec()),
            (156, b"0".to_vec()),
            (257, b"ustar\x0000".to_vec()),
        ];
        for (at, field) in fields {
            block[at..at + field.len()].copy_from_slice(&field);
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend_from_slice(content.as_bytes());
        block.resize(block.len().next_multiple_of(512), 0);
        packed.write_all(&block).unwrap();
    }
    packed.write_all(&[0; 1024]).unwrap();
    packed.finish().unwrap()
}

/// An image of these layers, all of which the registry has, with the link of who built it from the program `new`.
fn release(chain: &Chain, registry: &Registry, builder: &SigningKey, layers: &[&[u8]]) -> String {
    let listed = layers.iter().map(|layer| {
        registry.put_layer(layer);
        json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": format!("sha256:{}", Sha256::of(layer)), "size": layer.len(),
        })
    });
    let manifest = json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{}", Sha256::of(b"config")), "size": 6,
        },
        "layers": listed.collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let link = Link::new("build").product(NAME, Sha256::of(&manifest)).product("app", Sha256::of(b"new"));
    let image = NewImage {
        repository: NAME.to_owned(),
        tags: Vec::new(),
        layout: LAYOUT.to_owned(),
        links: vec![LinkSource {
            name: link.file_name(builder).unwrap(),
            bytes: link.sign(Format::Metablock, builder).unwrap(),
        }],
        role: Some("images".to_owned()),
        manifest,
    };
    let digest = chain.publish(|publisher| publisher.add_image(&image).unwrap().digest);
    format!("{}/team/app@sha256:{digest}", registry.host)
}

#[test]
fn what_is_in_an_image_is_what_the_build_made() {
    let cluster = Cluster::shared();
    let name = "layers";
    let registry = Registry::start(cluster, name);
    let host = &registry.host;
    let chain = Chain::new(&cluster.folder(&format!("project-{name}")));
    let (owner, builder) = (SigningKey::ed25519_from_seed([101; 32]), SigningKey::ed25519_from_seed([102; 32]));
    let layout = Layout::new(Timestamp::now() + SignedDuration::from_hours(24))
        .step(Step::new("build").functionary(&builder).unwrap().products(&["ALLOW *"]))
        .inspection(
            "look",
            &["pratique", "files"],
            &["ALLOW etc/*", "MATCH app IN usr/bin WITH PRODUCTS FROM build", "DISALLOW *"],
            &[],
        );
    let layout = NewLayout {
        path: LAYOUT.to_owned(),
        bytes: layout.sign(Format::Metablock, &[&owner]).unwrap(),
        keys: vec![owner.public_pem().unwrap().into_bytes()],
        images: Vec::new(),
        role: "targets".to_owned(),
    };
    chain.publish(|publisher| publisher.add_layout(layout).unwrap());
    let base = layer(&[("etc/os-release", "debian"), ("usr/bin/app", "old")]);
    let good = release(&chain, &registry, &builder, &[&base, &layer(&[("usr/bin/app", "new")])]);
    let evil = release(&chain, &registry, &builder, &[&base, &layer(&[("usr/bin/app", "evil")])]);
    let more = release(&chain, &registry, &builder, &[&base, &layer(&[("usr/bin/app", "new"), ("usr/bin/sh", "new")])]);
    let swapped = layer(&[("usr/bin/app", "new"), ("etc/other", "")]);
    let damaged = release(&chain, &registry, &builder, &[&base, &swapped]);
    registry.replace_layer(&swapped, &layer(&[("usr/bin/app", "evil")]));

    let beside = cluster.folder(&format!("webhook-{name}"));
    fs::write(beside.join("registry.ca.pem"), cluster.authority().pem()).unwrap();
    fs::create_dir_all(beside.join("login")).unwrap();
    for (key, value) in [("host", host.as_str()), ("username", "ann"), ("password", "s3cret")] {
        fs::write(beside.join("login").join(key), value).unwrap();
    }
    let policy = chain.policy();
    let (repositories, _) = policy.split_once("rules:\n").unwrap();
    let policy = format!(
        "{repositories}registries:
  \"{host}\": {{private: true, caBundle: registry.ca.pem, auth: {{secretRef: login}}}}
rules:
  - name: looked-at
    match: {{namespaces: [\"*\"], images: [\"{host}/team/app\"]}}
    as: {NAME}
    verify: {{repositories: [acme], layout: \"layouts/{{repository}}/*\", layers: {{registry: \"{host}\"}}}}
"
    );
    let settings = Settings::file(cluster, name, &chain, &policy);
    let webhook = Webhook::start(cluster, name, &settings, &[]);

    webhook.kubectl.apply(&objects::pod("good", &good)).succeeded();
    for (pod, image, artifact) in [("evil", &evil, "usr/bin/app"), ("more", &more, "usr/bin/sh")] {
        let text = webhook.kubectl.apply(&objects::pod(pod, image)).refused();
        assert!(text.contains("[in-toto/disallowed-artifact] ") && text.contains(artifact), "{text}");
    }
    let text = webhook.kubectl.apply(&objects::pod("damaged", &damaged)).refused();
    assert!(text.contains("[inspection/layer-mismatch] "), "{text}");

    // The layer that all of them have was read once.
    let base = Sha256::of(&base).to_string();
    let log = registry.log();
    let answered =
        |line: &&str| line.contains(&base) && line.contains("response completed") && line.contains("status=200");
    assert_eq!(log.lines().filter(answered).count(), 1, "{log}");
    assert!(!webhook.log().contains("s3cret"));
}
