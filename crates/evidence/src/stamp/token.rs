//! A time-stamp token taken apart and checked: RFC 3161 in the signed data of RFC 5652.

use std::time::Duration;

use aws_lc_rs::digest;
use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{AnyRef, ObjectIdentifier, OctetString};
use der::{Any, Decode, Encode, Reader, SliceReader, Tag, Tagged};
use lexicon::{Result, Timestamp};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage, aws_lc_rs as algorithms};
use x509_cert::Certificate;
use x509_cert::attr::Attributes;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use super::{STAMP_BYTES_MAX, Stamped, oid};
use crate::trouble::{no_stamp, not_stamped, wrong_authority};

pub(super) const SHA_256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");
const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = oid("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = oid("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = oid("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.47");
const EXTENDED_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");
const TIME_STAMPING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.8");
/// The same as webpki wants it: the bytes of the identifier.
const TIME_STAMPING_BYTES: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 8];
const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
const RSA_SHA_256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
const RSA_SHA_384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
const RSA_SHA_512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
const ECDSA_SHA_256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
const ECDSA_SHA_384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
const ECDSA_SHA_512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");

/// What an authority signed, and how.
pub(super) struct Token {
    pub(super) algorithm: ObjectIdentifier,
    pub(super) hashed: Vec<u8>,
    /// Without leading zeros.
    pub(super) nonce: Option<Vec<u8>>,
    at: Timestamp,
    content: Vec<u8>,
    signer: SignerInfo,
    certificates: Vec<Certificate>,
}

fn odd(_: der::Error) -> lexicon::Trouble {
    no_stamp("it is no DER, or says something else than RFC 3161")
}

impl Token {
    /// Out of a response. Nothing is believed yet.
    pub(super) fn of_response(response: &[u8]) -> Result<Self> {
        if response.len() > STAMP_BYTES_MAX {
            return Err(no_stamp("it is larger than any time stamp"));
        }
        let mut reader = SliceReader::new(response).map_err(odd)?;
        let (status, token) = reader
            .sequence(|body| {
                let status = body.sequence(|status| {
                    let number = u32::decode(status)?;
                    // What the authority adds in words is not repeated.
                    while !status.is_finished() {
                        AnyRef::decode(status)?;
                    }
                    Ok(number)
                })?;
                let token = if body.is_finished() { None } else { Some(ContentInfo::decode(body)?) };
                Ok((status, token))
            })
            .map_err(odd)?;
        reader.finish(()).map_err(odd)?;
        // 0 is granted, 1 granted with changes.
        let token = token.filter(|_| status <= 1).ok_or_else(|| not_stamped(status))?;
        Self::of_token(&token)
    }

    fn of_token(token: &ContentInfo) -> Result<Self> {
        if token.content_type != SIGNED_DATA {
            return Err(no_stamp("its token is not signed data"));
        }
        let data: SignedData = token.content.decode_as().map_err(odd)?;
        let info = &data.encap_content_info;
        let content = info.econtent.as_ref().filter(|_| info.econtent_type == TST_INFO);
        let content = content.ok_or_else(|| no_stamp("what its token signs is no time stamp"))?;
        let content: OctetString = content.decode_as().map_err(odd)?;
        let [signer] = data.signer_infos.0.as_slice() else { return Err(no_stamp("it has not exactly one signer")) };
        let certificates = data.certificates.iter().flat_map(|set| set.0.iter()).filter_map(|choice| {
            if let CertificateChoices::Certificate(certificate) = choice { Some(certificate.clone()) } else { None }
        });
        let (algorithm, hashed, at, nonce) = parse_info(content.as_bytes()).map_err(odd)?;
        let at = generalized(&at).ok_or_else(|| no_stamp("its time is none"))?;
        let content = content.as_bytes().to_vec();
        Ok(Self { algorithm, hashed, nonce, at, content, signer: signer.clone(), certificates: certificates.collect() })
    }

