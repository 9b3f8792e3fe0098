use lexicon::{Digest, MigrationId, Result, Timestamp, digest_of};
use people::{Envelope, PayloadType, SigningKey};
use procedure::{Act, ConsignmentStage, Ending, LastFact, Ledger, Recorded, Side, Stage};
use serde::{Deserialize, Serialize};
use wire::ServerCard;

use crate::attestation::{Attestation, PREDICATE};
use crate::certified::CertifiedConsignment;
use crate::round::{Reach, Round};
use crate::statements::count;
use crate::story::{facts, organisation, set_by};
use crate::trouble::nothing_to_certify;
use crate::{effect, inventory, wording};

/// Why everything was destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// The controller had what it wanted.
    SignedOff {
        /// Who signed off.
        by: String,
        /// In which fact.
        fact: u64,
    },
    /// A person cancelled the migration.
    Cancelled {
        /// Who.
        by: String,
        /// In which fact.
        fact: u64,
    },
    /// Its deadline passed.
    Overdue {
        /// Who had set it.
        set_by: String,
        /// In which fact it was set.
        set_in: u64,
        /// In which fact it struck.
        fact: u64,
    },
}

/// What one person did that the destruction rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deed {
    /// The act's name.
    pub what: String,
    /// Who.
    pub name: String,
    /// Of which organisation.
    pub organisation: String,
    /// In which fact.
    pub fact: u64,
}

/// The server's word that its part of a migration is destroyed, with what that achieves and what it does not.
///
/// It is issued once and never waits: it is the server part. Whether it is complete depends on facts that come later;
/// see [`describe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestructionCertificate {
    /// Whether it certifies a demonstration only.
    pub demonstration: bool,
    /// What people call it by: follows from journal, migration and last fact.
    pub id: Digest,
    /// The version of the words below.
    pub version: u32,
    /// The journal that records it.
    pub origin: String,
    /// Of which migration.
    pub migration: MigrationId,
    /// The last fact that it takes into account.
    pub facts: LastFact,
    /// The laboratory.
    pub controller: String,
    /// The vendor, or vendors.
    pub processors: Vec<String>,
    /// Digest of the plan that stood; none when there was none.
    pub plan: Option<Digest>,
    /// Digest of the instruction in it.
    pub instruction: Option<Digest>,
    /// Digest of the scope in it.
    pub scope: Option<Digest>,
    /// The level of the key ring: `K0` is a local file, `K1` a token, `K2` a service.
    pub level: String,
    /// From when all of it is in effect; none when that of one consignment is not known, or there was none.
    pub effective: Option<Timestamp>,
    /// Why.
    pub trigger: Trigger,
    /// By whom.
    pub persons: Vec<Deed>,
    /// What.
    pub consignments: Vec<CertifiedConsignment>,
    /// What holds for all of it.
    pub wording: Vec<String>,
    /// When, by the server's time.
    pub issued_at: Timestamp,
}

/// Whether a certificate of destruction has all the words that belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// Whether server, laboratory and every recipient said what belongs to it.
    pub complete: bool,
    /// `server part` or `complete`.
    pub title: String,
    /// What is missing, one sentence each.
    pub missing: Vec<String>,
}

/// The certificate of a migration all of whose consignments are destroyed, signed by the server. Its digest
/// ([`Envelope::digest`]) goes into [`Act::Finish`], and from then on every replay checks it.
///
/// # Errors
/// A refusal when the migration has not ended, a consignment is not destroyed, or it was certified already.
pub fn issue(ledger: &Ledger, card: &ServerCard, at: Timestamp, key: &SigningKey) -> Result<Envelope> {
    let attestation = Attestation::of(compose(ledger, card, at)?);
    Envelope::sign(PayloadType::InToto, &attestation, key.public().digest(), key)
}

