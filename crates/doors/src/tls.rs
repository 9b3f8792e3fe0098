use std::sync::Arc;
use std::time::Duration;

use lexicon::{Code, Digest, Fault, Refusal, Result, Retry, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, ServerConfig};

/// The server's TLS certificate and key, in PEM.
pub struct Identity {
    /// The certificate, or the chain with it first.
    pub certificate_pem: String,
    /// Its private key, in the clear: PKCS#8, SEC1 or PKCS#1.
    pub key_pem: String,
}

/// A certificate of the server's own for these host names, where none is configured. Agents know it by its
/// fingerprint, not by who signed it.
///
/// # Errors
/// A fault when it cannot be made.
pub fn make_identity(names: &[String]) -> Result<Identity> {
    let failed = |_| Fault::new(Code(853), Retry::Never, "a TLS certificate could not be made for these host names");
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
    let mut parameters = CertificateParams::new(names).map_err(failed)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "lazaret");
    parameters.distinguished_name = name;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

impl Identity {
    /// What an invitation names: SHA-256 of the DER of the certificate itself, the first of its chain.
    ///
    /// # Errors
    /// A fault when the PEM holds no certificate.
    pub fn fingerprint(&self) -> Result<Digest> {
        self.chain()?.first().map(|first| Digest::of(first)).ok_or_else(|| unusable().into())
    }

    /// Whether a certificate and key that somebody configured can be served at this time.
    ///
    /// # Errors
    /// A refusal when either cannot be read, when they do not belong together, or outside the certificate's dates.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        let chain = self.chain().ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| no_certificate("there is no readable one in its file"))?;
        let leaf = chain.first().map(ParsedCertificate::try_from);
        let leaf = leaf.and_then(Result::ok).ok_or_else(|| no_certificate("it is not one of X.509 version 3"))?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes());
        let key = key.map_err(|_| no_key("there is no PEM in its file that is PKCS#8, SEC1 or PKCS#1 in the clear"))?;
        match CertifiedKey::from_der(chain.clone(), key, &aws_lc_rs::default_provider()) {
            Ok(_) => dated(&leaf, now),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let why = "the TLS key is not the key of the first certificate in the file of the TLS certificate";
                let remedy =
                    "Name the key that the certificate was made for, and put the certificate before its chain.";
                Err(Refusal::new(Code(857), why, remedy).into())
            }
            Err(_) => Err(no_key("it is of a kind or length that TLS 1.3 is not spoken with here").into()),
        }
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| unusable().into())
    }

    /// TLS 1.3 only, aws-lc-rs.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|_| unusable())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| unusable())?
            .with_no_client_auth()
            .with_single_cert(self.chain()?, key)
            .map_err(|_| unusable())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Agents look at no date; whoever watches the server from outside does, and a forgotten one is told at the start.
fn dated(leaf: &ParsedCertificate<'_>, now: Timestamp) -> Result<()> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()));
    // Without a root every certificate is unknown; that its time is not now is told before that.
    let judged = verify_server_cert_signed_by_trust_anchor(leaf, &RootCertStore::empty(), &[], now, algorithms);
    let Err(rustls::Error::InvalidCertificate(error)) = judged else { return Ok(()) };
    let why = if matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        "has expired"
    } else if matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        "is not valid yet"
    } else {
        return Ok(());
    };
    let remedy =
        "Have it renewed, look at this machine's clock, and take the change into the card: `lazaret card renew`.";
    Err(Refusal::new(Code(858), format!("the TLS certificate {why}"), remedy).into())
}

fn no_certificate(why: &str) -> Refusal {
    let why = format!("the TLS certificate cannot be used: {why}");
    Refusal::new(Code(855), why, "Name a PEM file that holds the certificate, then the chain that it comes with.")
}

fn no_key(why: &str) -> Refusal {
    let why = format!("the TLS key cannot be used: {why}");
    Refusal::new(Code(856), why, "Name a PEM file with an Ed25519, ECDSA or RSA key that no passphrase locks.")
}

