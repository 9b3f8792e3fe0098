//! The state machine, on one screen: [`decide`]. What each act asks for stands in `whole` for the migration and in
//! `round` for its consignments, in the order of their lives.

mod round;
mod whole;

use lexicon::{Code, Digest, Refusal, Timestamp};
use people::{Actor, Role, Signer};

use crate::{Act, Consignment, ConsignmentStage as Round, Fact, Migration, Plan, Side};

/// What a decision needs beside state, act and actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The deciding party's time.
    pub at: Timestamp,
    /// The digest of the bytes that carry the act.
    pub digest: Digest,
    /// SHA-256 of the strongroom share that the server made for a new consignment.
    pub strongroom_share: Option<Digest>,
}

type Check = Result<(), Refusal>;

/// Decides one act and changes nothing: the fact is journalled first, then applied with [`Migration::apply`].
///
/// # Errors
/// A refusal, safe to show.
#[rustfmt::skip]
pub fn decide(m: &Migration, act: &Act, by: &Actor, given: Given) -> Result<Fact, Refusal> {
    let at = given.at;
    may_act(m, act, by, at)?;
    match act {
        Act::Open { parties }                       => whole::open(by, parties)?,
        Act::Propose { plan }                       => whole::propose(m, by, plan, at)?,
        Act::Approve { plan }                       => whole::approve(m, by, *plan)?,
        Act::Extend { until, reason }               => whole::extend(m, by, *until, reason)?,
        Act::Freeze { reason }                      => whole::freeze(m, reason)?,
        Act::Thaw { reason }                        => whole::thaw(m, by, reason)?,
        Act::Cancel { reason }                      => whole::cancel(by, reason)?,
        Act::SignOff { reports, history }           => whole::sign_off(m, by, (reports, history), at)?,
        Act::OpenConsignment { consignment, plan, kind, basis_points, target, deadline, .. }
            => round::open(m, by, (*consignment, *plan), (*kind, *basis_points, target), *deadline, given)?,
        Act::Offer { consignment, .. }              => round::offer(m, by, *consignment)?,
        Act::Begin { consignment, step, attempt, lease, .. }
            => round::begin(m, by, *consignment, (*step, *attempt, *lease), at)?,
        Act::Failed { consignment, step, attempt, .. }
            => round::attempt_of(m, by, *consignment, *step, *attempt)?,
        Act::Close { manifest }                     => round::close(m, by, manifest)?,
        Act::Release { consignment, close, offers, load_by }
            => round::release(m, by, *consignment, (*close, offers, *load_by), at)?,
        Act::HandOver { consignment, .. }           => round::hand_over(m, by, *consignment, at)?,
        Act::Done { consignment, step, attempt, outcome }
            => round::done(m, by, *consignment, (*step, *attempt), outcome)?,
        Act::AcceptDifference { consignment, report, reason }
            => round::accept_difference(m, by, *consignment, (*report, reason), at)?,
        Act::Abandon { consignment, reason }        => round::abandon(m, by, *consignment, reason)?,
        Act::Revoke { .. }                          => (),
        Act::Overdue { consignment }                => whole::overdue(m, by, *consignment, at)?,
        Act::Destroyed { consignment, evidence }    => round::destroyed(m, *consignment, evidence)?,
        Act::PartDestroyed { consignment, part, .. } => round::part_destroyed(m, by, *consignment, *part)?,
        Act::Finish { .. }                          => whole::finish(m)?,
    }
    let strongroom_share = given.strongroom_share.filter(|_| matches!(act, Act::OpenConsignment { .. }));
    Ok(Fact {
        number: m.facts.saturating_add(1), by: by.clone(), at, digest: given.digest, strongroom_share, act: act.clone(),
    })
}

