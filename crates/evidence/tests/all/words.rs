use std::collections::BTreeMap;

use evidence::{Strength, read, verify, write};

use crate::cast::{CAST, Who};
use crate::shelved::Shelved;
use crate::tale::{ROUND, Setting, Tale};

/// What a pack of this setting tells people.
fn told(setting: Setting) -> BTreeMap<String, String> {
    let pack = read(&write(&Tale::whole(setting).pack()).unwrap()).unwrap();
    pack.told.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
}

fn same(found: &str, expected: &str, name: &str) {
    assert!(found == expected, "{name} is no longer what the pack says; it says now:\n{found}\n=== end of {name}");
}

#[test]
fn the_statements_are_worded_as_people_have_read_them_before() {
    let told = told(Setting::default());
    same(told.get("statements.md").unwrap(), include_str!("golden/statements.md"), "statements.md");
}

#[test]
fn the_certificate_is_worded_as_people_have_read_it_before() {
    let told = told(Setting { demonstration: true, vendor_extracts: true, ..Setting::default() });
    same(told.get("certificate.md").unwrap(), include_str!("golden/certificate.md"), "certificate.md");
}

#[test]
fn nulls_and_orphans_that_differ_are_told_with_their_numbers() {
    let verdict = verify(&Tale::whole(Setting { unequal: true, ..Setting::default() }).pack(), &CAST.roots()).unwrap();
    let told = |part: &str| verdict.statements.iter().any(|statement| statement.text.contains(part));
    assert!(told("differ in 'birth_date' of 'import_result' (12, 12, 14)."));
    assert!(told("DIFFERENT, 7 in the old system's scope, 9 in the target"));
}

#[test]
fn the_ring_is_said_to_have_refused_what_it_was_shown_and_no_more() {
    let refused = |share_lost| {
        let setting = Setting { share_lost, ..Setting::default() };
        let verdict = verify(&Tale::whole(setting).pack(), &CAST.roots()).unwrap();
        let said = |words: &str| verdict.statements.iter().any(|statement| statement.text.contains(words));
        (said("the ring refused the wrapped share"), said("there was no wrapped share left to show it"))
    };
    assert_eq!((refused(false), refused(true)), ((true, false), (false, true)));
}

#[test]
fn a_ring_that_had_no_key_leaves_the_certificate_incomplete_and_is_said_to_have_destroyed_nothing() {
    let setting = Setting { key_missing: true, ..Setting::default() };
    let verdict = verify(&Tale::whole(setting).pack(), &CAST.roots()).unwrap();
    assert!(!verdict.certificate_complete);
    let [missing] = <[String; 1]>::try_from(verdict.missing).unwrap();
    assert!(missing.ends_with("a ring key that was destroyed; the ring that was asked had none"), "{missing}");
    let told = |words: &str| verdict.statements.iter().any(|statement| statement.text.contains(words));
    assert!(told("had no key to destroy, and what became of the ring key is not known") && !told("the ring refused"));
    let page = told_of(setting);
    assert!(page.contains("Nothing here says that the ring key is destroyed"), "{page}");
    assert!(page.contains("| in effect from | not known |"), "{page}");
}

fn told_of(setting: Setting) -> String {
    told(setting).get("certificate.md").unwrap().clone()
}

#[test]
fn a_parcel_that_was_not_on_the_shelf_any_more_is_told_and_keeps_the_certificate_from_being_complete() {
    let setting = Setting { inventory: Shelved::OneAbsent, ..Setting::default() };
    let tale = Tale::whole(setting);
    let certificate = told_of(setting);
    let told = certificate.lines().find(|line| line.starts_with("* 1 parcels, dead, "));
    let told = told.unwrap_or_else(|| panic!("{certificate}"));
    assert!(told.ends_with("bytes that were not on the shelf any more when it was emptied"), "{told}");
    assert!(certificate.contains("; 2 sealed objects of "), "{certificate}");
    let verdict = verify(&tale.pack(), &CAST.roots()).unwrap();
    let lacks = |lacking: &String| lacking.contains("1 parcels that had been stored");
    assert!(verdict.missing.iter().any(lacks), "{:?}", verdict.missing);
    assert!(!verdict.certificate_complete);
    let fact = "bytes had been stored and were not on the shelf any more when it was emptied.";
    assert!(verdict.statements.iter().any(|statement| statement.text.contains(fact)), "{:?}", verdict.statements);
    let whole = verify(&Tale::whole(Setting::default()).pack(), &CAST.roots()).unwrap();
    assert!(!whole.missing.iter().any(lacks), "the control");
}

