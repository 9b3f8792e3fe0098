//! The order of a destruction, over a place of keys that is a list in memory and loses an answer where a test wants it to.

use std::collections::BTreeSet;

use lexicon::Timestamp;

use super::*;
use crate::keyring::kit::{DYING, Ground, SERVER, code, receipt};

#[derive(Default)]
struct Kept {
    keys: BTreeSet<ConsignmentId>,
    /// What is wrong with all of them.
    flaws: Vec<Flaw>,
    /// The next deletion is done, and nobody hears of it.
    loses_an_answer: bool,
}

#[derive(Clone)]
struct List(Arc<Mutex<Kept>>, Names);

impl Default for List {
    fn default() -> Self {
        Self(Arc::default(), Names::new("key", ' ', &SERVER))
    }
}

impl List {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }

    fn ring(&self, ground: &Ground) -> StoreRing {
        let store = Box::new(self.clone());
        StoreRing::over(store, &ground.path("ring"), &ground.path("data"), ground.clock.clone()).unwrap()
    }
}

impl KeyStore for List {
    fn identity(&self) -> Result<String> {
        Ok("a list".to_owned())
    }
    fn held(&self) -> Result<Vec<ConsignmentId>> {
        Ok(self.kept().keys.iter().copied().collect())
    }
    fn holds(&self, id: ConsignmentId) -> Result<bool> {
        Ok(self.kept().keys.contains(&id))
    }
    fn make(&self, id: ConsignmentId) -> Result<()> {
        self.kept().keys.insert(id);
        Ok(())
    }
    fn seal(&self, id: ConsignmentId, _: &[u8], plain: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.holds(id)?.then(|| plain.to_vec()))
    }
    fn open(&self, id: ConsignmentId, _: &[u8], sealed: &[u8]) -> Result<Unwrapped> {
        Ok(if self.holds(id)? { Unwrapped::Plain(Zeroizing::new(sealed.to_vec())) } else { Unwrapped::NoKey })
    }
    fn flaws(&self, id: ConsignmentId) -> Result<Vec<Flaw>> {
        let kept = self.kept();
        Ok(if kept.keys.contains(&id) { kept.flaws.clone() } else { Vec::new() })
    }
    fn kill(&self, id: ConsignmentId) -> Result<Vec<Said>> {
        let mut kept = self.kept();
        let answered = if kept.keys.remove(&id) { "struck out" } else { "not on it" }.to_owned();
        if std::mem::take(&mut kept.loses_an_answer) {
            return Err(Fault::new(Code(720), Retry::Later, "the power went").into());
        }
        Ok(vec![Said { asked: "strike it out".to_owned(), answered, request: None }])
    }
    fn names(&self) -> &Names {
        &self.1
    }
    fn level(&self) -> Level {
        Level::K1
    }
    fn achieves(&self) -> &'static str {
        "nothing"
    }
}

fn said(evidence: &RingEvidence) -> Vec<String> {
    evidence.said.iter().map(Said::to_string).collect()
}

const LOST: &str = "what was answered when the key was deleted: nobody knows, for that was cut; asked again, the key's place \
                    says at 2030-03-17T17:46:40Z";

#[test]
fn an_answer_that_was_lost_is_asked_for_again_and_the_evidence_says_of_which_moment_it_is() {
    for opened_again in [false, true] {
        let (ground, list) = (Ground::new(), List::default());
        let mut ring = list.ring(&ground);
        ring.create(DYING).unwrap();
        list.kept().loses_an_answer = true;
        assert_eq!(code(ring.destroy(DYING, &receipt())), 720);
        assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);

        let late = Timestamp::from_second(1_900_000_000).unwrap();
        ground.clock.set(late);
        if opened_again {
            drop(ring);
            ring = list.ring(&ground);
            assert!(ring.returned().is_empty());
            assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: late, recorded: false });
        }
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert_eq!((evidence.found, evidence.destroyed_at), (true, late), "{opened_again}");
        assert_eq!(said(&evidence), [LOST, "strike it out: not on it"], "{opened_again}");
    }
}

#[test]
fn a_key_that_is_back_is_certified_from_its_last_destruction_also_when_an_answer_was_lost() {
    let (ground, list) = (Ground::new(), List::default());
    let ring = list.ring(&ground);
    ring.create(DYING).unwrap();
    let first = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!(said(&first), ["strike it out: struck out"]);
    list.kept().keys.insert(DYING);
    assert!(ring.held().unwrap().is_empty(), "a key that is back after its destruction is none that lives");
    let late = Timestamp::from_second(1_900_000_000).unwrap();
    ground.clock.set(late);
    list.kept().loses_an_answer = true;
    assert_eq!(code(ring.attest(DYING)), 720);

    drop(ring);
    let ring = list.ring(&ground);
    assert_eq!(ring.returned(), [DYING], "the alarm was not told before");
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!((evidence.found, evidence.begun_at, evidence.destroyed_at), (true, late, late));
    let back = "whether the key that was destroyed at 2027-01-15T08:00:00Z is gone: it was there again";
    assert_eq!(said(&evidence), [back, LOST, "strike it out: not on it"]);
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: late, recorded: false });
}

#[test]
fn all_that_is_wrong_with_a_key_is_written_down_before_it_is_deleted_and_told_also_after_a_cut() {
    for opened_again in [false, true] {
        let (ground, list) = (Ground::new(), List::default());
        let mut ring = list.ring(&ground);
        ring.create(DYING).unwrap();
        list.kept().flaws = vec![Flaw::Hidden, Flaw::Exportable, Flaw::ClearBackup];
        list.kept().loses_an_answer = true;
        assert_eq!(code(ring.destroy(DYING, &receipt())), 720);
        if opened_again {
            drop(ring);
            ring = list.ring(&ground);
        }
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert!(evidence.could_leave, "{opened_again}");
        let kinds: Vec<String> =
            said(&evidence).into_iter().filter(|said| said.starts_with("what kind of key")).collect();
        let told = [
            "what kind of key: is only hidden (soft-deleted), which anybody who may can take back",
            "what kind of key: can be exported from the key store",
            "what kind of key: can be backed up in clear",
        ];
        assert_eq!(kinds, told, "{opened_again}");
    }
}

#[test]
fn only_a_key_that_its_place_gives_out_or_did_not_make_could_leave_and_that_is_not_forgotten_when_it_is_back() {
    for (flaws, leaves) in [
        (Vec::new(), false),
        (vec![Flaw::Hidden, Flaw::Several], false),
        (vec![Flaw::Exportable], true),
        (vec![Flaw::ClearBackup], true),
        (vec![Flaw::Imported], true),
        (vec![Flaw::AnotherKind], true),
        (vec![Flaw::LeavesToken], true),
    ] {
        let (ground, list) = (Ground::new(), List::default());
        let ring = list.ring(&ground);
        ring.create(DYING).unwrap();
        list.kept().flaws.clone_from(&flaws);
        let evidence = ring.destroy(DYING, &receipt()).unwrap();
        assert_eq!(evidence.could_leave, leaves, "{flaws:?}");
        assert_eq!(evidence.words().contains("a copy of it may have been taken out before"), leaves, "{flaws:?}");

        let mut kept = list.kept();
        kept.flaws.clear();
        kept.keys.insert(DYING);
        drop(kept);
        assert_eq!(code(ring.destroy(DYING, &receipt())), 709);
        assert_eq!(ring.destroy(DYING, &receipt()).unwrap().could_leave, leaves, "{flaws:?}");
    }
}
