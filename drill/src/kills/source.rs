//! The old system, the new one and the scope between them: six tables, one of them without a key and with rows that
//! stand in it twice, and one whose content nothing compresses, so that it fills several parcels.

use std::ops::RangeInclusive;

use lexicon::Digest;
use synth::{Place, Sentinel};

/// Whose names, numbers and passwords are looked for at the end. From the thousandth patient on no name is the
/// beginning of another, so that each is met once.
const LOOKED_FOR: RangeInclusive<u64> = 1_000..=6_000;
/// Of so many passwords one is: they have no beginning in common, so that each costs the search more than many names.
const PASSWORDS_STEP: usize = 10;

/// What stands in the old system's `patient`, as [`SOURCE`] puts it there.
pub(super) fn planted() -> Vec<Sentinel> {
    let of =
        |column: &str, place, value| Sentinel { table: "patient".to_owned(), column: column.to_owned(), place, value };
    let name = |patient: u64| of("full_name", Place::Moves, format!("Élise Noël {patient}"));
    let number = |patient: u64| of("nir", Place::Moves, format!("{:1>15}", patient.saturating_mul(7_919)));
    let password = |patient: u64| {
        let digest = Digest::of(patient.to_string().as_bytes());
        of("portal_password", Place::LeftColumn, digest.to_string())
    };
    let passwords = LOOKED_FOR.step_by(PASSWORDS_STEP).map(password);
    LOOKED_FOR.map(name).chain(LOOKED_FOR.map(number)).chain(passwords).collect()
}

/// A table of the new system as it is looked at.
pub(super) struct Seen {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
    pub(super) order: &'static str,
}

const fn seen(table: &'static str, columns: &'static str, order: &'static str) -> Seen {
    Seen { table, columns, order }
}

/// Tables of the new system.
pub(super) const TARGETS: [Seen; 6] = [
    seen("import_prescriber", "*", "prescriber_id"),
    seen("import_patient", "*", "patient_id"),
    seen("import_request", "*", "request_id"),
    seen("import_result", "*", "result_id"),
    seen("import_worklist", "*", "bench COLLATE \"C\", day, place"),
    seen("import_scan", "scan_id, encode(sha256(content), 'hex')", "scan_id"),
];

/// Of so many the largest table's rows are: two of 16 MiB and a rest, of 40 rows of 1 MiB.
pub(super) const PARCELS: usize = 3;
/// What no parcel of another table or of sums has.
pub(super) const PARCEL_BYTES_LEAST: u64 = 4 * 1024 * 1024;

/// The same rows out of the old system, spelled as `COPY` spells them; of large contents their digest.
pub(super) const SPELLED: [&str; 6] = [
    "SELECT CONCAT_WS('\t', prescriber_id, full_name, IFNULL(city, '\\\\N')) FROM prescriber ORDER BY prescriber_id",
    "SELECT CONCAT_WS('\t', patient_id, full_name, IFNULL(born, '\\\\N'), nir) FROM patient ORDER BY patient_id",
    "SELECT CONCAT_WS('\t', request_id, patient_id, prescriber_id, asked, urgent) FROM request ORDER BY request_id",
    "SELECT CONCAT_WS('\t', result_id, request_id, code, IFNULL(value, '\\\\N'), unit) FROM result ORDER BY result_id",
    "SELECT CONCAT_WS('\t', bench, day, place) FROM worklist ORDER BY BINARY bench, day, place",
    "SELECT CONCAT_WS('\t', scan_id, SHA2(content, 256)) FROM scan ORDER BY scan_id",
];

/// The old system.
pub(super) const SOURCE: &str = "
CREATE TABLE prescriber (prescriber_id INT PRIMARY KEY, full_name VARCHAR(80) NOT NULL, city VARCHAR(60));
CREATE TABLE patient (patient_id BIGINT PRIMARY KEY, full_name VARCHAR(80) NOT NULL, born DATE, nir CHAR(15) NOT NULL,
  portal_password VARCHAR(64));
CREATE TABLE request (request_id BIGINT PRIMARY KEY, patient_id BIGINT NOT NULL REFERENCES patient (patient_id),
  prescriber_id INT NOT NULL REFERENCES prescriber (prescriber_id), asked DATETIME NOT NULL, urgent TINYINT NOT NULL);
CREATE TABLE result (result_id BIGINT PRIMARY KEY, request_id BIGINT NOT NULL REFERENCES request (request_id),
  code VARCHAR(12) NOT NULL, value DECIMAL(12,4), unit VARCHAR(16) NOT NULL);
CREATE TABLE worklist (bench VARCHAR(20) NOT NULL, day DATE NOT NULL, place INT NOT NULL);
CREATE TABLE scan (scan_id INT PRIMARY KEY, content LONGBLOB NOT NULL);
INSERT INTO prescriber SELECT seq, CONCAT('Dr Prévost ', seq), IF(seq % 7 = 0, NULL, CONCAT('Ville ', seq % 40))
  FROM seq_1_to_200;
