//! A server of the tests' own: honest by default, and able to tell every lie that a server could.

mod acts;
mod cheats;
mod enrolment;
mod folder;
mod overdue;
#[cfg(unix)]
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use journal::{Checkpoint, Tree, consistency, inclusion, leaf_hash};
use lexicon::{
    Clock, Code, Digest, Entropy, Fault, FixedClock, MigrationId, PersonId, Result, Retry, Serial, SystemEntropy,
    Timestamp, Trouble, canonical, hours_after,
};
use people::request::{self, Headers, Request};
use people::{Certificate, Device, Envelope, Person, Role, Root, Roster, SigningKey};
use procedure::{Act, Decided, Entry, FactBody, Ledger, PlanParty, Proof, Side, prepare, sign_fact};
use serde::Serialize;
use tempfile::TempDir;
use wire::{
    Answer, Facts, Keeper, Leaf, Method, Outgoing, People, Placed, ServerCard, SubmitAct, Submitted, Transport,
};

use crate::{Desk, Home, KeyHolder};

pub(super) const ORIGIN: &str = "lazaret.example/journal";
pub(super) const MIGRATION: MigrationId = MigrationId([7; 16]);

pub(super) fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

pub(super) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy::new())
}

/// An organisation, as far as a test needs one.
pub(super) struct House {
    pub(super) root: Root,
    pub(super) key: SigningKey,
}

impl House {
    fn new(name: &str) -> Self {
        let key = SigningKey::draw(&SystemEntropy::new()).unwrap();
        Self { root: Root { organisation: name.to_owned(), key: key.public() }, key }
    }

    pub(super) fn certify(&self, name: &str, role: Role, device: &SigningKey) -> Envelope {
        let entropy: &dyn Entropy = &SystemEntropy::new();
        let certificate = Certificate {
            serial: Serial::draw(entropy).unwrap(),
            root: self.root.id(),
            person: Person { id: PersonId::draw(entropy).unwrap(), name: name.to_owned() },
            device: Device { name: "laptop".into(), key: device.public() },
            roles: BTreeSet::from([role]),
            from: hours_after(start(), -1),
            until: hours_after(start(), 24 * 30),
        };
        certificate.sign(&self.key).unwrap()
    }
}

type Lie<T> = Box<dyn Fn(&mut T) + Send>;

pub(super) struct Books {
    pub(super) key: SigningKey,
    pub(super) roster: Roster,
    pub(super) people: People,
    pub(super) ledger: Ledger,
    pub(super) placed: Vec<Placed>,
    pub(super) leaves: Vec<Digest>,
    pub(super) documents: BTreeMap<Digest, Vec<u8>>,
    /// What is done to an answer before it goes out.
    pub(super) facts_lie: Option<Lie<Facts>>,
    pub(super) receipt_lie: Option<Lie<Submitted>>,
    /// Acts that come first, each before one submitted act is looked at.
    pub(super) overtaking: Vec<Proof>,
    /// The server's clock is this far ahead of everybody's.
    pub(super) ahead_minutes: i64,
    pub(super) is_down: bool,
    /// The facts that it was shown.
    pub(super) shown: Vec<Envelope>,
}

impl Books {
    fn decided(&self, proof: &Proof, at: Timestamp) -> Result<Decided> {
        self.ledger.decided(proof, &self.roster, at, None)
    }

    /// Puts a fact with this act into the journal, whatever the procedure says of it.
    pub(super) fn enter(&mut self, proof: Proof, body: &FactBody) -> Placed {
        let fact = sign_fact(body, &self.key).unwrap();
        self.place(Entry { proof, fact })
    }

    /// Puts an entry into the journal.
    pub(super) fn place(&mut self, entry: Entry) -> Placed {
        let leaf = u64::try_from(self.leaves.len()).unwrap();
        let placed = Placed { nonce: Digest::of(&leaf.to_be_bytes()), leaf, entry };
        let bytes = Leaf::Fact { nonce: placed.nonce, entry: Box::new(placed.entry.clone()) };
        self.leaves.push(leaf_hash(&canonical(&bytes).unwrap()));
        placed
    }

    /// Leaves of other migrations, so that no proof is trivial.
    pub(super) fn others(&mut self, count: u8) {
        self.leaves.extend((0..count).map(|number| leaf_hash(&[number])));
    }

    /// What an honest server does with an act at this time.
    pub(super) fn record(&mut self, proof: Proof, now: Timestamp) -> Result<Placed> {
        let at = now.checked_add(jiff::SignedDuration::from_mins(self.ahead_minutes)).unwrap();
        let decided = self.decided(&proof, at)?;
        let body = prepare(&self.ledger, &proof, &decided)?;
        let placed = self.enter(proof, &body);
        self.ledger.admit(&placed.entry, &self.roster, None)?;
        self.placed.push(placed.clone());
        Ok(placed)
    }

