use lexicon::{Digest, Result};
use people::Envelope;
use people::request::{Claim, Headers, Request};
use procedure::ActBody;

/// Whoever holds a device's key: this process, or one that the person unlocked before.
///
/// What is signed is handed over in its parts, never as bytes: a keeper that signed any bytes for a request would sign
/// an act by the same door.
pub trait Keeper: Send + Sync {
    /// Whose certificate it signs under.
    fn certificate(&self) -> Digest;

    /// Signs a request to the server.
    ///
    /// # Errors
    /// A refusal when the claim is of another certificate; a fault when the keeper cannot be reached.
    fn sign_request(&self, request: &Request<'_>, claim: &Claim) -> Result<Headers>;

    /// Signs an act.
    ///
    /// # Errors
    /// A refusal when the act is of another certificate, or one for which this keeper wants the person's passphrase; a
    /// fault when the keeper cannot be reached.
    fn sign_act(&self, body: &ActBody) -> Result<Envelope>;

    /// Signs a statement: what the person's device says that it did or saw.
    ///
    /// # Errors
    /// A fault when the keeper cannot be reached.
    fn sign_statement(&self, statement: &serde_json::Value) -> Result<Envelope>;
}
