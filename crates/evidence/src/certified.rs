//! One consignment in a certificate: what became of its key and of its parcels, and what is left.

use lexicon::{ConsignmentId, Digest, Result, Timestamp};
use people::{PublicKey, Signer};
use procedure::{Absent, Act, Destroyed, KeyAct, KeyLevel, Kind, Ledger, Left, Lingering, Part, ProbeResult};
use serde::{Deserialize, Serialize};

use crate::certificate::ended;
use crate::effect::Effect;
use crate::inventory::Inventory;
use crate::round::{Reach, Round};
use crate::wording;

/// One consignment in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedConsignment {
    /// Which.
    pub id: ConsignmentId,
    /// What for.
    pub kind: Kind,
    /// Why it ended.
    pub ended: String,
    /// How far it had come.
    pub reach: Reach,
    /// Whether the extracting device was the vendor's, and with it the laboratory share.
    pub laboratory_share_held_by_vendor: bool,
    /// Whether the extracting machine stated that it forgot the strongroom share at closing.
    pub forgotten: bool,
    /// SHA-256 of the laboratory share, once a manifest names it.
    pub laboratory_share: Option<Digest>,
    /// The closing act, whose manifest lists every parcel.
    pub close: Option<Digest>,
    /// What became of the ring key, with what the place where it lay answered.
    pub key: KeyAct,
    /// SHA-256 of the strongroom share, which is all that the ring key ever wrapped. The fact of the opening committed to it.
    pub key_commitment: Digest,
    /// What showed that nothing opens any more.
    pub probes: Probes,
    /// What lay on the shelf.
    pub inventory: Inventory,
    /// Objects deleted.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// What a look at the shelf found afterwards, beside what the store lets nobody delete.
    pub left: Left,
    /// What is known to be left.
    pub residues: Vec<Residue>,
    /// From when the destruction is in effect.
    pub effect: Effect,
    /// In which fact the server says so.
    pub fact: u64,
    /// What this destruction achieves.
    pub wording: Vec<String>,
}

/// What was tried after the key act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// The ring, asked to seal under the key, refused.
    pub ring_refused: bool,
    /// SHA-256 of the stored, wrapped share that ring and place were shown and did not open; none when none was left.
    pub share_refused: Option<Digest>,
    /// What recipients said by then: each tries its real opening keys on the parcels that it kept. Who says so later
    /// says it in a fact of the pack.
    pub recipients: Vec<RecipientProbe>,
}

/// One recipient's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientProbe {
    /// Who.
    pub name: String,
    /// With which device.
    pub device: PublicKey,
    /// How many opening keys were destroyed after it.
    pub keys: u32,
    /// What came of it; none when none was made.
    pub probe: Option<ProbeResult>,
    /// In which fact.
    pub fact: u64,
}

/// Something that a destruction is known not to reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Residue {
    /// The ring had no key to destroy: wherever it is, it is.
    UnknownKey,
    /// Remnants of the key's file on the storage medium, and copies of the ring's folder.
    Medium,
    /// The key's file was only unlinked.
    UnlinkedFile,
    /// Backups of the token.
    TokenBackups,
    /// Snapshots and backups of the service's storage.
    ServiceBackups,
    /// A copy of the key, which its token or service could have given out.
    KeyCopy,
    /// Snapshots that the server's settings declare.
    Snapshots {
        /// Until when.
        until: Timestamp,
    },
    /// A parcel, dead, that an object store lets nobody delete yet.
    Parcel {
        /// As it was called on the shelf.
        name: String,
        /// All its versions.
        bytes: u64,
        /// Until when; none when somebody has to lift a hold first.
        until: Option<Timestamp>,
    },
    /// Parcels, dead, that were not on the shelf any more when it was emptied: where they are nobody here knows.
    AbsentParcels {
        /// How many.
        parcels: u64,
        /// As they were stored.
        bytes: u64,
    },
    /// What a machine may have written of its memory in clear to its swap.
    Swap {
        /// Whose device, who said so when they began there.
        name: String,
        /// Which.
        device: PublicKey,
        /// In which fact, first.
        fact: u64,
    },
    /// Keys or rows with a recipient that has had both shares.
    Recipient,
}