    pub(super) fn note(&self, leaves: &[Digest]) -> String {
        note(&self.key, leaves)
    }

    fn facts(&self, from: u64, size: u64) -> Facts {
        let new = u64::try_from(self.leaves.len()).unwrap();
        let from = usize::try_from(from.saturating_sub(1)).unwrap();
        let last = self.placed.last().map(|placed| placed.leaf);
        let mut facts = Facts {
            entries: self.placed.get(from..).unwrap_or_default().to_vec(),
            checkpoint: self.note(&self.leaves),
            consistency: consistency(&self.leaves, size.min(new), new).unwrap(),
            inclusion: last.map(|last| inclusion(&self.leaves, last, new).unwrap()).unwrap_or_default(),
            last,
        };
        if let Some(lie) = &self.facts_lie {
            lie(&mut facts);
        }
        facts
    }
}

pub(super) fn note(key: &SigningKey, leaves: &[Digest]) -> String {
    let size = u64::try_from(leaves.len()).unwrap();
    Checkpoint { origin: ORIGIN.into(), size, root: Tree::of(leaves).root() }.sign(key.pair()).unwrap()
}

pub(super) struct Server {
    books: Mutex<Books>,
    clock: Arc<FixedClock>,
}

impl Server {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    fn answer(&self, outgoing: &Outgoing) -> Result<Vec<u8>> {
        let mut books = self.books();
        if books.is_down {
            return Err(Fault::new(Code(1201), Retry::Later, "the server cannot be reached").into());
        }
        self.check_signature(outgoing, &books.roster)?;
        let now = self.clock.now();
        match (outgoing.method, outgoing.path.rsplit('/').next().unwrap()) {
            (Method::Get, "people") => Ok(json(&books.people)),
            (Method::Get, "facts") => {
                let number = |name: &str| {
                    let part = outgoing.query.split('&').find_map(|part| part.strip_prefix(name));
                    part.unwrap().parse::<u64>().unwrap()
                };
                Ok(json(&books.facts(number("from="), number("size="))))
            }
            (Method::Post, "facts") => {
                books.shown.push(serde_json::from_slice(&outgoing.body).unwrap());
                Ok(json(&true))
            }
            (Method::Post, "acts") => {
                let submit: SubmitAct = serde_json::from_slice(&outgoing.body).unwrap();
                if let Some(first) = books.overtaking.pop() {
                    books.record(first, now)?;
                }
                let entry = books.record(submit.proof, now)?;
                books.documents.extend(
                    submit.documents.into_iter().map(|(digest, text)| (digest, STANDARD.decode(text).unwrap())),
                );
                let mut submitted = Submitted { entry, share: None };
                if let Some(lie) = &books.receipt_lie {
                    lie(&mut submitted);
                }
                Ok(json(&submitted))
            }
            (Method::Get, digest) => Ok(books.documents[&digest.parse::<Digest>().unwrap()].clone()),
            (method, path) => panic!("nobody asked for {method:?} {path}"),
        }
    }