    /// That it is signed by a certificate for time stamping and nothing else, which one of `authorities` vouches for, at
    /// the time that it says.
    pub(super) fn is_by(&self, authorities: &[CertificateDer<'_>]) -> Result<Stamped> {
        let own = self.own_certificate()?;
        let bytes = CertificateDer::from(own.to_der().map_err(odd)?);
        let signer =
            EndEntityCert::try_from(&bytes).map_err(|error| wrong_authority(&format!("its certificate: {error}")))?;
        for_stamping_only(own)?;
        self.is_signed_by(&signer, &bytes)?;
        let anchors = authorities.iter().map(webpki::anchor_from_trusted_cert);
        let anchors: Vec<_> =
            anchors.collect::<std::result::Result<_, _>>().map_err(|_| crate::trouble::no_authority())?;
        let others = self.certificates.iter().map(|other| Ok(CertificateDer::from(other.to_der()?)));
        let others: Vec<_> = others.collect::<der::Result<_>>().map_err(odd)?;
        let seconds = u64::try_from(self.at.as_second()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::required(TIME_STAMPING_BYTES);
        let known = webpki::ALL_VERIFICATION_ALGS;
        let vouched = signer.verify_for_usage(known, &anchors, &others, at, usage, None, None);
        vouched.map_err(|error| wrong_authority(&format!("its certificate: {error}")))?;
        Ok(Stamped { at: self.at, authority: own.tbs_certificate.subject.to_string() })
    }

    /// The certificate in the token that its signer names.
    fn own_certificate(&self) -> Result<&Certificate> {
        let SignerIdentifier::IssuerAndSerialNumber(named) = &self.signer.sid else {
            return Err(no_stamp("it does not name its signer by issuer and number"));
        };
        let named = |certificate: &&Certificate| {
            let own = &certificate.tbs_certificate;
            own.issuer == named.issuer && own.serial_number == named.serial_number
        };
        let own = self.certificates.iter().find(named);
        own.ok_or_else(|| no_stamp("its authority's certificate did not come with it"))
    }

    /// The signature is over attributes, and those name content, digest and certificate.
    fn is_signed_by(&self, signer: &EndEntityCert<'_>, certificate: &[u8]) -> Result<()> {
        let attributes = self.signer.signed_attrs.as_ref().ok_or_else(|| no_stamp("it has no signed attributes"))?;
        let hash = hash_of(self.signer.digest_alg.oid).ok_or_else(|| no_stamp("it uses a digest that is not known"))?;
        let kind: ObjectIdentifier = one(attributes, CONTENT_TYPE)?.decode_as().map_err(odd)?;
        let told: OctetString = one(attributes, MESSAGE_DIGEST)?.decode_as().map_err(odd)?;
        if kind != TST_INFO || told.as_bytes() != digest::digest(hash, &self.content).as_ref() {
            return Err(wrong_authority("its signature is over other content"));
        }
        names(attributes, certificate)?;
        let message = attributes.to_der().map_err(odd)?;
        let known = algorithms_of(&self.signer);
        let holds = known
            .iter()
            .any(|algorithm| signer.verify_signature(*algorithm, &message, self.signer.signature.as_bytes()).is_ok());
        if holds { Ok(()) } else { Err(wrong_authority("its signature does not hold")) }
    }
}

/// What is of interest in a `TSTInfo`: algorithm and digest of what was stamped, time, nonce.
type Info = (ObjectIdentifier, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

fn parse_info(bytes: &[u8]) -> der::Result<Info> {
    let mut reader = SliceReader::new(bytes)?;
    let info = reader.sequence(|info| {
        u8::decode(info)?;
        ObjectIdentifier::decode(info)?;
        let imprint = super::MessageImprint::decode(info)?;
        AnyRef::decode(info)?;
        let time = AnyRef::decode(info)?;
        time.tag().assert_eq(Tag::GeneralizedTime)?;
        let mut nonce = None;
        // Accuracy, order, nonce, name, extensions: the only bare number is the nonce.
        while !info.is_finished() {
            let next = AnyRef::decode(info)?;
            if next.tag() == Tag::Integer {
                let zeros = next.value().iter().take_while(|byte| **byte == 0).count();
                nonce = Some(next.value().iter().skip(zeros).copied().collect());
            }
        }
        Ok((imprint.algorithm.oid, imprint.hashed.as_bytes().to_vec(), time.value().to_vec(), nonce))
    })?;
    reader.finish(info)
}

/// `20260301080000Z`, perhaps with a fraction of a second.
fn generalized(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if whole.len() != 14
        || fraction.is_empty()
        || fraction.len() > 9
        || !(whole.bytes().chain(fraction.bytes())).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to);
    let (date, time) = ((part(0, 4)?, part(4, 6)?, part(6, 8)?), (part(8, 10)?, part(10, 12)?, part(12, 14)?));
    format!("{}-{}-{}T{}:{}:{}.{fraction}Z", date.0, date.1, date.2, time.0, time.1, time.2).parse().ok()
}

/// The one value of an attribute.
fn one(attributes: &Attributes, which: ObjectIdentifier) -> Result<&Any> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == which);
    let (Some(attribute), None) = (found.next(), found.next()) else {
        return Err(no_stamp("a signed attribute is missing, or there twice"));
    };
    match attribute.values.as_slice() {
        [value] => Ok(value),
        _ => Err(no_stamp("a signed attribute has not exactly one value")),
    }
}

