//! Time stamps by a real authority: OpenSSL's, with roots made here.

use std::path::Path;
use std::process::Command;

use evidence::{Pack, read, stamp, stamp_request, stamped, verify, write};
use lexicon::Code;
use tempfile::TempDir;

use crate::cast::{CAST, put, skipped};
use crate::stamps;
use crate::tale::{Setting, Tale};

const NONCE: [u8; 16] = [0x5a; 16];

/// How an authority's keys are made, and with what it signs.
#[derive(Clone, Copy)]
struct Kind {
    key: &'static [&'static str],
    digest: &'static str,
}

const RSA: Kind = Kind { key: &["rsa:2048"], digest: "sha256" };
const P_256: Kind = Kind { key: &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], digest: "sha512" };
/// What the certificate of a clock is for.
const CLOCK: &str = "extendedKeyUsage=critical,timeStamping";
const YEARS: (&str, &str) = ("20200101000000Z", "20990101000000Z");

/// An authority with a root of its own, in a folder.
struct Authority {
    folder: TempDir,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Without OpenSSL's program, which is said.
fn at_hand(test: &str) -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !there {
        skipped(test, "openssl is not installed");
    }
    there
}

impl Authority {
    fn of(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let config = format!(
            "[req]\ndistinguished_name=dn\n[dn]\n[root]\nbasicConstraints=critical,CA:true\n\
             keyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n\
             [clock]\nbasicConstraints=CA:false\nkeyUsage=critical,digitalSignature\n{}\n\
             [stamp]\nserial=serial\nsigner_cert=tsa.pem\nsigner_key=tsa.key\nsigner_digest={}\n\
             default_policy=1.2.3.4\ndigests=sha256\naccuracy=secs:1\ness_cert_id_alg=sha256\n\
             [issue]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\npolicy=names\n\
             [names]\norganizationName=supplied\ncommonName=supplied\n",
            CLOCK, kind.digest
        );
        put(&at.join("openssl.cnf"), config.as_bytes());
        let new = |subject: &'static str, out: &'static str, key: &'static str| {
            let mut words = vec!["req", "-new", "-nodes", "-config", "openssl.cnf", "-subj", subject, "-newkey"];
            words.extend(kind.key);
            words.extend(["-keyout", key, "-out", out]);
            words
        };
        let mut root = new("/CN=Root of the drill", "ca.pem", "ca.key");
        root.extend(["-x509", "-days", "3650", "-extensions", "root"]);
        openssl(at, &root);
        openssl(at, &new("/O=Drill/CN=Clock of the drill", "tsa.csr", "tsa.key"));
        let authority = Self { folder };
        authority.certifies(CLOCK, YEARS, "tsa.pem");
        authority
    }

    /// Certifies the clock's key for this use and these years.
    fn certifies(&self, usage: &str, (from, until): (&str, &str), out: &str) {
        let at = self.folder.path();
        let config = std::fs::read_to_string(at.join("openssl.cnf")).unwrap();
        put(&at.join("usage.cnf"), config.replace(CLOCK, usage).as_bytes());
        put(&at.join("index"), b"");
        put(&at.join("serial"), b"07\n");
        let words = ["ca", "-batch", "-notext", "-config", "usage.cnf", "-name", "issue", "-extensions", "clock"];
        let files = ["-cert", "ca.pem", "-keyfile", "ca.key", "-in", "tsa.csr", "-out", out];
        openssl(at, &[&words[..], &files, &["-startdate", from, "-enddate", until]].concat());
    }

    fn root(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("ca.pem")).unwrap()
    }

    /// What it answers to a request.
    fn answers(&self, request: &[u8]) -> Vec<u8> {
        let at = self.folder.path();
        put(&at.join("request.tsq"), request);
        put(&at.join("serial"), b"01\n");
        openssl(
            at,
            &[
                "ts",
                "-reply",
                "-config",
                "openssl.cnf",
                "-section",
                "stamp",
                "-queryfile",
                "request.tsq",
                "-out",
                "reply.tsr",
            ],
        );
        std::fs::read(at.join("reply.tsr")).unwrap()
    }
}

