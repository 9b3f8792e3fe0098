use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use rusqlite::Connection;

use super::*;
use crate::{PER_PLACE, Place, nir_is_valid, scope_toml, search, target_ddl};

const PATIENTS: u64 = 6_000;

fn make(seed: u64, patients: u64) -> (tempfile::TempDir, std::path::PathBuf, Made) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let made = laboratory(&path, seed, patients, &mut |_| {}).unwrap();
    (folder, path, made)
}

fn one(connection: &Connection, sql: &str) -> u64 {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(|row| row.unwrap()).collect()
}

#[test]
fn one_seed_makes_one_laboratory_and_another_makes_another() {
    let ((_a, first, made_first), (_b, second, made_second)) = (make(7, 500), make(7, 500));
    assert_eq!(digest(&first).unwrap(), digest(&second).unwrap());
    assert_eq!(made_first, made_second);
    let (_c, third, _) = make(8, 500);
    assert_ne!(digest(&first).unwrap(), digest(&third).unwrap());
}

#[test]
fn the_patient_table_is_filled_as_the_leaked_file_was() {
    let (_folder, path, made) = make(1, PATIENTS);
    let connection = Connection::open(&path).unwrap();
    assert_eq!(one(&connection, "SELECT count(*) FROM pragma_table_info('patient')"), 60);
    assert_eq!(one(&connection, "SELECT count(*) FROM patient"), PATIENTS);
    // Counts per 491,840, and five standard deviations of a sample of this size.
    for (condition, count) in [
        ("nir IS NOT NULL", 489_838_u32),
        ("family_name IS NOT NULL", 478_882),
        ("civility IN ('Mme','MME','Mlle','Madame','Melle')", 268_983),
        ("civility IN ('M.','MR','Mr','Monsieur')", 195_828),
        ("civility = 'enfant'", 13_478),
        ("civility = 'bebe'", 425),
        ("civility = 'soeur'", 265),
        ("phone_home IS NOT NULL", 270_569),
        ("phone_mobile IS NOT NULL", 159_591),
        ("email IS NOT NULL", 55_738),
        ("portal_password IS NOT NULL", 14_997),
    ] {
        let found =
            u32::try_from(one(&connection, &format!("SELECT count(*) FROM patient WHERE {condition}"))).unwrap();
        let rows = f64::from(u32::try_from(PATIENTS).unwrap());
        let share = f64::from(count) / 491_840.0;
        let (expected, deviation) = (share * rows, (share * (1.0 - share) * rows).sqrt());
        assert!((f64::from(found) - expected).abs() <= 5.0 * deviation + 1.0, "{condition}: {found}, not {expected}");
    }
    assert!(one(&connection, "SELECT count(*) FROM patient WHERE family_name LIKE '% '") > 10);
    assert!(one(&connection, "SELECT count(*) FROM patient WHERE family_name LIKE '%''%'") > 50);
    assert!(made.rows("result").all > made.rows("request").all);
}

#[test]
fn every_nir_has_its_key_none_was_ever_issued_and_corsica_is_among_them() {
    let (_folder, path, _made) = make(2, PATIENTS);
    let connection = Connection::open(&path).unwrap();
    let nirs = texts(&connection, "SELECT nir FROM patient WHERE nir IS NOT NULL");
    assert!(nirs.iter().all(|nir| nir_is_valid(nir) && nir.get(7..10) == Some("000")));
    assert_eq!(nirs.iter().collect::<BTreeSet<_>>().len(), nirs.len());
    for corsica in ["2A", "2B"] {
        assert!(nirs.iter().filter(|nir| nir.get(5..7) == Some(corsica)).count() > 20);
    }
    let mismatched = "SELECT count(*) FROM patient WHERE nir IS NOT NULL AND birth_date IS NOT NULL AND \
                      substr(nir, 2, 4) <> substr(birth_date, 3, 2) || substr(birth_date, 6, 2)";
    assert_eq!(one(&connection, mismatched), 0);
    let spouses = texts(&connection, "SELECT spouse_nir FROM patient WHERE length(spouse_nir) = 15");
    assert!(!spouses.is_empty() && spouses.iter().all(|nir| nir_is_valid(nir)));
}

