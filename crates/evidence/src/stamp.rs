//! A time stamp (RFC 3161) over a certificate of destruction, of an authority that the user names. What travels to the
//! authority and back is carried by people or their tools: nothing here speaks to a network.

mod token;

use der::asn1::{ObjectIdentifier, OctetString, Uint};
use der::{Decode, Encode, Sequence};
use lexicon::{Digest, Result, Timestamp, canonical};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use x509_cert::spki::AlgorithmIdentifierOwned;

use self::token::{SHA_256, Token};
use crate::Pack;
use crate::trouble::{no_authority, no_certificate, no_stamp, other_answer, wrong_stamp};

/// 1 MiB: a token with its authority's whole chain has some ten kilobytes.
pub(crate) const STAMP_BYTES_MAX: usize = 1024 * 1024;

/// What an authority says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stamped {
    /// When it saw the certificate's digest.
    pub at: Timestamp,
    /// What its signing certificate is called.
    pub authority: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct MessageImprint {
    algorithm: AlgorithmIdentifierOwned,
    hashed: OctetString,
}

/// RFC 3161 section 2.4.1, with what is asked for here and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Request {
    version: u8,
    imprint: MessageImprint,
    nonce: Uint,
    cert_req: bool,
}

/// SHA-256 of the member `certificate.json`, which is what a stamp is over.
fn imprint(pack: &Pack) -> Result<Digest> {
    let envelope = pack.certificate.as_ref().ok_or_else(no_certificate)?;
    Ok(Digest::of(&canonical(envelope)?))
}

/// A request for a time stamp over the certificate in a pack, for `openssl ts` or any authority: SHA-256, this nonce, and
/// that the authority's certificates come with the answer.
///
/// # Errors
/// A refusal when the pack has no certificate.
pub fn stamp_request(pack: &Pack, nonce: [u8; 16]) -> Result<Vec<u8>> {
    let odd = |_| no_stamp("a request could not be written");
    let request = Request {
        version: 1,
        imprint: MessageImprint {
            algorithm: AlgorithmIdentifierOwned { oid: SHA_256, parameters: Some(der::asn1::Null.into()) },
            hashed: OctetString::new(imprint(pack)?.0.as_slice()).map_err(odd)?,
        },
        nonce: Uint::new(&nonce).map_err(odd)?,
        cert_req: true,
    };
    request.to_der().map_err(odd)
}

/// A pack with the answer of an authority to [`stamp_request`] in it, and what it says.
///
/// # Errors
/// A refusal when the answer is none, or to another request; an alarm when it is not of this certificate, or not by an
/// authority that `authorities` (certificates in PEM) vouch for.
pub fn stamp(pack: &Pack, request: &[u8], response: &[u8], authorities: &[u8]) -> Result<(Pack, Stamped)> {
    let asked = Request::from_der(request).map_err(|_| no_stamp("the request is none of this command's"))?;
    if asked.imprint.hashed.as_bytes() != imprint(pack)?.0 {
        return Err(other_answer("the request is over another certificate than the pack's"));
    }
    let token = Token::of_response(response)?;
    if token.nonce.as_deref() != Some(asked.nonce.as_bytes()) {
        return Err(other_answer("its nonce is not the request's"));
    }
    let stamped = check(pack, &token, authorities)?;
    Ok((Pack { stamp: Some(response.to_vec()), ..pack.clone() }, stamped))
}

/// What the time stamp in a pack says, checked against authorities in PEM; none when there is no stamp.
///
/// # Errors
/// As [`stamp`].
pub fn stamped(pack: &Pack, authorities: &[u8]) -> Result<Option<Stamped>> {
    let Some(response) = &pack.stamp else { return Ok(None) };
    check(pack, &Token::of_response(response)?, authorities).map(Some)
}

/// That a stamp, if there is one, is of the certificate beside it: all that can be said without its authority.
pub(crate) fn is_of_the_certificate(pack: &Pack) -> Result<()> {
    let Some(response) = &pack.stamp else { return Ok(()) };
    Token::of_response(response)?.is_over(imprint(pack)?)
}

fn check(pack: &Pack, token: &Token, authorities: &[u8]) -> Result<Stamped> {
    token.is_over(imprint(pack)?)?;
    let authorities = CertificateDer::pem_slice_iter(authorities).collect::<std::result::Result<Vec<_>, _>>();
    let authorities = authorities.ok().filter(|found| !found.is_empty()).ok_or_else(no_authority)?;
    token.is_by(&authorities)
}

impl Token {
    fn is_over(&self, imprint: Digest) -> Result<()> {
        if self.algorithm == SHA_256 && self.hashed == imprint.0 {
            return Ok(());
        }
        Err(wrong_stamp("it is over other bytes than the pack's certificate"))
    }
}

/// Object identifiers that this room knows.
const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}
