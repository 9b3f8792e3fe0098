//! What the acts on one consignment ask for.

use lexicon::{ConsignmentId, Digest, Timestamp, hours_after, limits};
use people::{Actor, Role, Signer};

use super::{
    Check, Given, approved, at_rest, controller, has_role, hold, in_stage, living, not_frozen, person, plan, reasoned,
    refuse,
};
use crate::{
    Consignment, ConsignmentStage as Round, Destroyed, EVERYTHING, Kind, Manifest, Migration, Part, Plan,
    Reconciliation, Step,
};

pub(super) fn open(
    m: &Migration,
    by: &Actor,
    (id, digest): (ConsignmentId, Digest),
    (kind, basis_points, target): (Kind, u32, &str),
    deadline: Timestamp,
    given: Given,
) -> Check {
    let signer = person(by)?;
    has_role(signer, &[Role::Operator])?;
    let (standing, plan, _) = plan(m)?;
    approved(m)?;
    not_frozen(m)?;
    hold(*standing == digest, 220, "these are not the bytes of the plan that stands", "Show the plan again.")?;
    hold(
        plan.extracting.contains(&signer.device()),
        230,
        "this device does not extract under the plan",
        "Use the device that the plan names.",
    )?;
    let mut others = m.consignments.iter().filter(|c| c.alive());
    hold(
        others.all(|c| c.stage == Round::Loaded && c.settled()) && m.consignment(id).is_none(),
        231,
        "one consignment at a time",
        "Finish or abandon the one that is open.",
    )?;
    m.consignments.iter().filter(|c| c.alive()).try_for_each(|c| at_rest(c, given.at))?;
    hours_allowed(m, plan, kind, deadline, given.at)?;
    let sample = if kind == Kind::Rehearsal { 1..=EVERYTHING } else { EVERYTHING..=EVERYTHING };
    hold(
        sample.contains(&basis_points),
        276,
        "a rehearsal takes more than 0 and at most 100 percent of the rows in scope, any other consignment takes all",
        "Open a rehearsal with `--percent`, or another kind without.",
    )?;
    let known = plan.target(kind).is_some_and(|named| named.identity == target);
    hold(known, 234, "the plan names another target for this kind", "Show the plan and name its target.")?;
    hold(
        given.strongroom_share.is_some(),
        236,
        "the server committed to no strongroom share",
        "Tell the server's operator.",
    )
}

/// Whether the plan has one of this kind left, in its order, and lets it live until then.
fn hours_allowed(m: &Migration, plan: &Plan, kind: Kind, deadline: Timestamp, at: Timestamp) -> Check {
    let before = m.consignments.iter().filter(|c| c.kind == kind).count();
    let left = |count_max: u32| u64::try_from(before).is_ok_and(|before| before < u64::from(count_max));
    let Some(allowed) = plan.allowed(kind).filter(|allowed| left(allowed.count_max)) else {
        return Err(refuse(
            232,
            "the plan allows no further consignment of this kind",
            "Amend the plan once no consignment lives.",
        ));
    };
    let full = m.standing().any(|c| c.kind == Kind::Full);
    hold(
        (kind == Kind::Delta) == full || kind == Kind::Rehearsal,
        233,
        "a delta follows a full consignment, and a full one comes once",
        "See `lazaret migration show`.",
    )?;
    let latest = hours_after(at, i64::from(allowed.hours_max));
    let within = m.deadline.is_some_and(|whole| deadline <= whole.at);
    hold(
        deadline > at && deadline <= latest && within,
        235,
        "its deadline is beyond what the plan or the migration allows",
        "Name an earlier one.",
    )
}

pub(super) fn offer(m: &Migration, by: &Actor, id: ConsignmentId) -> Check {
    let signer = person(by)?;
    has_role(signer, &[Role::Recipient])?;
    let consignment = living(m, id)?;
    loads(m, signer)?;
    // Also once released: a machine that lost its key offers another, and the controller releases again.
    in_stage(consignment, &[Round::Open, Round::Closed, Round::Released])
}

