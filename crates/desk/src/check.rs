//! Everything a server could lie about when it is asked for facts, in the order in which it is looked at.

use journal::{Checkpoint, leaf_hash, verify_consistency, verify_inclusion};
use lexicon::{Alarm, Code, MigrationId, Refusal, Result, Timestamp, Trouble, canonical, spoken};
use people::{Revocation, RootId, Roster};
use procedure::{Act, ActBody, Ledger, PlanParty, Proof};
use serde::Serialize;
use wire::{Facts, Leaf, Placed, ServerCard};

use crate::home::Taken;

/// What a device knew before it asked.
pub(crate) struct Known<'a> {
    pub(crate) card: &'a ServerCard,
    pub(crate) migration: MigrationId,
    pub(crate) roster: &'a Roster,
    pub(crate) now: Timestamp,
    /// All facts that were verified before.
    pub(crate) facts: &'a [Placed],
    /// The last checkpoint that was verified.
    pub(crate) checkpoint: Option<&'a Checkpoint>,
}

/// What it knows afterwards.
pub(crate) struct Followed {
    pub(crate) ledger: Ledger,
    pub(crate) checkpoint: Checkpoint,
    /// All facts, those of before included.
    pub(crate) facts: Vec<Placed>,
}

/// What was known and what was then said: kept when the two cannot both be true.
#[derive(Serialize)]
pub(crate) struct Evidence<'a, Said: Serialize> {
    pub(crate) kept: &'a [Placed],
    pub(crate) checkpoint: Option<&'a Checkpoint>,
    pub(crate) said: &'a Said,
}

impl Known<'_> {
    /// The first fact to ask for: the last one known, so that the server has to show it again.
    pub(crate) fn from(&self) -> u64 {
        count(self.facts).max(1)
    }

    /// Checks an answer against what is known.
    pub(crate) fn check(&self, served: &Facts) -> Result<Followed> {
        let checkpoint = self.check_growth(served)?;
        let facts = self.check_overlap(&served.entries)?;
        let ledger = self.replay(&facts)?;
        check_last(served, facts.last(), &checkpoint)?;
        Ok(Followed { ledger, checkpoint, facts })
    }

    /// The journal is the one of before, and only grew.
    fn check_growth(&self, served: &Facts) -> Result<Checkpoint> {
        let new = Checkpoint::verify(&served.checkpoint, &self.card.origin, &self.card.key.0)?;
        let Some(old) = self.checkpoint else { return Ok(new) };
        if new.size < old.size {
            let message = format!(
                "the server's journal has {} leaves where it had {} before: it was set back",
                new.size, old.size
            );
            return Err(Alarm::new(Code(1220), message).into());
        }
        if new.size == old.size && new.root != old.root {
            let message = format!("the server signed two journals of {} leaves: it keeps two histories", new.size);
            return Err(Alarm::new(Code(1221), message).into());
        }
        verify_consistency((old.size, old.root), (new.size, new.root), &served.consistency)?;
        Ok(new)
    }

    /// What was known is still there, and the same. Each fact names its predecessor, so the last stands for all.
    fn check_overlap(&self, served: &[Placed]) -> Result<Vec<Placed>> {
        let mut facts = self.facts.to_vec();
        let mut served = served.iter();
        if let Some(known) = self.facts.last() {
            let number = count(self.facts);
            let Some(again) = served.next() else { return Err(set_back(self.migration, number)) };
            if again != known {
                return Err(two_facts(self.migration, number));
            }
        }
        facts.extend(served.cloned());
        Ok(facts)
    }

    /// Every fact follows from the signed acts of persons whose roots are pinned here.
    pub(crate) fn replay(&self, facts: &[Placed]) -> Result<Ledger> {
        if let Some(first) = facts.first() {
            self.check_pinned(&claimed_parties(first))?;
        }
        let mut ledger = Ledger::new(&self.card.origin, self.card.key, self.migration);
        for placed in facts {
            ledger.admit(&placed.entry, self.roster, Some(self.now))?;
        }
        self.check_pinned(&ledger.migration().parties)?;
        Ok(ledger)
    }

    /// All parties' roots are pinned: without that nobody's signature means anything here.
    fn check_pinned(&self, parties: &[PlanParty]) -> Result<()> {
        let strange = |root: &RootId| self.roster.root(root).is_none();
        let strangers: Vec<String> = parties
            .iter()
            .filter(|party| strange(&party.root))
            .map(|party| {
                let called: String =
                    party.organisation.chars().filter(|letter| !letter.is_control()).take(120).collect();
                format!(
                    "{} ('{called}' as the migration calls it; its six words: {})",
                    party.root.short(),
                    spoken(&party.root)
                )
            })
            .collect();
        if strangers.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(
            Code(1216),
            format!(
                "not every party to migration {} is trusted here; missing: {}",
                self.migration.short(),
                strangers.join(", ")
            ),
            "Have each organisation read its six words to you by telephone, then pin it with `lazaret trust`.",
        )
        .into())
    }
}

