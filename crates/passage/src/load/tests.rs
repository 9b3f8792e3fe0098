use lexicon::{ConsignmentId, Digest, ParcelId};
use procedure::ManifestDocuments;

use super::*;

/// A parcel whose digest begins with this byte.
fn parcel(digest: u8, table: &str) -> ManifestParcel {
    let (parcel, digest) = (ParcelId([digest; 16]), Digest([digest; 32]));
    ManifestParcel { parcel, attempt: 1, table: table.to_owned(), sequence: 0, bytes: 100, rows: 10, digest }
}

fn table(name: &str) -> ManifestTable {
    ManifestTable {
        name: name.to_owned(),
        target: name.to_owned(),
        rows_source: 10,
        rows: 10,
        root: Digest([0; 32]),
        columns_taken: 1,
        columns_left: 0,
        transforms: BTreeMap::new(),
        nulls: None,
    }
}

/// A manifest with parcels of rows and of documents under these digests.
fn manifest(rows: &[u8], documents: &[u8]) -> Manifest {
    let parcels = |digests: &[u8], name| digests.iter().map(|digest| parcel(*digest, name)).collect::<Vec<_>>();
    let (in_scope, kinds) = (BTreeMap::new(), BTreeMap::new());
    let reports = ManifestDocuments {
        index: table("reports"),
        in_scope,
        kinds,
        stayed: 0,
        parcels: parcels(documents, "reports"),
    };
    Manifest {
        consignment: ConsignmentId([3; 16]),
        attempt: 1,
        source: "sqlite:old.db".to_owned(),
        schema: Digest([0; 32]),
        snapshot: String::new(),
        scope: Digest([0; 32]),
        laboratory_share: Digest([0; 32]),
        strongroom_share: Digest([0; 32]),
        tables: vec![table("patient")],
        orphans: Vec::new(),
        documents: if documents.is_empty() { Vec::new() } else { vec![reports] },
        parcels: parcels(rows, "patient"),
        sums: parcel(255, ""),
        full_sums: Vec::new(),
        forgotten: true,
        measured: Vec::new(),
    }
}

/// The first byte of the digest of each parcel that is probed.
fn probed(rows: &[u8], documents: &[u8]) -> Vec<u8> {
    let manifest = manifest(rows, documents);
    let mut probed: Vec<u8> = probes(&manifest).iter().map(|line| line.digest.0[0]).collect();
    probed.sort_unstable();
    probed
}

#[test]
fn three_parcels_are_probed_wherever_their_digests_put_them_in_the_manifest() {
    for (rows, drawn) in [
        (&[90, 80, 70, 60, 50, 40][..], [40, 50, 60]),
        (&[40, 50, 60, 70, 80, 90], [40, 50, 60]),
        (&[90, 40, 80, 50, 70, 60], [40, 50, 60]),
    ] {
        assert_eq!(probed(rows, &[]), drawn, "{rows:?}");
    }
}

#[test]
fn rows_and_documents_are_among_the_three_where_there_are_any() {
    assert_eq!(probed(&[40, 50, 60, 70], &[99, 98]), [40, 50, 98]);
    assert_eq!(probed(&[99, 98], &[40, 50, 60, 70]), [40, 50, 98]);
    assert_eq!(probed(&[7], &[]), [7, 255], "there are no more: these rows, and the sums");
}