/// What the certificate of this ledger says: the same for whoever replays the same facts.
pub(crate) fn compose(ledger: &Ledger, card: &ServerCard, at: Timestamp) -> Result<DestructionCertificate> {
    let migration = ledger.migration();
    let destroyed = migration.consignments.iter().all(|consignment| consignment.stage == ConsignmentStage::Destroyed);
    if !migration.ending() || migration.stage == Stage::Destroyed || !destroyed {
        return Err(nothing_to_certify("the migration has not ended, is not destroyed, or has its certificate"));
    }
    let plan = migration.plan.as_ref();
    let rounds = Round::all(ledger);
    let facts = ledger.last();
    let parties = |side: Side| migration.parties.iter().filter(move |party| party.side == side);
    let level = plan.map_or("none", |(_, plan, _)| match plan.key_ring.as_str() {
        "local" => "K0",
        "pkcs11" => "K1",
        "openbao" => "K2",
        _ => "unknown",
    });
    let consignments =
        rounds.iter().map(|round| CertifiedConsignment::of(ledger, round)).collect::<Result<Vec<_>>>()?;
    let consignments: Vec<CertifiedConsignment> = consignments.into_iter().flatten().collect();
    Ok(DestructionCertificate {
        demonstration: card.demonstration,
        id: digest_of(&(PREDICATE, &card.origin, migration.id, facts))?,
        version: wording::VERSION,
        origin: card.origin.clone(),
        migration: migration.id,
        facts,
        controller: parties(Side::Controller).map(|party| party.organisation.clone()).collect(),
        processors: parties(Side::Processor).map(|party| party.organisation.clone()).collect(),
        plan: plan.map(|(digest, _, _)| *digest),
        instruction: plan.map(|(_, plan, _)| digest_of(&plan.instruction)).transpose()?,
        scope: plan.map(|(_, plan, _)| plan.scope),
        level: level.to_owned(),
        trigger: trigger(ledger).ok_or_else(|| nothing_to_certify("nothing ended the migration"))?,
        persons: deeds(ledger),
        effective: effect::of_all(consignments.iter().map(|certified| certified.effect)),
        consignments,
        wording: wording::of_all(card.demonstration, rounds.len()),
        issued_at: at,
    })
}

/// The fact that ended everything: the first of its kind, for nothing but destruction follows it.
fn trigger(ledger: &Ledger) -> Option<Trigger> {
    let name = |recorded: &Recorded| recorded.fact.by.person().map(|signer| signer.name().to_owned());
    ledger.recorded().iter().find_map(|recorded| {
        let fact = recorded.fact.number;
        match (&recorded.fact.act, &recorded.fact.by) {
            (Act::SignOff { .. }, _) => Some(Trigger::SignedOff { by: name(recorded)?, fact }),
            (Act::Cancel { .. }, _) => Some(Trigger::Cancelled { by: name(recorded)?, fact }),
            (Act::Overdue { consignment: None }, people::Actor::Deadline { fact: set_in, .. }) => {
                let set_by = set_by(ledger, *set_in).unwrap_or_else(|| "nobody".to_owned());
                Some(Trigger::Overdue { set_by, set_in: *set_in, fact })
            }
            _ => None,
        }
    })
}

/// Who did what: author and approvers of the plan that stood, then everybody who moved or ended something.
fn deeds(ledger: &Ledger) -> Vec<Deed> {
    let migration = ledger.migration();
    let approved: Vec<u64> = migration.approvals.iter().map(|approval| approval.fact).collect();
    let standing = migration.plan.as_ref().map(|(digest, _, _)| *digest);
    let counts = |recorded: &Recorded| match &recorded.fact.act {
        Act::Propose { plan } => plan.digest().ok() == standing,
        Act::Approve { .. } => approved.contains(&recorded.fact.number),
        Act::Extend { .. }
        | Act::Cancel { .. }
        | Act::SignOff { .. }
        | Act::OpenConsignment { .. }
        | Act::Close { .. }
        | Act::Release { .. }
        | Act::HandOver { .. }
        | Act::Done { .. }
        | Act::AcceptDifference { .. }
        | Act::Abandon { .. } => true,
        Act::Open { .. }
        | Act::Freeze { .. }
        | Act::Thaw { .. }
        | Act::Offer { .. }
        | Act::Begin { .. }
        | Act::Failed { .. }
        | Act::Revoke { .. }
        | Act::Overdue { .. }
        | Act::Destroyed { .. }
        | Act::PartDestroyed { .. }
        | Act::Finish { .. } => false,
    };
    let theirs = ledger.recorded().iter().filter(|recorded| counts(recorded));
    let deed = |recorded: &Recorded| {
        let signer = recorded.fact.by.person()?;
        Some(Deed {
            what: recorded.fact.act.name().to_owned(),
            name: signer.name().to_owned(),
            organisation: organisation(migration, &signer.root()),
            fact: recorded.fact.number,
        })
    };
    theirs.filter_map(deed).collect()
}

