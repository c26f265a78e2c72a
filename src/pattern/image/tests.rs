use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> ImagePattern {
    ImagePattern::new(text).unwrap()
}

#[test]
fn patterns_match_whole_segments_from_end_to_end() {
    for (text, fits, fails) in [
        (
            "registry.example/team/*",
            &["registry.example/team/app"][..],
            &[
                "registry.example/team/app/sub",
                "registry.example/team",
                "registry.example/team2/app",
                "evil.example/registry.example/team/app",
                "registry.example.evil.example/team/app",
                "registry.example:5000/team/app",
            ][..],
        ),
        (
            "registry.example/**",
            &["registry.example/app", "registry.example/a/b/c"],
            &["registry.example.evil.example/app", "evil.example/registry.example/app", "xregistry.example/app"],
        ),
        (
            "registry.example/**/app",
            &["registry.example/app", "registry.example/a/b/app", "registry.example/app/app"],
            &["registry.example/app/x", "registry.example/a/myapp"],
        ),
        ("registry.example/app-*", &["registry.example/app-1", "registry.example/app-"], &["registry.example/app"]),
        ("registry.example/*a*b", &["registry.example/xaxbxab", "registry.example/ab"], &["registry.example/ba"]),
        (
            "registry.example:5000/app",
            &["registry.example:5000/app"],
            &["registry.example/app", "registry.example:50000/app"],
        ),
        ("*.example/app", &["registry.example/app", "a.b.example/app"], &["example/app", "a.example:5000/app"]),
        ("*/team/app", &["registry.example/team/app", "localhost:5000/team/app"], &["registry.example/x/team/app"]),
        ("**", &["docker.io/library/nginx", "localhost/a"], &[]),
        ("**/app", &["localhost/app", "registry.example/a/app"], &["registry.example/app2"]),
        (
            "registry.example/a/**/b/**/c",
            &["registry.example/a/b/c", "registry.example/a/x/b/b/y/z/c"],
            &["registry.example/a/c", "registry.example/a/b"],
        ),
    ] {
        fits.iter().for_each(|name| assert!(pattern(text).matches(name), "{text} should fit {name}"));
        fails.iter().for_each(|name| assert!(!pattern(text).matches(name), "{text} should not fit {name}"));
    }
}

#[test]
fn a_pattern_in_another_than_the_canonical_form_is_refused_with_the_canonical_one() {
    let no_host = |canonical: &str| PatternError::NoHost { canonical: canonical.into() };
    let not_canonical = |canonical: &str| PatternError::NotCanonical { canonical: canonical.into() };
    for (text, expected) in [
        ("", PatternError::Empty),
        ("nginx", no_host("docker.io/library/nginx")),
        ("acme/app", no_host("docker.io/acme/app")),
        ("acme/**", no_host("docker.io/acme/**")),
        ("docker.io/nginx", not_canonical("docker.io/library/nginx")),
        ("docker.io/*", not_canonical("docker.io/library/*")),
        ("index.docker.io/library/nginx", not_canonical("docker.io/library/nginx")),
        ("registry.example:443/app", not_canonical("registry.example/app")),
        ("localhost:443/app", not_canonical("localhost/app")),
        ("registry.example", not_canonical("registry.example/**")),
        ("*", not_canonical("*/**")),
        ("Registry.example/App", PatternError::UpperCase { canonical: "registry.example/app".into() }),
        ("https://registry.example/app", PatternError::NotARepository("scheme")),
        ("registry.example/app:1.4", PatternError::NotARepository("tag")),
        ("registry.example/app@sha256:00", PatternError::NotARepository("digest")),
        ("registry.example//app", PatternError::EmptySegment),
        ("registry.example/", PatternError::EmptySegment),
        ("/app", PatternError::EmptySegment),
        ("registry.example/app**", PatternError::PartialAny { segment: "app**".into() }),
        ("registry.example/***", PatternError::PartialAny { segment: "***".into() }),
        ("registry.example/ap?", PatternError::Character { character: '?' }),
        ("registry.example/{a,b}", PatternError::Character { character: '{' }),
        ("registry.example/ app", PatternError::Character { character: ' ' }),
        ("registry.example/\u{430}pp", PatternError::Character { character: '\u{430}' }),
    ] {
        assert_eq!(ImagePattern::new(text), Err(expected), "{text:?}");
    }
    // The port is what makes this one a host.
    assert!(pattern("registry:443/app").matches("registry:443/app"));
    assert!(pattern("docker.io/**").matches("docker.io/library/nginx"));
}

