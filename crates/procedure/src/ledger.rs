//! Facts in their order, and the check of every one of them: what the server runs to make a fact is what an agent runs
//! to believe it.

use lexicon::{Alarm, Code, Digest, MigrationId, Refusal, Result, Timestamp, Trouble, canonical, digest_of, limits};
use people::{Actor, Envelope, PayloadType, PublicKey, Revocation, Roster, SigningKey};
use serde::{Deserialize, Serialize};

use crate::{Act, ActBody, Fact, Given, LastFact, Migration, decide};

/// An act was signed over a fact that is not the last any more: fetch, look, sign again.
pub const STALE: Code = Code(273);

/// What an act rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A device's signature over an [`ActBody`].
    Signed(Envelope),
    /// A root's signature over a revocation.
    Revocation(Envelope),
    /// The deadline that the facts show; anybody can see that it has passed.
    Deadline(Act),
    /// The server's own word, signed with the fact.
    Server(Act),
}

impl Proof {
    /// What names the act: the digest of the signed payload, or of the server's word.
    ///
    /// # Errors
    /// A refusal when an envelope is malformed.
    pub fn digest(&self) -> Result<Digest> {
        match self {
            Self::Signed(envelope) | Self::Revocation(envelope) => envelope.digest(),
            Self::Deadline(act) | Self::Server(act) => digest_of(act),
        }
    }
}

/// The server's receipt of an act, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactBody {
    /// `lazaret/1/fact`.
    pub purpose: String,
    /// The journal that records it.
    pub origin: String,
    /// Of which migration.
    pub migration: MigrationId,
    /// From 1, without gaps.
    pub number: u64,
    /// The digest of the fact before; none for the first.
    pub previous: Option<Digest>,
    /// Which act.
    pub act: Digest,
    /// When, by the server's time; never before the fact before.
    pub at: Timestamp,
    /// SHA-256 of the strongroom share, where the act needs one.
    pub strongroom_share: Option<Digest>,
    /// Digest of the whole migration after it: whoever replays the acts must come to the same.
    pub state: Digest,
}

impl FactBody {
    /// The one purpose there is.
    pub const PURPOSE: &'static str = "lazaret/1/fact";
}

/// An act with its receipt: what the journal holds and what agents replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What was done.
    pub proof: Proof,
    /// The server's receipt.
    pub fact: Envelope,
}

/// One fact after it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// The digest of the fact's signed bytes.
    pub digest: Digest,
    /// What it says.
    pub fact: Fact,
}

/// The facts of one migration, each checked as it came in.
#[derive(Clone, Debug)]
pub struct Ledger {
    origin: String,
    server: PublicKey,
    migration: Migration,
    recorded: Vec<Recorded>,
}

/// An act that was decided, before the server signs.
pub struct Decided {
    /// The fact.
    pub fact: Fact,
    /// The migration after it.
    pub next: Migration,
}

impl Ledger {
    const NONE: LastFact = LastFact { number: 0, digest: Digest([0; 32]) };

    /// A ledger without facts.
    pub fn new(origin: &str, server: PublicKey, migration: MigrationId) -> Self {
        Self { origin: origin.to_owned(), server, migration: Migration::new(migration), recorded: Vec::new() }
    }

    /// The migration as the facts have made it.
    pub fn migration(&self) -> &Migration {
        &self.migration
    }

    /// All facts in order.
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// The last fact, as the next act must name it.
    pub fn last(&self) -> LastFact {
        self.recorded
            .last()
            .map_or(Self::NONE, |recorded| LastFact { number: recorded.fact.number, digest: recorded.digest })
    }

    /// Checks one entry as the next and takes it in. `now` is the checking party's own time; none when an old story is
    /// read, for evidence or at the server's start: then the facts alone say which certificates were taken back.
    ///
    /// # Errors
    /// An alarm when the server's receipt does not follow from the acts: what an honest server cannot produce. A
    /// refusal when this party does not know the certificate, or was handed a revocation that the facts do not show.
    pub fn admit(&mut self, entry: &Entry, roster: &Roster, now: Option<Timestamp>) -> Result<()> {
        let number = self.migration.facts.saturating_add(1);
        let body: FactBody = entry.fact.open(PayloadType::Fact, &self.server)?;
        let dishonest = |why: &str| {
            Alarm::new(Code(270), format!("the server's fact {number} does not follow from the signed acts: {why}"))
        };
        let previous = self.recorded.last().map(|recorded| recorded.digest);
        if body.purpose != FactBody::PURPOSE || body.origin != self.origin || body.migration != self.migration.id {
            return Err(dishonest("it is of another journal or another migration").into());
        }
        if body.number != number || body.previous != previous {
            return Err(dishonest("its number or its predecessor is not the next one").into());
        }
        let ahead = now.map(|now| ahead_limit(now, body.at));
        if body.at < self.migration.last_at || ahead == Some(false) {
            return Err(dishonest("its time is before the fact before it, or in the future").into());
        }
        if body.act != entry.proof.digest()? {
            return Err(dishonest("it is of another act").into());
        }
        let told = now.is_some();
        let decided = self.weigh(&entry.proof, roster, told, body.at, body.strongroom_share).map_err(|trouble| {
            if is_local(&trouble) { trouble } else { dishonest(&format!("the procedure says: {trouble}")).into() }
        })?;
        if digest_of(&decided.next)? != body.state || decided.fact.strongroom_share != body.strongroom_share {
            return Err(dishonest("the same acts lead elsewhere").into());
        }
        self.recorded.push(Recorded { digest: entry.fact.digest()?, fact: decided.fact });
        self.migration = decided.next;
        Ok(())
    }

