use std::collections::BTreeMap;

use evidence::{Pack, Trust, read, trust_roots, verify, verify_against, write};
use journal::{Checkpoint, Tree, inclusion};
use lexicon::{Code, Digest, Trouble};
use people::{Envelope, PayloadType, SigningKey};
use procedure::{Act, FactBody, Proof, SeenCheckpoint};

use crate::cast::{CAST, ORIGIN, Who};
use crate::tale::{REPORT, ROUND, SCOPE, Setting, Tale, leaf_of};

fn whole() -> Pack {
    Tale::whole(Setting::default()).pack()
}

fn trouble(pack: &Pack) -> Trouble {
    verify(pack, &CAST.roots()).unwrap_err()
}

fn code(pack: &Pack) -> Code {
    trouble(pack).code()
}

/// The pack with its journal rebuilt by a server that has the key: what is left to find is what persons signed.
fn rejournalled(mut pack: Pack) -> Pack {
    let leaves: Vec<Digest> = pack.entries.iter().map(|placed| leaf_of(&placed.entry, placed.nonce)).collect();
    let size = u64::try_from(leaves.len()).unwrap();
    for (placed, leaf) in pack.entries.iter_mut().zip(0_u64..) {
        placed.leaf = leaf;
    }
    pack.inclusion = (0..size).map(|leaf| inclusion(&leaves, leaf, size).unwrap()).collect();
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: Tree::of(&leaves).root() };
    pack.checkpoint = checkpoint.sign(CAST.server.pair()).unwrap();
    pack
}

#[test]
fn an_untouched_pack_holds_and_establishes_who_acted() {
    let verdict = verify(&whole(), &CAST.roots()).unwrap();
    assert!(verdict.established && verdict.certificate_complete && verdict.missing.is_empty());
    assert_eq!((verdict.facts, verdict.warnings.len()), (17, 0));
}

#[test]
fn without_pinned_roots_a_pack_is_consistent_and_no_more() {
    let verdict = verify(&whole(), &[]).unwrap();
    assert!(!verdict.established);
    let words: Vec<String> = CAST.roots().iter().map(|root| lexicon::spoken(&root.id())).collect();
    assert_eq!(verdict.unpinned.iter().map(|unpinned| unpinned.words.clone()).collect::<Vec<_>>(), words);
    assert_eq!(trust_roots(&whole()).unwrap(), CAST.roots());
    let one = verify(&whole(), CAST.roots().get(..1).unwrap()).unwrap();
    assert!(!one.established);
    assert_eq!(one.unpinned.len(), 1);
}

#[test]
fn an_organisation_that_calls_itself_otherwise_is_pointed_out() {
    let mut roots = CAST.roots();
    "Laboratoire du Large".clone_into(&mut roots.first_mut().unwrap().organisation);
    let verdict = verify(&whole(), &roots).unwrap();
    assert_eq!(
        verdict.warnings,
        ["The pack calls 'Laboratoire du Port' what was pinned here as 'Laboratoire du Large'."]
    );
}

#[test]
fn the_server_that_is_known_must_be_the_packs() {
    let trust = |card| Trust { roots: CAST.roots(), server: Some(card) };
    assert!(verify_against(&whole(), &trust(CAST.card(false))).unwrap().server_pinned);
    let mut other_key = CAST.card(false);
    other_key.key = CAST.vendor.public();
    let mut other_name = CAST.card(false);
    other_name.origin = "other.example/journal".into();
    for card in [other_key, other_name, CAST.card(true)] {
        assert_eq!(verify_against(&whole(), &trust(card)).unwrap_err().code(), Code(910));
    }
}

#[test]
fn a_demonstration_cannot_be_passed_off_as_real_even_before_its_certificate() {
    for demonstration in [true, false] {
        let approved = Tale::approved(Setting { demonstration, ..Setting::default() });
        assert_eq!(verify(&approved.pack(), &CAST.roots()).unwrap().demonstration, demonstration);
        let mut pack = approved.pack();
        pack.card.demonstration = !demonstration;
        assert_eq!(code(&pack), Code(912));
        pack.card.origin = CAST.card(!demonstration).origin;
        assert!(verify(&pack, &CAST.roots()).is_err(), "the checkpoint and every fact name the other journal");
    }
}

#[test]
fn every_entry_that_is_removed_is_found() {
    let pack = whole();
    for index in 0..pack.entries.len() - 1 {
        let mut cut = pack.clone();
        cut.entries.remove(index);
        assert!(verify(&cut, &[]).is_err(), "entry {index}");
        cut.inclusion.remove(index);
        assert!(verify(&cut, &[]).is_err(), "entry {index} with its proof");
        assert!(verify(&rejournalled(cut), &[]).is_err(), "entry {index}, journal rebuilt");
    }
}

