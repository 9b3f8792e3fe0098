//! The TLS certificate, its chain and its key, as a server's operator names them: files in PEM that another program
//! made.

use doors::Identity;
use lexicon::Digest;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::cast::start;
use crate::promises::told_nothing;

/// Of the hundred years from 2026 on. Its key is the Ed25519 key of a seed of 32 sevens, which is nobody's.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIHyMIGloAMCAQICAQEwBQYDK2VwMBIxEDAOBgNVBAMMB2xhemFyZXQwIBcNMjYw
MTAxMDAwMDAwWhgPMjEyNjAxMDEwMDAwMDBaMBIxEDAOBgNVBAMMB2xhemFyZXQw
KjAFBgMrZXADIQDqSmxj4pxSCr71UHsTLsX5lUd2rr6+e5JCHuppFEbSLKMeMBww
GgYDVR0RBBMwEYIPbGF6YXJldC5leGFtcGxlMAUGAytlcANBALklkGX/MygziQ6y
JUOM5kw6yyh/4QCLjHseuck+VfKJPIWIMgz8ZgmBedlZByoIDBRRGUv3whQsGVjv
g3mCnAY=
-----END CERTIFICATE-----
";

/// In PKCS#8.
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH
-----END PRIVATE KEY-----
";

/// Of the same key and the year 2024.
const EXPIRED: &str = "\
-----BEGIN CERTIFICATE-----
MIHwMIGjoAMCAQICAQIwBQYDK2VwMBIxEDAOBgNVBAMMB2xhemFyZXQwHhcNMjQw
MTAxMDAwMDAwWhcNMjUwMTAxMDAwMDAwWjASMRAwDgYDVQQDDAdsYXphcmV0MCow
BQYDK2VwAyEA6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iyjHjAcMBoG
A1UdEQQTMBGCD2xhemFyZXQuZXhhbXBsZTAFBgMrZXADQQByAB8FgbywzAjJPWhf
3HyHfQNZazvhVSu545qW9icWgu2Q9GQ+spC/dI7VQgnrThWzXkaxFj9IZaJkwxoB
TukB
-----END CERTIFICATE-----
";

/// Another server's.
const P256_CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBMjCB2aADAgECAgEDMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB2xhemFyZXQw
IBcNMjYwMTAxMDAwMDAwWhgPMjEyNjAxMDEwMDAwMDBaMBIxEDAOBgNVBAMMB2xh
emFyZXQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQeGFMv1HVMAvMEHZx1zrM7
g//YGsfOT+iCzLHJi8WJbqRsMRxOL/QN2Wo2U+bkVEXTLf5Ibs7XXHqQxqGIgcCj
ox4wHDAaBgNVHREEEzARgg9sYXphcmV0LmV4YW1wbGUwCgYIKoZIzj0EAwIDSAAw
RQIhAILNH6+AXcBwSCSYDJqnnOO82uRRsEwjV4tSC2BvGgEbAiASGl144KFhw2xH
zWLsTl4mPaPbTmPhNqIMN6nEa9vucA==
-----END CERTIFICATE-----
";

/// One RSA key with its certificate, in two forms; drawn for this and nobody's. The library's C code counts no coverage, so
/// that no kept input would have them.
const RSA: [&str; 2] = [include_str!("rsa_pkcs1.pem"), include_str!("rsa_pkcs8.pem")];

/// In SEC1; the number is 32 sevens, and nobody's.
const P256_KEY: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHoAoGCCqGSM49
AwEHoUQDQgAEHhhTL9R1TALzBB2cdc6zO4P/2BrHzk/ogsyxyYvFiW6kbDEcTi/0
DdlqNlPm5FRF0y3+SG7O11x6kMahiIHAow==
-----END EC PRIVATE KEY-----
";

/// What stands in a certificate of [`KEY`].
const PUBLIC: [u8; 32] = [
    0xea, 0x4a, 0x6c, 0x63, 0xe2, 0x9c, 0x52, 0x0a, 0xbe, 0xf5, 0x50, 0x7b, 0x13, 0x2e, 0xc5, 0xf9, 0x95, 0x47, 0x76,
    0xae, 0xbe, 0xbe, 0x7b, 0x92, 0x42, 0x1e, 0xea, 0x69, 0x14, 0x46, 0xd2, 0x2c,
];

/// As one file that holds both, as the certificate of a known key, and as the key of a known certificate.
pub(crate) fn identity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for (certificate, key) in [(text, text), (text, KEY), (CERTIFICATE, text)] {
        let identity = Identity { certificate_pem: certificate.to_owned(), key_pem: key.to_owned() };
        let fingerprint = identity.fingerprint();
        let troubles = match identity.check(start()) {
            Ok(()) => {
                let first = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                assert_eq!(fingerprint, Ok(Digest::of(&first)), "another certificate is named than is shown");
                let is_its_key = first.windows(PUBLIC.len()).any(|part| part == PUBLIC);
                assert!(is_its_key || key != KEY, "a certificate is served with the key of another");
                [None, None]
            }
            Err(trouble) => [Some(trouble), fingerprint.err()],
        };
        for trouble in troubles.iter().flatten() {
            told_nothing(certificate.as_bytes(), trouble);
            told_nothing(key.as_bytes(), trouble);
        }
    }
}

pub(crate) fn identity_seeds() -> Vec<Vec<u8>> {
    let locked = KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = CERTIFICATE.replace("MIHyMIGl", "MIHyMIG");
    [
        &[CERTIFICATE, KEY][..],
        &[P256_CERTIFICATE, P256_KEY],
        &[P256_KEY, P256_CERTIFICATE, CERTIFICATE],
        &[CERTIFICATE, P256_CERTIFICATE, KEY],
        &[P256_CERTIFICATE, CERTIFICATE, KEY],
        &[EXPIRED, KEY],
        &RSA[..1],
        &RSA[1..],
        &[CERTIFICATE, locked.as_str()],
        &[cut.as_str(), KEY],
        &["Bag Attributes: <No Attributes>\nsubject=CN = lazaret\n", CERTIFICATE],
        &["-----BEGIN CERTIFICATE-----\nvalue4711x\n"],
        &["-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n", CERTIFICATE],
    ]
    .map(|parts| parts.concat().into_bytes())
    .to_vec()
}
