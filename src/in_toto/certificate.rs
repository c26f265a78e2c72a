//! Functionaries by certificate (in-toto ITE-7, as in-toto-golang has it): a step says what a certificate must say of its
//! holder, and the layout whose word on that is taken. Off unless the options ask for it: the reference in python
//! drops these members and rejects such a layout.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    error::{Error, Problem},
    fields::{Object, Source},
    functionary::parse_id,
    key::LayoutKey,
};
use crate::crypto::{
    KeyId, Material,
    x509::{Authorities, Certificate, Untrusted, Unusable},
};

/// The authorities of a layout: `rootcas` and `intermediatecas`.
#[derive(Debug, Clone, Default)]
pub(super) struct Issuers {
    authorities: Authorities,
    /// The ids of the roots.
    roots: Vec<String>,
}

/// Someone whose certificates make functionaries of a step: whoever has the key can make as many as it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The common name of the authority; empty if it has none.
    pub name: String,
    /// The key.
    pub material: Material,
    /// What the key goes by.
    pub keyid: KeyId,
}

/// One entry of a step's `cert_constraints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constraint {
    common_name: Vec<String>,
    dns_names: Vec<String>,
    emails: Vec<String>,
    organizations: Vec<String>,
    roots: Vec<String>,
    uris: Vec<String>,
}

/// Why a certificate is not that of a functionary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// The certificate cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The signature stands under another key id than those that are computed for the certificate's key.
    #[error("the key id is not that of the certificate's key")]
    KeyId,
    /// No authority of the layout vouches for it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It is not what any constraint of the step asks for; what the last of them lacks.
    #[error("for {attribute} the certificate has {found:?}, the step wants {wanted:?}")]
    Constraint {
        /// Which attribute.
        attribute: &'static str,
        /// What the constraint says.
        wanted: Vec<String>,
        /// What the certificate says.
        found: Vec<String>,
    },
}

impl Issuers {
    pub(super) fn parse(source: Source<'_>, layout: &Object<'_>) -> Result<Self, Error> {
        let (mut issuers, mut roots) = (Self::default(), Vec::new());
        for (name, list) in
            [("rootcas", &mut issuers.authorities.roots), ("intermediatecas", &mut issuers.authorities.intermediates)]
        {
            if !layout.has(name) {
                continue;
            }
            let members = layout.object(name)?;
            source.limit(name, members.len(), source.limits.keys)?;
            for (id, value) in members {
                let at = layout.at(&format!("{name}.{id}"));
                let keyid = parse_id(source, &at, id)?;
                let object = Object::open(source, &*at, value)?;
                object.no_case_variants(&["keyid", "keyval"])?;
                let own = KeyId::from(object.text("keyid")?);
                if own != keyid {
                    return Err(source.malformed(at, Problem::KeyIdMismatch { listed: keyid, own }));
                }
                let keyval = Object::open(source, object.at("keyval"), object.get("keyval")?)?;
                keyval.no_case_variants(&["certificate"])?;
                let certificate = Certificate::from_pem(keyval.text("certificate")?);
                list.push(certificate.map_err(|why| source.malformed(keyval.at("certificate"), why))?);
                if name == "rootcas" {
                    roots.push(id.clone());
                }
            }
        }
        issuers.roots = roots;
        Ok(issuers)
    }

    /// Whether the layout has any.
    pub(super) fn is_empty(&self) -> bool {
        self.authorities.roots.is_empty() && self.authorities.intermediates.is_empty()
    }

    /// Who could issue a certificate that fits one of these constraints. What a certificate says its issuer chooses; the
    /// roots are those of the layout.
    pub(super) fn who_can_issue(&self, constraints: &[Constraint], now: Timestamp) -> Vec<Issuer> {
        if !constraints.iter().any(|constraint| fits(&constraint.roots, &self.roots)) {
            return Vec::new();
        }
        let issuer = |certificate: &Certificate| Issuer {
            name: certificate.names().common_name.clone(),
            material: certificate.key().material(),
            keyid: LayoutKey::from_pem(&certificate.key_pem()).map_or_else(|_| KeyId::from(""), |key| key.name()),
        };
        self.authorities.who_can_issue(now).into_iter().map(issuer).collect()
    }

