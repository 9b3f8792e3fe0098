use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{Alarm, Code, Digest, Refusal, Result, canonical};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{PublicKey, SigningKey};

/// What an envelope holds; stands in the signed bytes, so that one kind can never pass for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadType {
    /// A root speaks of a person's device.
    #[serde(rename = "application/vnd.lazaret.certificate.v1+json")]
    Certificate,
    /// A root takes a certificate back.
    #[serde(rename = "application/vnd.lazaret.revocation.v1+json")]
    Revocation,
    /// A root invites a person.
    #[serde(rename = "application/vnd.lazaret.invitation.v1+json")]
    Invitation,
    /// A new device asks for a certificate.
    #[serde(rename = "application/vnd.lazaret.request.v1+json")]
    Request,
    /// A person's device acts in a migration.
    #[serde(rename = "application/vnd.lazaret.act.v1+json")]
    Act,
    /// A person's device or the server states what it did or saw.
    #[serde(rename = "application/vnd.lazaret.statement.v1+json")]
    Statement,
    /// The server's receipt of an act.
    #[serde(rename = "application/vnd.lazaret.fact.v1+json")]
    Fact,
    /// An in-toto Statement: the certificate of destruction.
    #[serde(rename = "application/vnd.in-toto+json")]
    InToto,
}

impl PayloadType {
    fn text(self) -> &'static str {
        match self {
            Self::Certificate => "application/vnd.lazaret.certificate.v1+json",
            Self::Revocation => "application/vnd.lazaret.revocation.v1+json",
            Self::Invitation => "application/vnd.lazaret.invitation.v1+json",
            Self::Request => "application/vnd.lazaret.request.v1+json",
            Self::Act => "application/vnd.lazaret.act.v1+json",
            Self::Statement => "application/vnd.lazaret.statement.v1+json",
            Self::Fact => "application/vnd.lazaret.fact.v1+json",
            Self::InToto => "application/vnd.in-toto+json",
        }
    }
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Whose: a certificate's digest, or the digest of a root's or server's key.
    pub keyid: Digest,
    /// Ed25519, 64 bytes, in base64.
    pub sig: String,
}

/// Signed bytes in DSSE form (secure-systems-lab/dsse, protocol 1.0.2): what is verified is what is parsed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What it holds.
    #[serde(rename = "payloadType")]
    pub payload_type: PayloadType,
    /// RFC 8785 JSON, in base64.
    pub payload: String,
    /// Exactly one here.
    pub signatures: Vec<Signature>,
}

