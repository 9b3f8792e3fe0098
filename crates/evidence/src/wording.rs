//! What a destruction achieves, in the words that are used everywhere, as far as the facts bear them out.
//!
//! These sentences are signed. Whoever changes one adds 1 to [`VERSION`], so that older certificates are still known
//! for what they are.

use procedure::{KeyAct, KeyLevel, Ledger};

use crate::certified::Residue;
use crate::effect::Effect;
use crate::round::{Reach, Round};
use crate::statements::count;
use crate::story::when;

/// The version of every sentence that this room writes: certificates, statements, pictures.
pub(crate) const VERSION: u32 = 6;

/// Stands on every document of a demonstration.
pub(crate) const DEMONSTRATION: &str =
    "DEMONSTRATION: made with synthetic records on a server for demonstrations; it certifies nothing about real ones.";

/// What every certificate and every pack says of itself.
pub(crate) const LIMITS: &str = "This proves who signed what and in which order; it reports what each party says \
                                 it destroyed; it proves no absence of copies.";

const BOTH: &str = "A parcel opens only with both shares, the laboratory share and the strongroom share.";

const DISKS: &str = "Against whoever later obtains the parties' disks and backups, it is enough that every copy of \
                     the strongroom share is destroyed, or every copy of the laboratory share and of every opening \
                     key.";

const BEFORE_RELEASE: &str = "It was destroyed before release. Then the laboratory destroying its share is enough, \
                              whatever the others kept; the server destroying its share is enough if the extracting \
                              machine forgot it at closing, which that machine states.";

const RELEASED: &str = "It was destroyed after release and before a recipient received the strongroom share. Then \
                        the server destroying its share is still enough if the extracting machine forgot it at \
                        closing, which that machine states; the laboratory destroying its share alone is not, but \
                        its share and every opening key destroyed together are.";

const HAD_BOTH: &str = "A recipient has had both shares. Once a recipient has had both, nothing binds a recipient \
                        that keeps keys or rows.";

const NOT_EXTRACTED: &str = "No extraction was begun under it: the strongroom share never left the server, and no \
                             parcel was sealed with it.";

const BY_VENDOR: &str = "The laboratory share was held by the vendor: the extracting device is not certified by the \
                         laboratory's root. What is said here of the laboratory's share depends on the vendor.";

const K0: &str = "Level K0: the ring key lay in a local file that the server overwrote and removed. That is a \
                  logical erasure; remnants on the storage medium are not excluded.";

const K0_UNLINKED: &str = "Level K0: the ring key lay in a local file that the server unlinked. Its file system is not \
                           known to write over bytes where they lie: old copies of the key's file may be left on the \
                           storage medium.";

const K1: &str = "Level K1: the ring key lay in a token (PKCS#11) that gives no key out, and was destroyed in it. Backups \
                  of the token are not reached.";

const K2: &str = "Level K2: the ring key lay in a service that gives no key out, and was deleted in it. Snapshots and \
                  backups of the service's storage are not reached: until the last of them is gone, whoever restores \
                  one has the key again.";

const K1_COULD_LEAVE: &str = "Level K1: the ring key lay in a token (PKCS#11), and was destroyed in it. It was not, or not \
                              always, a key that the token gives to nobody: a copy of it may have been taken out before, \
                              which is not reached. Backups of the token are not reached either.";

const K2_COULD_LEAVE: &str = "Level K2: the ring key lay in a service, and was deleted in it. It was not, or not always, a key \
                              that the service gives to nobody: a copy of it may have been taken out before, which is not \
                              reached. Snapshots and backups of the service's storage are not reached either: until the \
                              last of them is gone, whoever restores one has the key again.";

const KEY_MISSING: &str = "The key ring that was asked to destroy this consignment's ring key had none, although one had \
                           been made: it was another ring, or somebody took the key away. Nothing here says that the \
                           ring key is destroyed: whoever has it, and a copy of the server's data, has the strongroom \
                           share.";