#[test]
fn literal_hosts_and_literal_patterns_are_told_apart() {
    for (text, host, whole) in [
        ("registry.example/app", true, true),
        ("registry.example:5000/app", true, true),
        ("registry.example/*", true, false),
        ("registry.example/**", true, false),
        ("*.example/app", false, false),
        ("registry.example*/app", false, false),
        ("registry.example:*/app", false, false),
        ("*/app", false, false),
        ("**", false, false),
        ("**/app", false, false),
    ] {
        assert_eq!((pattern(text).host_is_literal(), pattern(text).is_literal()), (host, whole), "{text}");
    }
}

#[test]
fn a_pattern_covers_another_only_if_it_surely_fits_all_of_its_names() {
    for (wide, narrow, covers) in [
        ("**", "registry.example/**", true),
        ("registry.example/**", "registry.example/team/*", true),
        ("registry.example/**", "registry.example/**", true),
        ("registry.example/*", "registry.example/app-*", true),
        ("registry.example/app*", "registry.example/app-*", true),
        ("*.example/**", "registry.example/app", true),
        ("registry.example/team/*", "registry.example/**", false),
        ("registry.example/*", "registry.example/**", false),
        ("registry.example/app-*", "registry.example/*", false),
        ("registry.example/a*b", "registry.example/a*", false),
        ("registry.example/**/app", "registry.example/**", false),
    ] {
        assert_eq!(pattern(wide).covers(&pattern(narrow)), covers, "{wide} {narrow}");
    }
}

#[test]
fn names_are_matched_whole() {
    let prod = NamePattern::new("prod-*").unwrap();
    assert!(prod.matches("prod-eu") && prod.matches("prod-"));
    assert!(!prod.matches("prod") && !prod.matches("preprod-eu"));
    assert!(!prod.is_literal() && NamePattern::new("prod").unwrap().is_literal());
    assert!(prod.covers(&NamePattern::new("prod-eu-*").unwrap()));
    assert!(!NamePattern::new("prod-eu").unwrap().covers(&prod));
    assert_eq!(NamePattern::new(""), Err(PatternError::Empty));
    assert_eq!(NamePattern::new("Prod"), Err(PatternError::UpperCase { canonical: "prod".into() }));
    assert_eq!(NamePattern::new("a.b"), Err(PatternError::Character { character: '.' }));
    assert_eq!(NamePattern::new("a**"), Err(PatternError::PartialAny { segment: "a**".into() }));
}

#[test]
fn many_wildcards_do_not_take_long() {
    let text = format!("registry.example/{}c", "a*".repeat(100));
    assert!(!pattern(&text).matches(&format!("registry.example/{}b", "a".repeat(200))));
    let deep = format!("registry.example{}", "/**/a".repeat(100));
    assert!(!pattern(&deep).matches(&format!("registry.example{}/b", "/a".repeat(120))));
}