/// Why a consignment ended, in words.
pub(crate) fn ended(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::Abandoned) => "a person gave it up",
        Some(Ending::Cancelled) => "the migration was cancelled",
        Some(Ending::SignedOff) => "the migration was signed off",
        Some(Ending::Overdue) => "a deadline passed",
        None => "it has not ended",
    }
}

/// Which words belong to this certificate and have not been said yet in this ledger.
pub fn describe(certificate: &DestructionCertificate, ledger: &Ledger) -> Completeness {
    let mut missing = Vec::new();
    for round in Round::all(ledger) {
        let named = format!("consignment {}", round.id().short());
        if certificate.consignments.iter().all(|certified| certified.id != round.id()) {
            missing.push(format!("{named}: the server's statement that its part is destroyed"));
        }
        if round.destroyed.is_some_and(|(_, destroyed)| !destroyed.key.found) {
            missing.push(format!("{named}: a ring key that was destroyed; the ring that was asked had none"));
        }
        if round.destroyed.is_some_and(|(_, destroyed)| destroyed.key.may_be_copied()) {
            missing.push(format!(
                "{named}: a ring key that could not leave its place; a copy of the one that was destroyed may have been taken \
                 out before"
            ));
        }
        if let Some(absent) = round.destroyed.and_then(|(_, destroyed)| destroyed.absent) {
            missing.push(format!(
                "{named}: {} parcels that had been stored; they were not on the shelf any more when it was emptied",
                count(absent.parcels)
            ));
        }
        let lacks = inventory::lacks(&round);
        if let Some(first) = lacks.first() {
            let many = count(u64::try_from(lacks.len()).unwrap_or(u64::MAX));
            missing.push(format!(
                "{named}: in the server's inventory of what it destroyed, {many} parcels as the manifest signs them, the first \
                 of them {}",
                first.parcel
            ));
        }
        if round.reach() > Reach::NotExtracted && round.laboratory_said().is_none() {
            let name = round.opened.fact.by.person().map_or("the extracting device", people::Signer::name);
            missing.push(format!("{named}: the statement of {name} that the laboratory share is destroyed"));
        }
        for signer in round.recipients() {
            let device = signer.device().digest().short();
            let statement = format!("the statement of {} (device {device})", signer.name());
            match round.recipient_said(signer.device()) {
                None => missing.push(format!("{named}: {statement} that the opening keys are destroyed")),
                Some(said) => missing.extend(
                    round.unshown(said).map(|why| format!("{named}: {statement} that nothing opens any more; {why}")),
                ),
            }
        }
    }
    let complete = missing.is_empty();
    Completeness { complete, title: if complete { "complete" } else { "server part" }.to_owned(), missing }
}

/// Every document that this ledger's plans name, with what it is.
pub(crate) fn named_documents(ledger: &Ledger) -> Vec<(Digest, &'static str)> {
    let plans = facts(ledger, |act| if let Act::Propose { plan } = act { Some(plan) } else { None });
    plans.into_iter().flat_map(|(_, plan)| [(plan.scope, "scope"), (plan.report, "scope report")]).collect()
}
