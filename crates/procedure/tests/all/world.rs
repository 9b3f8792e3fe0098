//! A server and everybody around it, at one moment.

use lexicon::{Code, Digest, MigrationId, Refusal, Result, Timestamp};
use people::{Actor, Envelope, PayloadType, Roster};
use procedure::{
    Act, ActBody, Entry, Fact, Given, LastFact, Ledger, Migration, Proof, SeenCheckpoint, decide, prepare, sign_fact,
};

use crate::cast::{CAST, ORIGIN, Who, revocation, start};
use crate::verbs::{Verb, fitting};

/// Whose hand an act comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    Person(Who),
    LaboratoryRoot,
    VendorRoot,
    ForeignRoot,
    /// The deadline as the facts show it.
    Deadline,
    /// A deadline that nobody set.
    FalseDeadline,
    Server,
}

pub(crate) const HANDS: [Hand; 13] = [
    Hand::Person(Who::Controller),
    Hand::Person(Who::Operator),
    Hand::Person(Who::Engineer),
    Hand::Person(Who::Approver),
    Hand::Person(Who::Recipient),
    Hand::Person(Who::Spare),
    Hand::Person(Who::Outsider),
    Hand::LaboratoryRoot,
    Hand::VendorRoot,
    Hand::ForeignRoot,
    Hand::Deadline,
    Hand::FalseDeadline,
    Hand::Server,
];

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) at: Timestamp,
    pub(crate) roster: Roster,
    pub(crate) ledger: Ledger,
    pub(crate) entries: Vec<Entry>,
    /// What the next plan says of one operator at both ends.
    pub(crate) one_operator_both_ends: bool,
}

pub(crate) fn minutes_after(at: Timestamp, minutes: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap()
}

/// The digest of the strongroom share that the server makes for every consignment here.
pub(crate) fn strongroom_share() -> Digest {
    Digest::of(b"strongroom share")
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            at: start(),
            roster: CAST.roster.clone(),
            ledger: Self::empty_ledger(),
            entries: Vec::new(),
            one_operator_both_ends: false,
        }
    }

    pub(crate) fn empty_ledger() -> Ledger {
        Ledger::new(ORIGIN, CAST.server.public(), MigrationId([7; 16]))
    }

    /// A world where these were done, each by the hand it is for.
    pub(crate) fn after(verbs: &[Verb]) -> Self {
        let mut world = Self::new();
        world.does(verbs);
        world
    }

    pub(crate) fn m(&self) -> &Migration {
        self.ledger.migration()
    }

    pub(crate) fn pass(&mut self, minutes: i64) {
        self.at = minutes_after(self.at, minutes);
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.ledger.recorded().iter().map(|recorded| recorded.fact.clone()).collect()
    }

    pub(crate) fn does(&mut self, verbs: &[Verb]) {
        for verb in verbs {
            let (hand, act) = (verb.hand(self.m()), fitting(self, *verb, 0));
            let done = self.attempt(hand, act);
            assert!(done.is_ok(), "{verb:?} by {hand:?}: {}", done.unwrap_err());
        }
    }

    /// The code with which the act is refused of this hand, by signature and procedure.
    pub(crate) fn refusal(&mut self, hand: Hand, act: Act) -> Code {
        let before = self.m().clone();
        let code = self.attempt(hand, act).unwrap_err().code();
        assert_eq!(*self.m(), before);
        code
    }

    /// The act of this verb by the hand it is for, refused.
    pub(crate) fn refuses(&mut self, verb: Verb) -> Code {
        let (hand, act) = (verb.hand(self.m()), fitting(self, verb, 0));
        self.refusal(hand, act)
    }

    /// Signs, sends, has it decided, journalled, and read back as an agent does.
    pub(crate) fn attempt(&mut self, hand: Hand, act: Act) -> Result<()> {
        let proof = match hand {
            Hand::Person(who) => Proof::Signed(self.sign(who, act, self.ledger.last())),
            Hand::LaboratoryRoot | Hand::VendorRoot | Hand::ForeignRoot => {
                Proof::Revocation(self.revocation(hand, &act))
            }
            Hand::Deadline | Hand::FalseDeadline => Proof::Deadline(act),
            Hand::Server => Proof::Server(act),
        };
        self.submit(proof)
    }

    pub(crate) fn submit(&mut self, proof: Proof) -> Result<()> {
        let entry = self.receipt(proof)?;
        self.ledger.admit(&entry, &self.roster, Some(self.at)).unwrap();
        self.entries.push(entry);
        self.pass(1);
        Ok(())
    }

    /// The entry that an honest server makes of a proof.
    pub(crate) fn receipt(&self, proof: Proof) -> Result<Entry> {
        let decided = self.ledger.decided(&proof, &self.roster, self.at, Some(strongroom_share()))?;
        let fact = sign_fact(&prepare(&self.ledger, &proof, &decided)?, &CAST.server)?;
        Ok(Entry { proof, fact })
    }

    pub(crate) fn body(&self, who: Who, act: Act, last: LastFact) -> ActBody {
        ActBody {
            purpose: ActBody::PURPOSE.to_owned(),
            origin: ORIGIN.to_owned(),
            migration: self.m().id,
            last,
            checkpoint: SeenCheckpoint { size: 0, root: Digest([0; 32]) },
            certificate: CAST.member(who).certificate,
            at: self.at,
            body: act,
        }
    }

    pub(crate) fn sign(&self, who: Who, act: Act, last: LastFact) -> Envelope {
        let member = CAST.member(who);
        Envelope::sign(PayloadType::Act, &self.body(who, act, last), member.certificate, &member.key).unwrap()
    }

    /// The one thing a root can say; any other act becomes a revocation of nothing.
    fn revocation(&self, hand: Hand, act: &Act) -> Envelope {
        let Actor::Root(root) = self.actor(hand, act) else { panic!("{hand:?} is no root") };
        let certificate = if let Act::Revoke { certificate, .. } = act { *certificate } else { Digest([0; 32]) };
        revocation(CAST.root_key(root), certificate, self.at)
    }

    pub(crate) fn actor(&self, hand: Hand, act: &Act) -> Actor {
        let nobody = Actor::Deadline { set_by: Digest([9; 32]), fact: 1 };
        match hand {
            Hand::Person(who) => CAST.member(who).actor.clone(),
            Hand::LaboratoryRoot => Actor::Root(CAST.laboratory.public().digest()),
            Hand::VendorRoot => Actor::Root(CAST.vendor.public().digest()),
            Hand::ForeignRoot => Actor::Root(CAST.foreign.public().digest()),
            Hand::Deadline => self.m().deadline_of(act.consignment()).map_or(nobody, |deadline| deadline.actor()),
            Hand::FalseDeadline => nobody,
            Hand::Server => Actor::Strongroom,
        }
    }

    /// The bare decision, without signatures.
    pub(crate) fn decides(&self, hand: Hand, act: &Act) -> Result<Fact, Refusal> {
        let given = Given { at: self.at, digest: Digest::of(b"an act"), strongroom_share: Some(strongroom_share()) };
        decide(self.m(), act, &self.actor(hand, act), given)
    }
}
