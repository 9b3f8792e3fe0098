//! What moves: one consignment, from the old system into the new one.

use lexicon::{ConsignmentId, Result};
use procedure::{ManifestDocuments, ManifestTable, TableOutcome};
use serde_json::Value;

use super::cast::{CONTROLLER, OPERATOR, RECIPIENT};
use super::child::{Commands, field};
use super::figures::{bytes, count, of, rate};
use super::ground::{DOCUMENTS, NEW, OLD};
use super::opening::Approved;
use super::report::Seconds;

/// What passed.
pub(super) struct Passed {
    pub(super) consignment: ConsignmentId,
    pub(super) sealed: Vec<ManifestTable>,
    pub(super) found: Vec<TableOutcome>,
    /// Folders of documents: as sealed, and as the new system holds them.
    pub(super) documents: (Vec<ManifestDocuments>, Vec<TableOutcome>),
    /// Whether the recipient's keys and the strongroom share opened a parcel, while both existed.
    pub(super) opened: bool,
    pub(super) seconds: Seconds,
}

/// Opens a consignment, extracts, releases, hands over, loads, and reads the new system again.
pub(super) async fn consignment(commands: &Commands, approved: &Approved) -> Result<Passed> {
    let (old, new) = (commands.ground.database(OLD), commands.ground.database(NEW));
    commands.tell.stage("Extraction");
    let consignment = commands.person(&OPERATOR, &["consignment", "open", "--kind", "full"]).await?;
    let consignment = field(&consignment, "consignment")?;
    commands.person(&RECIPIENT, &["consignment", "offer"]).await?;
    let extracted = commands.person(&OPERATOR, &["extract", "--source", &old, "--yes", &approved.plan]).await?;
    let sealed: Vec<ManifestTable> = field(&extracted, "tables")?;
    let (size, extract) = (field(&extracted, "bytes")?, field(&extracted, "seconds")?);
    let sealed_documents: Vec<ManifestDocuments> = field(&extracted, "documents")?;
    for part in &sealed_documents {
        let total = part.total();
        commands.tell.happened(&format!(
            "{:12} {} sealed whole, {}; their names too",
            part.index.name,
            of(total.documents, "document"),
            bytes(total.bytes)
        ));
    }
    extraction_told(commands, &sealed, (field(&extracted, "parcels")?, size, extract));

    commands.tell.stage("Release and hand-over");
    let yes = commands.to_confirm("release").await?;
    commands.person(&CONTROLLER, &["consignment", "release", "--yes", &yes]).await?;
    commands.person(&OPERATOR, &["consignment", "hand-over"]).await?;
    commands.tell.acted(&format!("{} releases to the key that the recipient offered", CONTROLLER.introduced()));
    commands.tell.acted(&format!("{} hands over the laboratory share, sealed to that key", OPERATOR.introduced()));
    commands.tell.proved("their signatures; until now the recipient could open nothing, and the server never can");

    commands.tell.stage("Loading and reconciliation");
    let loaded = commands.person(&RECIPIENT, &["load", "--target", &new, "--documents", DOCUMENTS]).await?;
    let again = commands.person(&RECIPIENT, &["reconcile", "--target", &new, "--documents", DOCUMENTS]).await?;
    let found: Vec<TableOutcome> = field(&again, "tables")?;
    let found_documents: Vec<TableOutcome> = field(&again, "documents")?;
    for part in &found_documents {
        commands.tell.happened(&format!(
            "{:12} {}, {}, by SHA-256 of each",
            part.name,
            of(part.rows_target, "document"),
            verdict(part)
        ));
    }
    let (load, reconcile) = (seconds(&loaded, "load")?, seconds(&again, "reconcile")?);
    loading_told(commands, &found, (size, load, reconcile));
    let opened = field::<bool>(&loaded, "opened")?;
    let documents = (sealed_documents, found_documents);
    Ok(Passed { consignment, sealed, found, documents, opened, seconds: Seconds { extract, load, reconcile } })
}

fn extraction_told(commands: &Commands, sealed: &[ManifestTable], (parcels, size, seconds): (u64, u64, f64)) {
    for table in sealed {
        commands.tell.happened(&format!("{:12} {} sealed", table.name, of(table.rows, "row")));
    }
    let rows = sealed.iter().fold(0_u64, |sum, table| sum.saturating_add(table.rows));
    commands.tell.happened(&format!(
        "{} in {}, {} sealed, {seconds:.2} s: {} rows/s",
        of(rows, "row"),
        of(parcels, "parcel"),
        bytes(size),
        count(rate(rows, seconds)),
    ));
    commands.tell.acted(&OPERATOR.introduced());
    commands
        .tell
        .proved("a manifest signed by the operator's device: rows, parcels, and the fingerprint S of each table");
}

fn loading_told(commands: &Commands, found: &[TableOutcome], (size, load, reconcile): (u64, f64, f64)) {
    for table in found {
        commands.tell.happened(&format!("{:12} {}, {}", table.name, of(table.rows_target, "row"), verdict(table)));
    }
    let rows = found.iter().fold(0_u64, |sum, table| sum.saturating_add(table.rows_target));
    commands.tell.happened(&format!(
        "{}, {} fetched, opened and loaded in {load:.2} s: {} rows/s; read again and compared in {reconcile:.2} s",
        of(rows, "row"),
        bytes(size),
        count(rate(rows, load)),
    ));
    commands.tell.acted(&RECIPIENT.introduced());
    commands.tell.proved("S is the laboratory's word; F and T are the recipient's, over the same keyed fingerprints");
}

fn verdict(table: &TableOutcome) -> String {
    table.broken().map_or_else(|| "equal at S, F and T".to_owned(), |link| format!("DIFFERENT {link}"))
}

fn seconds(said: &Value, step: &str) -> Result<f64> {
    field(&field::<Value>(said, "seconds")?, step)
}
