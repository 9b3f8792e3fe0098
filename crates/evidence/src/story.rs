use std::collections::BTreeMap;

use journal::{Checkpoint, leaf_hash, verify_inclusion};
use lexicon::{Digest, Result, Timestamp, canonical};
use people::{Actor, PayloadType, Revocation, RootId, Roster};
use procedure::{Act, ActBody, LastFact, Ledger, Migration, Proof, Recorded, Side};
use wire::{Leaf, Placed};

use crate::trouble::{fork, no_pack, not_in_journal, other_server, wrong_mark};
use crate::{Attestation, Pack, Trust};

/// A pack whose entries were replayed: every signature, every decision, every place in the journal holds.
pub(crate) struct Story<'a> {
    pub(crate) pack: &'a Pack,
    pub(crate) ledger: Ledger,
    pub(crate) roster: Roster,
    pub(crate) checkpoint: Checkpoint,
    /// What persons signed, where an entry is a person's.
    pub(crate) bodies: Vec<Option<ActBody>>,
    /// The ledger as it was at the fact that the certificate takes into account last.
    pub(crate) certified: Option<Ledger>,
    /// Parties whose roots the reader did not bring along.
    pub(crate) unpinned: Vec<RootId>,
    /// Whether the reader knew the server's key.
    pub(crate) server_pinned: bool,
}

impl<'a> Story<'a> {
    /// Replays the pack. Costs two signatures and one digest of the whole migration per entry.
    pub(crate) fn replay(pack: &'a Pack, trust: &Trust) -> Result<Self> {
        let server_pinned = check_server(pack, trust)?;
        let checkpoint = Checkpoint::verify(&pack.checkpoint, &pack.card.origin, &pack.card.key.0)?;
        check_places(pack, &checkpoint)?;
        let roster = roster(pack, trust)?;
        let mut ledger = Ledger::new(&pack.card.origin, pack.card.key, pack.migration);
        let claimed = claimed(pack);
        let mut certified = None;
        for placed in &pack.entries {
            ledger.admit(&placed.entry, &roster, None)?;
            if claimed == Some(ledger.last()) {
                certified = Some(ledger.clone());
            }
        }
        let pinned = |root: &RootId| trust.roots.iter().any(|known| known.id() == *root);
        let unpinned = ledger.migration().parties.iter().map(|party| party.root).filter(|root| !pinned(root)).collect();
        let bodies =
            pack.entries.iter().map(|placed| body(&placed.entry.proof, &roster)).collect::<Result<Vec<_>>>()?;
        check_forks(pack, &bodies, &checkpoint)?;
        check_notes(pack, &ledger, &checkpoint)?;
        Ok(Self { pack, ledger, roster, checkpoint, bodies, certified, unpinned, server_pinned })
    }

    /// The migration as its facts have made it.
    pub(crate) fn migration(&self) -> &Migration {
        self.ledger.migration()
    }

    /// Revocations in the pack that hold, whether or not a fact records them.
    pub(crate) fn revocations(&self) -> Vec<Revocation> {
        let theirs = self.pack.people.revocations.iter();
        theirs.filter_map(|envelope| self.roster.revocation(envelope).ok()).map(|(_, revocation)| revocation).collect()
    }
}

fn check_server(pack: &Pack, trust: &Trust) -> Result<bool> {
    if !pack.card.mark_holds() {
        return Err(wrong_mark());
    }
    let Some(known) = &trust.server else { return Ok(false) };
    if known.origin != pack.card.origin || known.key != pack.card.key {
        return Err(other_server("its journal's name or its key is another"));
    }
    Ok(true)
}

/// Every leaf stands in the tree under the signed root, in the order of the facts.
fn check_places(pack: &Pack, checkpoint: &Checkpoint) -> Result<()> {
    if pack.entries.is_empty() {
        return Err(no_pack("it has no entries"));
    }
    if pack.entries.len() != pack.inclusion.len() {
        let (entries, proofs) = (pack.entries.len(), pack.inclusion.len());
        return Err(not_in_journal(&format!("there are {entries} entries and {proofs} proofs")));
    }
    let mut before = None;
    for (placed, proof) in pack.entries.iter().zip(&pack.inclusion) {
        if before.is_some_and(|before| placed.leaf <= before) {
            return Err(not_in_journal(&format!("leaf {} does not come after the one before it", placed.leaf)));
        }
        before = Some(placed.leaf);
        verify_inclusion(leaf_of(placed)?, placed.leaf, checkpoint.size, proof, checkpoint.root)?;
    }
    Ok(())
}

/// Each note stands in the tree too, in the order of its leaves, and tells of a destruction in this migration.
fn check_notes(pack: &Pack, ledger: &Ledger, checkpoint: &Checkpoint) -> Result<()> {
    let mut before = None;
    for noted in &pack.notes {
        if before.is_some_and(|before| noted.number <= before) {
            return Err(not_in_journal(&format!("note {} does not come after the one before it", noted.number)));
        }
        before = Some(noted.number);
        if noted.tells_of(ledger.migration()).is_none() {
            return Err(not_in_journal(&format!("leaf {} is no note on a destruction in it", noted.number)));
        }
        let hash = leaf_hash(&canonical(&noted.leaf)?);
        verify_inclusion(hash, noted.number, checkpoint.size, &noted.inclusion, checkpoint.root)?;
    }
    Ok(())
}