fn unusable() -> Fault {
    Fault::new(Code(854), Retry::Never, "the server's TLS certificate or key cannot be used")
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm, date_time_ymd};

    use super::*;

    const NOW: &str = "2026-03-02T08:00:00Z";

    /// A certificate of the years 2025 to 2027.
    fn made(kind: &'static SignatureAlgorithm) -> (Identity, KeyPair) {
        let key = KeyPair::generate_for(kind).unwrap();
        let mut parameters = CertificateParams::new(["lazaret.example".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2027, 1, 1));
        let certificate_pem = parameters.self_signed(&key).unwrap().pem();
        (Identity { certificate_pem, key_pem: key.serialize_pem() }, key)
    }

    fn code(identity: &Identity, now: &str) -> Option<u16> {
        identity.check(now.parse().unwrap()).err().map(|trouble| trouble.code().0)
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    /// The key in the form that came before PKCS#8, which holds it from its second octet string on; `start` begins it.
    fn inner(key: &KeyPair, label: &str, start: &[u8]) -> String {
        let der = key.serialize_der();
        let at = der.windows(start.len()).skip(8).position(|window| window == start).unwrap();
        pem(label, der.get(at.saturating_add(8)..).unwrap())
    }

    #[test]
    fn keys_of_each_form_are_taken() {
        for kind in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256, &PKCS_RSA_SHA256] {
            assert_eq!(code(&made(kind).0, NOW), None, "{kind:?}");
        }
        let (identity, key) = made(&PKCS_ECDSA_P256_SHA256);
        let sec1 = inner(&key, "EC PRIVATE KEY", &[0x30, 0x6b, 0x02, 0x01, 0x01]);
        assert_eq!(code(&Identity { key_pem: sec1, ..identity }, NOW), None);
        let (identity, key) = made(&PKCS_RSA_SHA256);
        let pkcs1 = inner(&key, "RSA PRIVATE KEY", &[0x30, 0x82]);
        assert_eq!(code(&Identity { key_pem: pkcs1, ..identity }, NOW), None);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (identity, _) = made(&PKCS_ECDSA_P256_SHA256);
        let (other, _) = made(&PKCS_ECDSA_P256_SHA256);
        // The chain before the certificate is the same mistake.
        let turned = Identity {
            certificate_pem: format!("{}{}", other.certificate_pem, identity.certificate_pem),
            key_pem: identity.key_pem.clone(),
        };
        assert_eq!(code(&turned, NOW), Some(857));
        assert_eq!(code(&Identity { key_pem: other.key_pem, ..identity }, NOW), Some(857));
    }

    #[test]
    fn a_certificate_is_served_within_its_dates() {
        let (identity, _) = made(&PKCS_ED25519);
        for (now, expected) in [
            ("2024-12-31T23:59:59Z", Some(858)),
            ("2025-01-01T00:00:00Z", None),
            ("2026-12-31T23:59:59Z", None),
            ("2027-01-01T00:00:01Z", Some(858)),
        ] {
            assert_eq!(code(&identity, now), expected, "{now}");
        }
    }

    #[test]
    fn what_is_no_certificate_or_no_key_is_refused() {
        let (identity, _) = made(&PKCS_ED25519);
        let key_pem = identity.key_pem.clone();
        for certificate_pem in [String::new(), key_pem.clone(), pem("CERTIFICATE", b"nothing")] {
            assert_eq!(code(&Identity { certificate_pem, key_pem: key_pem.clone() }, NOW), Some(855));
        }
        let locked = key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let certificate_pem = identity.certificate_pem;
        for key_pem in [String::new(), locked, pem("PRIVATE KEY", b"nothing")] {
            assert_eq!(code(&Identity { certificate_pem: certificate_pem.clone(), key_pem }, NOW), Some(856));
        }
    }

    #[test]
    fn the_fingerprint_is_that_of_the_first_of_a_chain() {
        let ((leaf, _), (issuer, _)) = (made(&PKCS_ED25519), made(&PKCS_ED25519));
        let chain = format!("{}{}", leaf.certificate_pem, issuer.certificate_pem);
        let identity = Identity { certificate_pem: chain, key_pem: leaf.key_pem.clone() };
        assert_eq!(code(&identity, NOW), None);
        assert_eq!(identity.fingerprint().unwrap(), leaf.fingerprint().unwrap());
    }
}