fn whole() -> Pack {
    Tale::whole(Setting::default()).pack()
}

fn other() -> Pack {
    Tale::whole(Setting { snapshot_days: 14, ..Setting::default() }).pack()
}

fn code<T>(result: lexicon::Result<T>) -> Code {
    result.err().map_or(Code(0), |trouble| trouble.code())
}

#[test]
fn a_stamp_of_an_authority_is_taken_kept_in_the_pack_and_checked_again() {
    if !at_hand("a_stamp_of_an_authority_is_taken_kept_in_the_pack_and_checked_again") {
        return;
    }
    for kind in [RSA, P_256] {
        let (authority, pack) = (Authority::of(kind), whole());
        let request = stamp_request(&pack, NONCE).unwrap();
        let response = authority.answers(&request);
        let (stamped_pack, said) = stamp(&pack, &request, &response, &authority.root()).unwrap();
        assert_eq!(said.authority, "CN=Clock of the drill,O=Drill");
        let zip = write(&stamped_pack).unwrap();
        let again = read(&zip).unwrap();
        verify(&again, &CAST.roots()).unwrap();
        assert_eq!(stamped(&again, &authority.root()).unwrap(), Some(said));
        assert_eq!(stamped(&pack, &authority.root()).unwrap(), None, "one without a stamp");
        // OpenSSL says the same of the two members.
        let at = authority.folder.path();
        let certificate = lexicon::canonical(again.certificate.as_ref().unwrap()).unwrap();
        put(&at.join("certificate.json"), &certificate);
        put(&at.join("certificate.tsr"), again.stamp.as_ref().unwrap());
        openssl(at, &["ts", "-verify", "-data", "certificate.json", "-in", "certificate.tsr", "-CAfile", "ca.pem"]);
    }
}

#[test]
fn stamps_that_were_kept_are_still_taken_and_read() {
    let pack = Pack { certificate: Some(stamps::certificate()), ..whole() };
    let request = stamp_request(&pack, stamps::NONCE).unwrap();
    for response in [stamps::RSA, stamps::P_256] {
        let (stamped_pack, said) = stamp(&pack, &request, response, stamps::ROOTS).unwrap();
        assert_eq!(said.authority, "CN=Clock of the drill,O=Drill");
        assert_eq!(stamped(&stamped_pack, stamps::ROOTS).unwrap(), Some(said));
    }
    // One that somebody moved to another certificate: the pack holds together, and the authority says that it is not its.
    let moved = Tale::whole(Setting { stamped: true, ..Setting::default() }).pack();
    let again = read(&write(&moved).unwrap()).unwrap();
    verify(&again, &CAST.roots()).unwrap();
    assert_eq!(code(stamped(&again, stamps::ROOTS)), Code(917));
}

#[test]
fn a_stamp_is_of_this_certificate_and_answers_this_request() {
    if !at_hand("a_stamp_is_of_this_certificate_and_answers_this_request") {
        return;
    }
    let (authority, pack) = (Authority::of(RSA), whole());
    let root = authority.root();
    let request = stamp_request(&pack, NONCE).unwrap();
    let response = authority.answers(&request);
    let foreign = stamp_request(&other(), NONCE).unwrap();
    let foreign = authority.answers(&foreign);
    assert_eq!(code(stamp(&pack, &request, &foreign, &root)), Code(916), "of another certificate");
    assert_eq!(code(stamp(&other(), &request, &response, &root)), Code(915), "for another pack");
    let later = stamp_request(&pack, [0x11; 16]).unwrap();
    assert_eq!(code(stamp(&pack, &later, &response, &root)), Code(915), "to another request");
    // Put into a pack by hand, whoever reads it.
    let forged = Pack { stamp: Some(foreign), ..pack.clone() };
    assert_eq!(code(verify(&forged, &CAST.roots())), Code(916));
    assert_eq!(code(stamped(&forged, &root)), Code(916));
    let before = Tale::approved(Setting::default()).pack();
    assert_eq!(code(stamp_request(&before, NONCE)), Code(919), "nothing to stamp");
}