impl CertifiedConsignment {
    /// What a destroyed round comes to; none while it is not destroyed.
    pub(crate) fn of(ledger: &Ledger, round: &Round<'_>) -> Result<Option<Self>> {
        let Some((recorded, destroyed)) = round.destroyed else { return Ok(None) };
        let manifest = round.closed.map(|(_, manifest)| manifest);
        let effect = effect(round, destroyed);
        Ok(Some(Self {
            id: round.id(),
            kind: round.consignment.kind,
            ended: ended(round.consignment.ending).to_owned(),
            reach: round.reach(),
            laboratory_share_held_by_vendor: round.share_held_by_vendor(ledger),
            forgotten: manifest.is_some_and(|manifest| manifest.forgotten),
            laboratory_share: manifest.map(|manifest| manifest.laboratory_share),
            close: round.consignment.manifest.as_ref().map(|(digest, _)| *digest),
            key: destroyed.key.clone(),
            key_commitment: round.consignment.strongroom_share,
            probes: Probes {
                ring_refused: destroyed.ring_refuses,
                share_refused: destroyed.share_shown,
                recipients: recipients(round),
            },
            inventory: Inventory::of(round.id(), &destroyed.inventory)?,
            deleted: destroyed.parcels,
            deleted_bytes: destroyed.bytes,
            left: destroyed.left,
            residues: residues(round, destroyed, effect),
            effect,
            fact: recorded.fact.number,
            wording: wording::of_round(ledger, round, &destroyed.key, effect),
        }))
    }

    /// Whether as much was deleted as there was, but for what is told as left.
    pub(crate) fn accounts_for_all(&self) -> bool {
        let left = self.residues.iter().filter_map(|left| match left {
            Residue::Parcel { bytes, .. } => Some((1, *bytes)),
            Residue::AbsentParcels { parcels, bytes } => Some((*parcels, *bytes)),
            Residue::UnknownKey
            | Residue::Medium
            | Residue::UnlinkedFile
            | Residue::TokenBackups
            | Residue::ServiceBackups
            | Residue::KeyCopy
            | Residue::Snapshots { .. }
            | Residue::Swap { .. }
            | Residue::Recipient => None,
        });
        let told = left.fold((self.deleted, self.deleted_bytes), |(parcels, bytes), (more, of)| {
            (parcels.saturating_add(more), bytes.saturating_add(of))
        });
        told.0 >= self.inventory.parcels && told.1 >= self.inventory.bytes
    }
}

/// From when the destruction of a round is in effect, by its facts.
fn effect(round: &Round<'_>, destroyed: &Destroyed) -> Effect {
    let leases = round
        .extractions
        .iter()
        .chain(&round.loads)
        .filter_map(|recorded| if let Act::Begin { lease, .. } = &recorded.fact.act { Some(*lease) } else { None });
    Effect::of(destroyed.key.found.then_some(destroyed.key.at), leases.max(), destroyed.snapshot_days)
}

fn recipients(round: &Round<'_>) -> Vec<RecipientProbe> {
    let said = round.parts.iter().filter(|said| said.part == Part::Recipient);
    said.map(|said| RecipientProbe {
        name: Signer::name(said.signer).to_owned(),
        device: said.signer.device(),
        keys: said.keys,
        probe: said.probe,
        fact: said.recorded.fact.number,
    })
    .collect()
}

fn residues(round: &Round<'_>, destroyed: &Destroyed, effect: Effect) -> Vec<Residue> {
    let key = match destroyed.key {
        KeyAct { found: false, .. } => Residue::UnknownKey,
        KeyAct { level: KeyLevel::K0, unlinked: true, .. } => Residue::UnlinkedFile,
        KeyAct { level: KeyLevel::K0, .. } => Residue::Medium,
        KeyAct { level: KeyLevel::K1, .. } => Residue::TokenBackups,
        KeyAct { level: KeyLevel::K2, .. } => Residue::ServiceBackups,
    };
    let copy = destroyed.key.may_be_copied().then_some(Residue::KeyCopy);
    let snapshots = effect.snapshots_until.map(|until| Residue::Snapshots { until });
    let parcel = |kept: &Lingering| Residue::Parcel {
        name: format!("{}/{}/{}", round.id(), kept.attempt, kept.parcel),
        bytes: kept.bytes,
        until: kept.until,
    };
    let absent = destroyed.absent.map(|Absent { parcels, bytes }| Residue::AbsentParcels { parcels, bytes });
    let parcels = destroyed.lingering.iter().map(parcel).chain(absent);
    let recipient = (round.reach() == Reach::RecipientHadBoth).then_some(Residue::Recipient);
    [key].into_iter().chain(copy).chain(snapshots).chain(parcels).chain(swaps(round)).chain(recipient).collect()
}

/// Each device on which keys or rows were in memory although its machine may write memory in clear to its swap.
fn swaps(round: &Round<'_>) -> Vec<Residue> {
    let mut seen = Vec::new();
    let mut swaps = Vec::new();
    for (recorded, signer) in round.in_clear_swap() {
        if !seen.contains(&signer.device()) {
            seen.push(signer.device());
            let (name, fact) = (signer.name().to_owned(), recorded.fact.number);
            swaps.push(Residue::Swap { name, device: signer.device(), fact });
        }
    }
    swaps
}
