//! A laboratory, a vendor, their persons, and the server. The same keys in every run.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lexicon::{Digest, PersonId, SeededEntropy, Serial, Timestamp, hours_after};
use people::{Certificate, Device, Envelope, PayloadType, Person, Revocation, Role, Root, SigningKey};
use wire::ServerCard;

pub(crate) const ORIGIN: &str = "lazaret.example/journal";
pub(crate) const DEMONSTRATION: &str = "lazaret.example/demonstration";

/// The journal of a server, which says in its name what the server was made for.
pub(crate) fn origin(demonstration: bool) -> &'static str {
    if demonstration { DEMONSTRATION } else { ORIGIN }
}

/// A Monday morning.
pub(crate) fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

/// Everybody who can sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Of the laboratory; decides.
    Controller,
    /// Of the laboratory; extracts.
    Operator,
    /// Of the vendor; writes plans, and could extract.
    Engineer,
    /// Of the vendor.
    Approver,
    /// Of the vendor; loads.
    Recipient,
    /// Of the vendor; acts in nothing.
    Bystander,
}

const EVERYBODY: [(Who, &str, &[Role]); 6] = [
    (Who::Controller, "Claire Le Goff", &[Role::Controller]),
    (Who::Operator, "Yann Kerbrat", &[Role::Operator]),
    (Who::Engineer, "Ana de la Cruz", &[Role::Engineer, Role::Operator, Role::Recipient]),
    (Who::Approver, "Jean-Marc D'Anjou", &[Role::Approver]),
    (Who::Recipient, "Élise Noël", &[Role::Recipient]),
    (Who::Bystander, "Maud Riou", &[Role::Auditor]),
];

pub(crate) struct Member {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Envelope,
    pub(crate) digest: Digest,
}

pub(crate) struct Cast {
    pub(crate) laboratory: SigningKey,
    pub(crate) vendor: SigningKey,
    pub(crate) server: SigningKey,
    members: Vec<(Who, Member)>,
}

pub(crate) static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let entropy = SeededEntropy::new(2021);
    let draw = || SigningKey::draw(&entropy).unwrap();
    let (laboratory, vendor, server) = (draw(), draw(), draw());
    let mut members = Vec::new();
    for (who, name, roles) in EVERYBODY {
        let root = if matches!(who, Who::Controller | Who::Operator) { &laboratory } else { &vendor };
        let key = draw();
        let certificate = Certificate {
            serial: Serial::draw(&entropy).unwrap(),
            root: root.public().digest(),
            person: Person { id: PersonId::draw(&entropy).unwrap(), name: name.to_owned() },
            device: Device { name: format!("{}'s machine", name.split(' ').next().unwrap()), key: key.public() },
            roles: roles.iter().copied().collect::<BTreeSet<_>>(),
            from: hours_after(start(), -24),
            until: hours_after(start(), 365 * 24),
        };
        let certificate = certificate.sign(root).unwrap();
        let digest = certificate.digest().unwrap();
        members.push((who, Member { key, certificate, digest }));
    }
    Cast { laboratory, vendor, server, members }
});

impl Cast {
    pub(crate) fn member(&self, who: Who) -> &Member {
        &self.members.iter().find(|(one, _)| *one == who).unwrap().1
    }

    pub(crate) fn certificates(&self) -> Vec<Envelope> {
        self.members.iter().map(|(_, member)| member.certificate.clone()).collect()
    }

    pub(crate) fn roots(&self) -> Vec<Root> {
        let root = |organisation: &str, key: &SigningKey| Root { organisation: organisation.into(), key: key.public() };
        vec![root("Laboratoire du Port", &self.laboratory), root("Vendor of Systems", &self.vendor)]
    }

    pub(crate) fn card(&self, demonstration: bool) -> ServerCard {
        ServerCard {
            url: "https://lazaret.example:8443".into(),
            fingerprint: Digest::of(b"tls certificate"),
            origin: origin(demonstration).into(),
            key: self.server.public(),
            demonstration,
            serial: None,
        }
    }

    pub(crate) fn revocation(&self, who: Who, since: Timestamp, at: Timestamp) -> Envelope {
        let root = self.vendor.public().digest();
        let revocation = Revocation { root, certificate: self.member(who).digest, compromised_since: since, at };
        Envelope::sign(PayloadType::Revocation, &revocation, root, &self.vendor).unwrap()
    }
}

/// Says past the test harness what was not run, and for want of what.
pub(crate) fn skipped(test: &str, want: &str) {
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {test} ({want})\n")).unwrap();
}

/// A file that another program is to read.
#[expect(clippy::disallowed_methods, reason = "a test's own file, in its own folder")]
pub(crate) fn put(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