    /// The key of a certificate that is one of a step's functionaries, and when the certificate ends.
    pub(super) fn functionary(
        &self,
        pem: &str,
        keyid: &KeyId,
        constraints: &[Constraint],
        now: Timestamp,
    ) -> Result<(LayoutKey, Timestamp), CertificateProblem> {
        let certificate = Certificate::from_pem(pem)?;
        let key = LayoutKey::from_pem(&certificate.key_pem()).map_err(|_| CertificateProblem::KeyId)?;
        if !key.is_called(keyid) {
            return Err(CertificateProblem::KeyId);
        }
        let ends = self.authorities.verify(&certificate, now)?;
        let mut problem = CertificateProblem::KeyId;
        for constraint in constraints {
            match constraint.check(&certificate, &self.roots) {
                Ok(()) => return Ok((key, ends)),
                Err(why) => problem = why,
            }
        }
        Err(problem)
    }
}

impl Constraint {
    pub(super) fn parse_all(source: Source<'_>, step: &Object<'_>) -> Result<Vec<Self>, Error> {
        const MEMBERS: [&str; 6] = ["common_name", "dns_names", "emails", "organizations", "roots", "uris"];
        if !step.has("cert_constraints") {
            return Ok(Vec::new());
        }
        let values = step.list("cert_constraints")?;
        source.limit("cert_constraints", values.len(), source.limits.functionaries)?;
        let parse = |(index, value): (usize, &Value)| {
            let at = format!("{}[{index}]", step.at("cert_constraints"));
            let object = Object::open(source, at, value)?;
            object.check(&[], &MEMBERS)?;
            // As in Go: what is absent, null or an empty text is an empty list.
            let list = |name: &'static str| match object.optional(name) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(_) => object.words(name),
            };
            Ok(Self {
                common_name: match object.optional("common_name") {
                    None => Vec::new(),
                    Some(_) => vec![object.text("common_name")?.to_owned()],
                },
                dns_names: list("dns_names")?,
                emails: list("emails")?,
                organizations: list("organizations")?,
                roots: list("roots")?,
                uris: list("uris")?,
            })
        };
        values.iter().enumerate().map(parse).collect()
    }

    /// All attributes must fit.
    fn check(&self, certificate: &Certificate, roots: &[String]) -> Result<(), CertificateProblem> {
        let names = certificate.names();
        let common_name = vec![names.common_name.clone()];
        for (attribute, wanted, found) in [
            ("common name", &self.common_name, common_name.as_slice()),
            ("DNS names", &self.dns_names, &names.dns_names),
            ("mail addresses", &self.emails, &names.emails),
            ("organizations", &self.organizations, &names.organizations),
            // Go holds all roots of the layout against these, whichever of them issued the certificate.
            ("roots", &self.roots, roots),
            ("URIs", &self.uris, &names.uris),
        ] {
            if !fits(wanted, found) {
                let (wanted, found) = (wanted.clone(), found.to_vec());
                return Err(CertificateProblem::Constraint { attribute, wanted, found });
            }
        }
        Ok(())
    }
}

/// `*` alone is anything, nothing is nothing, and else each value stands on both sides, on the certificate's once.
fn fits(wanted: &[String], found: &[String]) -> bool {
    if matches!(wanted, [all] if all == "*") {
        return true;
    }
    let one_empty = |list: &[String]| matches!(list, [only] if only.is_empty());
    let mut unmet: BTreeSet<&String> = if one_empty(wanted) { BTreeSet::new() } else { wanted.iter().collect() };
    let found = if one_empty(found) { &[] } else { found };
    found.iter().all(|value| unmet.remove(value)) && unmet.is_empty()
}