/// The hash of an entry's leaf.
fn leaf_of(placed: &Placed) -> Result<Digest> {
    let leaf = Leaf::Fact { nonce: placed.nonce, entry: Box::new(placed.entry.clone()) };
    Ok(leaf_hash(&canonical(&leaf)?))
}

/// Pinned roots first, then the pack's own; what those certified is consistent, but who they are is not established.
/// Revocations are not taken in: what was known when an act became a fact stands in the facts themselves.
fn roster(pack: &Pack, trust: &Trust) -> Result<Roster> {
    let mut roster = Roster::default();
    let known = |id: RootId| trust.roots.iter().any(|root| root.id() == id);
    trust.roots.iter().for_each(|root| roster.trust(root.clone()));
    pack.people.roots.iter().filter(|root| !known(root.id())).for_each(|root| roster.trust(root.clone()));
    for certificate in &pack.people.certificates {
        roster.admit(certificate)?;
    }
    Ok(roster)
}

/// The fact that the pack's certificate claims to take into account last: where to look, proves nothing.
fn claimed(pack: &Pack) -> Option<LastFact> {
    let bytes = pack.certificate.as_ref()?.bytes().ok()?;
    serde_json::from_slice::<Attestation>(&bytes).ok().map(|attestation| attestation.predicate.facts)
}

fn body(proof: &Proof, roster: &Roster) -> Result<Option<ActBody>> {
    let Proof::Signed(envelope) = proof else { return Ok(None) };
    let certificate = roster.certificate(&envelope.keyid()?).ok_or_else(|| no_pack("a certificate is missing"))?;
    envelope.open(PayloadType::Act, &certificate.device.key).map(Some)
}

/// Each act names the checkpoint that its signer verified. One size with two roots, or an act that saw a tree larger
/// than the one it was then added to, cannot come from one journal.
fn check_forks(pack: &Pack, bodies: &[Option<ActBody>], checkpoint: &Checkpoint) -> Result<()> {
    let mut roots = BTreeMap::from([(checkpoint.size, checkpoint.root)]);
    for (placed, body) in pack.entries.iter().zip(bodies) {
        let Some(seen) = body.as_ref().map(|body| body.checkpoint) else { continue };
        if seen.size == 0 {
            continue;
        }
        if seen.size > placed.leaf {
            return Err(fork(&format!("the signer of leaf {} had seen {} leaves before it", placed.leaf, seen.size)));
        }
        if *roots.entry(seen.size).or_insert(seen.root) != seen.root {
            return Err(fork(&format!("two signers saw different roots over the first {} leaves", seen.size)));
        }
    }
    Ok(())
}

/// The organisation's name as the migration's opening gives it.
pub(crate) fn organisation(migration: &Migration, root: &RootId) -> String {
    let party = migration.parties.iter().find(|party| party.root == *root);
    party.map_or_else(|| format!("root {}", root.short()), |party| party.organisation.clone())
}

/// Whoever acted, as people read it.
pub(crate) fn who(ledger: &Ledger, by: &Actor) -> String {
    match by {
        Actor::Person(signer) => format!("{} ({})", signer.name(), organisation(ledger.migration(), &signer.root())),
        Actor::Root(root) => format!("{} (its root)", organisation(ledger.migration(), root)),
        Actor::Deadline { fact, .. } => match set_by(ledger, *fact) {
            Some(name) => format!("the deadline that {name} set in fact {fact}"),
            None => format!("the deadline set in fact {fact}"),
        },
        Actor::Strongroom => "the server".to_owned(),
    }
}

/// Who set a deadline in this fact.
pub(crate) fn set_by(ledger: &Ledger, fact: u64) -> Option<String> {
    let recorded = ledger.recorded().iter().find(|recorded| recorded.fact.number == fact)?;
    recorded.fact.by.person().map(|signer| signer.name().to_owned())
}

/// On which side whoever acted stands; none for the server and the deadline.
pub(crate) fn side(migration: &Migration, by: &Actor) -> Option<Side> {
    match by {
        Actor::Person(signer) => migration.side(&signer.root()),
        Actor::Root(root) => migration.side(root),
        Actor::Deadline { .. } | Actor::Strongroom => None,
    }
}

/// A time as people read it: UTC, to the second.
pub(crate) fn when(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// All facts whose act is one that `wanted` takes.
pub(crate) fn facts<'l, T>(ledger: &'l Ledger, wanted: impl Fn(&'l Act) -> Option<T>) -> Vec<(&'l Recorded, T)> {
    ledger.recorded().iter().filter_map(|recorded| wanted(&recorded.fact.act).map(|found| (recorded, found))).collect()
}