#[test]
fn the_newest_facts_can_be_withheld_and_the_verdict_says_up_to_which_fact_it_speaks() {
    let mut cut = read(&write(&whole()).unwrap()).unwrap();
    cut.entries.pop();
    cut.inclusion.pop();
    assert_eq!(code(&cut), Code(908), "the words in the file still tell of it");
    cut.told.clear();
    let verdict = verify(&cut, &CAST.roots()).unwrap();
    assert!(!verdict.certificate_complete);
    let text = "That nothing followed fact 16: newer facts can be withheld.";
    assert!(verdict.statements.iter().any(|statement| {
        statement.text.starts_with(text) && statement.strength == evidence::Strength::NotProvable
    }));
}

#[test]
fn every_entry_that_is_added_or_moved_is_found() {
    let pack = whole();
    for index in 0..pack.entries.len() {
        let mut twice = pack.clone();
        twice.entries.insert(index, pack.entries.get(index).unwrap().clone());
        twice.inclusion.insert(index, pack.inclusion.get(index).unwrap().clone());
        assert!(verify(&twice, &[]).is_err(), "entry {index} twice");
        assert!(verify(&rejournalled(twice), &[]).is_err(), "entry {index} twice, journal rebuilt");
        if index > 0 {
            let mut moved = pack.clone();
            moved.entries.swap(index - 1, index);
            assert!(verify(&moved, &[]).is_err(), "entry {index} moved");
            moved.inclusion.swap(index - 1, index);
            assert!(verify(&moved, &[]).is_err(), "entry {index} moved with its proof");
            assert!(verify(&rejournalled(moved), &[]).is_err(), "entry {index} moved, journal rebuilt");
        }
    }
}

#[test]
fn every_entry_that_is_changed_is_found() {
    let pack = whole();
    for index in 0..pack.entries.len() {
        let change = |how: &dyn Fn(&mut wire::Placed)| {
            let mut changed = pack.clone();
            how(changed.entries.get_mut(index).unwrap());
            changed
        };
        let nonce = change(&|placed| placed.nonce = Digest::of(b"other"));
        let place = change(&|placed| placed.leaf += 1);
        let cut = change(&|placed| {
            placed.entry.fact.payload.pop();
        });
        let act = change(&|placed| placed.entry.proof = Proof::Server(Act::Overdue { consignment: None }));
        for (changed, what) in [(nonce, "nonce"), (place, "place"), (cut, "fact"), (act, "act")] {
            assert!(verify(&changed, &[]).is_err(), "{what} of entry {index}");
            if what == "fact" || what == "act" {
                assert!(verify(&rejournalled(changed), &[]).is_err(), "{what} of entry {index}, journal rebuilt");
            }
        }
    }
}

#[test]
fn what_the_server_says_it_destroyed_cannot_be_said_otherwise_afterwards() {
    let mut pack = whole();
    let index =
        pack.entries.iter().position(|placed| matches!(placed.entry.proof, Proof::Server(Act::Destroyed { .. })));
    let entry = &mut pack.entries.get_mut(index.unwrap()).unwrap().entry;
    let Proof::Server(Act::Destroyed { evidence, .. }) = &mut entry.proof else { panic!("not a destruction") };
    evidence.parcels = 4;
    let mut fact: FactBody = entry.fact.open(PayloadType::Fact, &CAST.server.public()).unwrap();
    fact.act = entry.proof.digest().unwrap();
    let key = &CAST.server;
    entry.fact = Envelope::sign(PayloadType::Fact, &fact, key.public().digest(), key).unwrap();
    assert!(verify(&rejournalled(pack), &[]).is_err(), "the fact after it names the one before");
}

#[test]
fn a_wrong_root_is_found_whoever_signed_it() {
    let pack = whole();
    let size = Checkpoint::verify(&pack.checkpoint, ORIGIN, &CAST.server.public().0).unwrap().size;
    let wrong = Checkpoint { origin: ORIGIN.into(), size, root: Digest::of(b"other") };
    let by_server = Pack { checkpoint: wrong.sign(CAST.server.pair()).unwrap(), ..pack.clone() };
    assert!(matches!(trouble(&by_server), Trouble::Alarm(_)));
    let by_vendor = Pack { checkpoint: wrong.sign(CAST.vendor.pair()).unwrap(), ..pack.clone() };
    assert!(matches!(trouble(&by_vendor), Trouble::Alarm(_)));
    let mut proofless = pack.clone();
    proofless.inclusion.first_mut().unwrap().pop();
    assert!(matches!(trouble(&proofless), Trouble::Alarm(_)));
    let mut fewer = pack;
    fewer.inclusion.pop();
    assert_eq!(code(&fewer), Code(905));
}

#[test]
fn a_pack_without_entries_is_none() {
    let empty = Pack { entries: Vec::new(), inclusion: Vec::new(), certificate: None, ..whole() };
    assert_eq!(code(&empty), Code(901));
}

#[test]
fn two_signers_who_saw_two_journals_prove_it() {
    let mut tale = Tale::approved(Setting::default());
    let size = u64::try_from(tale.leaves.len()).unwrap() - 1;
    let forked = SeenCheckpoint { size, root: Digest::of(b"another history") };
    tale.seen = Some(forked);
    tale.does(Who::Recipient, Act::Freeze { reason: "to be sure".into() });
    verify(&tale.pack(), &[]).unwrap();
    let honest = Tree::of(tale.leaves.get(..usize::try_from(size).unwrap()).unwrap()).root();
    tale.seen = Some(SeenCheckpoint { size, root: honest });
    tale.does(Who::Approver, Act::Thaw { reason: "it is well".into() });
    assert_eq!(code(&tale.pack()), Code(909));
}

