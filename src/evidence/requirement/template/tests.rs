use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}

fn expand(template: &Template) -> Option<String> {
    let repository = repository("registry.example:5000/team/app");
    let reference = crate::image::Reference::parse("app:1.4").unwrap();
    template.expand(&Fields { repository: Some(&repository), tag: reference.tag.as_ref(), digest: HEX.parse().ok() })
}

#[test]
fn every_placeholder_is_replaced() {
    let template = Template::parameter("{registry} {repository} {tag} {digest} {algorithm} {hex}").unwrap();
    let expected = format!("registry.example:5000 registry.example:5000/team/app 1.4 sha256:{HEX} sha256 {HEX}");
    assert_eq!(expand(&template), Some(expected));
    assert_eq!(template.to_string(), "{registry} {repository} {tag} {digest} {algorithm} {hex}");
}

#[test]
fn a_template_that_needs_what_is_not_there_has_no_expansion() {
    let repository = repository("app");
    let fields = Fields { repository: Some(&repository), tag: None, digest: None };
    assert_eq!(Template::by_tag().expand(&fields), None);
    assert_eq!(Template::by_digest().expand(&fields), None);
    assert_eq!(
        Template::by_digest().expand(&Fields { digest: HEX.parse().ok(), ..fields }),
        Some(format!("docker.io/library/app@sha256:{HEX}"))
    );
}

#[test]
fn the_defaults_are_templates_that_would_load() {
    assert_eq!(Template::digest_target("{repository}@{digest}"), Ok(Template::by_digest()));
    assert_eq!(Template::tag_target("{repository}:{tag}"), Ok(Template::by_tag()));
}

#[test]
fn a_digest_target_depends_on_repository_and_digest() {
    assert!(Template::digest_target("images/{repository}/{hex}").is_ok());
    assert!(Template::digest_target("{registry}/{repository}@{algorithm}:{hex}").is_ok());
    assert_eq!(Template::digest_target("{hex}"), Err(TemplateError::Needs("{repository}")));
    assert_eq!(Template::digest_target("{registry}@{digest}"), Err(TemplateError::Needs("{repository}")));
    assert_eq!(Template::digest_target("{repository}@{algorithm}"), Err(TemplateError::Needs("{digest} or {hex}")));
}

#[test]
fn a_digest_target_cannot_hold_a_tag() {
    assert_eq!(
        Template::digest_target("{repository}:{tag}@{digest}"),
        Err(TemplateError::Placeholder {
            placeholder: "tag".into(),
            allowed: "{registry} {repository} {digest} {algorithm} {hex}".into()
        })
    );
}

#[test]
fn two_images_never_share_the_path_of_a_tag() {
    for text in
        ["{repository}/tags/{tag}", "{tag}/{repository}", "{repository}-v:{tag}", "{registry}{repository}:{tag}"]
    {
        assert!(Template::tag_target(text).is_ok(), "{text}");
    }
    // `app-1` with tag `2` and `app` with tag `1-2`.
    for text in ["{repository}-{tag}", "{repository}{tag}", "{tag}{repository}", "{tag}.{repository}"] {
        assert_eq!(Template::tag_target(text), Err(TemplateError::Ambiguous), "{text}");
    }
    assert_eq!(Template::tag_target("{repository}"), Err(TemplateError::Needs("{tag}")));
    assert_eq!(Template::tag_target("{tag}"), Err(TemplateError::Needs("{repository}")));
}

#[test]
fn braces_and_placeholders_are_checked() {
    for text in ["{repository", "repository}", "{repository}}", "a}{tag}"] {
        assert_eq!(Template::parameter(text), Err(TemplateError::Brace), "{text}");
    }
    for (text, placeholder) in
        [("{Tag}", "Tag"), ("{}", ""), ("{ tag }", " tag "), ("{{tag}}", "{tag"), ("{0}", "0"), ("{10}", "10")]
    {
        let refused = Template::parameter(text).unwrap_err();
        assert!(matches!(refused, TemplateError::Placeholder { placeholder: got, .. } if got == placeholder), "{text}");
    }
}

#[test]
fn a_parameter_holds_nothing_that_a_rule_gives_a_meaning() {
    for character in ['*', '?', '[', ']', '\\', '\n', '\u{7f}'] {
        let text = format!("v{character}1");
        assert_eq!(Template::parameter(&text), Err(TemplateError::Character(character)), "{text:?}");
    }
    assert!(Template::parameter("any text, 1+1=2").is_ok());
    assert!(Template::parameter("").is_ok());
}