INSERT INTO patient SELECT seq, CONCAT('Élise Noël ', seq), IF(seq % 11 = 0, NULL, DATE('1930-01-01') + INTERVAL seq DAY),
  LPAD(seq * 7919, 15, '1'), SHA2(seq, 256) FROM seq_1_to_6000;
INSERT INTO request SELECT seq, 1 + seq * 31 % 6000, 1 + seq % 200, TIMESTAMP('2020-01-01 07:00:00') + INTERVAL seq * 97 SECOND,
  seq % 9 = 0 FROM seq_1_to_12000;
INSERT INTO result SELECT seq, 1 + seq * 17 % 12000, CONCAT(1000 + seq % 900, '-', seq % 10),
  IF(seq % 13 = 0, NULL, seq * 1.0007 - 9000), IF(seq % 3 = 0, 'µmol/L', 'g/L') FROM seq_1_to_30000;
INSERT INTO worklist SELECT CONCAT('Paillasse ', seq % 5), DATE('2021-01-01') + INTERVAL seq % 300 DAY, seq % 40
  FROM seq_1_to_9000;
SET SESSION group_concat_max_len = 2097152;
INSERT INTO scan SELECT scan.seq, (SELECT GROUP_CONCAT(UNHEX(SHA2(CONCAT(scan.seq, '-', piece.seq), 512)) SEPARATOR '')
  FROM seq_1_to_16384 piece) FROM seq_1_to_40 scan;
";

/// The new system.
pub(super) const TARGET: &str = "
CREATE TABLE import_prescriber (prescriber_id integer PRIMARY KEY, full_name varchar(80) NOT NULL, city varchar(60));
CREATE TABLE import_patient (patient_id bigint PRIMARY KEY, full_name varchar(80) NOT NULL, born date, nir varchar(15) NOT NULL);
CREATE TABLE import_request (request_id bigint PRIMARY KEY, patient_id bigint NOT NULL REFERENCES import_patient,
  prescriber_id integer NOT NULL REFERENCES import_prescriber, asked timestamp NOT NULL, urgent smallint NOT NULL);
CREATE TABLE import_result (result_id bigint PRIMARY KEY, request_id bigint NOT NULL REFERENCES import_request,
  code varchar(12) NOT NULL, value numeric(12,4), unit varchar(16) NOT NULL);
CREATE TABLE import_worklist (bench varchar(20) NOT NULL, day date NOT NULL, place integer NOT NULL);
CREATE TABLE import_scan (scan_id integer PRIMARY KEY, content bytea NOT NULL);
CREATE TABLE lazaret_load (consignment varchar(32) NOT NULL, target_table varchar(128) NOT NULL, attempt bigint NOT NULL,
  row_count bigint NOT NULL, PRIMARY KEY (consignment, target_table));
";

/// What crosses: all of it but a password.
pub(super) const SCOPE: &str = r#"
[[table]]
name = "prescriber"
target = "import_prescriber"
key = ["prescriber_id"]
take = [ { column = "prescriber_id", type = "int64" }, { column = "full_name", type = "text" }, { column = "city", type = "text" } ]
[[table]]
name = "patient"
target = "import_patient"
key = ["patient_id"]
take = [ { column = "patient_id", type = "int64" }, { column = "full_name", type = "text" }, { column = "born", type = "date" },
  { column = "nir", type = "text" } ]
leave = ["portal_password"]
[[table]]
name = "request"
target = "import_request"
key = ["request_id"]
take = [ { column = "request_id", type = "int64" }, { column = "patient_id", type = "int64" },
  { column = "prescriber_id", type = "int64" }, { column = "asked", type = "timestamp" }, { column = "urgent", type = "int64" } ]
[[table]]
name = "result"
target = "import_result"
key = ["result_id"]
take = [ { column = "result_id", type = "int64" }, { column = "request_id", type = "int64" }, { column = "code", type = "text" },
  { column = "value", type = "decimal(12,4)" }, { column = "unit", type = "text" } ]
[[table]]
name = "worklist"
target = "import_worklist"
key = []
take = [ { column = "bench", type = "text" }, { column = "day", type = "date" }, { column = "place", type = "int64" } ]
[[table]]
name = "scan"
target = "import_scan"
key = ["scan_id"]
take = [ { column = "scan_id", type = "int64" }, { column = "content", type = "bytes" } ]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_spelled_as_a_server_spells_it() {
        let planted = planted();
        let has = |column: &str, value: &str| {
            planted.iter().any(|sentinel| sentinel.column == column && sentinel.value == value)
        };
        assert!(has("full_name", "Élise Noël 1000") && has("full_name", "Élise Noël 6000"));
        // LPAD(1000 * 7919, 15, '1') and SHA2(1000, 256).
        assert!(has("nir", "111111117919000"));
        assert!(has("portal_password", "40510175845988f13f6162ed8526f0b09f73384467fa855e1e79b44a56562a58"));
        assert!(!has("nir", "111111117919001"), "the control");
    }
}
