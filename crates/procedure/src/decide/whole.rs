//! What the acts on a whole migration ask for.

use lexicon::{ConsignmentId, Digest, Timestamp};
use people::{Actor, Role};

use super::{Check, at_rest, controller, has_role, hold, living, person, plan, reasoned, refuse};
use crate::{ConsignmentStage as Round, History, Kind, Migration, Plan, PlanParty, Side, Stage};

pub(super) fn open(by: &Actor, parties: &[PlanParty]) -> Check {
    let signer = person(by)?;
    has_role(signer, &[Role::Engineer, Role::Operator, Role::Controller])?;
    let own = parties.iter().any(|party| party.root == signer.root());
    let controllers = parties.iter().filter(|party| party.side == Side::Controller).count();
    let mut roots: Vec<_> = parties.iter().map(|party| party.root).collect();
    roots.sort_unstable();
    roots.dedup();
    hold(
        own && controllers == 1 && roots.len() == parties.len(),
        216,
        "a migration names its own author's organisation, one controller, and no organisation twice",
        "Name the laboratory as controller and the vendor as processor.",
    )
}

pub(super) fn propose(m: &Migration, by: &Actor, plan: &Plan, at: Timestamp) -> Check {
    has_role(person(by)?, &[Role::Engineer, Role::Operator, Role::Controller])?;
    hold(
        m.consignments.iter().all(|consignment| consignment.stage == Round::Destroyed && !consignment.stands()),
        217,
        "a plan cannot be amended while a consignment lives, or its load waits for the sign-off",
        "Finish or abandon the consignment; meanwhile extend, freeze or cancel are possible.",
    )?;
    let (serial, previous) =
        m.plan.as_ref().map_or((1, None), |(digest, plan, _)| (plan.serial.saturating_add(1), Some(*digest)));
    hold(
        plan.migration == m.id && plan.serial == serial && plan.previous == previous && plan.parties == m.parties,
        218,
        "the plan is not this migration's next one",
        "Write it again from what `lazaret migration show` says.",
    )?;
    plan.check(at)
}

pub(super) fn approve(m: &Migration, by: &Actor, digest: Digest) -> Check {
    let signer = person(by)?;
    has_role(signer, &[Role::Controller, Role::Approver])?;
    let (standing, _, author) = plan(m)?;
    hold(m.stage == Stage::Drafted, 219, "the plan is approved already", "See `lazaret next`.")?;
    hold(
        *standing == digest,
        220,
        "these are not the bytes of the plan that stands",
        "Show the plan again and approve what it says now.",
    )?;
    hold(*author != signer.person(), 221, "whoever wrote the plan does not approve it", "Ask another person.")?;
    hold(
        m.approvals.iter().all(|approval| approval.person != signer.person()),
        222,
        "the second approval must come from another person than the first",
        "Ask another person.",
    )
}

pub(super) fn extend(m: &Migration, by: &Actor, until: Timestamp, reason: &str) -> Check {
    controller(m, by)?;
    let (_, plan, _) = plan(m)?;
    reasoned(reason)?;
    let instructed = plan.instruction.deadline.is_some_and(|latest| until <= latest);
    hold(
        m.deadline.is_some_and(|deadline| until > deadline.at) && until <= plan.extension_cap && instructed,
        223,
        "the deadline moves forward only, and not beyond the plan's cap or the instruction's deadline",
        "Name a time after the deadline and up to the cap that the plan shows.",
    )
}

pub(super) fn freeze(m: &Migration, reason: &str) -> Check {
    reasoned(reason)?;
    hold(m.frozen.is_none(), 224, "it is frozen already", "See `lazaret migration show`.")
}

pub(super) fn thaw(m: &Migration, by: &Actor, reason: &str) -> Check {
    let signer = person(by)?;
    has_role(signer, &[Role::Controller, Role::Operator, Role::Engineer, Role::Approver, Role::Recipient])?;
    reasoned(reason)?;
    let Some(frozen) = &m.frozen else {
        return Err(refuse(225, "it is not frozen", "See `lazaret migration show`."));
    };
    hold(
        frozen.thaw.iter().all(|(person, _)| *person != signer.person()),
        226,
        "the controller and one other person thaw, each once",
        "Ask the other one.",
    )
}

pub(super) fn cancel(by: &Actor, reason: &str) -> Check {
    has_role(person(by)?, &[Role::Controller, Role::Approver])?;
    reasoned(reason)
}

pub(super) fn sign_off(m: &Migration, by: &Actor, word: (&[Digest], &History), at: Timestamp) -> Check {
    let (reports, history) = word;
    controller(m, by)?;
    let counted: Vec<_> = m.standing().collect();
    let unsettled = m.consignments.iter().any(|c| c.alive() && c.kind != Kind::Rehearsal && !c.stands());
    hold(
        m.current().is_none() && !unsettled && counted.iter().any(|c| c.kind == Kind::Full),
        227,
        "there is no full consignment loaded, or one is not reconciled",
        "Load and reconcile it, or accept its difference by name; then sign off.",
    )?;
    counted.iter().try_for_each(|c| at_rest(c, at))?;
    let theirs: Vec<_> = counted.iter().filter_map(|c| c.outcome.as_ref()).map(|outcome| outcome.digest).collect();
    hold(
        theirs == reports,
        228,
        "the sign-off is not over the reports that stand",
        "Show the migration again and sign what it says now.",
    )?;
    let held = match history {
        History::Target => true,
        History::Archive(name) => !name.trim().is_empty(),
    };
    hold(
        held,
        269,
        "the archive that holds the history is not named",
        "Name the archive that keeps what the law requires.",
    )
}

pub(super) fn overdue(m: &Migration, by: &Actor, id: Option<ConsignmentId>, at: Timestamp) -> Check {
    if let Some(id) = id {
        living(m, id)?;
    }
    let due = m.deadline_of(id).is_some_and(|deadline| at >= deadline.at && *by == deadline.actor());
    hold(due, 258, "the deadline has not passed", "Wait for it, or extend it.")
}

pub(super) fn finish(m: &Migration) -> Check {
    let done = m.ending() && m.consignments.iter().all(|c| c.stage == Round::Destroyed);
    hold(done && m.stage != Stage::Destroyed, 261, "not everything is destroyed", "See `lazaret migration show`.")
}
