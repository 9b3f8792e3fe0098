//! `lazaret migrate`: one person with both ends goes as far as the release, which is another person's, and, called
//! again, to the report.

use serde_json::Value;

use crate::ground::{Ground, rows_in, write_file};

/// Status: it is another person's turn first.
const ANOTHER_PERSON: i32 = 4;

/// Enrols one more person of the laboratory, who may extract and load.
fn enrol_one_with_both_ends(ground: &Ground) {
    let words = ["laboratory", "vendor"].map(|name| lexicon::spoken(&ground.root(name).id()));
    write_file(&ground.path("secrets/both"), b"a passphrase of the test");
    let invite = ["person", "invite", "--folder", "laboratory", "--name", "Nadia Bertin", "--role", "operator"];
    let more = ["--role", "recipient", "--server", "server/card.json", "--out", "papers/both.invitation"];
    done(ground.organisation("laboratory", &[&invite[..], &more].concat()));
    let enrol = ["person", "enrol", "--invitation", "papers/both.invitation", "--words", &words[0]];
    done(ground.person("both", &[&enrol[..], &["--out", "papers/both.request"]].concat()));
    let certify = ["person", "certify", "--folder", "laboratory", "--request", "papers/both.request"];
    let more = ["--invitation", "papers/both.invitation", "--out", "papers/both.certificate"];
    done(ground.organisation("laboratory", &[&certify[..], &more].concat()));
    done(ground.person("both", &["person", "enrol", "--certificate", "papers/both.certificate"]));
    done(ground.person("both", &["trust", "vendor/organisation.json", "--words", &words[1]]));
}

/// The second new system's folder for documents.
const SECOND: &str = "new/second";

/// A second migration out of the demonstration's old system into another new one, by its plan but for who carries it
/// out: its id, and the plan's digest.
fn approved(ground: &Ground, target: &str) -> (String, String) {
    synth::new_system(&ground.path("new/second.sqlite")).unwrap();
    std::fs::create_dir(ground.path(SECOND)).unwrap();
    let check = ["scope", "check", "--target", target, "--documents", SECOND, "--scope", "old/scope.toml"];
    let checked = done(ground.person("recipient", &check));
    let mut plan: toml::Table = std::fs::read_to_string(ground.path("papers/plan.toml")).unwrap().parse().unwrap();
    let systems = plan["target"].as_array_mut().unwrap();
    for name in ["identity", "schema"] {
        systems[0][name] = checked["target"][name].as_str().unwrap().into();
    }
    systems[0]["documents"] = checked["documents_folder"].as_str().unwrap().into();
    plan["extracting"] = vec!["both.certificate"].into();
    plan["loading"] = vec!["both.certificate"].into();
    plan.insert("one_operator_both_ends".to_owned(), true.into());
    write_file(&ground.path("papers/second.toml"), plan.to_string().as_bytes());
    let roots = ["--controller", "laboratory/organisation.json", "--processor", "vendor/organisation.json"];
    let opened = done(ground.person("engineer", &[&["migration", "open"], &roots[..]].concat()));
    let migration = opened["migration"].as_str().unwrap().to_owned();
    let propose = ["migration", "propose", "--migration", &migration, "--plan", "papers/second.toml"];
    let plan = done(ground.person("engineer", &propose))["plan"].as_str().unwrap().to_owned();
    for who in ["approver", "controller"] {
        done(ground.person(who, &["migration", "approve", "--migration", &migration, "--yes", &plan]));
    }
    (migration, plan)
}

fn done((status, said): (i32, Value)) -> Value {
    assert_eq!(status, 0, "{said}");
    said
}

#[test]
fn one_person_with_both_ends_stops_for_the_release_and_then_goes_on_to_the_report() {
    let ground = Ground::new();
    let (_demonstration, _) = ground.demo_until("The server is up again");
    enrol_one_with_both_ends(&ground);
    let (old, new) = (format!("sqlite:{}", ground.path("old/old.sqlite").display()), ground.path("new/second.sqlite"));
    let target = format!("sqlite:{}", new.display());
    let (migration, plan) = approved(&ground, &target);
    let of = ["--migration", &migration];
    let migrate =
        [&["migrate"], &of[..], &["--source", &old, "--target", &target, "--documents", SECOND, "--yes", &plan]]
            .concat();
    let facts =
        || done(ground.person("both", &[&["migration", "show"], &of[..]].concat()))["migration"]["facts"].clone();

    let first = ground.person("both", &migrate);
    let before = facts();
    let waiting = ground.read_by("both", &migrate);
    let unchanged = facts();
    let shown = done(ground.person("controller", &[&["migration", "show"], &of[..]].concat()));
    let release = ["consignment", "release", "--yes", shown["confirm"]["release"].as_str().unwrap()];
    let own = ground.person("both", &[&release, &of[..]].concat());
    done(ground.person("controller", &[&release, &of[..]].concat()));
    let second = ground.person("both", &migrate);
    let after = facts();
    let third = ground.read_by("both", &migrate);

    assert_eq!((first.0, &first.1["turn"]["who"]), (ANOTHER_PERSON, &"controller".into()), "{}", first.1);
    assert_eq!(first.1["turn"]["what"], "consignment release");
    assert_eq!(waiting.0, ANOTHER_PERSON);
    assert!(waiting.1.contains("Next: the controller: `lazaret consignment release`"), "{}", waiting.1);
    assert_eq!(before, unchanged, "whoever waits acts no second time");
    assert_ne!(own.0, 0, "whoever extracted released: {}", own.1);
    assert!(!["1016", "1062"].contains(&own.1["error"]["code"].to_string().as_str()), "{}", own.1);
    let second = done(second);
    assert_eq!((&second["equal"], &second["opened"]), (&true.into(), &true.into()), "{second}");
    for table in second["tables"].as_array().unwrap() {
        let arrived = rows_in(&new, table["target"].as_str().unwrap());
        assert!(arrived > 0 && table["rows_target"] == arrived, "{table}");
    }
    assert_eq!(third.0, 0, "{}", third.1);
    assert!(third.1.contains("There is nothing left to extract or load."), "{}", third.1);
    assert!(third.1.contains("Next: the controller: `lazaret migration sign-off"), "{}", third.1);
    assert_eq!(after, facts(), "the third time acted");
}
