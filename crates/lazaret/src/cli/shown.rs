//! What a person was shown is what they sign: the digests that an act binds, at the look and again at the act.

use std::collections::BTreeMap;

use lexicon::{Code, ConsignmentId, Digest, Refusal, Result, digest_of};
use procedure::{Act, Consignment, ConsignmentStage, Migration};

use super::Context;
use super::context::confirm;

/// What is asked, and the digest or id whose first digits are the answer.
pub(super) struct Question<'a> {
    pub(super) asked: &'a str,
    pub(super) expected: String,
}

/// Shows this and asks, unless it was confirmed beforehand.
pub(super) fn show_and_ask(context: &Context, text: &str, question: &Question<'_>, yes: Option<&str>) -> Result<()> {
    shown_first(context, yes)?;
    if !context.global.json {
        crate::output::out(text.trim_end());
    }
    confirm(question.asked, &question.expected, yes)
}

/// With `--json` nothing is shown to a person, so nothing can be confirmed by one.
pub(super) fn shown_first(context: &Context, yes: Option<&str>) -> Result<()> {
    if context.global.json && yes.is_none() {
        let why = "with --json nothing is shown that a person could confirm";
        return Err(Refusal::new(Code(1062), why, "Look at it without --json, then give its digest with --yes.").into());
    }
    Ok(())
}

/// What stands when it is signed, which must be what was shown.
pub(super) fn unchanged<T: PartialEq>(shown: &T, stands: T) -> Result<T> {
    if *shown == stands {
        return Ok(stands);
    }
    let why = "it changed while you looked, and nothing was signed";
    Err(Refusal::new(Code(1063), why, "Give the command again, and look at what it shows now.").into())
}

/// What a release binds: the manifest, and the keys that are offered.
pub(super) type Released = (Digest, Vec<Digest>);

/// What a release would bind.
pub(super) fn to_release(round: &Consignment) -> Result<Released> {
    let (close, _) = round.manifest.as_ref().ok_or_else(|| {
        Refusal::new(Code(1074), "the consignment is not closed", "Wait for the extraction; see `lazaret next`.")
    })?;
    Ok((*close, round.offers.iter().map(|offer| offer.digest).collect()))
}

/// The report whose difference would be accepted.
pub(super) fn to_accept(round: &Consignment) -> Result<Digest> {
    let outcome = round.outcome.as_ref().ok_or_else(|| {
        Refusal::new(Code(1076), "there is no report yet", "Load the consignment first; see `lazaret next`.")
    })?;
    Ok(outcome.digest)
}

/// The reports that a sign-off would be over.
pub(super) fn to_sign_off(migration: &Migration) -> Vec<Digest> {
    let standing = migration.standing().filter_map(|round| round.outcome.as_ref());
    standing.map(|outcome| outcome.digest).collect()
}

/// The consignment, if the migration has it.
pub(super) fn known(migration: &Migration, id: ConsignmentId) -> Result<&Consignment> {
    migration.consignment(id).ok_or_else(|| {
        let why = "there is no such consignment in this migration";
        Refusal::new(Code(1075), why, "List them with `lazaret migration show`.").into()
    })
}

/// What `--yes` takes for each act whose papers stand, for a script that looked at them.
pub(super) fn to_confirm(migration: &Migration) -> Result<BTreeMap<&'static str, Digest>> {
    let mut digests = BTreeMap::new();
    for round in migration.consignments.iter().filter(|round| round.alive()) {
        if matches!(round.stage, ConsignmentStage::Closed | ConsignmentStage::Released) {
            digests.insert("release", digest_of(&to_release(round)?)?);
        }
        if round.outcome.is_some() && !round.settled() {
            digests.insert("accept_difference", to_accept(round)?);
        }
    }
    let reports = to_sign_off(migration);
    if !reports.is_empty() {
        digests.insert("sign_off", digest_of(&reports)?);
    }
    Ok(digests)
}

/// The release of what was shown.
pub(super) fn release(
    migration: &Migration,
    (consignment, shown): (ConsignmentId, &Released),
    load_by: impl FnOnce(&Consignment) -> lexicon::Timestamp,
) -> Result<Act> {
    let round = known(migration, consignment)?;
    let (close, offers) = unchanged(shown, to_release(round)?)?;
    Ok(Act::Release { consignment, close, offers, load_by: load_by(round) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_that_came_between_look_and_signature_is_not_released_to() {
        let (close, seen, new) = (Digest([1; 32]), Digest([2; 32]), Digest([3; 32]));
        let shown: Released = (close, vec![seen]);
        assert_eq!(unchanged(&shown, (close, vec![seen])).unwrap(), shown);
        for stands in [(close, vec![seen, new]), (close, vec![new]), (new, vec![seen]), (close, Vec::new())] {
            assert_eq!(unchanged(&shown, stands).unwrap_err().code(), Code(1063));
        }
    }
}
