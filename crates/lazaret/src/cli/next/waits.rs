//! Who is waited for in a migration, seen by one person. Shows only: [`procedure::decide`] is what counts.

use std::collections::{BTreeMap, BTreeSet};

use lexicon::{ConsignmentId, Digest, Timestamp};
use people::{Certificate, PublicKey, Role, Roster};
use procedure::{Consignment, ConsignmentStage, Kind, Migration, Plan, Released, Side, Stage, Step};
use serde::Serialize;

/// Something that somebody is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Wait {
    /// Whether the person who asks can do it.
    pub mine: bool,
    /// Who can.
    pub who: String,
    /// Why it is needed.
    pub why: String,
    /// Until when, where something happens by itself then.
    pub until: Option<Timestamp>,
    /// The command, without the program's name; capitals stand for what only the person knows.
    pub command: String,
}

/// What this device's folder holds of a migration.
pub(super) struct Kept {
    /// Rounds with something kept.
    pub held: BTreeSet<ConsignmentId>,
    /// Rounds whose keys were destroyed here, with the deadline that did it by itself, if one did.
    pub gone: BTreeMap<ConsignmentId, Option<Timestamp>>,
}

/// A migration and who looks at it.
pub(super) struct View<'a> {
    pub migration: &'a Migration,
    pub me: &'a Certificate,
    /// To name the holders of devices.
    pub roster: &'a Roster,
    pub now: Timestamp,
}