#[test]
fn what_an_object_store_keeps_all_the_same_is_named_with_its_date() {
    let setting = Setting { lingering: true, ..Setting::default() };
    let named = format!(
        "The object store lets nobody delete these yet, and keeps: parcel {} of attempt 2, 1,000,000 bytes, until \
         2099-01-02 00:00:00 UTC; parcel {} of attempt 2, 1,000,000 bytes, until somebody lifts its hold.",
        "a1".repeat(16),
        "a2".repeat(16)
    );
    let certificate = told(setting).get("certificate.md").unwrap().clone();
    for (parcel, until) in [("a1", "until 2099-01-02 00:00:00 UTC"), ("a2", "until somebody lifts its hold")] {
        let line = format!(
            "* parcel {ROUND}/2/{}, dead, 1,000,000 bytes that the object store lets nobody delete yet, {until}",
            parcel.repeat(16)
        );
        assert!(certificate.contains(&line), "{certificate}");
    }
    let verdict = verify(&Tale::whole(setting).pack(), &CAST.roots()).unwrap();
    assert!(verdict.statements.iter().any(|statement| statement.text.contains(&named)), "{:?}", verdict.statements);
    assert!(!told(Setting::default()).get("certificate.md").unwrap().contains("object store"));
}

#[test]
fn a_machine_whose_swap_is_in_clear_is_named_by_statement_picture_and_certificate() {
    let setting = Setting { clear_swap: true, ..Setting::default() };
    let verdict = verify(&Tale::whole(setting).pack(), &CAST.roots()).unwrap();
    let theirs = verdict.statements.iter().filter(|statement| statement.text.contains("swap"));
    // The extraction, the offer of a key, the hand-over of the share.
    let [begun, offered, handed_over] = <[&evidence::Statement; 3]>::try_from(theirs.collect::<Vec<_>>()).unwrap();
    assert!(
        begun.text.ends_with("the machine on which Yann Kerbrat did this may write its memory in clear to its swap.")
    );
    let signed = (begun.who.as_str(), begun.strength);
    assert_eq!(signed, ("Yann Kerbrat (Laboratoire du Port), fact 6", Strength::Signed));
    let by = [offered, handed_over].map(|statement| statement.who.split(" (").next().unwrap());
    assert_eq!(by, ["Élise Noël", "Yann Kerbrat"]);
    let left = format!(
        "* what the machine of Yann Kerbrat (device {}) wrote of its memory, keys and rows in it, in clear to its \
         swap; that it may, fact 6 says",
        CAST.member(Who::Operator).key.public().digest().short()
    );
    let (swapping, other) = (told(setting), told(Setting::default()));
    let certificate = swapping.get("certificate.md").unwrap();
    assert!(certificate.contains(&left));
    assert_eq!(certificate.matches("in clear to its swap").count(), 2, "each machine once: {certificate}");
    for word in ["(attempt 1, swap in clear)", "offered an opening key (swap in clear)", "over (swap in clear)"] {
        assert!(swapping.get("timeline.svg").unwrap().contains(word), "{word}");
    }
    assert!(other.values().all(|text| !text.contains("swap")));
}

