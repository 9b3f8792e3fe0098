//! What crosses the door as JSON, and the documents of a plan: read, written, and read again as the same.

use lexicon::canonical;
use people::Envelope;
use procedure::{Act, Manifest, Plan, Reconciliation};
use scope::Report;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{Facts, Leaf, MigrationLine, ParcelLine, People, PresentCertificate, ServerCard, SubmitAct, Submitted};

use crate::tale::{Setting, Tale};

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
    let tale = Tale::whole(Setting { lingering: true, ..Setting::default() });
    let pack = tale.pack();
    let mut seeds = vec![canonical(&pack.people).unwrap(), canonical(&pack.card).unwrap()];
    let entries: Vec<_> = pack.entries.iter().take(2).cloned().collect();
    seeds.push(canonical(&entries).unwrap());
    for placed in &pack.entries {
        if let procedure::Proof::Server(act) = &placed.entry.proof {
            seeds.push(canonical(act).unwrap());
        }
        if let procedure::Proof::Signed(envelope) = &placed.entry.proof {
            let body: procedure::ActBody = serde_json::from_slice(&envelope.bytes().unwrap()).unwrap();
            seeds.push(if let Act::Propose { plan } = &body.body {
                canonical(plan).unwrap()
            } else if let Act::Close { manifest } = &body.body {
                canonical(manifest).unwrap()
            } else if let Act::Done { outcome, .. } = &body.body {
                canonical(outcome).unwrap()
            } else {
                canonical(&body.body).unwrap()
            });
        }
    }
    let leaf =
        Leaf::Fact { nonce: lexicon::Digest::of(b"n"), entry: Box::new(pack.entries.first().unwrap().entry.clone()) };
    seeds.push(canonical(&leaf).unwrap());
    let refusal = lexicon::Refusal::new(lexicon::Code(140), "no", "Ask.");
    seeds.push(canonical(&lexicon::Trouble::from(refusal)).unwrap());
    seeds
}