impl View<'_> {
    /// Keys and shares on this device that have outlived their round, and destructions that the server was not told of.
    pub(super) fn destroy(&self, kept: &Kept) -> Vec<Wait> {
        let device = self.me.device.key;
        let command = format!("migration destroy --migration {}", self.migration.id);
        let (mut mine, mut later) = (Vec::new(), Vec::new());
        for round in &self.migration.consignments {
            let due = round.ending.is_some() || self.migration.is_due(self.now) || self.now >= round.deadline;
            let part = round.device == device || round.offers.iter().any(|offer| offer.device == device);
            let told = !part || round.parts.iter().any(|(_, of, _, _)| *of == device);
            let by = kept.gone.get(&round.id).copied().flatten();
            let by = by.map(|deadline| format!(" by the deadline {deadline}")).unwrap_or_default();
            if kept.held.contains(&round.id) && due {
                mine.push(format!(
                    "this device still holds keys or shares of consignment {}, which has ended",
                    round.id
                ));
            } else if kept.gone.contains_key(&round.id) && !told {
                let why =
                    format!("the keys of consignment {} are destroyed here{by} and the server was not told", round.id);
                // Until the server has ended the round too, it takes no such statement.
                if round.ending.is_some() { &mut mine } else { &mut later }.push(why);
            }
        }
        let over = self.migration.ending() || self.migration.is_due(self.now);
        if over && kept.held.iter().any(|id| self.migration.consignment(*id).is_none()) {
            mine.push("this device still holds a key that no fact knows of, and the migration has ended".to_owned());
        }
        // One command destroys them all.
        let mine = mine.into_iter().take(1).map(|why| (true, "you", why));
        let later = later.into_iter().map(|why| (false, "the server, which ends the round at its deadline", why));
        let wait = |(mine, who, why): (bool, &str, String)| Wait {
            mine,
            who: who.to_owned(),
            why,
            until: None,
            command: command.clone(),
        };
        mine.chain(later).map(wait).collect()
    }

    /// Who is waited for.
    pub(super) fn waits(&self) -> Vec<Wait> {
        let migration = self.migration;
        if migration.stage == Stage::Destroyed {
            return Vec::new();
        }
        if migration.ending() || migration.is_due(self.now) {
            return vec![self.wait(false, "the server", "it destroys its part by itself", "migration show")];
        }
        if migration.frozen.is_some() {
            return vec![self.thaw()];
        }
        let Some((_, plan, author)) = &migration.plan else {
            let why = "there is no plan yet";
            let mine = self.is(&[Role::Engineer, Role::Operator, Role::Controller]);
            return vec![self.wait(mine, "an engineer", why, "migration propose --plan FILE")];
        };
        if migration.stage == Stage::Drafted {
            return vec![self.approve(*author == self.me.person.id)];
        }
        match migration.consignments.iter().rev().find(|round| round.alive()) {
            Some(round) => self.round(plan, round),
            None => self.between(plan),
        }
    }

    fn between(&self, plan: &Plan) -> Vec<Wait> {
        if self.migration.consignments.iter().any(|round| round.stage != ConsignmentStage::Destroyed) {
            return vec![self.wait(
                false,
                "the server",
                "it destroys its part of the round that has ended",
                "migration show",
            )];
        }
        if self.migration.standing().any(|round| round.kind == Kind::Full) {
            return vec![self.sign_off()];
        }
        let mine = plan.extracting.contains(&self.me.device.key) && self.is(&[Role::Operator]);
        let who = format!("the operator ({})", self.holders(&plan.extracting));
        let why = "the plan is approved and no consignment is under way";
        let full = self.wait(mine, &who, why, "consignment open --kind full");
        let rehearsed = self.migration.consignments.iter().any(|round| round.kind == Kind::Rehearsal);
        if rehearsed || plan.allowed(Kind::Rehearsal).is_none() || plan.target(Kind::Rehearsal).is_none() {
            return vec![full];
        }
        let why = "the plan allows a rehearsal on a sample, which foretells the full round";
        vec![self.wait(mine, &who, why, "consignment open --kind rehearsal --percent 1"), full]
    }

    fn thaw(&self) -> Wait {
        let voices = self.migration.frozen.iter().flat_map(|frozen| &frozen.thaw);
        let (mut spoke, mut by_controller, mut mine_spoke) = (false, false, false);
        for (person, side) in voices {
            spoke = true;
            by_controller |= *side == Side::Controller;
            mine_spoke |= *person == self.me.person.id;
        }
        let controller = self.controller();
        let mine = !mine_spoke && (!spoke || by_controller || controller);
        let who = match (spoke, by_controller) {
            (false, _) => format!("a controller of {} and one other person", self.laboratory()),
            (true, true) => "one other person".to_owned(),
            (true, false) => format!("a controller of {}", self.laboratory()),
        };
        let reason = self.migration.frozen.as_ref().map_or("", |frozen| frozen.reason.as_str());
        let why = format!("it is frozen ({reason}); nothing is released or handed over, and the deadline runs on");
        self.wait(mine, &who, &why, "migration thaw --reason WHY")
    }

    fn approve(&self, author: bool) -> Wait {
        let approvals = &self.migration.approvals;
        let laboratory = |root| self.migration.side(root) == Some(Side::Controller);
        let by_laboratory = approvals.iter().any(|approval| laboratory(&approval.root));
        // Two voices are enough, so the second must bring the laboratory's when the first did not.
        let needs_laboratory = !approvals.is_empty() && !by_laboratory;
        let fits = self.is(&[Role::Controller, Role::Approver]) && (!needs_laboratory || laboratory(&self.me.root));
        let mine = fits && !author && approvals.iter().all(|approval| approval.person != self.me.person.id);
        let who = match (approvals.is_empty(), needs_laboratory) {
            (true, _) => format!("two controllers or approvers, one at least of {}", self.laboratory()),
            (false, true) => format!("a controller or approver of {}", self.laboratory()),
            (false, false) => "one other controller or approver".to_owned(),
        };
        let given: Vec<&str> = approvals.iter().map(|approval| approval.name.as_str()).collect();
        let given = if given.is_empty() { "nobody".to_owned() } else { given.join(", ") };
        let why = format!("the plan needs two approvals, neither by its author; so far by {given}");
        self.wait(mine, &who, &why, "migration approve")
    }

    fn round(&self, plan: &Plan, round: &Consignment) -> Vec<Wait> {
        let mut waits = match round.stage {
            ConsignmentStage::Open => vec![self.extract(plan, round)],
            ConsignmentStage::Closed if round.offers.is_empty() => Vec::new(),
            ConsignmentStage::Closed => vec![self.release(round, "the consignment is closed and keys are offered")],
            ConsignmentStage::Released => {
                round.released.iter().map(|released| self.released(round, released)).collect()
            }
            ConsignmentStage::Loaded => self.loaded(round),
            ConsignmentStage::Destroyed => Vec::new(),
        };
        if matches!(round.stage, ConsignmentStage::Open | ConsignmentStage::Closed) {
            waits.extend(self.offers(plan, round));
        }
        waits
    }

    fn extract(&self, plan: &Plan, round: &Consignment) -> Wait {
        let mine = round.device == self.me.device.key;
        let who = format!("the operator ({})", self.certified(&round.set_by));
        let address = address("source", &plan.source.identity);
        let running = round.last_attempt().filter(|attempt| attempt.running && self.now < attempt.lease);
        let why = running.map_or_else(
            || "the consignment is open".to_owned(),
            |attempt| format!("attempt {} is running, or was cut; its lease ends at {}", attempt.number, attempt.lease),
        );
        self.of(round, mine, &who, &why, &format!("extract {address}"))
    }

    fn offers(&self, plan: &Plan, round: &Consignment) -> Option<Wait> {
        let offered = |key: &&PublicKey| round.offers.iter().any(|offer| offer.device == **key);
        let open: Vec<PublicKey> = plan.loading.iter().filter(|key| !offered(key)).copied().collect();
        // One key is enough to go on; a device that has none yet may still offer before the release.
        let mine = open.contains(&self.me.device.key) && self.is(&[Role::Recipient]);
        if open.is_empty() || (!mine && !round.offers.is_empty()) {
            return None;
        }
        let who = format!("the recipient ({})", self.holders(&open));
        Some(self.of(round, mine, &who, "a loading device shows the key it will open with", "consignment offer"))
    }

    fn release(&self, round: &Consignment, why: &str) -> Wait {
        let mine = self.controller() && round.operator != self.me.person.id;
        let who = format!("a controller of {} who did not extract", self.laboratory());
        self.of(round, mine, &who, why, "consignment release")
    }

    fn released(&self, round: &Consignment, released: &Released) -> Wait {
        let late = self.now >= released.load_by;
        let running = round.last_attempt().is_some_and(|attempt| attempt.running && attempt.step == Step::Load);
        if late && !running {
            return self.release(round, "nothing was loaded by the time that the release named");
        }
        let until = Some(released.load_by);
        if released.share.is_none() {
            let who = format!("the operator ({})", self.certified(&round.set_by));
            let mine = round.device == self.me.device.key;
            let why = "the laboratory share goes to the released keys";
            return Wait { until, ..self.of(round, mine, &who, why, "consignment hand-over") };
        }
        let named = round.offers.iter().filter(|offer| released.offers.contains(&offer.digest));
        let devices: Vec<PublicKey> = named.map(|offer| offer.device).collect();
        let mine = devices.contains(&self.me.device.key);
        let who = format!("the recipient ({})", self.holders(&devices));
        Wait { until, ..self.of(round, mine, &who, "the share was handed over", &self.load(round)) }
    }

    /// The command that loads a round, with the folder for documents where the plan names one.
    fn load(&self, round: &Consignment) -> String {
        let plan = self.migration.plan.as_ref().map(|(_, plan, _)| plan);
        let folder = plan.and_then(|plan| plan.target(round.kind)?.documents.as_ref());
        let documents = folder.map(|folder| format!(" --documents {}", quoted(folder))).unwrap_or_default();
        format!("load {}{documents}", address("target", &round.target))
    }

    fn loaded(&self, round: &Consignment) -> Vec<Wait> {
        let controller = self.controller();
        let laboratory = format!("a controller of {}", self.laboratory());
        if !round.settled() {
            let offered = round.offers.iter().any(|offer| offer.device == self.me.device.key);
            return vec![
                self.of(round, offered, "the recipient", "the target differs: load again", &self.load(round)),
                self.of(
                    round,
                    controller,
                    &laboratory,
                    "the target differs: or take it as it is, or abandon the round",
                    "consignment accept-difference --reason WHY",
                ),
            ];
        }
        if round.kind == Kind::Rehearsal {
            let mine = controller || round.operator == self.me.person.id;
            let who = format!("the operator, or {laboratory}");
            let why =
                "the rehearsal is over (see `lazaret consignment forecast`); its round is ended before the full one";
            return vec![self.of(round, mine, &who, why, "consignment abandon --reason WHY")];
        }
        vec![self.sign_off()]
    }

    fn sign_off(&self) -> Wait {
        let who = format!("a controller of {}", self.laboratory());
        let why = "the new system holds what was agreed; look at a sample in it first";
        self.wait(self.controller(), &who, why, "migration sign-off --history target")
    }

    fn wait(&self, mine: bool, who: &str, why: &str, command: &str) -> Wait {
        let until = self.migration.deadline.map(|deadline| deadline.at);
        let command = with(command, &format!("--migration {}", self.migration.id));
        Wait { mine, who: who.to_owned(), why: why.to_owned(), until, command }
    }

    fn of(&self, round: &Consignment, mine: bool, who: &str, why: &str, command: &str) -> Wait {
        let ids = format!("--migration {} --consignment {}", self.migration.id, round.id);
        let until = Some(round.deadline);
        Wait { mine, who: who.to_owned(), why: why.to_owned(), until, command: with(command, &ids) }
    }

    fn is(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.me.roles.contains(role))
    }

    fn controller(&self) -> bool {
        self.is(&[Role::Controller]) && self.migration.side(&self.me.root) == Some(Side::Controller)
    }

    fn laboratory(&self) -> &str {
        let party = self.migration.parties.iter().find(|party| party.side == Side::Controller);
        party.map_or("the laboratory", |party| party.organisation.as_str())
    }

    /// The person of a certificate.
    fn certified(&self, digest: &Digest) -> String {
        let certificate = self.roster.certificate(digest);
        certificate.map_or_else(|| format!("certificate {}", digest.short()), |known| known.person.name.clone())
    }

    /// The persons of some devices.
    fn holders(&self, keys: &[PublicKey]) -> String {
        let holder = |key: &PublicKey| {
            let mut known = self.roster.envelopes().filter_map(|(digest, _)| self.roster.certificate(digest));
            let known = known.find(|certificate| certificate.device.key == *key);
            known.map_or_else(|| format!("device {}", key.digest().short()), |known| known.person.name.clone())
        };
        let names: BTreeSet<String> = keys.iter().map(holder).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// The ids stand behind the verb, before what else the command takes.
fn with(command: &str, ids: &str) -> String {
    match command.split_once(" --") {
        Some((verb, rest)) => format!("{verb} {ids} --{rest}"),
        None => format!("{command} {ids}"),
    }
}

/// The flags that name a system. The account is no part of a system's identity: the person fills it in.
fn address(flag: &str, identity: &str) -> String {
    match identity.split_once("://") {
        Some((scheme, rest)) => {
            format!("--{flag} {} --{flag}-credential FILE", quoted(&format!("{scheme}://USER@{rest}")))
        }
        None => format!("--{flag} {}", quoted(identity)),
    }
}

/// One word for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@=,+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