const NO_EFFECT: &str = "Nothing here says from when it is in effect: no ring key was destroyed.";

const NEVER_CLOSED: &str = "The extraction was never closed, so the extracting machine did not state that it forgot the \
                            strongroom share: the server destroying its share is not shown to be enough.";

const NOTHING: &str = "No consignment was ever opened: no record left the laboratory through this server.";

/// What holds for a whole certificate.
pub(crate) fn of_all(demonstration: bool, rounds: usize) -> Vec<String> {
    let mark = demonstration.then_some(DEMONSTRATION);
    let rest = if rounds == 0 { vec![NOTHING, LIMITS] } else { vec![BOTH, DISKS, LIMITS] };
    mark.into_iter().chain(rest).map(str::to_owned).collect()
}

/// What became of a ring key. Where none was found nothing is said of how a key is destroyed there.
fn of_key(key: &KeyAct) -> &'static str {
    match key {
        KeyAct { found: false, .. } => KEY_MISSING,
        KeyAct { level: KeyLevel::K0, unlinked: true, .. } => K0_UNLINKED,
        KeyAct { level: KeyLevel::K0, .. } => K0,
        KeyAct { level: KeyLevel::K1, could_leave: true, .. } => K1_COULD_LEAVE,
        KeyAct { level: KeyLevel::K1, .. } => K1,
        KeyAct { level: KeyLevel::K2, could_leave: true, .. } => K2_COULD_LEAVE,
        KeyAct { level: KeyLevel::K2, .. } => K2,
    }
}

/// What holds for one consignment, by how far it had come.
pub(crate) fn of_round(ledger: &Ledger, round: &Round<'_>, key: &KeyAct, effect: Effect) -> Vec<String> {
    let reach = round.reach();
    let mut said = vec![
        match reach {
            Reach::NotExtracted => NOT_EXTRACTED,
            Reach::BeforeRelease => BEFORE_RELEASE,
            Reach::Released => RELEASED,
            Reach::RecipientHadBoth => HAD_BOTH,
        }
        .to_owned(),
    ];
    if matches!(reach, Reach::BeforeRelease | Reach::Released) {
        said.push(forgotten(round));
    }
    if reach > Reach::NotExtracted && round.share_held_by_vendor(ledger) {
        said.push(BY_VENDOR.to_owned());
    }
    said.extend([of_key(key).to_owned(), in_effect(effect)]);
    said
}

/// From when, and what that follows from.
fn in_effect(effect: Effect) -> String {
    let (Some(at), Some(act)) = (effect.at, effect.key_act) else { return NO_EFFECT.to_owned() };
    let lease = effect.last_lease.map_or_else(
        || "no agent ever received the strongroom share".to_owned(),
        |lease| format!("the last lease under which an agent may hold the strongroom share ends at {}", when(lease)),
    );
    let snapshots = effect.snapshots_until.map_or_else(
        || "the server's settings declare no snapshots of what the key lay in".to_owned(),
        |until| {
            let days = effect.snapshot_days;
            format!("the server's settings declare that snapshots of what the key lay in are kept for {days} days, until {}", when(until))
        },
    );
    format!(
        "It is in effect from {}, the latest of these: the ring key was destroyed at {}; {lease}; {snapshots}.",
        when(at),
        when(act)
    )
}