proptest! {
    #[test]
    fn display_gives_the_pattern_back(text in "(\\*\\*|[a-z*]{1,3}\\.[a-z]{1,3})(/(\\*\\*|[a-z*]{1,3})){0,4}") {
        if let Ok(pattern) = ImagePattern::new(&text) {
            prop_assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn what_covers_another_fits_whatever_the_other_fits(
        wide in "(\\*\\*|[ab*]{1,2}\\.a)(/(\\*\\*|[ab*]{1,3})){0,3}",
        narrow in "(\\*\\*|[ab*]{1,2}\\.a)(/(\\*\\*|[ab*]{1,3})){0,3}",
        name in "[ab]{1,2}\\.a(/[ab]{1,3}){1,4}",
    ) {
        if let (Ok(wide), Ok(narrow)) = (ImagePattern::new(&wide), ImagePattern::new(&narrow))
            && wide.covers(&narrow) && narrow.matches(&name)
        {
            prop_assert!(wide.matches(&name));
        }
    }

    #[test]
    fn segments_agree_with_a_slow_and_obvious_matcher(text in "[ab*]{0,6}", name in "[ab]{0,6}") {
        fn slow(pattern: &[u8], name: &[u8]) -> bool {
            match pattern {
                [] => name.is_empty(),
                [b'*', rest @ ..] => (0..=name.len()).any(|taken| slow(rest, &name[taken..])),
                [byte, rest @ ..] => name.first() == Some(byte) && slow(rest, &name[1..]),
            }
        }
        prop_assert_eq!(glob(&text, &name, None), slow(text.as_bytes(), name.as_bytes()));
    }
}

#[test]
fn what_the_wildcards_took_is_told_from_the_left() {
    for (text, name, taken) in [
        ("mirror.example/hub/**", "mirror.example/hub/library/nginx", &["library/nginx"][..]),
        ("mirror.example/hub/**", "mirror.example/hub", &[""]),
        ("mirror.example/*/hub/**", "mirror.example/eu/hub/a/b", &["eu", "a/b"]),
        ("mirror.example/**/hub/*", "mirror.example/hub/hub/x", &["hub", "x"]),
        ("*.example/*/app", "a.b.example/team/app", &["a.b", "team"]),
        ("**", "registry.example/app", &["registry.example/app"]),
        ("registry.example/app", "registry.example/app", &[]),
        // As little as it can, each in turn from the left.
        ("registry.example/*-*", "registry.example/a-b-c", &["a", "b-c"]),
        ("registry.example/*a*", "registry.example/aaa", &["", "aa"]),
        ("registry.example/*a*b", "registry.example/xaxbxab", &["x", "xbxa"]),
        ("registry.example/**/**", "registry.example/a/b", &["", "a/b"]),
        ("registry.example/**/a*/**/b", "registry.example/x/a1/y/b/b", &["x", "1", "y/b"]),
    ] {
        let pattern = pattern(text);
        assert_eq!(
            pattern.captures(name).as_deref(),
            Some(&taken.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{text} {name}"
        );
        assert_eq!(pattern.wildcards().len(), taken.len(), "{text}");
    }
    assert_eq!(pattern("registry.example/*").captures("registry.example/a/b"), None);
    assert_eq!(pattern("registry.example/a*/**").wildcards(), [Wildcard::Run, Wildcard::Segments]);
}

proptest! {
    /// Put back in the place of the wildcards, what they took is the name.
    #[test]
    fn what_the_wildcards_took_makes_the_name_again(
        pattern in "r\\.example(/([ab]{0,2}\\*?[ab]{1,2}\\*?|\\*\\*|\\*)){1,4}",
        name in "r\\.example(/[ab]{1,4}){1,5}",
    ) {
        let Ok(pattern) = ImagePattern::new(&pattern) else { return Ok(()) };
        let captures = pattern.captures(&name);
        prop_assert_eq!(captures.is_some(), pattern.matches(&name));
        let Some(captures) = captures else { return Ok(()) };
        let mut captures = captures.into_iter();
        let mut segments = Vec::new();
        for segment in pattern.to_string().split('/') {
            match segment {
                "**" => {
                    let taken = captures.next().unwrap();
                    segments.extend((!taken.is_empty()).then_some(taken));
                }
                _ => {
                    let mut parts = segment.split('*');
                    let mut text = parts.next().unwrap().to_owned();
                    for part in parts {
                        text += &captures.next().unwrap();
                        text += part;
                    }
                    segments.push(text);
                }
            }
        }
        prop_assert_eq!(captures.next(), None);
        prop_assert_eq!(segments.join("/"), name);
    }
}
