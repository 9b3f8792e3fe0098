//! What must hold at the end of every migration, however often its processes were killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use desk::{Home, Round};
use lexicon::ConsignmentId;
use procedure::{Act, ConsignmentStage, Ledger, Part, ProbeResult, Step};
use registry::Registry;
use serde_json::Value;
use synth::Place;

use super::passing::{Passing, Tries};
use super::points::Stride;
use super::running::{Ended, Running, Way};
use super::source::planted;
use crate::{Command, Name, World, files_below, lies_on};

/// What is left at the end.
pub(super) struct End {
    /// Every row of the new system.
    pub(super) rows: String,
    /// Every relation of the new system.
    relations: Vec<String>,
    /// Rows of each table by its marker.
    markers: BTreeMap<String, String>,
    /// How many keys each party said it destroyed.
    parts: BTreeMap<&'static str, u32>,
    /// Attempts in the journal.
    pub(super) attempts: u32,
}

impl End {
    /// Compares with an undisturbed one.
    pub(super) fn is_as(&self, usual: &Self) {
        if self.rows != usual.rows {
            let differing = self.rows.lines().zip(usual.rows.lines()).position(|(here, there)| here != there);
            unreachable!(
                "the rows are not those of an undisturbed migration: {} bytes and {}, first at line {differing:?}",
                self.rows.len(),
                usual.rows.len()
            );
        }
        assert_eq!(self.relations, usual.relations, "tables are left in the new system");
        assert_eq!(self.markers, usual.markers);
        assert_eq!(self.parts, usual.parts, "keys that the parties destroyed");
    }
}

pub(super) async fn end(passing: &Passing<'_>) -> End {
    let ledger = passing.ledger().await;
    attempts(&ledger, &passing.tries);
    let world = passing.parties.world();
    nothing_is_left(world, passing.plan.migration, passing.consignment);
    verified(passing);
    nobody_cries(&"the server's log", &passing.parties.log());
    passing.target.alone().await;
    let round = passing.round(&ledger);
    assert_eq!(round.stage, ConsignmentStage::Destroyed);
    let [old, new] = passing.parties.both_reports();
    assert_eq!(old, new, "the reports are not those of the old system");
    assert!(round.outcome.as_ref().is_some_and(|outcome| outcome.reconciliation.equal()), "S, F and T are not equal");
    End {
        rows: passing.target.dump().await,
        relations: passing.target.relations().await,
        markers: passing.target.markers(passing.consignment).await,
        parts: parts(&ledger, passing.consignment),
        attempts: u32::try_from(round.attempts.len()).unwrap(),
    }
}

/// One statement a party; the probe with the recipient's real key opened nothing.
fn parts(ledger: &Ledger, consignment: ConsignmentId) -> BTreeMap<&'static str, u32> {
    let said = &ledger.migration().consignment(consignment).unwrap().parts;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|(.., probe)| *probe != Some(ProbeResult::Opened)), "{said:?}");
    let name = |part: Part| if part == Part::Laboratory { "laboratory" } else { "recipient" };
    said.iter().map(|(part, _, keys, _)| (name(*part), *keys)).collect()
}

/// However many processes are killed, none of the others panics or raises an alarm.
pub(super) fn nobody_cries(who: &dyn Debug, said: &str) {
    for cry in ["ALARM", "panicked"] {
        assert!(!said.contains(cry), "{cry}, said by {who:?}: {said}");
    }
}

