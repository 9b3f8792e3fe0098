use lexicon::{Code, Digest, Refusal, Result};
use people::request::{self, Claim, Headers, Request};
use people::{Envelope, Passphrase, PayloadType, SigningKey};
use procedure::{Act, ActBody};
use wire::Keeper;

use crate::Home;

/// The device's key in this process's memory, after its person gave the passphrase.
pub struct KeyHolder {
    key: SigningKey,
    certificate: Digest,
}

impl KeyHolder {
    /// Opens the device's key. Takes some 0.1 s: guessing must be dear.
    ///
    /// # Errors
    /// A refusal when the passphrase is wrong, or the key is not the one that the certificate names.
    pub fn unlock(home: &Home, passphrase: &Passphrase) -> Result<Self> {
        let (digest, certificate, _) = home.certificate()?;
        let key = home.key(passphrase)?;
        if certificate.device.key != key.public() {
            let remedy = "Restore the folder, or enrol the device again in a new one.";
            return Err(Refusal::new(
                Code(1230),
                "this device's key is not the one that its certificate names",
                remedy,
            )
            .into());
        }
        Ok(Self::new(key, digest))
    }

    /// A key that is in memory already, and the digest of its certificate.
    pub fn new(key: SigningKey, certificate: Digest) -> Self {
        Self { key, certificate }
    }

    fn own(&self, certificate: Digest) -> Result<()> {
        if certificate == self.certificate {
            return Ok(());
        }
        Err(Refusal::new(
            Code(1231),
            "this key signs under its own certificate only",
            "Use the device that the act names.",
        )
        .into())
    }
}

impl Keeper for KeyHolder {
    fn certificate(&self) -> Digest {
        self.certificate
    }

    fn sign_request(&self, request: &Request<'_>, claim: &Claim) -> Result<Headers> {
        self.own(claim.keyid)?;
        Ok(request::sign(request, claim, &self.key))
    }

    fn sign_act(&self, body: &ActBody) -> Result<Envelope> {
        self.own(body.certificate)?;
        Envelope::sign(PayloadType::Act, body, self.certificate, &self.key)
    }

    fn sign_statement(&self, statement: &serde_json::Value) -> Result<Envelope> {
        Envelope::sign(PayloadType::Statement, statement, self.certificate, &self.key)
    }
}

/// Whether an act binds its person, so that the passphrase is asked for it each time. What carries out a step that was
/// decided, and what stops everything, does not. The server's own acts are no person's at all.
pub fn is_binding(act: &Act) -> bool {
    match act {
        Act::Freeze { .. }
        | Act::Offer { .. }
        | Act::Begin { .. }
        | Act::Failed { .. }
        | Act::Close { .. }
        | Act::HandOver { .. }
        | Act::Done { .. }
        | Act::PartDestroyed { .. } => false,
        Act::Open { .. }
        | Act::Propose { .. }
        | Act::Approve { .. }
        | Act::Extend { .. }
        | Act::Thaw { .. }
        | Act::Cancel { .. }
        | Act::SignOff { .. }
        | Act::OpenConsignment { .. }
        | Act::Release { .. }
        | Act::AcceptDifference { .. }
        | Act::Abandon { .. }
        | Act::Revoke { .. }
        | Act::Overdue { .. }
        | Act::Destroyed { .. }
        | Act::Finish { .. } => true,
    }
}
