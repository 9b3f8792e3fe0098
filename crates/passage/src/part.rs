//! A party's own keys: a recipient offers one, and each party destroys its part when the round has ended.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use desk::{Desk, Round};
use lexicon::{Code, ConsignmentId, Digest, MigrationId, Refusal, Result, Trouble};
use people::{OpeningKey, Passphrase};
use procedure::{Act, Consignment, ConsignmentStage, Ledger, Migration, Part, ProbeResult, Step};
use seal::{ConsignmentKey, ParcelName, Share, open_header};

use crate::errand::known;
use crate::{Errand, shares_within};

/// Makes an opening key for this consignment, keeps it locked on this machine, and offers its public half. An offer
/// that is made again offers the key that is kept: one that was released must not be lost. No key is kept before the facts
/// are that tell its deadline.
///
/// # Errors
/// A refusal when this device does not load under the plan or the consignment has moved on.
pub async fn offer(errand: &Errand<'_>) -> Result<()> {
    let _alone = errand.desk.home().alone(errand.round())?;
    let (consignment, clear_swap) = (errand.consignment, errand.desk.clear_swap());
    let (home, round, passphrase) = (errand.desk.home(), errand.round(), errand.passphrase);
    let mut build = |migration: &Migration| -> Result<Act> {
        known(migration, consignment)?;
        let key = if let Some(key) = home.opening_key(round, passphrase)? {
            key
        } else {
            let key = OpeningKey::draw();
            home.keep_opening_key(round, &key, passphrase)?;
            key
        };
        Ok(Act::Offer { consignment, key: key.recipient(), clear_swap })
    };
    errand.desk.act(errand.migration, &mut build, &[]).await?;
    Ok(())
}

/// What the probe after destruction saw.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Probe {
    /// The server's answer when it was asked for the strongroom share again.
    pub server: String,
    /// How many candidates were tried: byte strings looked at, and pairs of shares tried on the kept parcel.
    pub tried: u64,
    /// Whether one opened it.
    pub opened: bool,
    /// Whether a pair did of which a share came from the byte strings that were given, and not from this machine.
    pub opened_with_given: bool,
}

/// What one party destroyed of one round.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PartReport {
    /// Which round.
    pub consignment: ConsignmentId,
    /// Shares and keys destroyed on this machine.
    pub keys: u32,
    /// The recipient's probe, made before its own keys were destroyed.
    pub probe: Option<Probe>,
    /// Whether nothing is left to tell the server: it has the statement, or no fact ever knew of these keys. If not, say
    /// it again when it is back.
    pub stated: bool,
}

/// Destroys what this machine holds of every round that has ended, and states so. A recipient first asks the server
/// again and tries with all that it holds; `more` adds byte strings from elsewhere (a copy of the server's folder).
/// What a deadline destroyed here before ([`desk::destroy_overdue`]) is stated too, without a probe.
///
/// Offline it destroys what the last verified deadline condemns, and the same when the server is found lying.
///
/// # Errors
/// A refusal when the passphrase is wrong; a fault when a key file cannot be removed; what [`Desk::follow`] refuses
/// or raises, after everything that is condemned was destroyed.
pub async fn destroy_part(
    desk: &Desk,
    passphrase: &Passphrase,
    migration: MigrationId,
    more: &[Vec<u8>],
) -> Result<Vec<PartReport>> {
    let (ledger, online, found) = match desk.follow(migration).await {
        Ok(ledger) => (ledger, true, Ok(())),
        Err(Trouble::Fault(_)) => (desk.kept(migration)?, false, Ok(())),
        // A server that lies, or says no to everything, keeps nobody from destroying.
        Err(trouble) => (desk.kept(migration)?, false, Err(trouble)),
    };
    if !online && let Some((_, trouble)) = desk.destroy_overdue()?.failed.into_iter().find(|(of, _)| *of == migration) {
        return Err(trouble);
    }
    let mut reports = Vec::new();
    for consignment in &ledger.migration().consignments {
        let id = consignment.id;
        // In contact, the server goes first: the probe must fail because its share is gone, and for no other reason.
        let condemned = if online {
            consignment.stage == ConsignmentStage::Destroyed
        } else {
            desk.home().gone(Round { migration, consignment: id })?.is_some()
        };
        let parts = parts_of(desk, consignment);
        if condemned && !parts.is_empty() {
            reports.extend(destroy_round(desk, passphrase, &ledger, (migration, id, &parts, online), more).await?);
        }
    }
    if online {
        reports.extend(destroy_unknown(desk, ledger.migration())?);
    }
    found.map(|()| reports)
}

