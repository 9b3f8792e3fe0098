//! The troubles of this room, one function per code. None names a value: members, facts, digests and counts only.

use lexicon::{Alarm, Code, Fault, Refusal, Retry, Trouble};

/// The file is no evidence pack, or a cut one.
pub(crate) fn no_pack(why: &str) -> Trouble {
    let remedy = "Fetch the pack again; if it is the same, ask for the pack that another party kept.";
    Refusal::new(Code(901), format!("this is no evidence pack, or a damaged one: {why}"), remedy).into()
}

/// The pack is larger than any pack that this version writes.
pub(crate) fn too_large(what: &str) -> Trouble {
    let remedy = "Do not unpack it with other tools; ask its sender for it again.";
    Refusal::new(Code(902), format!("the evidence pack is beyond its bounds: {what}"), remedy).into()
}

/// The pack could not be written.
pub(crate) fn unwritten(why: &str) -> Trouble {
    Fault::new(Code(903), Retry::Never, format!("the evidence pack could not be written: {why}")).into()
}

/// A certificate is asked for before there is anything to certify.
pub(crate) fn nothing_to_certify(why: &str) -> Trouble {
    let remedy = "Destroy what is left first; see `lazaret migration show`.";
    Refusal::new(Code(904), format!("no certificate of destruction can be issued: {why}"), remedy).into()
}

/// The entries, their proofs and the checkpoint do not belong together.
pub(crate) fn not_in_journal(why: &str) -> Trouble {
    Alarm::new(Code(905), format!("the pack's entries are not those of its checkpoint: {why}")).into()
}

/// A document is not the one that the facts name.
pub(crate) fn wrong_document(why: &str) -> Trouble {
    Alarm::new(Code(906), format!("a document of the pack is not what the facts name: {why}")).into()
}

/// The certificate says other than the facts.
pub(crate) fn wrong_certificate(why: &str) -> Trouble {
    Alarm::new(Code(907), format!("the certificate of destruction does not agree with the facts: {why}")).into()
}

/// What the pack tells people is not what its facts say.
pub(crate) fn wrong_words(member: &str) -> Trouble {
    Alarm::new(Code(908), format!("{member} in the pack does not say what the pack's facts say")).into()
}

/// Two signed things exclude each other: the server kept two histories.
pub(crate) fn fork(why: &str) -> Trouble {
    Alarm::new(Code(909), format!("the pack proves two histories of one journal: {why}")).into()
}

/// The pack is of another server than the one that is known.
pub(crate) fn other_server(why: &str) -> Trouble {
    Alarm::new(Code(910), format!("the pack is not of the server that is known here: {why}")).into()
}

/// Who drops the mark of a demonstration passes it off as the destruction of real records.
pub(crate) fn wrong_mark() -> Trouble {
    Alarm::new(
        Code(912),
        "the pack's card and the name of its journal do not agree on whether its server is a demonstration",
    )
    .into()
}

/// The file is no answer of an authority that stamps times.
pub(crate) fn no_stamp(why: &str) -> Trouble {
    let remedy = "Send the request to the authority again, or take another one that follows RFC 3161.";
    Refusal::new(Code(913), format!("this is no time stamp, or a damaged one: {why}"), remedy).into()
}

/// The authority answered that it stamps nothing.
pub(crate) fn not_stamped(status: u32) -> Trouble {
    let remedy = "Ask the authority why, or take another one.";
    Refusal::new(Code(914), format!("the authority gave no time stamp: its status is {status}"), remedy).into()
}

/// The answer is one to another question.
pub(crate) fn other_answer(why: &str) -> Trouble {
    let remedy = "Give the request that belongs to this response and this pack.";
    Refusal::new(Code(915), format!("the time stamp does not answer this request: {why}"), remedy).into()
}

/// A stamp of something else.
pub(crate) fn wrong_stamp(why: &str) -> Trouble {
    Alarm::new(Code(916), format!("the time stamp is not of this certificate of destruction: {why}")).into()
}

/// A stamp that the authority whom the reader trusts did not give.
pub(crate) fn wrong_authority(why: &str) -> Trouble {
    Alarm::new(Code(917), format!("the time stamp is not one of the authority that was named: {why}")).into()
}

/// Nobody to check a stamp against.
pub(crate) fn no_authority() -> Trouble {
    let remedy = "Name a file with the certificate of the authority's root, in PEM.";
    Refusal::new(Code(918), "the file of the authority holds no certificate", remedy).into()
}

/// Nothing to stamp.
pub(crate) fn no_certificate() -> Trouble {
    let remedy = "Export the evidence again once the migration is destroyed; see `lazaret next`.";
    Refusal::new(Code(919), "the pack holds no certificate of destruction that a time stamp could be over", remedy)
        .into()
}

/// A document that must never travel in a pack.
pub(crate) fn forbidden_document(why: &str) -> Trouble {
    let remedy = "Leave it out: a pack holds the scope and the scope report of each plan and nothing else.";
    Refusal::new(Code(911), format!("this document does not belong into an evidence pack: {why}"), remedy).into()
}
