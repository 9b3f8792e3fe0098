//! What a demonstration came to.

use std::path::PathBuf;

use procedure::{ManifestDocuments, ManifestTable, TableOutcome};
use serde::Serialize;
use serde_json::Value;

use super::figures::count;

/// One table, from end to end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) rows_source: u64,
    pub(super) rows_in_scope: u64,
    pub(super) rows_sealed: u64,
    pub(super) rows_target: u64,
    pub(super) columns_taken: u32,
    pub(super) columns_left: u32,
    /// At all three points: as it left the old system, as it was fetched, as the new system gave it back.
    pub(super) fingerprints_equal: bool,
}

/// One folder of documents, from end to end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) documents_in_scope: u64,
    pub(super) documents_sealed: u64,
    pub(super) documents_target: u64,
    pub(super) bytes_sealed: u64,
    pub(super) files_left: u64,
    pub(super) fingerprints_equal: bool,
}

/// Seconds of the long steps.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Seconds {
    pub(super) extract: f64,
    pub(super) load: f64,
    pub(super) reconcile: f64,
}

/// The server's journal at the end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Journal {
    pub(super) size: u64,
    pub(super) root: Value,
}

/// All of it; for programs, this is the last line.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a claim of its own, and programs read it by its name")]
pub(super) struct Report {
    pub(super) migration: String,
    pub(super) stage: String,
    pub(super) tables: Vec<Table>,
    pub(super) documents: Vec<Folder>,
    pub(super) sentinel_hits: u64,
    pub(super) sentinel_control_hits: u64,
    pub(super) parcel_readable_before_destruction: bool,
    pub(super) parcel_readable_after_destruction: bool,
    /// The control: the copied data gave the strongroom share with the ring copied beside it, and that opened a parcel.
    pub(super) copy_opened_with_ring_of_that_moment: bool,
    /// The same copied data, with the ring as it was after the destruction.
    pub(super) copy_opened_with_todays_ring: bool,
    pub(super) certificate: PathBuf,
    pub(super) evidence: PathBuf,
    pub(super) journal: Journal,
    pub(super) seconds: Seconds,
    /// What did not hold, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) failed: Vec<String>,
}

impl Report {
    /// What the figures themselves say did not hold.
    pub(super) fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        must(self.stage == "destroyed", format!("the migration stands at '{}' and not at 'destroyed'", self.stage));
        must(!self.tables.is_empty(), "no table was moved".to_owned());
        for table in &self.tables {
            must(table.fingerprints_equal, format!("the fingerprints of table {} differ", table.name));
            let rows = [table.rows_sealed, table.rows_target];
            must(
                rows == [table.rows_in_scope; 2],
                format!("table {}: the rows in scope, sealed and in the target are not as many", table.name),
            );
        }
        must(!self.documents.is_empty(), "no documents were moved".to_owned());
        for part in &self.documents {
            let documents = [part.documents_sealed, part.documents_target];
            must(
                part.fingerprints_equal && documents == [part.documents_in_scope; 2] && part.documents_in_scope > 0,
                format!("documents {}: those in scope, sealed and in the new system are not the same", part.name),
            );
        }
        must(self.sentinel_hits == 0, format!("{} values that must not be found were found", self.sentinel_hits));
        must(self.sentinel_control_hits > 0, "the search found nothing where there is something to find".to_owned());
        must(self.parcel_readable_before_destruction, "no parcel was opened before destruction".to_owned());
        must(!self.parcel_readable_after_destruction, "A PARCEL WAS OPENED AFTER DESTRUCTION".to_owned());
        must(
            self.copy_opened_with_ring_of_that_moment,
            "the copy of the server opened nothing with its own ring: its trial shows nothing".to_owned(),
        );
        must(
            !self.copy_opened_with_todays_ring,
            "THE COPY OF THE SERVER OPENED AFTER DESTRUCTION, or today's ring gave its share".to_owned(),
        );
        must(self.journal.size > 0, "the journal is empty".to_owned());
        broken
    }
}

/// Brings together what the scope check counted, what was sealed, and what was found in the target.
pub(super) fn tables(counted: &[scope::ReportTable], sealed: &[ManifestTable], found: &[TableOutcome]) -> Vec<Table> {
    let line = |counted: &scope::ReportTable| {
        let sealed = sealed.iter().find(|table| table.name == counted.name);
        let found = found.iter().find(|table| table.name == counted.name);
        Table {
            name: counted.name.clone(),
            rows_source: counted.rows_source,
            rows_in_scope: counted.rows_in_scope,
            rows_sealed: sealed.map_or(0, |table| table.rows),
            rows_target: found.map_or(0, |table| table.rows_target),
            columns_taken: sealed.map_or(0, |table| table.columns_taken),
            columns_left: sealed.map_or(0, |table| table.columns_left),
            fingerprints_equal: sealed.zip(found).is_some_and(|(sealed, found)| {
                sealed.root == found.sealed && found.sealed == found.fetched && found.fetched == found.target_root
            }),
        }
    };
    counted.iter().map(line).collect()
}