/// Keys that no fact knows of: an offer was refused, or got no receipt. They open nothing, and they are destroyed when
/// their round or the migration ends; there is no part to state.
fn destroy_unknown(desk: &Desk, migration: &Migration) -> Result<Vec<PartReport>> {
    let now = desk.now()?;
    let mut reports = Vec::new();
    for round in desk.home().held(migration.id)? {
        let (part, over) = match migration.consignment(round.consignment) {
            Some(consignment) => (!parts_of(desk, consignment).is_empty(), consignment.ending.is_some()),
            None => (false, migration.ending() || migration.is_due(now)),
        };
        if over && !part {
            let keys = desk.home().destroy(round, now)?.keys;
            reports.push(PartReport { consignment: round.consignment, keys, probe: None, stated: true });
        }
    }
    Ok(reports)
}

/// Whose parts this device holds: one device of one operator with both ends holds two.
fn parts_of(desk: &Desk, consignment: &Consignment) -> Vec<Part> {
    let device = desk.me().device.key;
    let offered = consignment.offers.iter().any(|offer| offer.device == device);
    let laboratory = (consignment.device == device).then_some(Part::Laboratory);
    laboratory.into_iter().chain(offered.then_some(Part::Recipient)).collect()
}

async fn destroy_round(
    desk: &Desk,
    passphrase: &Passphrase,
    ledger: &Ledger,
    (migration, id, parts, online): (MigrationId, ConsignmentId, &[Part], bool),
    more: &[Vec<u8>],
) -> Result<Option<PartReport>> {
    let errand = Errand { desk, passphrase, migration, consignment: id, progress: &crate::Quiet };
    let consignment = known(ledger.migration(), id)?;
    let device = desk.me().device.key;
    let said =
        |consignment: &Consignment, part| consignment.parts.iter().any(|(of, by, ..)| *of == part && *by == device);
    let owed: Vec<Part> = parts.iter().copied().filter(|part| !said(consignment, *part)).collect();
    if owed.is_empty() && desk.home().gone(errand.round())?.is_some() {
        return Ok(None);
    }
    let probe = if owed.contains(&Part::Recipient) && online { probed(&errand, more).await? } else { None };
    let result = probe.as_ref().map(|probe| if probe.opened { ProbeResult::Opened } else { ProbeResult::Failed });
    let gone = desk.home().destroy_probed(errand.round(), desk.now()?, result)?;
    let mut stated = online;
    for part in owed {
        // As it was kept: whoever was cut after a probe has nothing left to probe with.
        let probe = gone.probe.filter(|_| part == Part::Recipient);
        let mut already = false;
        let mut build = |migration: &Migration| {
            already = migration.consignment(id).is_some_and(|consignment| said(consignment, part));
            if already {
                Err(stated_already())
            } else {
                Ok(Act::PartDestroyed { consignment: id, part, keys: gone.keys, probe })
            }
        };
        let acted = desk.act(migration, &mut build, &[]).await.is_ok();
        stated = stated && (acted || already);
    }
    Ok(Some(PartReport { consignment: id, keys: gone.keys, probe, stated }))
}

/// Two commands of one device destroyed at once, and the other one was first to say so.
fn stated_already() -> Trouble {
    let why = "this device has stated that its part is destroyed";
    Refusal::new(Code(651), why, "Nothing is left to do.").into()
}

