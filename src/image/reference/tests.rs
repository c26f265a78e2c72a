use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn normal(text: &str) -> String {
    Reference::parse(text).unwrap().to_string()
}

fn fault(text: &str) -> ReferenceFault {
    match Reference::parse(text) {
        Err(Error::MalformedReference { fault, .. }) => fault,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn every_spelling_of_a_repository_has_one_normal_form() {
    for (text, expected) in [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx"),
        ("acme/app", "docker.io/acme/app"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("docker.io/library/nginx", "docker.io/library/nginx"),
        ("docker.io:443/nginx", "docker.io/library/nginx"),
        ("index.docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io:443/acme/app", "docker.io/acme/app"),
        ("Docker.IO/nginx", "docker.io/library/nginx"),
        ("INDEX.docker.io/library/nginx", "docker.io/library/nginx"),
        ("registry.example/app", "registry.example/app"),
        ("Registry.Example:443/team/app", "registry.example/team/app"),
        ("registry.example:5000/team/app", "registry.example:5000/team/app"),
        ("registry.example:80/team/app", "registry.example:80/team/app"),
        ("localhost/app", "localhost/app"),
        ("localhost:443/app", "localhost/app"),
        ("LOCALHOST/app", "localhost/app"),
        ("localhost:5000/app", "localhost:5000/app"),
        ("10.0.0.1/app", "10.0.0.1/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("registry.example/a.b/c_d/e__f/g---h", "registry.example/a.b/c_d/e__f/g---h"),
        ("xn--exmple-cua.com/app", "xn--exmple-cua.com/app"),
        // As distribution reads it: without a slash, what follows the colon is a tag.
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("docker.io/library", "docker.io/library/library"),
    ] {
        assert_eq!(normal(text), expected, "{text}");
    }
}

#[test]
fn hosts_that_only_resemble_docker_hub_stay_themselves() {
    for text in [
        "registry-1.docker.io/library/nginx",
        "docker.io.evil.example/library/nginx",
        "evil-docker.io/library/nginx",
        "docker.io:5000/library/nginx",
        "index.docker.io:5000/library/nginx",
        "docker.io.evil.example:443/library/nginx",
    ] {
        let repository = Repository::parse(text).unwrap();
        assert_ne!(repository.host(), "docker.io", "{text}");
    }
    assert_eq!(normal("docker.io:5000/nginx"), "docker.io:5000/nginx");
    assert_eq!(normal("evil.example/docker.io/library/nginx"), "evil.example/docker.io/library/nginx");
}

#[test]
fn the_port_of_a_one_label_host_is_kept_because_it_alone_makes_it_a_host() {
    assert_eq!(normal("registry:443/app"), "registry:443/app");
    assert_ne!(normal("registry:443/app"), normal("registry/app"));
    assert_eq!(fault("Registry/app"), ReferenceFault::SingleLabelHost("Registry".into()));
}

#[test]
fn tag_and_digest_are_told_apart() {
    let both = Reference::parse(&format!("nginx:1.27@{DIGEST}")).unwrap();
    assert_eq!(both.tag.as_ref().map(Tag::as_str), Some("1.27"));
    assert_eq!(both.digest, DIGEST.strip_prefix("sha256:").unwrap().parse().ok());
    assert_eq!(both.to_string(), format!("docker.io/library/nginx:1.27@{DIGEST}"));
    assert_eq!(Reference::parse("registry.example:5000/app").unwrap().tag, None);
    let ported = Reference::parse("registry.example:5000/app:1").unwrap();
    assert_eq!((ported.repository.host(), ported.repository.path()), ("registry.example:5000", "app"));
}

#[test]
fn latest_is_meant_only_where_neither_tag_nor_digest_is_written() {
    let meant = |text: &str| Reference::parse(text).unwrap().meant_tag().map(|tag| tag.to_string());
    assert_eq!(meant("nginx").as_deref(), Some("latest"));
    assert_eq!(meant("nginx:1.27").as_deref(), Some("1.27"));
    assert_eq!(meant(&format!("nginx:1.27@{DIGEST}")).as_deref(), Some("1.27"));
    assert_eq!(meant(&format!("nginx@{DIGEST}")), None);
}

#[test]
fn each_break_of_the_grammar_is_named() {
    use ReferenceFault::*;
    let component = |text: &str| Component(text.to_owned());
    for (text, expected) in [
        ("", Empty),
        ("https://registry.example/app", Scheme),
        ("[::1]:5000/app", Ipv6),
        ("registry.example/App", UpperCase("App".into())),
        ("nginX", UpperCase("library/nginX".into())),
        ("registry.example//app", component("")),
        ("registry.example/", component("")),
        ("/app", component("")),
        ("registry.example/app/", component("")),
        ("registry.example/../app", component("..")),
        ("registry.example/./app", component(".")),
        ("registry.example/-app", component("-app")),
        ("registry.example/app-", component("app-")),
        ("registry.example/a..b", component("a..b")),
        ("registry.example/a___b", component("a___b")),
        ("registry.example/a._b", component("a._b")),
        ("registry.example/a=b", component("a=b")),
        ("registry.example/a+b", component("a+b")),
        (":1.4", component("")),
        ("a:b/c", Port("b".into())),
        ("registry.example:443:443/app", Port("443:443".into())),
        ("registry.example:0/app", Port("0".into())),
        ("registry.example:0443/app", Port("0443".into())),
        ("registry.example:65536/app", Port("65536".into())),
        ("registry.example:+443/app", Port("+443".into())),
        ("registry.example:/app", Port(String::new())),
        ("registry.example./app", Host("registry.example.".into())),
        (".example/app", Host(".example".into())),
        ("registry..example/app", Host("registry..example".into())),
        ("-registry.example/app", Host("-registry.example".into())),
        ("my_registry.example/app", Host("my_registry.example".into())),
        ("app:", Tag(String::new())),
        ("app:-1", Tag("-1".into())),
        ("app:.1", Tag(".1".into())),
        ("app:1:2", Tag("1:2".into())),
        ("app::1", Tag(":1".into())),
        ("app:1+build", Tag("1+build".into())),
        ("app@", Digest(String::new())),
        ("app@sha256", Digest("sha256".into())),
        ("app@sha256:", Digest("sha256:".into())),
        ("app@sha256:abc", Digest("sha256:abc".into())),
        ("app@:abc", Digest(":abc".into())),
    ] {
        assert_eq!(fault(text), expected, "{text:?}");
    }
}

#[test]
fn a_digest_in_upper_case_or_twice_or_with_a_tail_is_refused() {
    let hex = DIGEST.strip_prefix("sha256:").unwrap();
    for text in [
        format!("app@sha256:{}", hex.to_uppercase()),
        format!("app@SHA256:{hex}"),
        format!("app@{DIGEST}@{DIGEST}"),
        format!("app@{DIGEST}/x"),
        format!("app@{DIGEST}:1.4"),
        format!("app@{DIGEST}0"),
    ] {
        assert!(matches!(fault(&text), ReferenceFault::Digest(_)), "{text}");
    }
}

#[test]
fn a_digest_of_another_algorithm_has_an_error_of_its_own() {
    let text = format!("app@sha512:{}", "0".repeat(128));
    let expected = Error::UnsupportedDigest { subject: text.clone(), algorithm: "sha512".into() };
    assert_eq!(Reference::parse(&text), Err(expected));
    assert_eq!(Reference::parse(&text).unwrap_err().code(), "image/unsupported-digest");
}

#[test]
fn characters_that_look_like_others_or_like_nothing_are_refused() {
    for text in [
        "registry.example/app ",
        " registry.example/app",
        "registry.example/app\n",
        "registry.example/app\0",
        "registry.example/a\tb",
        "registry.example\\app",
        "registry.example/app%2fother",
        "registry.example/app?x",
        "registry.example/app#linux",
        "user:pw,registry.example/app",
        "registry.example/*",
        "registry.example/{1}",
        // Cyrillic a, fullwidth slash, zero-width space, right-to-left override, Kelvin sign, dotted capital I.
        "registry.example/\u{430}pp",
        "registry.example\u{ff0f}app",
        "registry.example/a\u{200b}pp",
        "registry.example/\u{202e}ppa",
        "\u{212a}ube.example/app",
        "\u{130}ndex.docker.io/app",
        "registry\u{3002}example/app",
        "exämple.com/app",
    ] {
        assert!(matches!(fault(text), ReferenceFault::Character { .. }), "{text:?}");
    }
}

#[test]
fn errors_escape_what_a_terminal_would_obey() {
    let text = Reference::parse("registry.example/\u{202e}app\u{1b}[31m").unwrap_err().to_string();
    assert_eq!(
        text,
        "image reference \"registry.example/\\u{202e}app\\u{1b}[31m\": '\\u{202e}' at byte 17 cannot stand in a reference"
    );
}

#[test]
fn lengths_are_capped() {
    let path = |length: usize| format!("registry.example/{}", "a".repeat(length));
    assert!(Reference::parse(&path(255)).is_ok());
    assert_eq!(fault(&path(256)), ReferenceFault::RepositoryTooLong { length: 256, limit: 255 });
    assert_eq!(fault(&path(1024)), ReferenceFault::TooLong { length: 1041, limit: 1024 });
    assert!(Reference::parse(&format!("app:{}", "1".repeat(128))).is_ok());
    assert!(matches!(fault(&format!("app:{}", "1".repeat(129))), ReferenceFault::Tag(_)));
    assert!(matches!(fault(&format!("{}.example/app", "a".repeat(64))), ReferenceFault::Host(_)));
    assert!(matches!(fault(&format!("{}example/app", "a.".repeat(125))), ReferenceFault::Host(_)));
    // An error of a megabyte would be one in the logs, too.
    assert!(Reference::parse(&"a".repeat(1 << 20)).unwrap_err().to_string().len() < 300);
}

#[test]
fn an_image_id_is_not_a_repository() {
    assert_eq!(fault(&"0123456789abcdef".repeat(4)), ReferenceFault::ImageId);
    assert!(Reference::parse(&format!("registry.example/{}", "0".repeat(64))).is_ok());
}

#[test]
fn an_image_id_with_its_algorithm_is_not_a_tag_of_docker_hub() {
    // A node runs whatever image it already has under that id, from whatever registry; a few digits are enough.
    for text in [DIGEST, "sha256:e3b0", "sha384:00", &format!("sha512:{}", "0".repeat(128)), "sha256:latest"] {
        assert_eq!(fault(text), ReferenceFault::ImageId, "{text}");
    }
    // With a registry or a namespace before it, it is a name and nothing else.
    for text in ["docker.io/library/sha256:e3b0", "library/sha256:e3b0", "registry.example/sha256:e3b0", "sha256"] {
        assert!(Reference::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_repository_has_neither_tag_nor_digest() {
    assert_eq!(Repository::parse("nginx").unwrap().as_str(), "docker.io/library/nginx");
    for text in ["nginx:1.27".to_owned(), format!("nginx@{DIGEST}")] {
        let refused = Repository::parse(&text);
        assert!(
            matches!(refused, Err(Error::MalformedReference { fault: ReferenceFault::NotARepository, .. })),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn the_normal_form_is_a_fixed_point(
        host in "([A-Za-z0-9]{1,4}[.-]?){0,4}(:[0-9]{1,5})?/?",
        path in "[a-z0-9._/-]{1,24}",
        tag in "(:[A-Za-z0-9._-]{1,8})?",
        digest in prop_oneof![Just(String::new()), Just(format!("@{DIGEST}"))],
    ) {
        if let Ok(reference) = Reference::parse(&format!("{host}{path}{tag}{digest}")) {
            let again = Reference::parse(&reference.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&reference));
            let repository = Repository::parse(reference.repository.as_str());
            prop_assert_eq!(repository.as_ref(), Ok(&reference.repository));
            prop_assert_eq!(
                format!("{}/{}", reference.repository.host(), reference.repository.path()),
                reference.repository.as_str()
            );
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,64}") {
        let _ = Reference::parse(&text);
    }

    #[test]
    fn a_normal_form_holds_no_character_with_a_meaning_in_patterns(text in "[A-Za-z0-9._:/*?\\[\\]{}-]{1,32}") {
        if let Ok(reference) = Reference::parse(&text) {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-:/".contains(&byte);
            prop_assert!(reference.repository.as_str().bytes().all(plain));
        }
    }
}