pub(super) fn begin(
    m: &Migration,
    by: &Actor,
    id: ConsignmentId,
    (step, number, lease): (Step, u32, Timestamp),
    at: Timestamp,
) -> Check {
    let signer = person(by)?;
    let consignment = living(m, id)?;
    approved(m)?;
    not_frozen(m)?;
    hold(
        m.current().is_none_or(|current| current.id == id),
        231,
        "one consignment at a time",
        "Finish or abandon the one that is open.",
    )?;
    match step {
        Step::Extract => {
            in_stage(consignment, &[Round::Open])?;
            same_device(consignment, signer)?;
        }
        Step::Load | Step::Reconcile => begin_load(m, signer, consignment, step, at)?,
    }
    hold(
        lease > at && lease <= hours_after(at, limits::LEASE_HOURS) && lease <= consignment.deadline,
        240,
        "a lease lasts at most six hours and not beyond the deadline",
        "Begin with a shorter lease.",
    )?;
    at_rest(consignment, at)?;
    hold(
        number == consignment.next_attempt(),
        242,
        "this is not the next attempt",
        "Fetch the newest facts and begin again.",
    )
}

fn begin_load(m: &Migration, signer: &Signer, consignment: &Consignment, step: Step, at: Timestamp) -> Check {
    loads(m, signer)?;
    let (_, plan, _) = plan(m)?;
    hold(
        plan.one_operator_both_ends || signer.person() != consignment.operator,
        243,
        "the plan forbids that one person extracts and loads",
        "Let another recipient load.",
    )?;
    let Some(released) = &consignment.released else {
        return Err(refuse(244, "the consignment is not released", "Ask the controller; see `lazaret next`."));
    };
    let theirs = consignment
        .offers
        .iter()
        .any(|offer| offer.device == signer.device() && released.offers.contains(&offer.digest));
    hold(
        theirs && released.share.is_some(),
        245,
        "the laboratory share was not handed over to this device",
        "Offer a key and have it released.",
    )?;
    if step == Step::Reconcile {
        return in_stage(consignment, &[Round::Loaded]);
    }
    in_stage(consignment, &[Round::Released, Round::Loaded])?;
    hold(
        !consignment.settled(),
        246,
        "the consignment is loaded and equal",
        "Nothing is left to load; see `lazaret next`.",
    )?;
    hold(
        at < released.load_by || consignment.stage == Round::Loaded,
        247,
        "the release's load-by has passed",
        "Have it released again.",
    )
}

pub(super) fn attempt_of(m: &Migration, by: &Actor, id: ConsignmentId, step: Step, number: u32) -> Check {
    let signer = person(by)?;
    let consignment = living(m, id)?;
    let theirs = consignment.last_attempt().is_some_and(|attempt| {
        attempt.running && attempt.step == step && attempt.number == number && attempt.device == signer.device()
    });
    hold(theirs, 248, "this is not the attempt that runs", "Fetch the newest facts and begin again.")
}

pub(super) fn close(m: &Migration, by: &Actor, manifest: &Manifest) -> Check {
    attempt_of(m, by, manifest.consignment, Step::Extract, manifest.attempt)?;
    let consignment = living(m, manifest.consignment)?;
    let (_, plan, _) = plan(m)?;
    in_stage(consignment, &[Round::Open])?;
    hold(
        manifest.scope == plan.scope
            && manifest.source == plan.source.identity
            && manifest.schema == plan.source.schema,
        249,
        "the manifest is of another scope, source or schema than the plan's",
        "Amend the plan, or extract under it.",
    )?;
    hold(
        manifest.strongroom_share == consignment.strongroom_share,
        250,
        "the manifest is sealed with another strongroom share",
        "Extract again.",
    )?;
    hold(
        manifest.measures(consignment.kind),
        277,
        "a rehearsal's manifest counts the rows in scope of each table that its sample is of, and no other does",
        "Extract again with this version.",
    )?;
    manifest.check()
}

pub(super) fn release(
    m: &Migration,
    by: &Actor,
    id: ConsignmentId,
    (close, offers, load_by): (Digest, &[Digest], Timestamp),
    at: Timestamp,
) -> Check {
    let signer = controller(m, by)?;
    let consignment = living(m, id)?;
    not_frozen(m)?;
    in_stage(consignment, &[Round::Closed, Round::Released])?;
    hold(
        consignment.operator != signer.person(),
        251,
        "whoever extracted does not release",
        "Ask another person of the controller.",
    )?;
    let manifest = consignment.manifest.as_ref().is_some_and(|(digest, _)| *digest == close);
    hold(manifest, 252, "the release is not of the manifest that stands", "Show the consignment again.")?;
    offers_stand(m, consignment, offers)?;
    hold(
        load_by > at && load_by <= hours_after(at, limits::RELEASE_HOURS),
        254,
        "a release is good for at most 24 hours",
        "Name an earlier load-by.",
    )
}

