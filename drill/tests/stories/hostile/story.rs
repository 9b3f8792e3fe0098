//! What a server can say that has thrown its scruples away: acts, receipts, states, journal and checkpoint that agree
//! with each other in everything that its key signs.

use std::sync::Arc;

use desk::Desk;
use drill::{Name, World, entropy};
use journal::{Checkpoint, Tree, consistency, inclusion, leaf_hash};
use lexicon::{Clock, Digest, Entropy, MigrationId, Timestamp, canonical, digest_of};
use people::{Actor, Envelope, PayloadType, Roster, Signer, SigningKey};
use procedure::{
    Act, ActBody, Entry, Fact, FactBody, LastFact, Ledger, Migration, Proof, Recorded, SeenCheckpoint, sign_fact,
};
use wire::{Facts, FactsQuery, Leaf, Placed};

/// On whose word an invented fact rests.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there are a handful in a story")]
pub(crate) enum By {
    /// This person's real signature: they are in it with the server.
    Signed(Name),
    /// The name of this person, the server's own key.
    Forged(Name),
    /// Somebody whom the server's own root certified.
    Stranger(Arc<SigningKey>, Digest),
    /// The server's word.
    Server,
    /// A deadline.
    Deadline,
    /// Bytes that somebody once signed.
    Again(Proof),
}

/// A migration and its journal, as a server tells them.
#[derive(Clone)]
pub(crate) struct Story {
    key: Arc<SigningKey>,
    origin: String,
    /// When the next fact is recorded, and signed unless somebody signs by their own clock.
    pub(crate) now: Timestamp,
    /// Everyone; the server may certify more.
    pub(crate) roster: Roster,
    /// What whoever believes all of it arrives at.
    pub(crate) state: Migration,
    pub(crate) entries: Vec<Placed>,
    pub(crate) leaves: Vec<Digest>,
    believed: Vec<Recorded>,
    /// Minutes by which the next receipt, and the next act, is dated ahead.
    ahead: (i64, i64),
}

/// `minutes` after `at`.
fn minutes_after(at: Timestamp, minutes: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap()
}

impl Story {
    /// The truth, as the server has it on its disk.
    pub(crate) async fn so_far(world: &World, migration: MigrationId) -> Self {
        let desk = world.desk(Name::Engineer);
        let (_, roster) = desk.people().await.unwrap();
        let all = FactsQuery { from: 1, size: 0 };
        let entries = desk.client().facts(desk.keeper(), migration, all).await.unwrap().entries;
        let registry = registry::Registry::open(&world.server_folder().join("registry.sqlite")).unwrap();
        let (key, leaves) = (Arc::new(world.server_key()), registry.leaf_hashes().unwrap());
        let (origin, state) = (world.card.origin.clone(), Migration::new(migration));
        let (now, believed) = (world.clock.now(), Vec::new());
        Self { key, origin, now, roster, state, entries, leaves, believed, ahead: (0, 0) }.replayed()
    }

    fn replayed(mut self) -> Self {
        let mut ledger = Ledger::new(&self.origin, self.key.public(), self.state.id);
        for placed in &self.entries {
            ledger.admit(&placed.entry, &self.roster, None).unwrap();
        }
        (self.state, self.believed) = (ledger.migration().clone(), ledger.recorded().to_vec());
        self
    }

    /// Only the first facts. The journal keeps all its leaves: of those of others nobody is told the content.
    pub(crate) fn hiding_after(&self, facts: u64) -> Self {
        let mut cut = self.clone();
        cut.entries.truncate(usize::try_from(facts).unwrap());
        cut.replayed()
    }

    /// Only the first facts, and a journal that ends with the last of them.
    pub(crate) fn set_back_to(&self, facts: u64) -> Self {
        let mut cut = self.hiding_after(facts);
        let end = cut.entries.last().map_or(0, |placed| placed.leaf.saturating_add(1));
        cut.leaves.truncate(usize::try_from(end).unwrap());
        cut
    }

    /// The number of the fact that carries the first such act.
    pub(crate) fn number_of(&self, which: impl Fn(&Act) -> bool) -> u64 {
        self.believed.iter().find(|recorded| which(&recorded.fact.act)).unwrap().fact.number
    }

    /// What fact `number` rests on.
    pub(crate) fn proof(&self, number: u64) -> Proof {
        let before = usize::try_from(number).unwrap().checked_sub(1).unwrap();
        self.entries.get(before).unwrap().entry.proof.clone()
    }

    /// The last fact, as a next act would name it.
    pub(crate) fn last(&self) -> LastFact {
        self.believed.last().map_or(LastFact { number: 0, digest: Digest([0; 32]) }, |recorded| LastFact {
            number: recorded.fact.number,
            digest: recorded.digest,
        })
    }

    /// This story in the journal of another one: what it leaves out is a leaf there like those of others.
    pub(crate) fn in_journal_of(mut self, other: &Self) -> Self {
        self.leaves.clone_from(&other.leaves);
        self
    }

    /// This story, going on at this time.
    pub(crate) fn going_on_at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// This story, where the next receipt and the next act are dated so many minutes ahead.
    pub(crate) fn dated_ahead(mut self, receipt: i64, act: i64) -> Self {
        self.ahead = (receipt, act);
        self
    }

