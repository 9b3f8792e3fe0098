use std::collections::BTreeMap;

use lexicon::{Code, Digest, Refusal, Result, Timestamp, shown};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Actor, Certificate, Envelope, PayloadType, Revocation, Root, RootId, Signer};

/// The roots one party trusts, what they certified and what they took back.
///
/// Whether a revocation was known when an act became a fact is the procedure's question: it stands in the sequence of
/// facts. A revocation that a person handed to this party by file counts here, from the moment it was handed over.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    roots: BTreeMap<RootId, Root>,
    certificates: BTreeMap<Digest, (Certificate, Envelope)>,
    /// By the root that took it back: before a certificate is known, only its own root's word may count for it.
    revoked: BTreeMap<(RootId, Digest), Revocation>,
}

impl Roster {
    /// Trusts a root.
    pub fn trust(&mut self, root: Root) {
        self.roots.insert(root.id(), root);
    }

    /// A trusted root.
    pub fn root(&self, id: &RootId) -> Option<&Root> {
        self.roots.get(id)
    }

    /// All trusted roots.
    pub fn roots(&self) -> impl Iterator<Item = &Root> {
        self.roots.values()
    }

    /// A certificate that was admitted.
    pub fn certificate(&self, digest: &Digest) -> Option<&Certificate> {
        self.certificates.get(digest).map(|(certificate, _)| certificate)
    }

    /// All admitted certificates as they were signed.
    pub fn envelopes(&self) -> impl Iterator<Item = (&Digest, &Envelope)> {
        self.certificates.iter().map(|(digest, (_, envelope))| (digest, envelope))
    }

    /// Takes in a certificate of a trusted root.
    ///
    /// # Errors
    /// A refusal when its root is not trusted, its content breaks a rule, its key is already another person's, or its
    /// root has certified the same name as another person.
    pub fn admit(&mut self, envelope: &Envelope) -> Result<Digest> {
        let root = self.root(&envelope.keyid()?).ok_or_else(|| unknown_root(envelope))?;
        let certificate: Certificate = envelope.open(PayloadType::Certificate, &root.key)?;
        certificate.check()?;
        if certificate.root != root.id() {
            return Err(unknown_root(envelope).into());
        }
        let shared = self.certificates.values().find(|(other, _)| {
            other.device.key == certificate.device.key
                && (other.person.id != certificate.person.id || other.root != certificate.root)
        });
        if shared.is_some() {
            return Err(Refusal::new(
                Code(123),
                format!("the key of '{}' is already another person's", shown(&certificate.device.name)),
                "Each person makes a key of their own with `lazaret person enrol`; a key is never lent.",
            )
            .into());
        }
        let mut of_root = self.certificates.values().filter(|(other, _)| other.root == certificate.root);
        if let Some((other, _)) = of_root.find(|(other, _)| other.person.is_namesake_of(&certificate.person)) {
            return Err(Refusal::new(
                Code(129),
                format!("this root certified '{}' already, as person {}", other.person.name, other.person.id),
                "A further device is invited with `lazaret person invite --person ID`; another human of the same name writes a distinguishing one, with a second first name.",
            )
            .into());
        }
        let digest = envelope.digest()?;
        self.certificates.insert(digest, (certificate, envelope.clone()));
        Ok(digest)
    }

    /// Takes in a revocation by a trusted root of one of its own certificates.
    ///
    /// # Errors
    /// A refusal when the root is not trusted or takes back what is not its own.
    pub fn revoke(&mut self, envelope: &Envelope) -> Result<(Actor, Revocation)> {
        let (actor, revocation) = self.revocation(envelope)?;
        self.revoked.insert((revocation.root, revocation.certificate), revocation.clone());
        Ok((actor, revocation))
    }

    /// Verifies a revocation without taking it in.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub fn revocation(&self, envelope: &Envelope) -> Result<(Actor, Revocation)> {
        let root = self.root(&envelope.keyid()?).ok_or_else(|| unknown_root(envelope))?;
        let revocation: Revocation = envelope.open(PayloadType::Revocation, &root.key)?;
        let own = self.certificate(&revocation.certificate).is_none_or(|certificate| certificate.root == root.id());
        if revocation.root != root.id() || !own {
            return Err(Refusal::new(
                Code(124),
                "a root may take back its own certificates only",
                "Ask the organisation that certified the device.",
            )
            .into());
        }
        Ok((Actor::Root(root.id()), revocation))
    }

    /// Whether this party was told that the certificate, which it knows, is taken back.
    pub fn is_revoked(&self, certificate: &Digest) -> bool {
        self.certificate(certificate).is_some_and(|known| self.revoked.contains_key(&(known.root, *certificate)))
    }

    /// The signer of an envelope and what it says: the one way to an [`Actor::Person`].
    ///
    /// # Errors
    /// A refusal when the certificate is unknown, not valid at `at`, or taken back; an alarm when the signature does
    /// not hold.
    pub fn open<T: DeserializeOwned + Serialize>(
        &self,
        envelope: &Envelope,
        payload_type: PayloadType,
        at: Timestamp,
    ) -> Result<(Signer, T)> {
        let signer = self.signer(envelope.keyid()?, at)?;
        let value = envelope.open(payload_type, &signer.device)?;
        Ok((signer, value))
    }

    /// As [`Self::open`] for an act that is a fact already: whether its certificate was taken back by then is said by
    /// the sequence of facts, not by what this party was told since.
    ///
    /// # Errors
    /// As [`Self::open`], revocations apart.
    pub fn open_recorded<T: DeserializeOwned + Serialize>(
        &self,
        envelope: &Envelope,
        payload_type: PayloadType,
        at: Timestamp,
    ) -> Result<(Signer, T)> {
        let signer = self.certified(envelope.keyid()?, at)?;
        let value = envelope.open(payload_type, &signer.device)?;
        Ok((signer, value))
    }

    /// Who a certificate speaks of, if it is good at `at`. The caller has yet to verify a signature under its key.
    pub(crate) fn signer(&self, digest: Digest, at: Timestamp) -> Result<Signer> {
        let signer = self.certified(digest, at)?;
        let taken_back = self.revoked.get(&(signer.root, digest));
        if taken_back.is_some_and(|revocation| at >= revocation.compromised_since) {
            return Err(Refusal::new(
                Code(127),
                format!("the certificate of {} was taken back by its organisation", signer.name),
                "Let another person act, or have a new device certified.",
            )
            .into());
        }
        Ok(signer)
    }

    /// As [`Self::signer`], whether it was taken back or not.
    fn certified(&self, digest: Digest, at: Timestamp) -> Result<Signer> {
        let certificate = self.certificate(&digest).ok_or_else(|| {
            Refusal::new(
                Code(125),
                format!("certificate {} is not one of a root trusted here", digest.short()),
                "Compare the root's six words by telephone and pin it with `lazaret trust`.",
            )
        })?;
        if at < certificate.from || at >= certificate.until {
            return Err(Refusal::new(
                Code(126),
                format!("the certificate of {} is not valid at {at}", certificate.person.name),
                "Have the organisation certify the device again.",
            )
            .into());
        }
        Ok(Signer {
            person: certificate.person.id,
            name: certificate.person.name.clone(),
            root: certificate.root,
            certificate: digest,
            device: certificate.device.key,
            roles: certificate.roles.clone(),
        })
    }
}

fn unknown_root(envelope: &Envelope) -> Refusal {
    let root = envelope.keyid().map(|id| id.short()).unwrap_or_default();
    Refusal::new(
        Code(128),
        format!("root {root} is not trusted here"),
        "Compare its six words by telephone and pin it with `lazaret trust`.",
    )
}
