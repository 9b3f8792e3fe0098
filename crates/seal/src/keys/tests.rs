use std::collections::BTreeMap;

use lexicon::{MigrationId, ParcelId};

use super::*;
use crate::tests::{hex, unhex};

const VECTOR: &str = include_str!("../../vectors/derivation.txt");

fn vector() -> BTreeMap<&'static str, &'static str> {
    VECTOR.lines().filter_map(|line| line.split_once(": ")).collect()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

fn shares() -> (Share, Share) {
    let vector = vector();
    let share = |name| Share::take(&bytes::<32>(vector[name])).unwrap();
    (share("laboratory_share"), share("strongroom_share"))
}

fn key() -> ConsignmentKey {
    let (laboratory, strongroom) = shares();
    ConsignmentKey::derive(&laboratory, &strongroom, Digest::of(vector()["open_act_text"].as_bytes())).unwrap()
}

fn name() -> ParcelName {
    let vector = vector();
    ParcelName {
        migration: MigrationId(bytes(vector["migration"])),
        consignment: ConsignmentId(bytes(vector["consignment"])),
        attempt: 3,
        parcel: ParcelId(bytes(vector["parcel"])),
        table: "patient".to_owned(),
        sequence: 5,
    }
}

#[test]
fn the_derivation_gives_the_known_answers() {
    let vector = vector();
    assert!(vector.contains_key("expect"));
    assert_eq!(Digest::of(vector["open_act_text"].as_bytes()).to_string(), vector["open_act_digest"]);
    assert_eq!(shares().0.digest().to_string(), vector["laboratory_share_digest"]);
    assert_eq!(hex(key().key.expose()), vector["consignment_key"]);

    let salt = bytes(vector["parcel_salt"]);
    assert_eq!(hex(key().parcel_key(&salt, &name()).unwrap().as_ref()), vector["parcel_table_key"]);
    let (row, bucket) = key().fingerprint_pair(name().consignment).unwrap();
    assert_eq!(hex(row.as_ref()), vector["fingerprint_row_key"]);
    assert_eq!(hex(bucket.as_ref()), vector["fingerprint_bucket_key"]);
    assert_eq!(hex(&name().aad()), vector["parcel_aad"]);
    assert_eq!(hex(&name().key_metadata(&salt)), vector["parcel_key_metadata"]);

    assert_eq!(hex(key().file_material(&name()).unwrap().as_ref()), vector["parcel_file_material"]);
    assert_eq!(hex(&name().associated()), vector["parcel_file_associated"]);
}

#[test]
fn every_input_of_the_derivation_counts() {
    let (laboratory, strongroom) = shares();
    let act = Digest([9; 32]);
    let other = Share::take(&[1; 32]).unwrap();
    let derive = |l: &Share, w: &Share, act| ConsignmentKey::derive(l, w, act).unwrap().key.expose().to_vec();
    let keys = [
        derive(&laboratory, &strongroom, act),
        derive(&other, &strongroom, act),
        derive(&laboratory, &other, act),
        derive(&strongroom, &laboratory, act),
        derive(&laboratory, &strongroom, Digest([8; 32])),
    ];
    for (at, one) in keys.iter().enumerate() {
        assert!(keys.iter().take(at).all(|two| one != two), "{at}");
    }
}

#[test]
fn parts_that_run_into_each_other_are_told_apart() {
    assert_ne!(info(b"p", &[b"ab", b"c"]), info(b"p", &[b"a", b"bc"]));
    assert_ne!(info(b"p", &[b"ab"]), info(b"p", &[b"ab", b""]));
}

#[test]
fn a_share_has_32_bytes_and_neither_it_nor_a_key_is_printed() {
    assert_eq!(Share::take(&[0; 31]).unwrap_err().code(), Code(507));
    assert_eq!(Share::take(&[0; 33]).unwrap_err().code(), Code(507));
    assert_eq!(
        format!("{:?} {:?}", shares().0, key()),
        "Share(Guarded(..)) ConsignmentKey { key: Guarded(..), form: Sealed }"
    );
}
