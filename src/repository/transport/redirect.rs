//! Where may a repository's server send us?
//!
//! Registries in clouds keep their blobs at another origin. A redirect is followed only to hosts that the policy lists,
//! without credentials, and never to an address that only this machine or its network can reach: whoever answers for the
//! repository would else ask there in our name.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Redirects that are followed for one file.
pub(super) const MAX_HOPS: usize = 3;

/// The hosts to which redirects are followed; none by default.
#[derive(Debug, Clone)]
pub struct Redirects {
    hosts: BTreeSet<String>,
    reachable: fn(IpAddr) -> bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Self::to([])
    }
}

impl Redirects {
    /// To these hosts, each with its port unless that is the usual one.
    pub fn to(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: hosts.into_iter().collect(), reachable: is_public }
    }

    /// The same, also where an address is not public.
    #[cfg(test)]
    pub(super) fn anywhere(self) -> Self {
        Self { reachable: |_| true, ..self }
    }

    pub(super) fn are_none(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Where a redirect leads, or why it is not followed.
    pub(super) fn follow(&self, from: &Url, location: &str) -> Result<Url, &'static str> {
        let url = from.join(location).map_err(|_| "which is no URL")?;
        let downgraded = from.scheme() == "https" && url.scheme() != "https";
        if !super::is_web(&url) || downgraded {
            return Err("which is not https");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("with credentials in it");
        }
        if !self.hosts.contains(&super::host(&url)) {
            return Err("which is not one of redirects");
        }
        let host = url.host_str().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        if literal.is_some_and(|address| !(self.reachable)(address)) {
            return Err("which is not a public address");
        }
        Ok(url)
    }

    /// Looks up the names of redirects, and finds only addresses that may be reached.
    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Arc::new(Resolver { reachable: self.reachable })
    }
}

/// Which addresses may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the internet.
    Public,
    /// Also those of private networks, of the cluster and of this machine; never those of its link, where clouds have
    /// what must not be asked.
    Private,
}

impl Reach {
    /// Whether a URL may be asked, as far as its host is an address. Names are held to it when they are looked up.
    pub(crate) fn allows(self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        literal.is_none_or(self.reachable())
    }

    pub(super) fn resolver(self) -> Arc<Resolver> {
        Arc::new(Resolver { reachable: self.reachable() })
    }

    fn reachable(self) -> fn(IpAddr) -> bool {
        match self {
            Self::Public => is_public,
            Self::Private => is_beyond_the_link,
        }
    }
}

/// Where a cloud answers whoever asks from within.
const CLOUD: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn is_beyond_the_link(address: IpAddr) -> bool {
    let is_v4 = |address: Ipv4Addr| {
        let [first, ..] = address.octets();
        !(address.is_link_local() || first == 0 || first >= 224)
    };
    match address {
        IpAddr::V4(address) => is_v4(address),
        IpAddr::V6(address) if address.is_loopback() => true,
        IpAddr::V6(address) => match embedded(address) {
            Some(embedded) => is_v4(embedded),
            None => {
                let [first, ..] = address.segments();
                first & 0xffc0 != 0xfe80 && first & 0xff00 != 0xff00 && address != CLOUD
            }
        },
    }
}

#[derive(Debug)]
pub(super) struct Resolver {
    reachable: fn(IpAddr) -> bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reachable = self.reachable;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<_> = found.filter(|address| reachable(address.ip())).collect();
            if found.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the internet: not of this machine, its link, a private network, or the services of a
/// cluster, which are in private networks.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        || first >= 240
        // Shared addresses (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544).
        || (first == 100 && (64..128).contains(&second))
        || (first, second, third) == (192, 0, 0)
        || (first == 198 && (18..20).contains(&second)))
}

/// Translated and tunnelled addresses lead wherever the one within them does.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(address) = embedded(address) {
        return is_public_v4(address);
    }
    // Global unicast (RFC 4291 2.4) without Teredo and documentation.
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && matches!(second, 0 | 0xdb8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for address in ["8.8.8.8", "52.216.0.1", "172.15.0.1", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.96.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.192",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::10.0.0.1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn private_addresses_are_reached_where_they_may_be_and_those_of_the_link_never() {
        for address in ["10.0.0.1", "127.0.0.1", "8.8.8.8", "fd00::1", "::1", "2606:4700::1", "::ffff:10.0.0.1"] {
            assert!(is_beyond_the_link(address.parse().unwrap()), "{address}");
        }
        for address in [
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "ff02::1",
            "::",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!is_beyond_the_link(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_redirect_is_followed_to_the_hosts_that_are_listed_and_nowhere_else() {
        let redirects = Redirects::to([
            "blobs.example".to_owned(),
            "blobs.example:8443".to_owned(),
            "10.0.0.1".to_owned(),
            "[fe80::1]".to_owned(),
        ]);
        let from = Url::parse("https://registry.example/v2/").unwrap();
        let follow = |location: &str| redirects.follow(&from, location);
        assert_eq!(
            follow("https://blobs.example/a?signature=x").unwrap().as_str(),
            "https://blobs.example/a?signature=x"
        );
        assert!(follow("https://blobs.example:8443/a").is_ok() && follow("https://BLOBS.example/a").is_ok());
        for (location, why) in [
            ("https://other.example/a", "which is not one of redirects"),
            ("https://blobs.example.evil.example/a", "which is not one of redirects"),
            ("https://blobs.example:444/a", "which is not one of redirects"),
            ("/elsewhere", "which is not one of redirects"),
            ("http://blobs.example/a", "which is not https"),
            ("file:///etc/passwd", "which is not https"),
            ("https://user:secret@blobs.example/a", "with credentials in it"),
            ("https://blobs.example@other.example/a", "with credentials in it"),
            ("https://10.0.0.1/a", "which is not a public address"),
            ("https://0x0a000001/a", "which is not a public address"),
            ("https://[fe80::1]/a", "which is not a public address"),
        ] {
            assert_eq!(follow(location), Err(why), "{location}");
        }
        assert!(Redirects::default().follow(&from, "https://blobs.example/a").is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_network_has_no_address() {
        let resolve = |redirects: Redirects| async move {
            redirects.resolver().resolve("localhost".parse().unwrap()).await.map(|found| found.count())
        };
        let error = resolve(Redirects::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "localhost has no public address");
        assert!(resolve(Redirects::default().anywhere()).await.unwrap() > 0);
    }
}