pub(super) fn hand_over(m: &Migration, by: &Actor, id: ConsignmentId, at: Timestamp) -> Check {
    let signer = person(by)?;
    let consignment = living(m, id)?;
    not_frozen(m)?;
    in_stage(consignment, &[Round::Released])?;
    same_device(consignment, signer)?;
    let Some(released) = &consignment.released else {
        return Err(refuse(244, "the consignment is not released", "Ask the controller; see `lazaret next`."));
    };
    // The newest facts can be withheld from a device: it hands over only while the release itself is new.
    hold(at < released.load_by, 247, "the release's load-by has passed", "Have it released again.")?;
    offers_stand(m, consignment, &released.offers)
}

pub(super) fn done(
    m: &Migration,
    by: &Actor,
    id: ConsignmentId,
    (step, number): (Step, u32),
    outcome: &Reconciliation,
) -> Check {
    hold(step != Step::Extract, 255, "an extraction ends with its manifest", "Close it instead.")?;
    attempt_of(m, by, id, step, number)?;
    let consignment = living(m, id)?;
    let (_, plan, _) = plan(m)?;
    let Some((_, manifest)) = &consignment.manifest else {
        return Err(refuse(252, "there is no manifest", "Show the consignment again."));
    };
    let target = outcome.target == consignment.target
        && plan.target(consignment.kind).is_some_and(|target| target.schema == outcome.schema);
    let answers = outcome.answers(manifest);
    hold(
        answers && target,
        256,
        "the report is not of this manifest's tables, or of another target",
        "Reconcile again.",
    )
}

pub(super) fn accept_difference(
    m: &Migration,
    by: &Actor,
    id: ConsignmentId,
    (report, reason): (Digest, &str),
    at: Timestamp,
) -> Check {
    controller(m, by)?;
    let consignment = living(m, id)?;
    reasoned(reason)?;
    in_stage(consignment, &[Round::Loaded])?;
    at_rest(consignment, at)?;
    let stands =
        consignment.outcome.as_ref().is_some_and(|outcome| outcome.digest == report && !outcome.reconciliation.equal());
    hold(stands, 257, "there is no such unequal report", "Show the consignment again.")
}

pub(super) fn abandon(m: &Migration, by: &Actor, id: ConsignmentId, reason: &str) -> Check {
    let signer = person(by)?;
    // Also a load whose keys its own deadline took: without this exit a target found wrong could only be cancelled.
    let consignment = m.consignment(id).filter(|c| c.stands()).map_or_else(|| living(m, id), Ok)?;
    reasoned(reason)?;
    if consignment.operator == signer.person() { Ok(()) } else { controller(m, by).map(|_| ()) }
}

pub(super) fn destroyed(m: &Migration, id: ConsignmentId, evidence: &Destroyed) -> Check {
    let ends = m.consignment(id).is_some_and(|c| c.ending.is_some() && c.stage != Round::Destroyed);
    hold(ends, 259, "nothing asked for this destruction", "Only sign-off, a deadline, abandon or cancel do.")?;
    hold(
        evidence.ring_refuses && evidence.left.is_nothing(),
        274,
        "the evidence says that a key or a parcel is still there",
        "Destroy it again; tell the server's operator.",
    )
}

pub(super) fn part_destroyed(m: &Migration, by: &Actor, id: ConsignmentId, part: Part) -> Check {
    let signer = person(by)?;
    let held = |c: &Consignment| match part {
        Part::Laboratory => c.device == signer.device(),
        Part::Recipient => c.offers.iter().any(|offer| offer.device == signer.device()),
    };
    hold(
        m.consignment(id).is_some_and(|c| c.ending.is_some() && held(c)),
        260,
        "this device held no such part of that consignment, or it lives",
        "See `lazaret migration show`.",
    )
}

fn same_device(consignment: &Consignment, signer: &Signer) -> Check {
    hold(
        consignment.device == signer.device(),
        239,
        "another device opened this consignment",
        "Use the device that opened it; only that one extracts and hands over.",
    )
}

fn loads(m: &Migration, signer: &Signer) -> Check {
    let (_, plan, _) = plan(m)?;
    hold(
        plan.loading.contains(&signer.device()),
        237,
        "this device does not load under the plan",
        "Use the device that the plan names.",
    )
}

/// Every named offer is the newest of its device, whose certificate was not taken back since.
fn offers_stand(m: &Migration, consignment: &Consignment, named: &[Digest]) -> Check {
    let stands = |digest: &Digest| {
        consignment
            .offers
            .iter()
            .any(|offer| offer.digest == *digest && !m.is_taken_back(offer.root, offer.certificate))
    };
    hold(
        !named.is_empty() && named.iter().all(stands),
        253,
        "the release names an offer that does not stand",
        "Show the consignment again and release to the offers that it shows.",
    )
}