/// The attribute that says which certificate signed, by its digest (RFC 2634 by SHA-1, RFC 5035 by any): two authorities
/// with one key are told apart by it.
fn names(attributes: &Attributes, certificate: &[u8]) -> Result<()> {
    let newer = attributes.iter().any(|attribute| attribute.oid == SIGNING_CERTIFICATE_V2);
    let value = one(attributes, if newer { SIGNING_CERTIFICATE_V2 } else { SIGNING_CERTIFICATE })?;
    let bytes = value.to_der().map_err(odd)?;
    let mut reader = SliceReader::new(&bytes).map_err(odd)?;
    // SEQUENCE { certs SEQUENCE OF SEQUENCE { [algorithm], digest, .. }, .. }: the first one is the signer's.
    let named = reader.sequence(|body| {
        let first = body.sequence(|ids| {
            let first = ids.sequence(|id| {
                let mut hash = if newer { Some(&digest::SHA256) } else { Some(&digest::SHA1_FOR_LEGACY_USE_ONLY) };
                let mut next = AnyRef::decode(id)?;
                if newer && next.tag() == Tag::Sequence {
                    let algorithm: x509_cert::spki::AlgorithmIdentifierRef<'_> = next.decode_as()?;
                    hash = hash_of(algorithm.oid);
                    next = AnyRef::decode(id)?;
                }
                while !id.is_finished() {
                    AnyRef::decode(id)?;
                }
                next.tag().assert_eq(Tag::OctetString)?;
                Ok((hash, next.value().to_vec()))
            })?;
            while !ids.is_finished() {
                AnyRef::decode(ids)?;
            }
            Ok(first)
        })?;
        while !body.is_finished() {
            AnyRef::decode(body)?;
        }
        Ok(first)
    });
    let (hash, told) = named.map_err(odd)?;
    let hash = hash.ok_or_else(|| no_stamp("it uses a digest that is not known"))?;
    if digest::digest(hash, certificate).as_ref() == told {
        return Ok(());
    }
    Err(wrong_authority("it names another certificate than the one that came with it"))
}

/// RFC 3161 section 2.3: the extension is there, critical, and names one use.
fn for_stamping_only(certificate: &Certificate) -> Result<()> {
    let all = certificate.tbs_certificate.extensions.iter().flatten();
    let usage = all.into_iter().find(|extension| extension.extn_id == EXTENDED_KEY_USAGE && extension.critical);
    let usage = usage.and_then(|extension| ExtendedKeyUsage::from_der(extension.extn_value.as_bytes()).ok());
    if usage.is_some_and(|usage| usage.0 == [TIME_STAMPING]) {
        return Ok(());
    }
    Err(wrong_authority("its certificate is not one for time stamping and nothing else (critical extended key usage)"))
}

fn hash_of(which: ObjectIdentifier) -> Option<&'static digest::Algorithm> {
    match which {
        SHA_256 => Some(&digest::SHA256),
        SHA_384 => Some(&digest::SHA384),
        SHA_512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// The algorithms that a signer may mean: the name of a signature may say only the kind of key, and the digest stands
/// beside it. Which of them fits the key, the key says.
fn algorithms_of(signer: &SignerInfo) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let hash = signer.digest_alg.oid;
    match (signer.signature_algorithm.oid, hash) {
        (RSA | RSA_SHA_256, SHA_256) => vec![algorithms::RSA_PKCS1_2048_8192_SHA256],
        (RSA | RSA_SHA_384, SHA_384) => vec![algorithms::RSA_PKCS1_2048_8192_SHA384],
        (RSA | RSA_SHA_512, SHA_512) => vec![algorithms::RSA_PKCS1_2048_8192_SHA512],
        (ECDSA_SHA_256, SHA_256) => vec![algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        (ECDSA_SHA_384, SHA_384) => vec![algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384],
        (ECDSA_SHA_512, SHA_512) => vec![algorithms::ECDSA_P256_SHA512, algorithms::ECDSA_P384_SHA512],
        _ => Vec::new(),
    }
}
