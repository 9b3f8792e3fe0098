//! Requests to the server, signed by a device as RFC 9421 (HTTP Message Signatures) says, with Ed25519.
//!
//! Covered: method, path, query, and the SHA-256 of the body (RFC 9530 `content-digest`). The parameters carry the
//! time, a nonce that the server accepts once, and as tag the journal origin of the server that is meant, so that a
//! request cannot be played to another server, at another time, or twice.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{Alarm, Code, Digest, Refusal, Result, Timestamp};

use crate::{PublicKey, Roster, Signer, SigningKey};

/// How long a signed request is good: the drift that is allowed anyway, both ways.
pub const GOOD_FOR_SECONDS: i64 = 300;

/// What a request is, as far as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// From the first slash, without the query.
    pub path: &'a str,
    /// Without the question mark; empty when there is none.
    pub query: &'a str,
    /// SHA-256 of the body, of nothing when there is none.
    pub body: Digest,
}

/// The three header values of a signed request.
#[derive(Clone, Debug)]
pub struct Headers {
    /// `content-digest`
    pub content_digest: String,
    /// `signature-input`
    pub signature_input: String,
    /// `signature`
    pub signature: String,
}

/// What a signature says of itself, before it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The certificate's digest.
    pub keyid: Digest,
    /// When it was made, seconds since 1970.
    pub created: i64,
    /// Accepted once.
    pub nonce: Digest,
    /// The journal origin of the server that is meant.
    pub origin: String,
}

const COVERED: &str = r#"("@method" "@path" "@query" "content-digest")"#;