/// As [`tables`], of folders of documents.
pub(super) fn folders(
    counted: &[scope::ReportDocuments],
    (sealed, found): &(Vec<ManifestDocuments>, Vec<TableOutcome>),
) -> Vec<Folder> {
    let line = |counted: &scope::ReportDocuments| {
        let sealed = sealed.iter().find(|part| part.index.name == counted.name);
        let found = found.iter().find(|part| part.name == counted.name);
        Folder {
            name: counted.name.clone(),
            documents_in_scope: counted.kinds.values().map(|kind| kind.documents).fold(0, u64::saturating_add),
            documents_sealed: sealed.map_or(0, |part| part.total().documents),
            documents_target: found.map_or(0, |part| part.rows_target),
            bytes_sealed: sealed.map_or(0, |part| part.total().bytes),
            files_left: sealed.map_or(0, |part| part.stayed),
            fingerprints_equal: sealed
                .zip(found)
                .is_some_and(|(sealed, found)| sealed.index.root == found.sealed && found.broken().is_none()),
        }
    };
    counted.iter().map(line).collect()
}

const COLUMNS: [&str; 8] =
    ["table", "in the old system", "in scope", "sealed", "in the new", "taken", "left", "S = F = T"];

/// The table of tables.
pub(super) fn page(tables: &[Table]) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(tables.iter().map(|table| {
        [
            table.name.clone(),
            count(table.rows_source),
            count(table.rows_in_scope),
            count(table.rows_sealed),
            count(table.rows_target),
            count(table.columns_taken.into()),
            count(table.columns_left.into()),
            if table.fingerprints_equal { "equal" } else { "DIFFERENT" }.to_owned(),
        ]
    }));
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let table = Table {
            name: "patient".to_owned(),
            rows_source: 2_000,
            rows_in_scope: 1_500,
            rows_sealed: 1_500,
            rows_target: 1_500,
            columns_taken: 26,
            columns_left: 34,
            fingerprints_equal: true,
        };
        let folder = Folder {
            name: "reports".to_owned(),
            documents_in_scope: 300,
            documents_sealed: 300,
            documents_target: 300,
            bytes_sealed: 2_000_000,
            files_left: 4,
            fingerprints_equal: true,
        };
        Report {
            migration: "ab".to_owned(),
            stage: "destroyed".to_owned(),
            tables: vec![table],
            documents: vec![folder],
            sentinel_hits: 0,
            sentinel_control_hits: 9,
            parcel_readable_before_destruction: true,
            parcel_readable_after_destruction: false,
            copy_opened_with_ring_of_that_moment: true,
            copy_opened_with_todays_ring: false,
            certificate: "certificate.json".into(),
            evidence: "evidence.zip".into(),
            journal: Journal { size: 40, root: Value::Null },
            seconds: Seconds { extract: 0.1, load: 0.1, reconcile: 0.1 },
            failed: Vec::new(),
        }
    }

    #[test]
    fn a_report_holds_only_if_every_part_of_it_does() {
        assert_eq!(good().broken(), Vec::<String>::new());
        let breaks: [fn(&mut Report); 14] = [
            |report| report.stage = "signed_off".to_owned(),
            |report| report.tables.clear(),
            |report| report.tables[0].fingerprints_equal = false,
            |report| report.tables[0].rows_target = 1_499,
            |report| report.tables[0].rows_sealed = 1_501,
            |report| report.documents.clear(),
            |report| report.documents[0].fingerprints_equal = false,
            |report| report.documents[0].documents_target = 299,
            |report| report.sentinel_hits = 1,
            |report| report.sentinel_control_hits = 0,
            |report| report.parcel_readable_before_destruction = false,
            |report| report.parcel_readable_after_destruction = true,
            |report| report.copy_opened_with_ring_of_that_moment = false,
            |report| report.copy_opened_with_todays_ring = true,
        ];
        for break_it in breaks {
            let mut report = good();
            break_it(&mut report);
            assert_eq!(report.broken().len(), 1, "{report:?}");
        }
    }

    #[test]
    fn the_table_of_tables_stands_in_columns() {
        let page = page(&good().tables);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), lines[1].len());
        assert!(lines[1].starts_with("patient  ") && lines[1].ends_with("equal"));
    }
}