#[test]
fn who_held_both_ends_is_said_whatever_the_answer() {
    let ends = |setting: Setting| {
        let verdict = verify(&Tale::whole(setting).pack(), &CAST.roots()).unwrap();
        let theirs = verdict.statements.into_iter().filter(|statement| statement.text.contains("held both ends"));
        let [statement] = <[evidence::Statement; 1]>::try_from(theirs.collect::<Vec<_>>()).unwrap();
        assert_eq!(statement.strength, Strength::Signed);
        (statement.text, statement.who)
    };
    let (text, who) = ends(Setting { one_operator: true, ..Setting::default() });
    assert!(text.ends_with(
        "one operator held both ends: Ana de la Cruz extracted and loaded. The plan allows one operator at both ends."
    ));
    assert_eq!(who, "Ana de la Cruz (Vendor of Systems), fact 6; Ana de la Cruz (Vendor of Systems), fact 11");
    let (text, _) = ends(Setting { vendor_extracts: true, ..Setting::default() });
    assert!(text.contains("no one operator held both ends, but one organisation did: Ana de la Cruz extracted and"));
    let (text, who) = ends(Setting::default());
    assert!(text.contains("no one operator and no one organisation held both ends: Yann Kerbrat extracted and"));
    assert_eq!(who, "Yann Kerbrat (Laboratoire du Port), fact 6; Élise Noël (Vendor of Systems), fact 11");
}

#[test]
fn every_document_of_a_demonstration_says_so() {
    let mark = "DEMONSTRATION: made with synthetic records";
    let demonstration = told(Setting { demonstration: true, ..Setting::default() });
    for name in ["statements.md", "timeline.svg", "certificate.md", "statements.json"] {
        assert!(demonstration.get(name).unwrap().contains(mark), "{name}");
    }
    assert!(demonstration.get("about.json").unwrap().contains("\"demonstration\":true"));
    for (name, text) in told(Setting::default()) {
        assert!(!text.contains(mark), "{name}");
    }
}

#[test]
fn the_picture_fetches_nothing_runs_nothing_and_closes_what_it_opens() {
    let told = told(Setting { unequal: true, ..Setting::default() });
    let picture = told.get("timeline.svg").unwrap();
    for word in ["<script", "href", "url(", "@import", "<image", "<foreignObject", "onload", "javascript"] {
        assert!(!picture.contains(word), "{word}");
    }
    assert_eq!(picture.matches("http").count(), 1, "the name of the format and no address");
    let mut open = Vec::new();
    for tag in picture.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
    for name in ["Claire Le Goff", "Jean-Marc D&apos;Anjou", "Élise Noël", "2026-03-03 08:2"] {
        assert!(picture.contains(name), "{name}");
    }
}

#[test]
fn what_a_person_wrote_does_not_break_the_page() {
    let told = told(Setting { unequal: true, ..Setting::default() });
    let page = told.get("statements.md").unwrap();
    assert!(page.contains(r"'two results of 1997 had no date \| \*agreed\* with the laboratory'"));
    assert!(page.contains("of 2 tables in 'postgres://new:5432/lis' these differ: 'import_result' between fetching"));
    assert!(page.contains("and the target (at least 2 rows)"));
}

#[test]
fn each_statement_says_who_says_it() {
    let verdict = verify(&Tale::whole(Setting::default()).pack(), &CAST.roots()).unwrap();
    for statement in &verdict.statements {
        match statement.strength {
            Strength::Signed => assert!(statement.who.contains(", fact "), "{statement:?}"),
            Strength::AssertedByServer => assert!(statement.who.starts_with("the server"), "{statement:?}"),
            Strength::NotProvable => assert_eq!(statement.who, "nobody", "{statement:?}"),
        }
        assert!(statement.text.ends_with(['.', '\'']), "{statement:?}");
    }
    let of = |strength| verdict.statements.iter().filter(|statement| statement.strength == strength).count();
    assert!(of(Strength::Signed) > 12 && of(Strength::AssertedByServer) > 5 && of(Strength::NotProvable) > 3);
}
