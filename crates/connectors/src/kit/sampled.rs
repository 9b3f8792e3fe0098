//! A rehearsal's sample, drawn by each system.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use scope::{Sample, Sampling};

use super::lab::{Lab, Words, admitted, scope_of_all, spelled};

/// The sampled rows of three tables, as texts.
async fn drawn(lab: &Lab, scope: &scope::Scope, sample: Sample) -> BTreeMap<&'static str, Vec<Vec<String>>> {
    let snapshot = lab.source().begin(true).await.unwrap();
    let mut rows = BTreeMap::new();
    for table in scope.tables() {
        rows.insert(table.name.clone(), snapshot.count(scope, &table.name).await.unwrap().1);
    }
    let sampling = snapshot.sampling(scope, Sampling::new(scope, sample, rows)).await.unwrap();
    let mut drawn = BTreeMap::new();
    for table in ["patient", "result", "ward"] {
        let rows: Vec<RecordBatch> = admitted(snapshot.sample(scope, table, &sampling)).await.unwrap();
        let rows = spelled(&rows);
        sampling.holds(scope, table, u64::try_from(rows.len()).unwrap()).unwrap();
        drawn.insert(table, rows);
    }
    snapshot.finish().await.unwrap();
    drawn
}

pub(super) async fn a_sample_is_closed_and_the_same_for_the_same_seed(lab: &Lab) {
    let (patient, result) = (
        [("id", "int64"), ("name", "text"), ("town", "text")],
        [("rank", "int64"), ("patient", "int64"), ("state", "text")],
    );
    let texts: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    let town = |at: usize| if at.is_multiple_of(4) { Some("Brest") } else { Some("Rennes") };
    let rows: Vec<_> = texts.iter().enumerate().map(|(at, id)| [Some(id.as_str()), Some("Anne"), town(at)]).collect();
    lab.fill("patient", &patient, &rows.iter().map(<[_; 3]>::as_slice).collect::<Vec<_>>()).await;
    let state = |at: usize| if at.is_multiple_of(5) { Some("void") } else { Some("done") };
    let rows: Vec<_> =
        texts.iter().enumerate().map(|(at, id)| [Some(id.as_str()), Some(id.as_str()), state(at)]).collect();
    lab.fill("result", &result, &rows.iter().map(<[_; 3]>::as_slice).collect::<Vec<_>>()).await;
    lab.fill("ward", &[("code", "text")], &[&[Some("A")], &[Some("B")], &[None]]).await;
    let scope = scope_of_all(&[
        Words {
            name: "patient",
            target: "p",
            key: &["id"],
            take: &patient[..2],
            leave: &["town"],
            filter: "town = 'Rennes'",
        },
        // Which of these rows are in the sample is told by a column that stays.
        Words {
            name: "result",
            target: "r",
            key: &["rank"],
            take: &result[..2],
            leave: &["state"],
            filter: "state = 'done' and exists in patient (patient = id)",
        },
        Words { name: "ward", target: "w", take: &[("code", "text")], ..Words::default() },
    ]);

    let sample = Sample { seed: 7, drawn: lexicon::Digest([1; 32]), basis_points: 3_000 };
    let one = drawn(lab, &scope, sample).await;
    assert_eq!(one, drawn(lab, &scope, sample).await);
    assert_ne!(one, drawn(lab, &scope, Sample { seed: 8, ..sample }).await);
    let patients: BTreeSet<&str> = one["patient"].iter().map(|row| row[0].as_str()).collect();
    let number = |id: &str| id.parse::<usize>().unwrap();
    assert!((60..120).contains(&patients.len()), "{}", patients.len());
    assert!(patients.iter().all(|id| number(id) % 4 != 0));
    let expected: BTreeSet<&str> = patients.iter().copied().filter(|id| number(id) % 5 != 0).collect();
    let results: BTreeSet<&str> = one["result"].iter().map(|row| row[1].as_str()).collect();
    assert_eq!(results, expected, "every row in scope of a sampled patient, and no other");
    assert_eq!(one["ward"].len(), 3, "a short list that others point to is taken whole");
    let all = drawn(lab, &scope, Sample { basis_points: 10_000, ..sample }).await;
    assert_eq!((all["patient"].len(), all["result"].len()), (300, 240));
}