/// The bytes that a DSSE signature covers: type and payload with their lengths, so that neither grows into the other.
fn pre_authentication(payload_type: PayloadType, payload: &[u8]) -> Vec<u8> {
    let kind = payload_type.text();
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

impl Envelope {
    /// Signs the canonical bytes of `value`.
    ///
    /// # Errors
    /// As [`canonical`].
    pub fn sign<T: Serialize>(payload_type: PayloadType, value: &T, keyid: Digest, key: &SigningKey) -> Result<Self> {
        let payload = canonical(value)?;
        let sig = STANDARD.encode(key.sign(&pre_authentication(payload_type, &payload)));
        Ok(Self { payload_type, payload: STANDARD.encode(payload), signatures: vec![Signature { keyid, sig }] })
    }

    /// Whose key the envelope claims; proves nothing by itself.
    ///
    /// # Errors
    /// A refusal when there is not exactly one signature.
    pub fn keyid(&self) -> Result<Digest> {
        match self.signatures.as_slice() {
            [only] => Ok(only.keyid),
            _ => Err(malformed("it does not carry exactly one signature").into()),
        }
    }

    /// The signed bytes, checked against `key`.
    ///
    /// # Errors
    /// A refusal when the envelope is malformed or of another type; an alarm when the signature does not hold.
    pub fn verified(&self, payload_type: PayloadType, key: &PublicKey) -> Result<Vec<u8>> {
        if self.payload_type != payload_type {
            return Err(
                malformed(&format!("it holds {}, not {}", self.payload_type.text(), payload_type.text())).into()
            );
        }
        let payload = self.bytes()?;
        let [only] = self.signatures.as_slice() else {
            return Err(malformed("it does not carry exactly one signature").into());
        };
        let signature = STANDARD.decode(&only.sig).map_err(|_| malformed("its signature is not base64"))?;
        if !key.verifies(&pre_authentication(payload_type, &payload), &signature) {
            return Err(Alarm::new(
                Code(112),
                format!(
                    "a signature under key {} does not hold: the bytes are not what was signed",
                    only.keyid.short()
                ),
            )
            .into());
        }
        Ok(payload)
    }

    /// [`Self::verified`], parsed; refused when the bytes are not in canonical form.
    ///
    /// # Errors
    /// As [`Self::verified`]; a refusal when the bytes do not say a `T`.
    pub fn open<T: DeserializeOwned + Serialize>(&self, payload_type: PayloadType, key: &PublicKey) -> Result<T> {
        parse_canonical(&self.verified(payload_type, key)?)
    }

    /// The payload, not verified: for showing and for finding out which key to verify with.
    ///
    /// # Errors
    /// A refusal when it is not base64.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.payload).map_err(|_| malformed("its payload is not base64").into())
    }

    /// SHA-256 of the payload: what other signed things name it by.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn digest(&self) -> Result<Digest> {
        Ok(Digest::of(&self.bytes()?))
    }
}

/// Parses bytes that must be exactly the canonical form of what they say, so that nothing unsigned hides in spelling.
pub(crate) fn parse_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T> {
    // The parser's own words repeat what it met: sixteen megabytes of it, if somebody signs that.
    let value: T = serde_json::from_slice(bytes)
        .map_err(|error| malformed(&format!("its payload does not parse at column {}", error.column())))?;
    if canonical(&value)? != bytes {
        return Err(malformed("its payload is not in canonical form, or says more than is understood here").into());
    }
    Ok(value)
}

fn malformed(why: &str) -> Refusal {
    Refusal::new(
        Code(111),
        format!("a signed envelope is not acceptable: {why}"),
        "Ask its sender for it again; if it comes from the server, tell the person you work with by telephone.",
    )
}

#[cfg(test)]
mod tests {
    use lexicon::SystemEntropy;

    use super::*;

    #[test]
    fn an_envelope_of_one_type_never_passes_for_another_and_a_changed_one_is_an_alarm() {
        let key = SigningKey::draw(&SystemEntropy::new()).unwrap();
        let sealed = Envelope::sign(PayloadType::Act, &vec!["x"], key.public().digest(), &key).unwrap();
        assert_eq!(sealed.open::<Vec<String>>(PayloadType::Act, &key.public()).unwrap(), ["x"]);
        assert!(sealed.open::<Vec<String>>(PayloadType::Statement, &key.public()).is_err());
        let relabelled = Envelope { payload_type: PayloadType::Statement, ..sealed.clone() };
        assert!(relabelled.open::<Vec<String>>(PayloadType::Statement, &key.public()).is_err());
        let changed = Envelope { payload: STANDARD.encode(b"[\"y\"]"), ..sealed };
        assert_eq!(changed.open::<Vec<String>>(PayloadType::Act, &key.public()).unwrap_err().code(), Code(112));
    }

    #[test]
    fn bytes_that_are_signed_but_not_canonical_are_refused() {
        assert!(parse_canonical::<Vec<String>>(b"[ \"x\"]").is_err());
        assert!(parse_canonical::<Vec<String>>(b"[\"x\"]").is_ok());
    }

    #[test]
    fn what_does_not_parse_is_not_repeated() {
        let trouble = parse_canonical::<Vec<u8>>(b"[7,\"Jeanne\"]").unwrap_err();
        assert!(trouble.to_string().contains("at column 11") && !trouble.to_string().contains("Jeanne"), "{trouble}");
    }
}