/// What a loading machine keeps to probe with: name, digest and length of each of three sealed parcels, of rows and of
/// documents where there are any, and the laboratory share as it was handed over, sealed to this machine's opening key.
pub(crate) type Kept = (Vec<(ParcelName, Digest, usize)>, String);

/// The kept parcels, one by one; none unless all of them are the ones that were signed.
fn parcels(names: Vec<(ParcelName, Digest, usize)>, mut bytes: Bytes) -> Option<Vec<(ParcelName, Digest, Bytes)>> {
    let parcels = names.into_iter().map(|(name, digest, length)| {
        let parcel = (length <= bytes.len()).then(|| bytes.split_to(length))?;
        (Digest::of(&parcel) == digest).then_some((name, digest, parcel))
    });
    parcels.collect::<Option<Vec<_>>>().filter(|parcels| !parcels.is_empty())
}

/// Asks the server for the strongroom share again, and tries the kept parcel with every pair of what this machine
/// holds, its real opening key included, and with whatever shares stand in `more`. Before destruction it opens; after
/// the server's share is destroyed, and before this machine's keys are, it must not. None when nothing was loaded here.
///
/// # Errors
/// A refusal when the passphrase is wrong or the opening key was destroyed, or while another process of this device is at
/// work on the round.
pub async fn probe(errand: &Errand<'_>, more: &[Vec<u8>]) -> Result<Option<Probe>> {
    let _alone = errand.desk.home().alone(errand.round())?;
    probed(errand, more).await
}

/// As [`probe`]; a process that hangs must keep nobody from destroying.
async fn probed(errand: &Errand<'_>, more: &[Vec<u8>]) -> Result<Option<Probe>> {
    let kept: Option<(Kept, Vec<u8>)> = errand.desk.home().probe(errand.round())?;
    // A parcel that is not the one that was signed opens with no key: it would tell nothing about these.
    let kept = kept.and_then(|((names, sealed), bytes)| Some((parcels(names, bytes.into())?, sealed)));
    let Some((kept, sealed)) = kept else { return Ok(None) };
    let mut held = Vec::new();
    let server = match errand.begin(Step::Reconcile).await {
        Ok((begun, _, share)) => {
            held.push(share);
            errand.failed(begun.step, begun.attempt, Code(638)).await?;
            "the server gave the strongroom share".to_owned()
        }
        // It was not asked: nothing is destroyed on that.
        Err(trouble @ Trouble::Fault(_)) => return Err(trouble),
        Err(trouble) => trouble.to_string(),
    };
    let ledger = errand.desk.follow(errand.migration).await?;
    let consignment = known(ledger.migration(), errand.consignment)?;
    let key = errand.desk.home().opening_key(errand.round(), errand.passphrase)?.ok_or_else(|| {
        Refusal::new(Code(632), "this machine holds no opening key of the consignment", "It was destroyed before.")
    })?;
    let sealed = STANDARD.decode(sealed).unwrap_or_default();
    held.push(Share::take(&key.open(&sealed)?)?);
    if let Some(share) = errand.desk.home().share(errand.round(), errand.passphrase)? {
        held.push(Share::take(&share)?);
    }
    let named =
        consignment.manifest.iter().flat_map(|(_, manifest)| [manifest.laboratory_share, manifest.strongroom_share]);
    let (mut tried, given) = shares_within(&named.collect::<Vec<_>>(), more.iter().map(Vec::as_slice))?;
    let (mut opened, mut opened_with_given) = (false, false);
    let shares = || held.iter().map(|share| (share, false)).chain(given.iter().map(|share| (share, true)));
    for (laboratory, was_given) in shares() {
        for (strongroom, too) in shares() {
            let key = ConsignmentKey::derive(laboratory, strongroom, consignment.opened)?;
            tried = tried.saturating_add(1);
            let opens = kept.iter().any(|(name, digest, bytes)| open_header(&key, name, bytes, *digest).is_ok());
            opened |= opens;
            opened_with_given |= opens && (was_given || too);
        }
    }
    Ok(Some(Probe { server, tried, opened, opened_with_given }))
}