fn parameters(claim: &Claim) -> String {
    let Claim { keyid, created, nonce, origin } = claim;
    format!(r#"{COVERED};created={created};nonce="{nonce}";keyid="{keyid}";alg="ed25519";tag="{origin}""#)
}

fn content_digest(body: Digest) -> String {
    format!("sha-256=:{}:", STANDARD.encode(body.0))
}

/// The body's SHA-256 as the headers claim it: what the signature covers. Whoever verifies with this before the body is
/// read has yet to compare it with the body.
///
/// # Errors
/// A refusal when the header is not of the one form that [`sign`] writes.
pub fn claimed_body(headers: &Headers) -> Result<Digest> {
    let text = headers.content_digest.strip_prefix("sha-256=:").and_then(|rest| rest.strip_suffix(':'));
    let bytes = text.and_then(|text| STANDARD.decode(text).ok()).ok_or_else(unsigned)?;
    let digest: [u8; 32] = bytes.try_into().map_err(|_| unsigned())?;
    Ok(Digest(digest))
}

/// The trouble of a body that is not the one that was signed.
pub fn other_body() -> Alarm {
    Alarm::new(Code(142), "the signature of a request does not hold")
}

fn base(request: &Request<'_>, parameters: &str) -> String {
    let Request { method, path, query, body } = request;
    let content = content_digest(*body);
    format!(
        "\"@method\": {method}\n\"@path\": {path}\n\"@query\": ?{query}\n\"content-digest\": {content}\n\
         \"@signature-params\": {parameters}"
    )
}

/// The headers of a request, signed.
pub fn sign(request: &Request<'_>, claim: &Claim, key: &SigningKey) -> Headers {
    sign_with(request, claim, |bytes| key.sign(bytes))
}

/// As [`sign`], where the key is held elsewhere.
pub fn sign_with(request: &Request<'_>, claim: &Claim, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Headers {
    let parameters = parameters(claim);
    let signature = sign(base(request, &parameters).as_bytes());
    Headers {
        content_digest: content_digest(request.body),
        signature_input: format!("lazaret={parameters}"),
        signature: format!("lazaret=:{}:", STANDARD.encode(signature)),
    }
}

/// Reads the claim out of `signature-input`. Only the one form that [`sign`] writes is understood.
///
/// # Errors
/// A refusal when the header says anything else.
pub fn claim(signature_input: &str) -> Result<Claim> {
    let field = |name: &str| -> Option<&str> {
        signature_input.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let text = |name: &str| field(name)?.strip_prefix('"')?.strip_suffix('"');
    let claim = (|| {
        Some(Claim {
            keyid: text("keyid")?.parse().ok()?,
            created: field("created")?.parse().ok()?,
            nonce: text("nonce")?.parse().ok()?,
            origin: text("tag")?.to_owned(),
        })
    })();
    claim.filter(|claim| format!("lazaret={}", parameters(claim)) == signature_input).ok_or_else(|| unsigned().into())
}

/// Who signed this request. The caller has yet to see that the nonce is new.
///
/// # Errors
/// A refusal when the request is unsigned, stale, meant for another server, or of a certificate that is not good; an
/// alarm when the signature does not hold.
pub fn verify(
    request: &Request<'_>,
    headers: &Headers,
    origin: &str,
    roster: &Roster,
    at: Timestamp,
) -> Result<(Signer, Claim)> {
    let claim = claim(&headers.signature_input)?;
    let age = at.as_second().saturating_sub(claim.created);
    let elsewhere = |message: &str, remedy: &str| Err(Refusal::new(Code(141), message, remedy).into());
    if claim.origin != origin {
        return elsewhere(
            "this request was signed for another server",
            "Ask the server's operator for its card, and enrol with that.",
        );
    }
    if age.saturating_abs() > GOOD_FOR_SECONDS {
        let (minutes, side) = (age.saturating_abs() / 60, if age > 0 { "behind" } else { "ahead of" });
        return elsewhere(
            &format!("this machine's clock is {minutes} minutes {side} the server's, where five are allowed"),
            "Compare both clocks with the true time, set the one that is wrong, and give the command again.",
        );
    }
    let signer = roster.signer(claim.keyid, at)?;
    verify_with(request, headers, &claim, &signer.device)?;
    Ok((signer, claim))
}

/// As [`verify`] where the key is not yet on the roster: a device presents its first certificate.
///
/// # Errors
/// A refusal when the headers are malformed; an alarm when the signature does not hold.
pub fn verify_with(request: &Request<'_>, headers: &Headers, claim: &Claim, key: &PublicKey) -> Result<()> {
    let signature = headers.signature.strip_prefix("lazaret=:").and_then(|rest| rest.strip_suffix(':'));
    let signature = signature.and_then(|text| STANDARD.decode(text).ok()).ok_or_else(unsigned)?;
    if headers.content_digest != content_digest(request.body)
        || !key.verifies(base(request, &parameters(claim)).as_bytes(), &signature)
    {
        return Err(other_body().into());
    }
    Ok(())
}

fn unsigned() -> Refusal {
    Refusal::new(
        Code(140),
        "this request is not signed by a person's device",
        "Use the lazaret command with an enrolled device.",
    )
}

#[cfg(test)]
mod tests {
    use lexicon::SystemEntropy;

    use super::*;

    #[test]
    fn a_request_is_good_as_signed_and_in_no_other_form() {
        let key = SigningKey::draw(&SystemEntropy::new()).unwrap();
        let claimed =
            Claim { keyid: Digest::of(b"c"), created: 1_700_000_000, nonce: Digest::of(b"n"), origin: "lz/1".into() };
        let request = Request { method: "POST", path: "/v1/acts", query: "", body: Digest::of(b"body") };
        let headers = sign(&request, &claimed, &key);
        assert_eq!(claim(&headers.signature_input).unwrap(), claimed);
        verify_with(&request, &headers, &claimed, &key.public()).unwrap();
        for other in [
            Request { method: "GET", ..request },
            Request { path: "/v1/act", ..request },
            Request { query: "a=b", ..request },
            Request { body: Digest::of(b"other"), ..request },
        ] {
            assert_eq!(verify_with(&other, &headers, &claimed, &key.public()).unwrap_err().code(), Code(142));
        }
        assert!(claim(&headers.signature_input.replace("ed25519", "none")).is_err());
        assert!(claim("").is_err());
    }
}