#[test]
fn an_act_that_saw_more_leaves_than_there_were_proves_another_journal() {
    let mut tale = Tale::approved(Setting::default());
    tale.seen = Some(SeenCheckpoint { size: 500, root: Digest::of(b"a longer journal") });
    tale.does(Who::Recipient, Act::Freeze { reason: "to be sure".into() });
    assert_eq!(code(&tale.pack()), Code(909));
}

#[test]
fn a_document_is_the_one_that_was_approved_or_the_pack_is_false() {
    let with = |documents: &[(&[u8], &[u8])]| {
        let documents = documents.iter().map(|(name, bytes)| (Digest::of(name), bytes.to_vec())).collect();
        Pack { documents, ..whole() }
    };
    assert_eq!(code(&with(&[(SCOPE, b"{\"tables\":[]}"), (REPORT, REPORT)])), Code(906), "changed");
    assert_eq!(code(&with(&[(SCOPE, REPORT), (REPORT, SCOPE)])), Code(906), "swapped");
    assert_eq!(code(&with(&[(SCOPE, SCOPE), (b"more", b"more")])), Code(906), "added");
    let missing = verify(&with(&[(SCOPE, SCOPE)]), &[]).unwrap().missing;
    assert_eq!(missing.len(), 1);
    assert!(missing.first().unwrap().starts_with("the scope report"), "{missing:?}");
}

#[test]
fn a_sealed_laboratory_share_never_travels_in_a_pack() {
    let mut pack = whole();
    pack.documents.insert(Digest::of(b"sealed laboratory share"), b"sealed laboratory share".to_vec());
    assert_eq!(write(&pack).unwrap_err().code(), Code(911));
}

#[test]
fn a_certificate_cannot_be_taken_out_put_in_or_exchanged() {
    assert_eq!(code(&Pack { certificate: None, ..whole() }), Code(907));
    let pack = whole();
    let unfinished = Tale::approved(Setting::default()).pack();
    assert_eq!(code(&Pack { certificate: pack.certificate.clone(), ..unfinished }), Code(907));
    let other = Tale::whole(Setting { unequal: true, ..Setting::default() }).pack();
    assert_eq!(code(&Pack { certificate: other.certificate, ..pack }), Code(907));
}

#[test]
fn people_whom_no_pinned_root_certifies_count_for_nothing() {
    let mut pack = whole();
    let stranger = SigningKey::from_seed(zeroize::Zeroizing::new([9; 32])).unwrap();
    let vendor = CAST.vendor.public();
    let root = pack.people.roots.iter_mut().find(|root| root.key == vendor).unwrap();
    root.key = stranger.public();
    assert!(verify(&pack, &[]).is_err());
    assert!(verify(&pack, CAST.roots().get(..1).unwrap()).is_err());
    pack.people.certificates.clear();
    assert!(verify(&pack, &[]).is_err());
}

#[test]
fn acts_since_a_key_was_in_other_hands_are_pointed_out() {
    let mut tale = Tale::whole(Setting::default());
    let since = crate::cast::start();
    tale.revocations.push(CAST.revocation(Who::Recipient, since, tale.at));
    let verdict = verify(&read(&write(&tale.pack()).unwrap()).unwrap(), &CAST.roots()).unwrap();
    assert_eq!(
        verdict.warnings,
        ["The certificate of Élise Noël was taken back as compromised since 2026-03-02 08:00:00 UTC; facts 8, 11, \
          12, 16 rest on it."]
    );
    assert_eq!(tale.ledger.migration().consignments.first().unwrap().id, ROUND);
}

#[test]
fn what_the_pack_tells_people_is_what_its_facts_say() {
    let pack = read(&write(&whole()).unwrap()).unwrap();
    assert_eq!(pack.told.len(), 5);
    for name in pack.told.keys().filter(|name| *name != "about.json") {
        let mut changed = pack.clone();
        changed.told.get_mut(name).unwrap().extend(b" ");
        assert_eq!(code(&changed), Code(908), "{name} changed");
        let mut without = pack.clone();
        without.told.remove(name);
        assert_eq!(code(&without), Code(908), "{name} removed");
    }
    let other_words = BTreeMap::from([("about.json".to_owned(), about(&pack, 99))]);
    let verdict = verify(&Pack { told: other_words, ..pack }, &CAST.roots()).unwrap();
    assert!(verdict.warnings.first().unwrap().contains("written by another version"));
}

fn about(pack: &Pack, words: u32) -> Vec<u8> {
    let about = String::from_utf8(pack.told.get("about.json").unwrap().clone()).unwrap();
    about.replace("\"words\":6", &format!("\"words\":{words}")).into_bytes()
}
