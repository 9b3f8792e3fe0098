//! What the server says it destroyed, by what a story is about.

use lexicon::{Digest, ParcelId};
use procedure::{Absent, Act, Destroyed, KeyAct, KeyLevel, Left, Lingering, Proof, Said, Stored};

use crate::tale::{ROUND, Tale};

const WRITTEN_OVER: &str = "8192 bytes written over, then unlinked";

/// What the server had stored, beside what the manifest signs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Shelved {
    #[default]
    AsSigned,
    MoreBesides,
    OneLess,
    OneChanged,
    /// The last one was not on the shelf any more when it was emptied.
    OneAbsent,
    /// One byte is neither among what was deleted nor among what the store keeps.
    NotAllDeleted,
}

impl Tale {
    pub(crate) fn destroys(mut self) -> Self {
        let inventory = self.inventory();
        let less = u64::from(matches!(self.setting.inventory, Shelved::NotAllDeleted));
        let is_absent = matches!(self.setting.inventory, Shelved::OneAbsent);
        let absent = inventory.last().filter(|_| is_absent).map(|line| Absent { parcels: 1, bytes: line.bytes });
        let gone = inventory.get(..inventory.len().saturating_sub(usize::from(is_absent))).unwrap();
        let (parcels, bytes) = (u64::try_from(gone.len()).unwrap(), gone.iter().map(|line| line.bytes).sum::<u64>());
        let evidence = Destroyed {
            key: self.key_act(),
            ring_refuses: true,
            share_shown: (!self.setting.share_lost).then(|| Digest::of(b"wrapped share")),
            parcels: if is_absent { parcels } else { parcels.max(3) },
            bytes: if is_absent { bytes } else { bytes.max(81_000_000).saturating_sub(less.saturating_mul(2_000_001)) },
            inventory,
            left: Left::default(),
            lingering: if self.setting.lingering { lingering() } else { Vec::new() },
            absent,
            snapshot_days: self.setting.snapshot_days,
        };
        self.records(Proof::Server(Act::Destroyed { consignment: ROUND, evidence }));
        self
    }

    fn key_act(&self) -> KeyAct {
        let level = match self.setting.key_ring {
            "pkcs11" => KeyLevel::K1,
            "openbao" => KeyLevel::K2,
            _ => KeyLevel::K0,
        };
        let said = |asked: &str, answered: &str| Said { asked: asked.into(), answered: answered.into(), request: None };
        KeyAct {
            id: format!("keys/{ROUND}.key"),
            level,
            achieves: "local file, overwritten and removed".to_owned(),
            found: !self.setting.key_missing,
            begun_at: self.at,
            at: self.at,
            unlinked: self.setting.unlinked,
            could_leave: self.setting.could_leave,
            said: vec![
                said("write over the key's file", if self.setting.key_missing { "no such file" } else { WRITTEN_OVER }),
                said("begin a new epoch", "epoch 4; living keys carried over: 2, not readable: 0"),
            ],
        }
    }

    /// What was stored: what the manifest signs, if there is one, and a parcel of an attempt that came to nothing.
    fn inventory(&self) -> Vec<Stored> {
        let manifest = self.ledger.migration().consignment(ROUND).unwrap().manifest.as_ref();
        let signed = manifest.into_iter().flat_map(|(_, manifest)| manifest.sealed().chain(manifest.all_sums()));
        let mut stored: Vec<Stored> = signed.map(Stored::from).collect();
        match self.setting.inventory {
            Shelved::AsSigned | Shelved::OneAbsent | Shelved::NotAllDeleted => {}
            Shelved::MoreBesides => {
                stored.push(Stored { attempt: 2, parcel: ParcelId([9; 16]), bytes: 7, digest: Digest::of(b"cut") });
            }
            Shelved::OneLess => drop(stored.pop()),
            Shelved::OneChanged => stored.first_mut().unwrap().digest = Digest::of(b"other"),
        }
        stored
    }
}

fn lingering() -> Vec<Lingering> {
    let of = |parcel, until: Option<&str>| Lingering {
        attempt: 2,
        parcel: ParcelId([parcel; 16]),
        bytes: 1_000_000,
        until: until.map(|until| until.parse().unwrap()),
    };
    vec![of(0xa1, Some("2099-01-02T00:00:00Z")), of(0xa2, None)]
}