/// Every attempt of the journal has one beginning and one end, and none is missing or there twice.
fn attempts(ledger: &Ledger, tries: &BTreeMap<Stride, Tries>) {
    let (mut begun, mut ended) = (BTreeMap::new(), BTreeMap::<u32, Vec<Option<Step>>>::new());
    for recorded in ledger.recorded() {
        let act = &recorded.fact.act;
        if let Act::Begin { step, attempt, .. } = act {
            assert!(begun.insert(*attempt, *step).is_none(), "attempt {attempt} begins twice");
        } else if let Act::Failed { attempt, .. } = act {
            ended.entry(*attempt).or_default().push(None);
        } else if let Act::Close { manifest } = act {
            ended.entry(manifest.attempt).or_default().push(Some(Step::Extract));
        } else if let Act::Done { attempt, step, .. } = act {
            ended.entry(*attempt).or_default().push(Some(*step));
        }
    }
    let numbers: Vec<u32> = (1..).take(begun.len()).collect();
    assert_eq!(begun.keys().copied().collect::<Vec<_>>(), numbers, "attempts that begin");
    assert_eq!(ended.keys().copied().collect::<Vec<_>>(), numbers, "attempts that end");
    assert!(ended.values().all(|ends| ends.len() == 1), "an attempt ends twice: {ended:?}");
    for step in [Step::Extract, Step::Load, Step::Reconcile] {
        let well = ended.values().flatten().filter(|end| **end == Some(step)).count();
        assert!(well == 1, "{step:?} came to its end {well} times");
        let shown = begun.iter().filter(|(_, of)| **of == step).map(|(attempt, _)| *attempt).collect();
        let (_, tries) = tries.iter().find(|(stride, _)| stride.step() == Some(step)).unwrap();
        each_is_shown(&shown, tries).unwrap_or_else(|missing| unreachable!("{step:?}: {missing}"));
    }
}

/// The attempts that a journal shows are as many as commands were given at most, and those among them of which a device
/// has a receipt.
fn each_is_shown(shown: &BTreeSet<u32>, tries: &Tries) -> Result<(), String> {
    let missing: Vec<u32> = tries.receipts.difference(shown).copied().collect();
    if !missing.is_empty() {
        return Err(format!("a device has the receipts of attempts {missing:?}, and the journal shows {shown:?} only"));
    }
    let given = tries.given;
    if shown.len() > given { Err(format!("{given} commands, and attempts {shown:?} in the journal")) } else { Ok(()) }
}

/// Shelf, registry, ring and devices hold no key and no parcel of the round, but tombstones.
fn nothing_is_left(world: &World, migration: lexicon::MigrationId, consignment: ConsignmentId) {
    let shelf = lies_on(&world.server_folder().join("shelf"));
    assert!(shelf.is_empty(), "left on the shelf: {shelf:?}");
    let registry = Registry::open(&world.server_folder().join("registry.sqlite")).unwrap();
    assert_eq!(registry.strongroom(migration).unwrap(), [], "wrapped shares are left in the registry");
    let ring = world.ring_folder();
    let keys = files_below(&[&ring.join("keys")]);
    assert!(keys.is_empty(), "left in the ring: {keys:?}");
    assert!(ring.join(format!("tombs/{consignment}.tomb")).is_file(), "the ring has no tombstone");
    for name in [Name::Operator, Name::Recipient] {
        let home = Home::open(&world.home(name)).unwrap();
        let gone = home.gone(Round { migration, consignment }).unwrap();
        assert!(gone.is_some_and(|gone| gone.finished), "{name:?}: {gone:?}");
        let folder = home.folder().join(format!("migrations/{migration}/consignments/{consignment}"));
        let left: Vec<_> = files_below(&[&folder]).into_iter().filter(|file| !file.ends_with("gone.json")).collect();
        assert!(left.is_empty(), "left on a device: {left:?}");
    }
}

/// The control of the search at the story's end: in the old system it meets all that is looked for, in the new one what
/// crosses of it.
pub(super) fn planted_is_met(world: &World, old: &str, new: &str) {
    let planted = planted();
    let owed = |is_there: fn(Place) -> bool| {
        let mut owed = BTreeMap::<String, u64>::new();
        for sentinel in planted.iter().filter(|sentinel| is_there(sentinel.place)) {
            let count = owed.entry(sentinel.label()).or_default();
            *count = count.saturating_add(1);
        }
        owed
    };
    assert_eq!(world.met_in(old.as_bytes()), owed(|_| true), "the control: met in the old system");
    let new = world.met_in(new.as_bytes());
    assert_eq!(new, owed(|place| place == Place::Moves), "the control: met in the new system");
}