/// What holds for every act: the actor is of a kind that can make it and of a party; what ends only ends; time goes on.
fn may_act(m: &Migration, act: &Act, by: &Actor, at: Timestamp) -> Check {
    let theirs = match by {
        Actor::Person(_) => {
            !matches!(act, Act::Revoke { .. } | Act::Overdue { .. } | Act::Destroyed { .. } | Act::Finish { .. })
        }
        Actor::Root(signed) => matches!(act, Act::Revoke { root, .. } if root == signed),
        Actor::Deadline { .. } => matches!(act, Act::Overdue { .. }),
        Actor::Strongroom => matches!(act, Act::Destroyed { .. } | Act::Finish { .. }),
    };
    hold(theirs, 210, "this act is not theirs to make", "Let the person act whose turn it is.")?;
    hold(at >= m.last_at, 209, "the time of this act is before the last fact's", "Set the server's clock.")?;
    let opens = matches!(act, Act::Open { .. });
    hold((m.facts == 0) == opens, 215, "a migration begins with its opening, once", "See `lazaret migration show`.")?;
    is_of_a_party(m, by)?;
    let ends_only =
        matches!(act, Act::Destroyed { .. } | Act::PartDestroyed { .. } | Act::Finish { .. } | Act::Revoke { .. });
    if ends_only {
        return Ok(());
    }
    hold(!m.ending(), 213, "this migration has ended; only destruction is left", "Open a new migration.")?;
    let carries_off = matches!(act, Act::Overdue { .. });
    hold(
        carries_off || !m.is_due(at),
        214,
        "the deadline has passed; only destruction is allowed",
        "Open a new migration.",
    )?;
    let round = act.consignment().and_then(|id| m.consignment(id));
    hold(
        carries_off || matches!(act, Act::Abandon { .. }) || round.is_none_or(|round| at < round.deadline),
        238,
        "the consignment's deadline has passed",
        "Open another consignment.",
    )
}

fn is_of_a_party(m: &Migration, by: &Actor) -> Check {
    let root = match by {
        Actor::Person(signer) => signer.root(),
        Actor::Root(root) => *root,
        Actor::Deadline { .. } | Actor::Strongroom => return Ok(()),
    };
    hold(
        m.facts == 0 || m.side(&root).is_some(),
        211,
        "their organisation is not a party to this migration",
        "Ask the author whom the migration names.",
    )?;
    hold(
        !by.person().is_some_and(|signer| m.is_revoked(signer)),
        212,
        "their certificate was taken back",
        "Let another person act, or certify a new device.",
    )
}

fn refuse(code: u16, message: &str, remedy: &str) -> Refusal {
    Refusal::new(Code(code), message, remedy)
}

fn hold(condition: bool, code: u16, message: &str, remedy: &str) -> Check {
    if condition { Ok(()) } else { Err(refuse(code, message, remedy)) }
}

fn person(by: &Actor) -> Result<&Signer, Refusal> {
    by.person().ok_or_else(|| refuse(210, "this act is not theirs to make", "Let the person act whose turn it is."))
}

fn has_role(signer: &Signer, roles: &[Role]) -> Check {
    hold(
        roles.iter().any(|role| signer.is(*role)),
        262,
        "their certificate does not give the role that this act asks for",
        "Let the person act whose turn it is; see `lazaret next`.",
    )
}

/// A person who decides for the laboratory.
fn controller<'a>(m: &Migration, by: &'a Actor) -> Result<&'a Signer, Refusal> {
    let signer = person(by)?;
    has_role(signer, &[Role::Controller])?;
    hold(
        m.side(&signer.root()) == Some(Side::Controller),
        263,
        "only the controller's organisation decides this",
        "Ask the laboratory.",
    )?;
    Ok(signer)
}

fn plan(m: &Migration) -> Result<&(Digest, Plan, lexicon::PersonId), Refusal> {
    m.plan.as_ref().ok_or_else(|| refuse(264, "there is no plan yet", "Propose one with `lazaret migration propose`."))
}

fn living(m: &Migration, id: lexicon::ConsignmentId) -> Result<&Consignment, Refusal> {
    let consignment = m.consignment(id).filter(|consignment| consignment.alive());
    consignment
        .ok_or_else(|| refuse(265, "there is no such consignment, or it has ended", "See `lazaret migration show`."))
}

fn in_stage(consignment: &Consignment, stages: &[Round]) -> Check {
    hold(stages.contains(&consignment.stage), 266, "the consignment is not at that stage", "See `lazaret next`.")
}

/// No attempt holds the lease: what a person decides on is not changing under their eyes.
fn at_rest(consignment: &Consignment, at: Timestamp) -> Check {
    hold(
        !consignment.last_attempt().is_some_and(|attempt| attempt.running && at < attempt.lease),
        241,
        "another attempt holds the lease",
        "Wait for its end, or let its device say that it failed.",
    )
}

fn approved(m: &Migration) -> Check {
    hold(m.stage == crate::Stage::Approved, 229, "the plan is not approved by two persons", "See `lazaret next`.")
}

fn not_frozen(m: &Migration) -> Check {
    hold(m.frozen.is_none(), 267, "the migration is frozen", "The controller and one other person thaw it.")
}

fn reasoned(reason: &str) -> Check {
    hold(!reason.trim().is_empty(), 268, "this needs a written reason", "Say why with --reason.")
}
