use std::sync::Arc;

use lexicon::{Code, Digest, Fault, Result, Retry};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The server's TLS certificate and key, in PEM.
pub struct Identity {
    /// The certificate, or the chain with it first.
    pub certificate_pem: String,
    /// Its private key.
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
    /// What an invitation names: SHA-256 of the certificate's DER.
    ///
    /// # Errors
    /// A fault when the PEM holds no certificate.
    pub fn fingerprint(&self) -> Result<Digest> {
        self.chain()?.first().map(|first| Digest::of(first)).ok_or_else(|| unusable().into())
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

fn unusable() -> Fault {
    Fault::new(Code(854), Retry::Never, "the server's TLS certificate or key cannot be used")
}