/// The server's journal verifies, from outside too, and the evidence is complete.
fn verified(passing: &Passing<'_>) {
    let world = passing.parties.world();
    let (data, migration) = (world.server_folder(), passing.plan.migration.to_string());
    let pack = world.path(&format!("{migration}.zip"));
    let [data, pack] = [&data, &pack].map(|path: &std::path::PathBuf| Path::to_str(path).unwrap());
    done(passing.parties.command(Name::Engineer, &["journal", "verify", "--data", data]));
    done(passing.parties.command(Name::Controller, &["journal", "verify"]));
    done(passing.parties.command(Name::Controller, &["evidence", "export", "--migration", &migration, "--out", pack]));
    let told = done(passing.parties.command(Name::Controller, &["evidence", "verify", pack]));
    let told: Value = serde_json::from_str(&told).unwrap();
    let complete = told.pointer("/verdict/certificate_complete") == Some(&Value::Bool(true));
    assert!(complete, "the certificate is not complete: {:?}", told.pointer("/verdict/missing"));
}

/// What a command says that comes to its good end.
fn done(mut command: Command) -> String {
    let Ended { way, text, .. } = Running::start(&mut command).end();
    assert!(way == Way::Status(0), "{command:?} ended with {way:?}: {text}");
    nobody_cries(&command, &text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_a_device_has_a_receipt_of_and_the_journal_lacks_is_told() {
        let tries = Tries { given: 4, receipts: [1, 2, 4].into() };
        let shown = |attempts: &[u32]| each_is_shown(&attempts.iter().copied().collect(), &tries);
        // Of the third the process did not live to hear whether it had begun.
        assert_eq!([shown(&[1, 2, 4]), shown(&[1, 2, 3, 4])], [Ok(()), Ok(())]);
        for attempts in [&[1, 2][..], &[1, 4], &[1, 2, 3]] {
            assert!(shown(attempts).is_err_and(|told| told.contains("receipts")), "{attempts:?}");
        }
        assert!(shown(&[1, 2, 3, 4, 5]).is_err_and(|told| told.contains("4 commands")));
    }

    #[test]
    fn an_end_that_is_not_the_undisturbed_one_is_told() {
        let end = || End {
            rows: "1,Anna\n2,Bob\n".to_owned(),
            relations: vec!["import_patient".to_owned()],
            markers: [("import_patient".to_owned(), "2".to_owned())].into(),
            parts: [("laboratory", 1)].into(),
            attempts: 3,
        };
        let told = |change: fn(&mut End)| {
            let mut other = end();
            change(&mut other);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.is_as(&end()))).is_err()
        };
        assert!(!told(|_| ()) && !told(|end| end.attempts = 4), "the control: other attempts are usual");
        let changes: [fn(&mut End); 6] = [
            |end| end.rows = end.rows.replace("Bob", "Bobby"),
            |end| end.rows.truncate(7),
            |end| end.rows.push_str("2,Bob\n"),
            |end| end.relations.push("import_patient_staged".to_owned()),
            |end| end.markers.clear(),
            |end| end.parts.extend([("laboratory", 2)]),
        ];
        assert_eq!(changes.map(told), [true; 6]);
    }

    #[test]
    fn an_alarm_and_a_panic_are_heard() {
        let heard = |said: &str| std::panic::catch_unwind(|| nobody_cries(&"a log", said)).is_err();
        assert!(heard("ALARM: consignment 7 lives") && heard("thread 'main' panicked at src/main.rs"));
        assert!(!heard("1 rows in table `alarm`"));
    }
}
