//! `imageID`: what does the node say that it runs?

use crate::{crypto::Sha256, image::Reference};

/// What the node says about a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runs {
    /// Nothing, or nothing yet.
    Unsaid,
    /// An image by the id that it has on the node, the digest of its configuration. It tells nothing about the manifest.
    ById,
    /// An image by the digest of its manifest or index.
    Digest(Sha256),
}

impl Runs {
    /// The digest, if it is one of a manifest or index.
    pub fn digest(self) -> Option<Sha256> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Unsaid | Self::ById => None,
        }
    }
}

/// Reads an `imageID` in the forms of the runtimes: `registry.example/app@sha256:…` (containerd, CRI-O),
/// `docker-pullable://registry.example/app@sha256:…` (cri-dockerd), and `sha256:…`, `docker://sha256:…` or bare hex where
/// the image has no digest of a registry. The name in it is any of those under which the node knows the content.
pub fn runs(image_id: Option<&str>) -> Runs {
    let Some(text) = image_id.filter(|text| !text.is_empty()) else { return Runs::Unsaid };
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let digest = text.contains('@').then(|| Reference::parse(text).ok()?.digest).flatten();
    digest.map_or(Runs::ById, Runs::Digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_id_is_read_in_the_forms_of_all_runtimes() {
        let digest = Sha256::of(b"manifest");
        for text in [
            format!("registry.example/team/app@sha256:{digest}"),
            format!("docker-pullable://registry.example/team/app@sha256:{digest}"),
            format!("docker.io/library/app@sha256:{digest}"),
            format!("localhost:5000/app@sha256:{digest}"),
        ] {
            assert_eq!(runs(Some(&text)), Runs::Digest(digest), "{text}");
        }
        for text in [format!("sha256:{digest}"), format!("docker://sha256:{digest}"), digest.to_string()] {
            assert_eq!(runs(Some(&text)), Runs::ById, "the digest of a configuration is none of a manifest: {text}");
        }
        for text in ["app@sha256:short", "app@sha512:00", "@", "???"] {
            assert_eq!(runs(Some(text)), Runs::ById, "{text}");
        }
        assert_eq!(runs(None), Runs::Unsaid);
        assert_eq!(runs(Some("")), Runs::Unsaid);
    }
}
