use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::{DocumentSource, Snapshot, Source};
use futures::TryStreamExt;
use lexicon::{Digest, Timestamp, hours_after};
use procedure::{Clause, Clauses, Contract, Dpia, Instruction, InstructionEnding, Party};
use scope::{Inspector, Report, ReportTable, Scope};

/// An instruction with every item.
pub fn instruction(now: Timestamp) -> Instruction {
    let clause = |place: &str| Clause { place: place.to_owned() };
    let party = |name: &str| Party { name: name.to_owned(), contact: "dpo@example.org".to_owned() };
    Instruction {
        controller: party("Laboratoire des Halles"),
        processor: party("Editeur Biolog"),
        purpose: "Move the laboratory's records to its new system".to_owned(),
        nature: "Extraction, sealed carriage, loading, comparison, destruction".to_owned(),
        duration: "Until sign-off, 30 days at most".to_owned(),
        data: vec!["identity of patients".to_owned(), "results".to_owned()],
        persons: vec!["patients".to_owned()],
        clauses: Clauses {
            a: clause("4.1"),
            b: clause("4.2"),
            c: clause("4.3"),
            d: clause("4.4"),
            e: clause("4.5"),
            f: clause("4.6"),
            g: clause("4.7"),
            h: clause("4.8"),
        },
        contract: Contract { digest: Some(Digest::of(b"contract")), signatory: "Claire Le Goff".to_owned() },
        dpia: Some(Dpia::Reference("DPIA-2026-014".to_owned())),
        sub_processors: vec!["none".to_owned()],
        recipients: vec!["Editeur Biolog, migration team".to_owned()],
        deadline: Some(hours_after(now, 30 * 24)),
        ending: Some(InstructionEnding::Delete),
        no_other_channel: true,
    }
}

/// The scope report that `lazaret scope check` would make.
pub async fn scope_report(source: &dyn Source, scope: &Scope, at: Timestamp) -> Report {
    let snapshot: Box<dyn Snapshot> = source.begin(false).await.unwrap();
    let mut tables = BTreeMap::new();
    for table in scope.tables() {
        let (all, taken) = snapshot.count(scope, &table.name).await.unwrap();
        let mut inspector = Inspector::new(table);
        let mut rows = snapshot.read(scope, &table.name);
        while let Some(batch) = rows.try_next().await.unwrap() {
            inspector.look(batch.batch()).unwrap();
        }
        drop(rows);
        tables.insert(table.name.clone(), ReportTable::new(table, all, taken, inspector.finish()));
    }
    let (whole, mut documents) = (Arc::new(scope.clone()), Vec::new());
    for part in scope.documents() {
        let listed = connectors::listed(snapshot.as_ref(), scope, part).await.unwrap();
        documents.push(DocumentSource::open(&whole, &part.name, listed).unwrap().count().unwrap());
    }
    snapshot.finish().await.unwrap();
    let tables = scope.tables().iter().map(|table| tables.remove(&table.name).unwrap()).collect();
    let found = source.describe().await.unwrap();
    let (schema, declared) = (connectors::schema_digest(&found).unwrap(), scope::declared(scope, &found).unwrap());
    Report { scope: scope.digest().unwrap(), source: source.identity(), schema, declared, at, tables, documents }
}
