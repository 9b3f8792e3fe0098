//! What crosses the door as JSON, and the documents of a plan: read, written, and read again as the same.

use std::collections::BTreeMap;

use lexicon::canonical;
use people::Envelope;
use procedure::{
    Act, ActBody, DocumentsOfKind, ExtractMeasure, HalfSealed, LoadMeasure, LoadingMeasure, Manifest,
    ManifestDocuments, ManifestParcel, ManifestTable, Plan, Proof, Reconciliation,
};
use scope::Report;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{Facts, Leaf, MigrationLine, ParcelLine, People, PresentCertificate, ServerCard, SubmitAct, Submitted};

use crate::stories::{STORIES, Story};

pub(crate) fn server(bytes: &[u8]) {
    means_itself::<Facts>(bytes);
    means_itself::<People>(bytes);
    means_itself::<ServerCard>(bytes);
    means_itself::<Leaf>(bytes);
    means_itself::<Submitted>(bytes);
    means_itself::<SubmitAct>(bytes);
    means_itself::<PresentCertificate>(bytes);
    means_itself::<Vec<MigrationLine>>(bytes);
    means_itself::<Vec<ParcelLine>>(bytes);
    means_itself::<lexicon::Trouble>(bytes);
    means_itself::<Envelope>(bytes);
    means_itself::<Plan>(bytes);
    means_itself::<Manifest>(bytes);
    means_itself::<Reconciliation>(bytes);
    means_itself::<Act>(bytes);
    means_itself::<Report>(bytes);
}

/// Whoever reads the one spelling of what was read has read the same.
fn means_itself<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let written = canonical(&value).unwrap();
    let again: T = serde_json::from_slice(&written).unwrap();
    assert_eq!(canonical(&again).unwrap(), written, "an answer means another one");
}

pub(crate) fn server_seeds() -> Vec<Vec<u8>> {
    let pack = STORIES.first().unwrap().tale.pack();
    let mut seeds = vec![canonical(&pack.people).unwrap(), canonical(&pack.card).unwrap()];
    let entries: Vec<_> = pack.entries.iter().take(2).cloned().collect();
    seeds.push(canonical(&entries).unwrap());
    seeds.extend(STORIES.iter().flat_map(Story::steps).map(|(_, entry)| told(&entry.proof)));
    seeds.extend(with_everything());
    let leaf =
        Leaf::Fact { nonce: lexicon::Digest::of(b"n"), entry: Box::new(pack.entries.first().unwrap().entry.clone()) };
    seeds.push(canonical(&leaf).unwrap());
    let refusal = lexicon::Refusal::new(lexicon::Code(140), "no", "Ask.");
    seeds.push(canonical(&lexicon::Trouble::from(refusal)).unwrap());
    seeds
}

/// What an act says, or the document in it that is the most of it.
fn told(proof: &Proof) -> Vec<u8> {
    let act = match proof {
        Proof::Server(act) | Proof::Deadline(act) => return canonical(act).unwrap(),
        Proof::Revocation(envelope) => return canonical(envelope).unwrap(),
        Proof::Signed(envelope) => serde_json::from_slice::<ActBody>(&envelope.bytes().unwrap()).unwrap().body,
    };
    let said = if let Act::Propose { plan } = &act {
        canonical(plan)
    } else if let Act::Close { manifest } = &act {
        canonical(manifest)
    } else if let Act::Done { outcome, .. } = &act {
        canonical(outcome)
    } else {
        canonical(&act)
    };
    said.unwrap()
}

/// A manifest and the report on it with what the stories' have not: documents, sums in two parcels, a rehearsal's measures.
fn with_everything() -> [Vec<u8>; 2] {
    let round = STORIES.first().unwrap().tale.ledger.migration().consignments.first().unwrap();
    let (_, manifest) = round.manifest.as_ref().unwrap();
    let mut manifest = Manifest::clone(manifest);
    let mut report = Reconciliation::clone(&round.outcome.as_ref().unwrap().reconciliation);
    let kinds = || BTreeMap::from([("pdf".to_owned(), DocumentsOfKind { documents: 3, bytes: 1000 })]);
    let parcel = ManifestParcel { table: "reports".to_owned(), rows: 0, ..manifest.sums.clone() };
    let index = ManifestTable { name: "reports".to_owned(), rows: 3, ..manifest.tables.first().unwrap().clone() };
    let documents = ManifestDocuments { index, in_scope: kinds(), kinds: kinds(), stayed: 1, parcels: vec![parcel] };
    manifest.documents = vec![documents];
    manifest.full_sums = vec![manifest.sums.clone()];
    let half = Some(HalfSealed { rows: 7, bytes: 512, sealing_us: 1 });
    manifest.measured = vec![ExtractMeasure {
        name: "patient".to_owned(),
        rows_in_scope: 9,
        reading_us: 4,
        sealing_us: 2,
        storing_us: 3,
        half,
    }];
    report.documents = report.tables.iter().take(1).cloned().collect();
    let (name, target_bytes) = ("patient".to_owned(), Some(8192));
    let loading = Some(LoadingMeasure { wave: 0, at_once: 2, rows_us: 3, aside_us: 1 });
    let comparing_aside_us = Some(1);
    report.measured = vec![LoadMeasure { name, loading, comparing_us: 2, comparing_aside_us, target_bytes }];
    [canonical(&manifest).unwrap(), canonical(&report).unwrap()]
}