    fn check_signature(&self, outgoing: &Outgoing, roster: &Roster) -> Result<()> {
        let header = |name| outgoing.headers.iter().find(|(given, _)| *given == name).unwrap().1.clone();
        let headers = Headers {
            content_digest: header("content-digest"),
            signature_input: header("signature-input"),
            signature: header("signature"),
        };
        let (method, body) = (outgoing.method.text(), Digest::of(&outgoing.body));
        let request = Request { method, path: &outgoing.path, query: &outgoing.query, body };
        request::verify(&request, &headers, ORIGIN, roster, self.clock.now()).map(drop)
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

impl Transport for Server {
    fn carry(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Answer>> {
        let answer = match self.answer(&outgoing) {
            // Only the network itself fails without an answer.
            Err(Trouble::Fault(fault)) if fault.code == Code(1201) => Err(fault.into()),
            Err(trouble) => Ok(Answer { status: 409, body: json(&trouble).into() }),
            Ok(body) => Ok(Answer { status: 200, body: body.into() }),
        };
        Box::pin(async move { answer })
    }
}

/// A laboratory, a vendor, one person of each at a desk, and the server between them.
pub(super) struct World {
    pub(super) laboratory: House,
    pub(super) vendor: House,
    pub(super) card: ServerCard,
    pub(super) clock: Arc<FixedClock>,
    pub(super) server: Arc<Server>,
    pub(super) claire: Seat,
    pub(super) yann: Seat,
}

/// One person's device.
pub(super) struct Seat {
    /// Removed with the seat.
    _folder: TempDir,
    pub(super) seed: [u8; 32],
    pub(super) certificate: Envelope,
    pub(super) desk: Desk,
}

impl World {
    pub(super) fn new() -> Self {
        let (laboratory, vendor) = (House::new("Laboratoire des Abers"), House::new("Iroise Logiciels"));
        let key = SigningKey::draw(&SystemEntropy::new()).unwrap();
        let card = ServerCard {
            url: "https://lazaret.example".into(),
            fingerprint: Digest::of(b"certificate"),
            origin: ORIGIN.into(),
            key: key.public(),
            demonstration: false,
            serial: None,
        };
        let clock = Arc::new(FixedClock::new(start()));
        let people = People { roots: Vec::new(), certificates: Vec::new(), revocations: Vec::new() };
        let mut roster = Roster::default();
        roster.trust(laboratory.root.clone());
        roster.trust(vendor.root.clone());
        let books = Mutex::new(Books {
            ledger: Ledger::new(ORIGIN, key.public(), MIGRATION),
            key,
            roster,
            people,
            placed: Vec::new(),
            leaves: Vec::new(),
            documents: BTreeMap::new(),
            facts_lie: None,
            receipt_lie: None,
            overtaking: Vec::new(),
            ahead_minutes: 0,
            is_down: false,
            shown: Vec::new(),
        });
        let server = Arc::new(Server { books, clock: Arc::clone(&clock) });
        server.books().others(3);
        let roots = [&laboratory.root, &vendor.root];
        let seat = |house: &House, name: &str, role| seat(&server, &card, &clock, house, name, role, &roots);
        let claire = seat(&laboratory, "Claire Le Goff", Role::Controller);
        let yann = seat(&vendor, "Yann Kermadec", Role::Engineer);
        Self { laboratory, vendor, card, clock, server, claire, yann }
    }

    /// Both organisations, each on its side.
    pub(super) fn parties(&self) -> Vec<PlanParty> {
        [(&self.laboratory, Side::Controller), (&self.vendor, Side::Processor)]
            .map(|(house, side)| PlanParty {
                root: house.root.id(),
                organisation: house.root.organisation.clone(),
                side,
            })
            .to_vec()
    }

    /// A migration that Claire opened and Yann froze.
    pub(super) async fn begun() -> Self {
        let world = Self::new();
        let parties = world.parties();
        act(&world.claire.desk, Act::Open { parties }).await.unwrap();
        act(&world.yann.desk, freeze()).await.unwrap();
        world
    }

    /// Another seat of this world.
    pub(super) fn seat(&self, house: &House, name: &str, role: Role) -> Seat {
        seat(&self.server, &self.card, &self.clock, house, name, role, &[&self.laboratory.root, &self.vendor.root])
    }
}

fn seat(
    server: &Arc<Server>,
    card: &ServerCard,
    clock: &Arc<FixedClock>,
    house: &House,
    name: &str,
    role: Role,
    roots: &[&Root],
) -> Seat {
    let key = SigningKey::draw(&SystemEntropy::new()).unwrap();
    let certificate = house.certify(name, role, &key);
    {
        let mut books = server.books();
        books.roster.admit(&certificate).unwrap();
        books.people.certificates.push(certificate.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    let home = Home::create(&folder.path().join("home")).unwrap();
    home.keep_card(card).unwrap();
    for root in roots {
        home.trust(root).unwrap();
    }
    home.keep_certificate(&certificate).unwrap();
    let seed = *key.seed();
    let desk = open(server, home, key, clock);
    Seat { _folder: folder, seed, certificate, desk }
}

fn open(server: &Arc<Server>, home: Home, key: SigningKey, clock: &Arc<FixedClock>) -> Desk {
    let digest = home.certificate().unwrap().0;
    let keeper: Arc<dyn Keeper> = Arc::new(KeyHolder::new(key, digest));
    Desk::over(server.clone(), home, keeper, clock.clone(), entropy()).unwrap()
}

impl Seat {
    pub(super) fn home(&self) -> &Home {
        self.desk.home()
    }

    pub(super) fn key(&self) -> SigningKey {
        SigningKey::from_seed(self.seed.into()).unwrap()
    }

    /// The desk after the program was started again.
    pub(super) fn reopened(&self, world: &World) -> Desk {
        open(&world.server, Home::open(self.home().folder()).unwrap(), self.key(), &world.clock)
    }

    pub(super) fn alarms(&self) -> usize {
        crate::files::names(&self.home().of(MIGRATION).join("alarms")).unwrap().len()
    }
}

pub(super) fn freeze() -> Act {
    Act::Freeze { reason: "a column nobody knew".into() }
}

pub(super) fn thaw() -> Act {
    Act::Thaw { reason: "explained".into() }
}

pub(super) async fn act(desk: &Desk, act: Act) -> Result<(Submitted, Ledger)> {
    desk.act(MIGRATION, &mut |_| Ok(act.clone()), &[]).await
}

/// The code of what must have been refused, and whether it was an alarm.
pub(super) fn outcome<T>(result: Result<T>) -> (u16, bool) {
    let trouble = result.map(drop).unwrap_err();
    (trouble.code().0, matches!(trouble, Trouble::Alarm(_)))
}
