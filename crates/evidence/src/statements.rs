use lexicon::spoken;
use procedure::{Act, History, Ledger, ManifestTable, Plan, Recorded, Side};
use serde::Serialize;

use crate::certificate::Trigger;
use crate::story::{Story, facts, organisation, when, who};
use crate::verdict::Shown;
use crate::{rounds, wording};

/// How strong a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// A person's or a root's signature holds over it.
    Signed,
    /// The server says so, under its own key, and nobody else.
    AssertedByServer,
    /// Nothing here proves it; it is said so that nobody believes it was.
    NotProvable,
}

impl Strength {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::AssertedByServer => "asserted by the server",
            Self::NotProvable => "not provable",
        }
    }
}

/// One sentence about a migration, with who says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The sentence. Holds what persons wrote (reasons, names) without control characters.
    pub text: String,
    /// Who says it, and in which fact.
    pub who: String,
    /// How strong it is.
    pub strength: Strength,
}

/// What a story says, while it is being written down.
pub(crate) struct Told<'l> {
    pub(crate) ledger: &'l Ledger,
    out: Vec<Statement>,
}

impl Told<'_> {
    /// What the actor of a fact says.
    pub(crate) fn signed(&mut self, recorded: &Recorded, text: &str) {
        let who = format!("{}, fact {}", who(self.ledger, &recorded.fact.by), recorded.fact.number);
        self.put(text, &who, Strength::Signed);
    }

    /// What only the server says.
    pub(crate) fn server(&mut self, recorded: &Recorded, text: &str) {
        self.put(text, &format!("the server, fact {}", recorded.fact.number), Strength::AssertedByServer);
    }

    /// What nobody can show.
    pub(crate) fn nobody(&mut self, text: &str) {
        self.put(text, "nobody", Strength::NotProvable);
    }

    pub(crate) fn put(&mut self, text: &str, who: &str, strength: Strength) {
        self.out.push(Statement { text: plain(text), who: plain(who), strength });
    }
}

/// Every statement of a story, in the order of a migration's life; what cannot be proved comes last.
pub(crate) fn all(shown: &Shown<'_>) -> Vec<Statement> {
    let mut told = Told { ledger: &shown.story.ledger, out: Vec::new() };
    agreement(&mut told);
    changes(&mut told);
    rounds::passages(&mut told);
    ending(&mut told);
    rounds::destructions(&mut told);
    noted(&mut told, &shown.story);
    certified(&mut told, shown);
    limits(&mut told, &shown.story);
    told.out
}

/// Between whom, under which plan, approved by whom.
fn agreement(told: &mut Told<'_>) {
    let (ledger, migration) = (told.ledger, told.ledger.migration());
    if let Some(opened) = ledger.recorded().first() {
        let named = |side: Side| {
            let parties = migration.parties.iter().filter(move |party| party.side == side);
            parties.map(|party| party.organisation.as_str()).collect::<Vec<_>>().join(" and ")
        };
        let (controller, processor) = (named(Side::Controller), named(Side::Processor));
        told.signed(
            opened,
            &format!("The migration {} is {controller}'s (the controller), carried out by {processor}.", migration.id),
        );
    }
    let Some((digest, plan, _)) = &migration.plan else { return };
    let proposed = facts(ledger, |act| if let Act::Propose { plan } = act { Some(plan) } else { None });
    for (recorded, _) in proposed.iter().filter(|(_, other)| other.digest().ok() == Some(*digest)) {
        told.signed(recorded, &proposal(plan, &digest.short()));
    }
    for approval in &migration.approvals {
        let Some((recorded, ())) = facts(ledger, |act| if let Act::Approve { .. } = act { Some(()) } else { None })
            .into_iter()
            .find(|(recorded, ())| recorded.fact.number == approval.fact)
        else {
            continue;
        };
        told.signed(
            recorded,
            &format!(
                "{} approved these bytes and no others: plan {}, with the instruction, the scope {} and the scope \
                 report {} in it.",
                approval.name,
                digest.short(),
                plan.scope.short(),
                plan.report.short()
            ),
        );
    }
}

fn proposal(plan: &Plan, digest: &str) -> String {
    let targets: Vec<&str> = plan.targets.iter().map(|target| target.identity.as_str()).collect();
    let contract = plan.instruction.contract.digest.map_or_else(|| "unnamed".to_owned(), |contract| contract.short());
    format!(
        "Plan {digest} (number {}) moves records from '{}' to '{}', until {} at the latest. Its instruction records \
         every item of GDPR art. 28(3)(a) to (h) with its place in the contract {contract}, signed for the \
         controller by {}.",
        plan.serial,
        plan.source.identity,
        targets.join("', '"),
        when(plan.deadline),
        plan.instruction.contract.signatory
    )
}

/// What persons changed on the way.
fn changes(told: &mut Told<'_>) {
    let ledger = told.ledger;
    for recorded in ledger.recorded() {
        match &recorded.fact.act {
            Act::Extend { until, reason } => {
                told.signed(recorded, &format!("The deadline was moved to {}: '{}'.", when(*until), quoted(reason)));
            }
            Act::Freeze { reason } => told.signed(recorded, &format!("Everything was frozen: '{}'.", quoted(reason))),
            Act::Thaw { reason } => told.signed(recorded, &format!("A voice to thaw: '{}'.", quoted(reason))),
            Act::Revoke { certificate, compromised_since, .. } => {
                let (short, since) = (certificate.short(), when(*compromised_since));
                told.signed(recorded, &format!("Certificate {short} was taken back, as compromised since {since}."));
            }
            Act::Open { .. }
            | Act::Propose { .. }
            | Act::Approve { .. }
            | Act::Cancel { .. }
            | Act::SignOff { .. }
            | Act::OpenConsignment { .. }
            | Act::Offer { .. }
            | Act::Begin { .. }
            | Act::Failed { .. }
            | Act::Close { .. }
            | Act::Release { .. }
            | Act::HandOver { .. }
            | Act::Done { .. }
            | Act::AcceptDifference { .. }
            | Act::Abandon { .. }
            | Act::Overdue { .. }
            | Act::Destroyed { .. }
            | Act::PartDestroyed { .. }
            | Act::Finish { .. } => {}
        }
    }
}