#[test]
fn a_stamp_is_of_the_authority_that_was_named_and_signed_as_it_came() {
    if !at_hand("a_stamp_is_of_the_authority_that_was_named_and_signed_as_it_came") {
        return;
    }
    let (authority, pack) = (Authority::of(P_256), whole());
    let request = stamp_request(&pack, NONCE).unwrap();
    let response = authority.answers(&request);
    let stranger = Authority::of(P_256);
    assert_eq!(code(stamp(&pack, &request, &response, &stranger.root())), Code(917));
    assert_eq!(code(stamp(&pack, &request, &response, b"no certificate")), Code(918));
    // Every bit that is not one of an unsigned part is signed.
    let mut refused = 0;
    for at in 0..response.len() {
        let mut flipped = response.clone();
        *flipped.get_mut(at).unwrap() ^= 1;
        refused += usize::from(stamp(&pack, &request, &flipped, &authority.root()).is_err());
    }
    assert!(refused + 40 > response.len(), "{refused} of {} bytes", response.len());
    for cut in [0, 1, response.len() / 2, response.len() - 1] {
        assert_eq!(code(stamp(&pack, &request, &response[..cut], &authority.root())), Code(913));
    }
}

/// A response with the same content, signed by the clock's key under another of its certificates: OpenSSL's authority
/// does not do that by itself.
fn signed_under(authority: &Authority, response: &[u8], certificate: &str) -> Vec<u8> {
    let at = authority.folder.path();
    put(&at.join("reply.tsr"), response);
    openssl(at, &["ts", "-reply", "-in", "reply.tsr", "-token_out", "-out", "token.der"]);
    openssl(at, &["cms", "-verify", "-noverify", "-inform", "DER", "-in", "token.der", "-out", "info.der"]);
    let sign = ["cms", "-sign", "-binary", "-nodetach", "-cades", "-econtent_type", "1.2.840.113549.1.9.16.1.4"];
    let files =
        ["-signer", certificate, "-inkey", "tsa.key", "-in", "info.der", "-outform", "DER", "-out", "other.der"];
    openssl(at, &[&sign[..], &files].concat());
    let token = std::fs::read(at.join("other.der")).unwrap();
    // SEQUENCE { SEQUENCE { INTEGER 0 }, token }: granted.
    let length = u16::try_from(token.len().saturating_add(5)).unwrap().to_be_bytes();
    [&[0x30, 0x82, length[0], length[1], 0x30, 3, 2, 1, 0], &token[..]].concat()
}

#[test]
fn only_a_certificate_for_time_stamping_alone_critically_and_in_its_time_stamps() {
    if !at_hand("only_a_certificate_for_time_stamping_alone_critically_and_in_its_time_stamps") {
        return;
    }
    let (authority, pack) = (Authority::of(P_256), whole());
    let request = stamp_request(&pack, NONCE).unwrap();
    let response = authority.answers(&request);
    let expired = ("20200101000000Z", "20210101000000Z");
    for (usage, years, expected) in [
        (CLOCK, YEARS, 0),
        (CLOCK, expired, 917),
        ("extendedKeyUsage=timeStamping", YEARS, 917),
        ("extendedKeyUsage=critical,timeStamping,codeSigning", YEARS, 917),
        ("extendedKeyUsage=critical,codeSigning", YEARS, 917),
        ("nsComment=none", YEARS, 917),
    ] {
        authority.certifies(usage, years, "other.pem");
        let signed = signed_under(&authority, &response, "other.pem");
        assert_eq!(code(stamp(&pack, &request, &signed, &authority.root())), Code(expected), "{usage} {years:?}");
    }
}