#[test]
fn a_target_path_is_relative_and_plain() {
    for text in ["/{repository}@{digest}", "{repository}@{digest}/", "../{repository}@{digest}", "a//{repository}{hex}"]
    {
        assert_eq!(Template::digest_target(text), Err(TemplateError::NotAPath), "{text}");
    }
    for (text, character) in [("{repository}@{digest} ", ' '), ("*/{repository}@{digest}", '*')] {
        assert_eq!(Template::digest_target(text), Err(TemplateError::Character(character)), "{text}");
    }
}

#[test]
fn a_scope_without_a_wildcard_pins_the_layout() {
    let app = repository("registry.example/team/app");
    let pin = LayoutScope::new("layouts/{repository}.layout").unwrap();
    assert_eq!(pin.pinned(Some(&app)), Some(TargetPath::from("layouts/registry.example/team/app.layout")));
    let literal = LayoutScope::new("in-toto-metadata/4.core.layout").unwrap();
    assert_eq!(literal.pinned(Some(&app)), Some(TargetPath::from("in-toto-metadata/4.core.layout")));
    assert!(!literal.names_repository());
    assert_eq!(LayoutScope::new("layouts/{repository}/*").unwrap().pinned(Some(&app)), None);
}

#[test]
fn a_scope_fits_only_the_layouts_of_its_repository() {
    let scope = LayoutScope::new("layouts/{repository}/*").unwrap();
    let fits = |name: &str, path: &str| scope.fits(Some(&repository(name)), &TargetPath::from(path));
    assert!(fits("registry.example/app", "layouts/registry.example/app/root.layout"));
    for path in [
        "layouts/registry.example/other/root.layout",
        "layouts/registry.example/app/sub/root.layout",
        "layouts/registry.example/app.layout",
        "layouts/registry.example/app-evil/root.layout",
        "other/layouts/registry.example/app/root.layout",
        "layouts/registry.example/app/root.layout/",
    ] {
        assert!(!fits("registry.example/app", path), "{path}");
    }
    assert!(fits("registry.example/app/sub", "layouts/registry.example/app/sub/root.layout"));
}

#[test]
fn a_placeholder_beside_a_wildcard_is_a_whole_segment() {
    for text in ["layouts/{repository}*", "layouts/{repository}-*.layout", "*/x{repository}", "{repository}.d/*"] {
        assert_eq!(LayoutScope::new(text), Err(TemplateError::PartialSegment(Field::Repository)), "{text}");
    }
    assert_eq!(LayoutScope::new("{registry}*"), Err(TemplateError::PartialSegment(Field::Registry)));
    for text in ["*/{repository}/*.layout", "layouts/{repository}.layout", "{registry}/*"] {
        assert!(LayoutScope::new(text).is_ok(), "{text}");
    }
}

#[test]
fn a_scope_knows_only_one_wildcard() {
    for (text, wildcard) in [("layouts/?", '?'), ("layouts/[ab]", '['), ("layouts\\*", '\\')] {
        assert_eq!(LayoutScope::new(text), Err(TemplateError::Wildcard(wildcard)), "{text}");
    }
    assert!(matches!(LayoutScope::new("layouts/{tag}"), Err(TemplateError::Placeholder { .. })));
    assert_eq!(LayoutScope::new(""), Err(TemplateError::NotAPath));
    assert_eq!(LayoutScope::new("layouts/\n"), Err(TemplateError::Character('\n')));
}

#[test]
fn what_wildcards_took_stands_for_whole_segments_of_paths() {
    let captures = ["team".to_owned(), "a/b".to_owned()];
    let template = Template::digest_target("{1}/{repository}@{digest}").unwrap();
    assert_eq!(expand(&template), None, "nothing stands for {{1}} yet");
    let path = expand(&template.with_captures(&captures).unwrap()).unwrap();
    assert_eq!(path, format!("team/registry.example:5000/team/app@sha256:{HEX}"));
    assert_eq!(Template::parameter("{2}-x").unwrap().with_captures(&captures).unwrap().to_string(), "a/b-x");
    assert_eq!(Template::parameter("{3}").unwrap().with_captures(&captures), None);
    for text in ["{repository}{1}@{digest}", "x{1}/{repository}@{digest}", "{1}{1}/{repository}@{digest}"] {
        assert_eq!(Template::digest_target(text), Err(TemplateError::PartialCapture(1)), "{text}");
    }
    assert_eq!(LayoutScope::new("layouts/{1}-*/{repository}/*"), Err(TemplateError::PartialCapture(1)));
    let scope = LayoutScope::new("layouts/{1}/{repository}/*").unwrap().with_captures(&captures).unwrap();
    let name = repository("registry.example/team/app");
    assert!(scope.fits(Some(&name), &TargetPath::from("layouts/team/registry.example/team/app/root.layout")));
    assert!(!scope.fits(Some(&name), &TargetPath::from("layouts/other/registry.example/team/app/root.layout")));
}
