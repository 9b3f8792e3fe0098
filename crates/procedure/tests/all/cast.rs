//! Two organisations that contract, one that does not, their persons and devices, and the server.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lexicon::{Digest, PersonId, SeededEntropy, Serial, Timestamp, hours_after};
use people::{
    Actor, Certificate, Device, Envelope, OpeningKey, PayloadType, Person, Recipient, Revocation, Role, Root, RootId,
    Roster, SigningKey,
};

pub(crate) const ORIGIN: &str = "lazaret.example/1";

/// A Monday morning.
pub(crate) fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

/// Everybody who can sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Of the laboratory; decides.
    Controller,
    /// Of the laboratory; extracts, and could decide and load as well.
    Operator,
    /// Of the vendor; writes plans, and could approve.
    Engineer,
    /// Of the vendor.
    Approver,
    /// Of the vendor; loads.
    Recipient,
    /// Of the vendor; loads on a second machine.
    Spare,
    /// Of an organisation that is no party, with every role.
    Outsider,
}

pub(crate) const EVERYBODY: [Who; 7] =
    [Who::Controller, Who::Operator, Who::Engineer, Who::Approver, Who::Recipient, Who::Spare, Who::Outsider];

pub(crate) struct Member {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Digest,
    pub(crate) root: RootId,
    pub(crate) actor: Actor,
    pub(crate) opening: Recipient,
}

pub(crate) struct Cast {
    pub(crate) laboratory: SigningKey,
    pub(crate) vendor: SigningKey,
    pub(crate) foreign: SigningKey,
    pub(crate) server: SigningKey,
    pub(crate) roster: Roster,
    members: Vec<Member>,
}

pub(crate) static CAST: LazyLock<Cast> = LazyLock::new(cast);

impl Cast {
    pub(crate) fn member(&self, who: Who) -> &Member {
        EVERYBODY.iter().zip(&self.members).find(|(one, _)| **one == who).unwrap().1
    }

    /// The root key behind a root's name.
    pub(crate) fn root_key(&self, root: RootId) -> &SigningKey {
        [&self.laboratory, &self.vendor, &self.foreign].into_iter().find(|key| key.public().digest() == root).unwrap()
    }
}

/// A certificate of `root` for a person and a device key, good for a year from [`start`].
pub(crate) fn certificate(
    root: &SigningKey,
    key: &SigningKey,
    name: &str,
    roles: &[Role],
    entropy: &SeededEntropy,
) -> Envelope {
    let certificate = Certificate {
        serial: Serial::draw(entropy).unwrap(),
        root: root.public().digest(),
        person: Person { id: PersonId::draw(entropy).unwrap(), name: name.to_owned() },
        device: Device { name: format!("machine of {name}"), key: key.public() },
        roles: roles.iter().copied().collect::<BTreeSet<_>>(),
        from: hours_after(start(), -24),
        until: hours_after(start(), 365 * 24),
    };
    certificate.sign(root).unwrap()
}

pub(crate) fn revocation(root: &SigningKey, certificate: Digest, at: Timestamp) -> Envelope {
    let root_id = root.public().digest();
    let revocation = Revocation { root: root_id, certificate, compromised_since: at, at };
    Envelope::sign(PayloadType::Revocation, &revocation, root_id, root).unwrap()
}

fn cast() -> Cast {
    let entropy = SeededEntropy::new(1);
    let draw = || SigningKey::draw(&entropy).unwrap();
    let (laboratory, vendor, foreign, server) = (draw(), draw(), draw(), draw());
    let mut roster = Roster::default();
    for (organisation, key) in [("Laboratoire du Port", &laboratory), ("Vendor", &vendor), ("Foreign", &foreign)] {
        roster.trust(Root { organisation: organisation.to_owned(), key: key.public() });
    }
    let all = [Role::Controller, Role::Operator, Role::Engineer, Role::Approver, Role::Recipient];
    let persons: [(&SigningKey, &str, &[Role]); 7] = [
        (&laboratory, "Claire Le Goff", &[Role::Controller]),
        (&laboratory, "Yann Kerbrat", &[Role::Operator, Role::Controller, Role::Recipient]),
        (&vendor, "Ana de la Cruz", &[Role::Engineer, Role::Approver]),
        (&vendor, "Jean-Marc D'Anjou", &[Role::Approver]),
        (&vendor, "Élise Noël", &[Role::Recipient]),
        (&vendor, "Maud Riou", &[Role::Recipient]),
        (&foreign, "Paul Martin", &all),
    ];
    let mut members = Vec::new();
    for (root, name, roles) in persons {
        let key = draw();
        let digest = roster.admit(&certificate(root, &key, name, roles, &entropy)).unwrap();
        let word = Envelope::sign(PayloadType::Statement, &"I am here", digest, &key).unwrap();
        let (signer, _) = roster.open::<String>(&word, PayloadType::Statement, start()).unwrap();
        members.push(Member {
            key,
            certificate: digest,
            root: root.public().digest(),
            actor: Actor::Person(signer),
            opening: OpeningKey::draw().recipient(),
        });
    }
    Cast { laboratory, vendor, foreign, server, roster, members }
}