    /// This story with leaves of other migrations after it.
    pub(crate) fn grown(mut self, leaves: u8) -> Self {
        self.leaves.extend((0..leaves).map(|number| leaf_hash(&[number])));
        self
    }

    /// This story with one more fact.
    pub(crate) fn and(&self, world: &World, by: &By, act: &Act) -> Self {
        let mut story = self.clone();
        let proof = story.prove(world, by, act);
        let actor = match by {
            By::Signed(_) | By::Stranger(..) | By::Again(_) => Actor::Person(story.signer(&proof)),
            By::Forged(name) => {
                let truly = story.prove(world, &By::Signed(*name), act);
                Actor::Person(story.signer(&truly))
            }
            By::Server => Actor::Strongroom,
            By::Deadline => story.state.deadline_of(None).unwrap().actor(),
        };
        let act = if let By::Again(proof) = by { body_of(proof).body } else { act.clone() };
        story.record(proof, actor, act);
        story
    }

    /// Takes whatever comes, as a server that refuses nothing.
    pub(crate) fn take(&mut self, proof: Proof) -> Placed {
        let (actor, act) = (Actor::Person(self.signer(&proof)), body_of(&proof).body);
        self.record(proof, actor, act);
        self.entries.last().unwrap().clone()
    }

    fn signer(&self, proof: &Proof) -> Signer {
        let Proof::Signed(envelope) = proof else { unreachable!("nobody signed it") };
        self.roster.open::<ActBody>(envelope, PayloadType::Act, self.now).unwrap().0
    }

    fn prove(&self, world: &World, by: &By, act: &Act) -> Proof {
        let body = |certificate| ActBody {
            purpose: ActBody::PURPOSE.to_owned(),
            origin: self.origin.clone(),
            migration: self.state.id,
            last: self.last(),
            checkpoint: SeenCheckpoint { size: 0, root: Digest([0; 32]) },
            certificate,
            at: minutes_after(self.now, self.ahead.1),
            body: act.clone(),
        };
        let sign = |certificate, key: &SigningKey| {
            Proof::Signed(Envelope::sign(PayloadType::Act, &body(certificate), certificate, key).unwrap())
        };
        match by {
            By::Signed(name) => {
                let desk: Desk = world.desk(*name);
                Proof::Signed(desk.keeper().sign_act(&body(world.certificate(*name))).unwrap())
            }
            By::Forged(name) => sign(world.certificate(*name), &self.key),
            By::Stranger(key, certificate) => sign(*certificate, key),
            By::Server => Proof::Server(act.clone()),
            By::Deadline => Proof::Deadline(act.clone()),
            By::Again(proof) => proof.clone(),
        }
    }

    fn record(&mut self, proof: Proof, by: Actor, act: Act) {
        let random = entropy();
        let random: &dyn Entropy = random.as_ref();
        let at = minutes_after(self.now, self.ahead.0);
        let strongroom_share = matches!(act, Act::OpenConsignment { .. }).then_some(Digest([7; 32]));
        let (number, digest) = (self.state.facts.saturating_add(1), proof.digest().unwrap());
        let fact = Fact { number, by, at, digest, strongroom_share, act };
        let next = self.state.clone().apply(&fact);
        let body = FactBody {
            purpose: FactBody::PURPOSE.to_owned(),
            origin: self.origin.clone(),
            migration: self.state.id,
            number,
            previous: self.believed.last().map(|recorded| recorded.digest),
            act: digest,
            at,
            strongroom_share,
            state: digest_of(&next).unwrap(),
        };
        let entry = Entry { proof, fact: sign_fact(&body, &self.key).unwrap() };
        self.believed.push(Recorded { digest: entry.fact.digest().unwrap(), fact });
        let nonce = Digest(random.bytes().unwrap());
        let leaf = Leaf::Fact { nonce, entry: Box::new(entry.clone()) };
        self.entries.push(Placed { entry, leaf: u64::try_from(self.leaves.len()).unwrap(), nonce });
        self.leaves.push(leaf_hash(&canonical(&leaf).unwrap()));
        self.state = next;
    }

    /// The answer to whoever asks for facts, with every proof that this journal has.
    pub(crate) fn served(&self, query: FactsQuery) -> Facts {
        let tree = Tree::of(&self.leaves);
        let size = tree.size();
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root: tree.root() };
        let last = self.entries.last().map(|placed| placed.leaf);
        let before = usize::try_from(query.from).unwrap().saturating_sub(1);
        Facts {
            entries: self.entries.iter().skip(before).cloned().collect(),
            checkpoint: checkpoint.sign(self.key.pair()).unwrap(),
            consistency: if (1..=size).contains(&query.size) {
                consistency(&self.leaves, query.size, size).unwrap()
            } else {
                Vec::new()
            },
            inclusion: last.map(|leaf| inclusion(&self.leaves, leaf, size).unwrap()).unwrap_or_default(),
            last,
        }
    }
}

/// What a person signed.
pub(crate) fn body_of(proof: &Proof) -> ActBody {
    let Proof::Signed(envelope) = proof else { unreachable!("nobody signed it") };
    serde_json::from_slice(&envelope.bytes().unwrap()).unwrap()
}
