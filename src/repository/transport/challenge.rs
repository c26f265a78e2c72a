//! How a registry wants to know who asks: the `WWW-Authenticate` header (RFC 7235).

/// Bytes of a challenge that are read.
const MAX_BYTES: usize = 4096;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password (RFC 7617).
    Basic,
    /// A token that somebody else gives (RFC 6750).
    Bearer {
        /// The URL of whoever gives it.
        realm: String,
        /// For whom it is.
        service: Option<String>,
    },
}

impl Challenge {
    /// The first challenge of a header, if it is one of the two.
    pub(super) fn read(header: &str) -> Option<Self> {
        let header = header.get(..MAX_BYTES).unwrap_or(header);
        let (scheme, rest) = header.trim_start().split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut rest) = (None, None, rest);
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"')?;
            match name.trim_matches([' ', ',']) {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                _ => {}
            }
            rest = after;
        }
        realm.map(|realm| Self::Bearer { realm, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realm_and_service_are_found_in_any_order() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        let header = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"a:b,c:d\"";
        assert_eq!(Challenge::read(header), bearer("https://auth.example/token", Some("registry.example")));
        assert_eq!(Challenge::read("bearer scope=\"x\", realm=\"r\""), bearer("r", None));
        assert_eq!(Challenge::read("Basic realm=\"x\""), Some(Challenge::Basic));
        for odd in ["", "Bearer", "Bearer realm=x", "Bearer realm=\"x", "Digest realm=\"x\"", "Bearer service=\"x\""] {
            assert_eq!(Challenge::read(odd), None, "{odd}");
        }
    }
}