/// The migration's last fact stands in the journal where the server says.
fn check_last(served: &Facts, last: Option<&Placed>, checkpoint: &Checkpoint) -> Result<()> {
    if served.last != last.map(|placed| placed.leaf) {
        let message = "the server places the migration's last fact elsewhere in the journal than the fact itself says, or hides it";
        return Err(Alarm::new(Code(1222), message).into());
    }
    let Some(placed) = last else { return Ok(()) };
    let leaf = Leaf::Fact { nonce: placed.nonce, entry: Box::new(placed.entry.clone()) };
    verify_inclusion(leaf_hash(&canonical(&leaf)?), placed.leaf, checkpoint.size, &served.inclusion, checkpoint.root)
}

/// The revocations that were handed over by file and are no facts: recorded ones the procedure itself counts.
fn unrecorded<'a>(
    ledger: &'a Ledger,
    roster: &'a Roster,
    taken: &'a [Taken],
) -> impl Iterator<Item = (Revocation, &'a Taken)> {
    // By a root that is not pinned any more, or of what turned out to be another's certificate: nobody's word.
    let theirs = taken.iter().filter_map(|taken| Some((roster.revocation(&taken.revocation).ok()?.1, taken)));
    theirs.filter(|(revocation, _)| !ledger.migration().is_taken_back(revocation.root, revocation.certificate))
}

/// The revocations that this device knows of and the facts do not show.
pub(crate) fn told_alone(ledger: &Ledger, roster: &Roster, taken: &[Taken]) -> Vec<Revocation> {
    unrecorded(ledger, roster, taken).map(|(revocation, _)| revocation).collect()
}

/// What a person handed over by file and the server has not recorded: no act that came after it counts.
pub(crate) fn check_revocations(ledger: &Ledger, roster: &Roster, taken: &[Taken]) -> Result<()> {
    let migration = ledger.migration();
    for (revocation, taken) in unrecorded(ledger, roster, taken) {
        let known = taken.known.get(&migration.id).copied().unwrap_or(0);
        let after = ledger.recorded().iter().find(|recorded| {
            let theirs = recorded.fact.by.person().is_some_and(|signer| {
                (signer.root(), signer.certificate()) == (revocation.root, revocation.certificate)
            });
            theirs && recorded.fact.number > known && recorded.fact.at >= revocation.compromised_since
        });
        if let Some(recorded) = after {
            return Err(Refusal::new(
                Code(1217),
                format!(
                    "fact {} ({}) rests on certificate {}, which its organisation took back and the server has not recorded as such",
                    recorded.fact.number,
                    recorded.fact.act.name(),
                    revocation.certificate.short()
                ),
                "Freeze the migration, hand the revocation in to the server, and have its operator explain the delay.",
            )
            .into());
        }
    }
    Ok(())
}

/// The parties that the first fact names, before anything is verified: to say which root is missing instead of calling
/// a stranger's signature an alarm. Whatever this reads is read again from the verified facts.
fn claimed_parties(first: &Placed) -> Vec<PlanParty> {
    let Proof::Signed(envelope) = &first.entry.proof else { return Vec::new() };
    let body = envelope.bytes().ok().and_then(|bytes| serde_json::from_slice::<ActBody>(&bytes).ok());
    if let Some(Act::Open { parties }) = body.map(|body| body.body) { parties } else { Vec::new() }
}

pub(crate) fn count(facts: &[Placed]) -> u64 {
    u64::try_from(facts.len()).unwrap_or(u64::MAX)
}

fn set_back(migration: MigrationId, number: u64) -> Trouble {
    let message = format!(
        "the server no longer shows fact {number} of migration {}, which this device has: it was set back",
        migration.short()
    );
    Alarm::new(Code(1220), message).into()
}

pub(crate) fn two_facts(migration: MigrationId, number: u64) -> Trouble {
    let message = format!(
        "the server shows another fact {number} of migration {} than it showed this device before: it keeps two histories",
        migration.short()
    );
    Alarm::new(Code(1221), message).into()
}