    /// Verifies a proof and decides it as the next act.
    ///
    /// # Errors
    /// A refusal of the signature, of staleness or of the procedure.
    pub fn decided(
        &self,
        proof: &Proof,
        roster: &Roster,
        at: Timestamp,
        strongroom_share: Option<Digest>,
    ) -> Result<Decided> {
        self.weigh(proof, roster, true, at, strongroom_share)
    }

    /// The facts as a party sees them that was handed these revocations outside of them. For deciding what that party
    /// itself will do: no further fact follows from it.
    #[must_use]
    pub fn told(&self, revocations: &[Revocation]) -> Self {
        let mut told = self.clone();
        for Revocation { root, certificate, compromised_since, .. } in revocations {
            told.migration.apply_revocation(*root, *certificate, *compromised_since);
        }
        told
    }

    /// As [`Self::decided`]; `told` says whether revocations count that were handed over outside the facts.
    fn weigh(
        &self,
        proof: &Proof,
        roster: &Roster,
        told: bool,
        at: Timestamp,
        strongroom_share: Option<Digest>,
    ) -> Result<Decided> {
        let digest = proof.digest()?;
        self.once(proof, digest)?;
        let (actor, act) = match proof {
            Proof::Signed(envelope) => {
                let (signer, body) = if told {
                    roster.open::<ActBody>(envelope, PayloadType::Act, at)?
                } else {
                    roster.open_recorded::<ActBody>(envelope, PayloadType::Act, at)?
                };
                self.check_body(&body, signer.certificate(), at)?;
                (Actor::Person(signer), body.body)
            }
            Proof::Revocation(envelope) => {
                let (actor, revocation) = roster.revocation(envelope)?;
                let (root, certificate) = (revocation.root, revocation.certificate);
                (actor, Act::Revoke { root, certificate, compromised_since: revocation.compromised_since })
            }
            Proof::Deadline(act) => {
                let deadline = self.migration.deadline_of(act.consignment());
                (deadline.map_or(Actor::Strongroom, |deadline| deadline.actor()), act.clone())
            }
            Proof::Server(act) => (Actor::Strongroom, act.clone()),
        };
        let given = Given { at, digest, strongroom_share };
        let fact = decide(&self.migration, &act, &actor, given)?;
        let next = self.migration.clone().apply(&fact);
        Ok(Decided { fact, next })
    }

    /// A signature makes one fact. Without this, whoever holds an old freeze could send it again after the thaw.
    fn once(&self, proof: &Proof, digest: Digest) -> Result<()> {
        let signed = matches!(proof, Proof::Signed(_) | Proof::Revocation(_));
        if signed && self.recorded.iter().any(|recorded| recorded.fact.digest == digest) {
            return Err(Refusal::new(
                Code(275),
                "these signed bytes are a fact already",
                "Fetch the newest facts and sign anew if it is to be done again.",
            )
            .into());
        }
        Ok(())
    }

    fn check_body(&self, body: &ActBody, certificate: Digest, at: Timestamp) -> Result<()> {
        let here =
            body.purpose == ActBody::PURPOSE && body.origin == self.origin && body.migration == self.migration.id;
        if !here || body.certificate != certificate {
            return Err(Refusal::new(
                Code(271),
                "this act is of another journal, migration or certificate",
                "Sign it again for this one.",
            )
            .into());
        }
        if !ahead_limit(at, body.at) {
            return Err(Refusal::new(
                Code(272),
                "this act is dated more than five minutes ahead",
                "Set the machine's clock and sign again; a device that was used while its clock was ahead waits until \
                 that time has come.",
            )
            .into());
        }
        let last = self.last();
        let known = body.last == last || (body.body.may_be_stale() && self.knew(body.last));
        if !known {
            return Err(Refusal::new(
                STALE,
                format!("this act was signed over fact {}, and {} is the last", body.last.number, last.number),
                "Fetch the newest facts, look at what changed, and sign again.",
            )
            .into());
        }
        Ok(())
    }

    /// Whether `last` was the last fact once.
    fn knew(&self, last: LastFact) -> bool {
        last == Self::NONE
            || self
                .recorded
                .iter()
                .any(|recorded| recorded.fact.number == last.number && recorded.digest == last.digest)
    }
}

fn ahead_limit(now: Timestamp, at: Timestamp) -> bool {
    at.duration_since(now) <= jiff::SignedDuration::from_mins(limits::AHEAD_MINUTES_MAX)
}

/// What says something of this party's own knowledge or machine, and so proves nothing against the server: a root or
/// certificate that it was not given (125, 128), a revocation that it was handed by file (127), a fault.
fn is_local(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Refusal(refusal) => matches!(refusal.code, Code(125 | 127 | 128)),
        Trouble::Fault(_) => true,
        Trouble::Alarm(_) => false,
    }
}

/// What the server signs for a decided act.
///
/// # Errors
/// As [`canonical`].
pub fn prepare(ledger: &Ledger, proof: &Proof, decided: &Decided) -> Result<FactBody> {
    Ok(FactBody {
        purpose: FactBody::PURPOSE.to_owned(),
        origin: ledger.origin.clone(),
        migration: ledger.migration.id,
        number: decided.fact.number,
        previous: ledger.recorded.last().map(|recorded| recorded.digest),
        act: proof.digest()?,
        at: decided.fact.at,
        strongroom_share: decided.fact.strongroom_share,
        state: Digest::of(&canonical(&decided.next)?),
    })
}

/// The signed fact.
///
/// # Errors
/// As [`Envelope::sign`].
pub fn sign_fact(body: &FactBody, key: &SigningKey) -> Result<Envelope> {
    Envelope::sign(PayloadType::Fact, body, key.public().digest(), key)
}