/// What is known to be left, and until when.
pub(crate) fn residue(residue: &Residue) -> String {
    match residue {
        Residue::UnknownKey => "the ring key itself: the ring that was asked had none".to_owned(),
        Residue::Medium => {
            "remnants of the key's file on the storage medium, and any copy of the ring's folder from before".to_owned()
        }
        Residue::UnlinkedFile => {
            "old bytes of the key's file, which was only unlinked, and any copy of the ring's folder from before"
                .to_owned()
        }
        Residue::TokenBackups => "backups of the token from before".to_owned(),
        Residue::ServiceBackups => "snapshots and backups of the service's storage from before".to_owned(),
        Residue::KeyCopy => "a copy of the ring key that may have been taken out".to_owned(),
        Residue::Snapshots { until } => {
            format!("the snapshots that the server's settings declare, until {}", when(*until))
        }
        Residue::Parcel { name, bytes, until } => {
            let until =
                until.map_or_else(|| "until somebody lifts its hold".to_owned(), |at| format!("until {}", when(at)));
            format!(
                "parcel {name}, dead, {} bytes that the object store lets nobody delete yet, {until}",
                count(*bytes)
            )
        }
        Residue::AbsentParcels { parcels, bytes } => format!(
            "{} parcels, dead, {} bytes that were not on the shelf any more when it was emptied",
            count(*parcels),
            count(*bytes)
        ),
        Residue::Swap { name, device, fact } => format!(
            "what the machine of {name} (device {}) wrote of its memory, keys and rows in it, in clear to its swap; that it \
             may, fact {fact} says",
            device.digest().short()
        ),
        Residue::Recipient => "whatever a recipient that has had both shares keeps, keys or rows".to_owned(),
    }
}

/// Whether the condition of the sentence before it is met.
fn forgotten(round: &Round<'_>) -> String {
    match round.closed {
        Some((closed, manifest)) => stated(manifest.forgotten, closed.fact.number),
        None => NEVER_CLOSED.to_owned(),
    }
}

fn stated(forgotten: bool, closed_in: u64) -> String {
    if forgotten {
        return format!("The extracting machine states in fact {closed_in} that it forgot the strongroom share.");
    }
    format!(
        "The extracting machine closed in fact {closed_in} without stating that it forgot the strongroom share: the server \
         destroying its share is not shown to be enough."
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lexicon::Timestamp;
    use serde_json::Value;

    use super::*;

    /// A number that begins a word, which is one that a certificate puts in, is 0.
    fn form(sentence: &str) -> String {
        let (mut form, mut before, mut within) = (String::new(), ' ', false);
        for c in sentence.chars() {
            let number = c.is_ascii_digit() && (within || !before.is_alphanumeric());
            if !number || !within {
                form.push(if number { '0' } else { c });
            }
            (before, within) = (c, number);
        }
        form
    }

    fn effects() -> Vec<Effect> {
        let at = |second| Timestamp::from_second(second).ok();
        let leased = [None, at(60)].into_iter().flat_map(|lease| [0, 14].map(|days| Effect::of(at(30), lease, days)));
        leased.chain([Effect::of(None, None, 0)]).collect()
    }

    fn texts(value: &Value) -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_manuals_script_knows_every_sentence_and_no_other() {
        let words: Value = serde_json::from_str(include_str!("../../../docs/manual/words.json")).unwrap();
        assert_eq!(texts(&words["mark"]), [DEMONSTRATION]);
        assert_eq!([0, 1].map(|place| texts(&words["general"][place])), [0, 1].map(|rounds| of_all(false, rounds)));
        let of = serde_json::json!({
            "not_extracted": NOT_EXTRACTED,
            "before_release": BEFORE_RELEASE,
            "released": RELEASED,
            "recipient_had_both": HAD_BOTH,
            "unknown_key": KEY_MISSING,
            "medium": K0,
            "unlinked_file": K0_UNLINKED,
            "token_backups": K1,
            "service_backups": K2,
            "token_key_copy": K1_COULD_LEAVE,
            "service_key_copy": K2_COULD_LEAVE,
        });
        assert_eq!(words["of"], of);
        let fixed = [BY_VENDOR, NO_EFFECT, NEVER_CLOSED].map(str::to_owned);
        let filled = [stated(true, 7), stated(false, 12)].into_iter().chain(effects().into_iter().map(in_effect));
        let ours: BTreeSet<String> = fixed.into_iter().chain(filled).map(|sentence| form(&sentence)).collect();
        assert_eq!(ours, texts(&words["forms"]).into_iter().collect());
        assert_eq!(ours.len(), 9);
    }
}