#[test]
fn every_reference_leads_to_a_row_and_the_counts_are_those_of_the_scope() {
    let (_folder, path, made) = make(3, 2_000);
    let connection = Connection::open(&path).unwrap();
    assert_eq!(one(&connection, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let patients = "SELECT patient_id FROM patient WHERE last_visit >= '2018-01-01'";
    let requests = format!("SELECT request_id FROM request WHERE patient_id IN ({patients})");
    for (table, in_scope) in [
        ("patient", format!("SELECT count(*) FROM ({patients})")),
        ("request", format!("SELECT count(*) FROM ({requests})")),
        ("result", format!("SELECT count(*) FROM result WHERE request_id IN ({requests})")),
    ] {
        let rows = made.rows(table);
        assert_eq!(rows.in_scope, one(&connection, &in_scope), "{table}");
        assert_eq!(rows.all, one(&connection, &format!("SELECT count(*) FROM {table}")), "{table}");
        assert!(rows.in_scope > rows.all / 2 && rows.in_scope < rows.all, "{table}");
    }
    assert!(one(&connection, "SELECT count(*) FROM patient WHERE last_visit IS NULL") > 0);
}

#[test]
fn every_column_that_stays_has_sentinels_and_the_search_finds_each_in_the_old_system() {
    let (_folder, path, made) = make(4, PATIENTS);
    let connection = Connection::open(&path).unwrap();
    let mut places: BTreeMap<(&str, &str, Place), u32> = BTreeMap::new();
    for sentinel in &made.sentinels {
        *places.entry((&sentinel.table, &sentinel.column, sentinel.place)).or_insert(0) += 1;
    }
    assert!(places.values().all(|count| *count <= PER_PLACE));
    let scope: toml::Table = scope_toml().parse().unwrap();
    for table in scope["table"].as_array().unwrap() {
        let name = table["name"].as_str().unwrap();
        for column in table["leave"].as_array().unwrap() {
            let column = column.as_str().unwrap();
            let filled = one(&connection, &format!("SELECT count(*) FROM {name} WHERE {column} IS NOT NULL"));
            let planted = places.get(&(name, column, Place::LeftColumn)).copied().unwrap_or(0);
            assert!(
                planted > 0 && u64::from(planted) >= filled.min(u64::from(PER_PLACE)) / 2,
                "{name}.{column}: {planted}"
            );
        }
    }
    for column in ["login", "password", "full_name", "email", "role"] {
        assert!(places.contains_key(&("staff_user", column, Place::LeftColumn)), "{column}");
    }
    for (table, column) in
        [("patient", "nir"), ("patient", "family_name"), ("patient", "email"), ("result", "value_text")]
    {
        assert!(
            places.contains_key(&(table, column, Place::Moves))
                && places.contains_key(&(table, column, Place::LeftRow))
        );
    }
    // Each value by a label of its own: the search must meet every single one.
    let values = made.sentinels.iter().enumerate().map(|(number, sentinel)| (format!("{number}"), &sentinel.value));
    let report = search::files(&search::Needles::new(values).unwrap(), &[&path]).unwrap();
    let met: BTreeSet<&str> = report.hits.iter().map(|hit| hit.label.as_str()).collect();
    assert_eq!(met.len(), made.sentinels.len());
    let distinct: BTreeSet<&str> = made.sentinels.iter().map(|sentinel| sentinel.value.as_str()).collect();
    assert_eq!(distinct.len(), made.sentinels.len());
}

#[test]
fn the_scope_and_the_new_system_name_the_same_columns() {
    let (_folder, path, _made) = make(5, 50);
    let old = Connection::open(&path).unwrap();
    let new = Connection::open_in_memory().unwrap();
    new.execute_batch(&target_ddl()).unwrap();
    let names = |connection: &Connection, table: &str| {
        texts(connection, &format!("SELECT name FROM pragma_table_info('{table}')"))
            .into_iter()
            .collect::<BTreeSet<_>>()
    };
    let scope: toml::Table = scope_toml().parse().unwrap();
    for table in scope["table"].as_array().unwrap() {
        let take = table["take"].as_array().unwrap();
        let word = |value: &toml::Value| value.as_str().unwrap().to_owned();
        let mut source: BTreeSet<String> = take.iter().map(|column| word(&column["column"])).collect();
        let target: BTreeSet<String> =
            take.iter().map(|column| word(column.get("as").unwrap_or(&column["column"]))).collect();
        source.extend(table["leave"].as_array().unwrap().iter().map(word));
        assert_eq!(source, names(&old, table["name"].as_str().unwrap()));
        assert_eq!(target, names(&new, table["target"].as_str().unwrap()));
    }
    assert_eq!(names(&new, "lazaret_load").len(), 4);
    let left = scope_toml();
    let taken = left.split("leave = [").next().unwrap();
    assert!(!taken.contains("password") && !taken.contains("spouse") && !taken.contains("comment"));
}

#[test]
fn a_laboratory_is_never_made_over_another_file() {
    let (_folder, path, _made) = make(6, 10);
    let before = digest(&path).unwrap();
    assert_eq!(laboratory(&path, 6, 10, &mut |_| {}).err().unwrap().code().0, 1102);
    assert_eq!(digest(&path).unwrap(), before);
}

#[test]
fn the_new_system_is_made_empty_and_never_over_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    crate::new_system(&path).unwrap();
    assert_eq!(one(&Connection::open(&path).unwrap(), "SELECT count(*) FROM import_patient"), 0);
    assert_eq!(crate::new_system(&path).unwrap_err().code().0, 1110);
}

#[test]
fn progress_is_told_every_thousand_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    laboratory(&folder.path().join("old.db"), 1, 2_500, &mut |done| told.push(done)).unwrap();
    assert_eq!(told, [1_000, 2_000, 2_500]);
}

#[test]
fn only_a_database_without_our_mark_is_foreign_whoever_holds_it() {
    let (folder, made, _) = make(7, 20);
    let holds = Connection::open(&made).unwrap();
    holds.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(!is_foreign(&made));
    drop(holds);
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes))
            .unwrap();
        path
    };
    let mut bytes = std::fs::read(&made).unwrap();
    bytes[71] ^= 1;
    assert!(is_foreign(&written("another", &bytes)));
    assert!(is_foreign(&written("too short", &bytes[..71])), "its rows may stand in its log");
    assert!(!is_foreign(&written("no database", &[b'x'; 8_192])) && !is_foreign(&folder.path().join("not there")));
}