/// Why it ended.
fn ending(told: &mut Told<'_>) {
    let ledger = told.ledger;
    for recorded in ledger.recorded() {
        let act = &recorded.fact.act;
        if let Act::SignOff { reports, history } = act {
            let history = match history {
                History::Target => "the new system".to_owned(),
                History::Archive(name) => format!("the archive '{}'", quoted(name)),
            };
            let reports =
                if reports.len() == 1 { "the report".to_owned() } else { format!("{} reports", reports.len()) };
            told.signed(
                recorded,
                &format!(
                    "The laboratory has what it wanted, over {reports} of what was reconciled; the history that the \
                     law requires is held by {history}."
                ),
            );
        } else if let Act::Cancel { reason } = act {
            told.signed(recorded, &format!("The migration was cancelled: '{}'.", quoted(reason)));
        } else if let Act::Overdue { consignment: None } = act {
            let by = who(ledger, &recorded.fact.by);
            told.server(recorded, &format!("Nobody acted: {by} passed, and everything went to destruction."));
        }
    }
}

/// What the certificate says.
fn certified(told: &mut Told<'_>, shown: &Shown<'_>) {
    let Some((digest, certificate)) = &shown.certificate else { return };
    let why = match &certificate.trigger {
        Trigger::SignedOff { .. } => "after sign-off",
        Trigger::Cancelled { .. } => "after a cancellation",
        Trigger::Overdue { .. } => "at the deadline",
    };
    let title = &shown.completeness.title;
    let by = format!("the server, certificate {}", digest.short());
    let text =
        format!("The server's part is destroyed, {why}. The certificate {} is: {title}.", certificate.id.short());
    told.put(&text, &by, Strength::AssertedByServer);
    for certified in &certificate.consignments {
        for sentence in &certified.wording {
            let text = format!("Consignment {}: {sentence}", certified.id.short());
            told.put(&text, &by, Strength::AssertedByServer);
        }
    }
    for sentence in &certificate.wording {
        told.put(sentence, &by, Strength::AssertedByServer);
    }
}

/// What the journal notes of destructions after their facts.
fn noted(told: &mut Told<'_>, story: &Story<'_>) {
    for noted in &story.pack.notes {
        let Some((at, id, what)) = noted.tells_of(story.migration()) else { continue };
        let who = format!("the server, leaf {} of the journal, at {}", noted.number, when(at));
        let text = format!("Consignment {}, after the fact of its destruction: {}.", id.short(), quoted(what));
        told.put(&text, &who, Strength::AssertedByServer);
    }
}

/// What nothing in a pack can show.
fn limits(told: &mut Told<'_>, story: &Story<'_>) {
    let migration = story.migration();
    let (last, size) = (migration.facts, story.checkpoint.size);
    told.put(
        "The times of the facts are the server's. They only go forward, and no act is dated over five minutes ahead of \
         its fact.",
        "the server, in every fact",
        Strength::AssertedByServer,
    );
    for root in &story.unpinned {
        let (name, words) = (organisation(migration, root), spoken(root));
        told.nobody(&format!(
            "That the root of {name} is theirs: it was taken from the pack. Have its six words read out by telephone: \
             {words}."
        ));
    }
    if !story.server_pinned {
        told.nobody("That the server is the one that the parties used: its key was taken from the pack.");
    }
    told.nobody(&format!(
        "That nothing followed fact {last}: newer facts can be withheld. All {last} facts up to it are here, in their \
         places among {size} leaves of the journal."
    ));
    told.nobody("That the records took no other channel: the instruction forbids it, and nothing here would show it.");
    if migration.consignments.iter().any(|consignment| consignment.outcome.is_some()) {
        told.nobody(
            "That the target holds what the recipient says: the last point of a reconciliation is the recipient's \
             statement. It finds errors, not a lying recipient; for that a person of the laboratory looks at a sample \
             in the target.",
        );
    }
    told.nobody(&format!("That no copy is left anywhere. {}", wording::LIMITS));
}

/// A number as people read it: `491,840`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<String> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| group.iter().map(|digit| char::from(*digit)).collect())
        .collect();
    groups.join(",")
}

/// The sum over all tables.
pub(crate) fn sum(tables: &[ManifestTable], of: impl Fn(&ManifestTable) -> u64) -> String {
    count(tables.iter().map(of).fold(0, u64::saturating_add))
}

/// 300 characters: a reason is a sentence or two; the whole of it stands in the entries.
const QUOTED_CHARS_MAX: usize = 300;

/// What a person wrote, short enough to be read.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if short.len() < text.len() { format!("{short} …") } else { short }
}

/// Without characters that move a terminal's cursor or turn the direction of writing.
fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, words) in [(0, "0"), (7, "7"), (999, "999"), (1000, "1,000"), (491_840, "491,840")] {
            assert_eq!(count(number), words);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn what_persons_wrote_moves_no_cursor_and_turns_no_line() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d\u{2028}e"), "a [2Jb c d e");
        assert_eq!(quoted(&"é".repeat(301)).chars().count(), QUOTED_CHARS_MAX + 2);
        assert_eq!(quoted("short"), "short");
    }
}
