//! Finding 4 of the decision: the public zone of the server asked nobody for anything. Here there is one door, every
//! line of its table is locked, and each lock is tried with every kind of wrong caller.

use bytes::Bytes;
use desk::organisation::Organisation;
use desk::{Desk, KeyHolder};
use doors::{DOORS, Door, Line, Lock};
use drill::{Name, Party, World, entropy, passphrase};
use lexicon::{Clock, Code, ConsignmentId, Digest, Entropy, MigrationId, ParcelId, canonical, hours_after};
use people::request::{Claim, GOOD_FOR_SECONDS, Request};
use people::{Envelope, OpeningKey, Person, Role, Root, SigningKey};
use procedure::{Act, ActBody, LastFact, Proof, Step};
use wire::{Answer, Https, Keeper, Method, Outgoing, PresentCertificate, SubmitAct, Transport};

/// What is wrong with a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Unsigned,
    /// Another key under a good certificate's name.
    ForeignKey,
    /// A certificate of an organisation that the server never admitted.
    Stranger,
    Replayed,
    TooLate,
    TooEarly,
    OtherServer,
    Revoked,
    /// Well certified, and no party to the migration.
    NoParty,
    OtherMethod,
    OtherBody,
}

impl Wrong {
    const ALL: [Self; 11] = [
        Self::Unsigned,
        Self::ForeignKey,
        Self::Stranger,
        Self::Replayed,
        Self::TooLate,
        Self::TooEarly,
        Self::OtherServer,
        Self::Revoked,
        Self::NoParty,
        Self::OtherMethod,
        Self::OtherBody,
    ];

    /// The answer to it at a door that is not open to everybody.
    fn status(self) -> u16 {
        match self {
            Self::ForeignKey | Self::OtherBody => 403,
            Self::NoParty => 404,
            Self::OtherMethod => 405,
            Self::Unsigned
            | Self::Stranger
            | Self::Replayed
            | Self::TooLate
            | Self::TooEarly
            | Self::OtherServer
            | Self::Revoked => 401,
        }
    }
}

/// A server with one migration at work, and everybody who may knock.
struct Street {
    world: World,
    https: Https,
    migration: MigrationId,
    scope: Digest,
    consignment: ConsignmentId,
    parcel: ParcelId,
    /// As the server signed it.
    fact: Envelope,
    /// Certified and presented, and to be taken back at the door of revocations.
    spare: Envelope,
    controller: Desk,
    operator: Desk,
    revoked: Desk,
    outsider: Desk,
    stranger: Desk,
}

/// How much of an answer is looked at and shown, in letters: more than any list of one migration.
const LOOKED_AT: usize = 300;

/// One request, as far as it can be wrong.
struct Knock<'a> {
    keeper: &'a dyn Keeper,
    method: Method,
    path: String,
    query: String,
    body: Bytes,
}

impl Street {
    async fn build() -> Self {
        let world = World::start().await;
        let systems = world.systems(60);
        let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
        let consignment = world.consign(&plan).await;
        let begin = Act::Begin {
            consignment,
            step: Step::Extract,
            attempt: 1,
            lease: hours_after(world.clock.now(), 5),
            key: OpeningKey::draw().recipient(),
            clear_swap: false,
        };
        world.act(Name::Operator, plan.migration, begin).await.unwrap();
        let taken_back = enrolled(&world, "revoked", "Hugo Roux").await;
        let controller = world.desk(Name::Controller);
        controller.client().revoke(controller.keeper(), &revocation(&world, &taken_back)).await.unwrap();
        let spare = revocation(&world, &enrolled(&world, "spare", "Lise Colin").await);
        let outsider = of_elsewhere(&world, "outsider", "Rosa Weil");
        world.office().admit_root(&outsider.0).await.unwrap();
        outsider.1.present().await.unwrap();
        let query = wire::FactsQuery { from: 1, size: 0 };
        let facts = controller.client().facts(controller.keeper(), plan.migration, query).await.unwrap();
        Self {
            https: Https::new(&world.card).unwrap(),
            migration: plan.migration,
            scope: plan.scope,
            consignment,
            parcel: ParcelId::draw(entropy().as_ref()).unwrap(),
            fact: facts.entries.last().unwrap().entry.fact.clone(),
            spare,
            controller,
            operator: world.desk(Name::Operator),
            revoked: taken_back,
            outsider: outsider.1,
            stranger: of_elsewhere(&world, "stranger", "Omar Sy").1,
            world,
        }
    }

    /// Whoever may do most at a door.
    fn right(&self, door: Door) -> &Desk {
        let parcels = matches!(door, Door::ListParcels | Door::StoreParcel | Door::FetchParcel);
        if parcels { &self.operator } else { &self.controller }
    }

    fn knock<'a>(&self, line: &Line, caller: &'a Desk, method: Method) -> Knock<'a> {
        let ids = [
            ("{migration}", self.migration.to_string()),
            ("{consignment}", self.consignment.to_string()),
            ("{attempt}", "1".to_owned()),
            ("{parcel}", self.parcel.to_string()),
            ("{digest}", self.scope.to_string()),
        ];
        let path = ids.iter().fold(line.path.to_owned(), |path, (name, id)| path.replace(name, id));
        assert!(!path.contains('{'), "{path}");
        let query = if line.door == Door::Facts { "from=1&size=0".to_owned() } else { String::new() };
        let body = self.said(line.door, caller);
        Knock { keeper: caller.keeper(), method, path, query, body: body.into() }
    }

    /// A body that a door can read.
    fn said(&self, door: Door, caller: &Desk) -> Vec<u8> {
        match door {
            Door::Present => {
                let certificate = caller.home().certificate().unwrap().2;
                canonical(&PresentCertificate { certificate }).unwrap()
            }
            Door::Revoke => canonical(&self.spare).unwrap(),
            Door::Submit => self.freeze(caller),
            Door::ShowFact => canonical(&self.fact).unwrap(),
            Door::StoreParcel => b"sealed, for all that a door can know".to_vec(),
            Door::Health
            | Door::OpenApi
            | Door::People
            | Door::Migrations
            | Door::Facts
            | Door::Document
            | Door::Evidence
            | Door::ListParcels
            | Door::FetchParcel => Vec::new(),
        }
    }

    /// An act that may be made over any fact, signed as it should be.
    fn freeze(&self, caller: &Desk) -> Vec<u8> {
        let body = ActBody {
            purpose: ActBody::PURPOSE.to_owned(),
            origin: self.world.card.origin.clone(),
            migration: self.migration,
            last: LastFact { number: 0, digest: Digest([0; 32]) },
            checkpoint: procedure::SeenCheckpoint { size: 0, root: Digest([0; 32]) },
            certificate: caller.keeper().certificate(),
            at: self.world.clock.now(),
            body: Act::Freeze { reason: "who knocks?".to_owned() },
        };
        let proof = Proof::Signed(caller.keeper().sign_act(&body).unwrap());
        canonical(&SubmitAct { proof, documents: std::collections::BTreeMap::new() }).unwrap()
    }

    fn claim(&self, keeper: &dyn Keeper) -> Claim {
        let random = entropy();
        let random: &dyn Entropy = random.as_ref();
        Claim {
            keyid: keeper.certificate(),
            created: self.world.clock.now().as_second(),
            nonce: Digest(random.bytes().unwrap()),
            origin: self.world.card.origin.clone(),
        }
    }

    async fn send(&self, knock: &Knock<'_>, claim: Option<&Claim>, sent: Bytes) -> Answer {
        let signed = claim.map(|claim| {
            let body = Digest::of(&knock.body);
            let request = Request { method: knock.method.text(), path: &knock.path, query: &knock.query, body };
            knock.keeper.sign_request(&request, claim).unwrap()
        });
        let headers = signed.map_or(Vec::new(), |signed| {
            vec![
                ("content-digest", signed.content_digest),
                ("signature-input", signed.signature_input),
                ("signature", signed.signature),
            ]
        });
        let (path, query) = (knock.path.clone(), knock.query.clone());
        let outgoing = Outgoing { method: knock.method, path, query, headers, body: sent, answer_bytes_max: 1 << 24 };
        self.https.carry(outgoing).await.unwrap()
    }

    async fn ask(&self, knock: &Knock<'_>, claim: &Claim) -> Answer {
        self.send(knock, Some(claim), knock.body.clone()).await
    }

    /// The answer to somebody's own request.
    async fn own(&self, line: &Line, caller: &Desk) -> Answer {
        let knock = self.knock(line, caller, method(line.verb));
        self.ask(&knock, &self.claim(caller.keeper())).await
    }

    /// The answer to a wrong caller at one door.
    async fn tried(&self, line: &Line, wrong: Wrong) -> Answer {
        let right = self.right(line.door);
        let knock = self.knock(line, right, method(line.verb));
        let mut claim = self.claim(right.keeper());
        match wrong {
            Wrong::Unsigned => self.send(&knock, None, knock.body.clone()).await,
            Wrong::ForeignKey => {
                let key = SigningKey::draw(entropy().as_ref()).unwrap();
                let forger = KeyHolder::new(key, right.keeper().certificate());
                self.ask(&Knock { keeper: &forger, ..knock }, &claim).await
            }
            Wrong::Stranger => self.own(line, &self.stranger).await,
            Wrong::Revoked => self.own(line, &self.revoked).await,
            Wrong::NoParty => self.own(line, &self.outsider).await,
            Wrong::Replayed => {
                // Whatever came of the first, it was heard.
                let parcel = Knock { path: knock.path.replace(&self.parcel.to_string(), &"0".repeat(32)), ..knock };
                self.ask(&parcel, &claim).await;
                self.ask(&parcel, &claim).await
            }
            Wrong::TooLate | Wrong::TooEarly => {
                let just_over = GOOD_FOR_SECONDS.saturating_add(1);
                let by = if wrong == Wrong::TooLate { just_over.saturating_neg() } else { just_over };
                claim.created = claim.created.saturating_add(by);
                self.ask(&knock, &claim).await
            }
            Wrong::OtherServer => {
                "elsewhere.example/journal".clone_into(&mut claim.origin);
                self.ask(&knock, &claim).await
            }
            Wrong::OtherMethod => {
                let known =
                    |method: &Method| DOORS.iter().any(|other| other.path == line.path && other.verb == method.text());
                let method = [Method::Put, Method::Post, Method::Get].into_iter().find(|method| !known(method));
                self.ask(&Knock { method: method.unwrap(), ..knock }, &claim).await
            }
            Wrong::OtherBody => {
                // At the door where certificates are presented: another's, since one that is none is no request at all.
                let sent = if line.door == Door::Present {
                    self.knock(line, &self.operator, method(line.verb)).body
                } else {
                    Bytes::from_static(b"something else")
                };
                self.send(&knock, Some(&claim), sent).await
            }
        }
    }
}

fn method(verb: &str) -> Method {
    [Method::Get, Method::Post, Method::Put].into_iter().find(|method| method.text() == verb).unwrap()
}

fn person(name: &str) -> Person {
    Person { id: lexicon::PersonId::draw(entropy().as_ref()).unwrap(), name: name.to_owned() }
}

/// A device of the laboratory that the server knows.
async fn enrolled(world: &World, folder: &str, name: &str) -> Desk {
    world.newcomer(world.organisation(Party::Laboratory), &world.path(folder), person(name), Role::Controller);
    let desk = world.desk_at(&world.path(folder));
    desk.present().await.unwrap();
    desk
}

/// A device of an organisation that has nothing to do with the migration.
fn of_elsewhere(world: &World, folder: &str, name: &str) -> (Root, Desk) {
    let made =
        Organisation::create(&world.path(&format!("{folder} root")), "Autre Labo", &passphrase(), entropy().as_ref());
    let organisation = made.unwrap();
    world.newcomer(&organisation, &world.path(folder), person(name), Role::Controller);
    (organisation.root().clone(), world.desk_at(&world.path(folder)))
}

fn revocation(world: &World, desk: &Desk) -> Envelope {
    let now = world.clock.now();
    world.organisation(Party::Laboratory).revoke(desk.keeper().certificate(), now, now).unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).chars().take(LOOKED_AT).collect()
}

/// The doors that are open and those of any good device, as this story knows them: what the table says is looked at.
const OPEN: [Door; 2] = [Door::Health, Door::OpenApi];
const OF_ANY_DEVICE: [Door; 4] = [Door::Present, Door::People, Door::Revoke, Door::Migrations];

/// Whether a wrong caller got nothing at this door, whatever its lock.
fn got_nothing(street: &Street, line: &Line, wrong: Wrong, answer: &Answer) -> bool {
    let open = OPEN.contains(&line.door) && wrong != Wrong::OtherMethod;
    let at_home = wrong == Wrong::NoParty && OF_ANY_DEVICE.contains(&line.door);
    if open || at_home {
        // They may knock here; of the migration of others they learn nothing.
        return answer.status < 300 && !text(answer).contains(&street.migration.to_string());
    }
    if wrong == Wrong::NoParty && line.door == Door::Facts {
        // A migration of others looks like one that does not exist.
        let facts: wire::Facts = serde_json::from_slice(&answer.body).unwrap();
        return facts.entries.is_empty() && facts.last.is_none() && facts.inclusion.is_empty();
    }
    let refused = wrong == Wrong::OtherMethod && answer.body.is_empty()
        || serde_json::from_slice::<lexicon::Trouble>(&answer.body).is_ok();
    answer.status == wrong.status() && refused
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_is_locked_to_every_kind_of_wrong_caller() {
    let street = Street::build().await;
    let facts = |street: &Street| {
        let (desk, id) = (street.world.desk(Name::Controller), street.migration);
        async move { desk.follow(id).await.unwrap().migration().facts }
    };
    let before = facts(&street).await;

    let mut served = Vec::new();
    for line in DOORS {
        for wrong in Wrong::ALL {
            // The first half of a replay is a right caller's, and counts: these two are replayed at the end. Whoever
            // has a device may hand in what a root signed.
            let counts = (line.door == Door::Submit && wrong == Wrong::Replayed)
                || (line.door == Door::Revoke && matches!(wrong, Wrong::Replayed | Wrong::NoParty));
            if counts {
                continue;
            }
            let answer = street.tried(line, wrong).await;
            if !got_nothing(&street, line, wrong, &answer) {
                served.push(format!("{:?} to {wrong:?}: {} {}", line.door, answer.status, text(&answer)));
            }
        }
    }
    assert!(served.is_empty(), "{served:#?}");
    assert_eq!(facts(&street).await, before, "a wrong caller made a fact");

    // The control: each door opens to the right caller, so that it was the caller who was wrong.
    for line in DOORS {
        let told = (line.lock == Lock::Open, matches!(line.lock, Lock::Presented | Lock::Device));
        let known = (OPEN.contains(&line.door), OF_ANY_DEVICE.contains(&line.door));
        assert_eq!(told, known, "the table says otherwise of {:?}", line.door);
        let right = street.right(line.door);
        let knock = street.knock(line, right, method(line.verb));
        let claim = street.claim(right.keeper());
        let answer = street.ask(&knock, &claim).await;
        assert_eq!(answer.status, 200, "{:?}: {}", line.door, text(&answer));
        let again = street.ask(&knock, &claim).await;
        assert_eq!(
            again.status,
            if OPEN.contains(&line.door) { 200 } else { 401 },
            "{:?}: {}",
            line.door,
            text(&again)
        );
    }
    assert_eq!(facts(&street).await, before + 2, "one freeze and one revocation");
}

#[test]
fn the_table_and_the_openapi_document_name_the_same_routes() {
    let document = doors::openapi();

    let paths = document.get("paths").and_then(|paths| paths.as_object()).unwrap();
    let verbs = paths.iter().flat_map(|(path, verbs)| {
        verbs.as_object().unwrap().keys().map(move |verb| format!("{} {path}", verb.to_uppercase()))
    });
    let mut documented: Vec<String> = verbs.collect();
    documented.sort();
    let mut table: Vec<String> = DOORS.iter().map(|line| format!("{} {}", line.verb, line.path)).collect();
    table.sort();

    assert_eq!(documented, table);
    table.dedup();
    assert_eq!(table.len(), DOORS.len(), "a route stands in the table twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_party_without_lease_or_release_touches_no_parcel() {
    let street = Street::build().await;
    let parcels = |line: &&Line| matches!(line.door, Door::ListParcels | Door::StoreParcel | Door::FetchParcel);

    for line in DOORS.iter().filter(parcels) {
        for name in [Name::Controller, Name::Engineer, Name::Approver, Name::Recipient] {
            let answer = street.own(line, &street.world.desk(name)).await;
            let refused: lexicon::Trouble = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(refused.code(), Code(831), "{:?} to {name:?}: {refused}", line.door);
        }
    }
}

#[test]
fn the_committed_openapi_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

    let committed: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();

    assert!(committed == doors::openapi(), "docs/openapi.json is not what the door serves at /openapi.json");
}

/// What a listener answers to bytes that are no TLS, until it closes.
fn answered(address: &str, said: &[u8]) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(said).unwrap();
    let mut answer = Vec::new();
    // A reset after the alert is as good as an end.
    drop(stream.read_to_end(&mut answer));
    answer
}

/// How a handshake with one version of TLS ends, for a client that trusts no certificate.
fn handshake(address: &str, version: &'static rustls::SupportedProtocolVersion) -> std::io::Error {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let mut tls = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    tls.complete_io(&mut tcp).unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_speaks_tls_1_3_and_nothing_else() {
    let world = World::start().await;
    world.plants_nothing("nobody says who they are, and nothing is asked but whether the server is well");
    let address = world.card.url.trim_start_matches("https://").to_owned();

    let (plain, old, new) = tokio::task::spawn_blocking(move || {
        let plain = answered(&address, b"GET /health HTTP/1.1\r\nhost: lazaret\r\nconnection: close\r\n\r\n");
        (plain, handshake(&address, &rustls::version::TLS12), handshake(&address, &rustls::version::TLS13))
    })
    .await
    .unwrap();

    assert!(!plain.windows(4).any(|four| four == b"HTTP"), "{plain:?}");
    assert!(old.to_string().contains("ProtocolVersion"), "{old}");
    // The control: over TLS 1.3 the same client comes as far as the certificate, which nobody but the card vouches for.
    assert!(new.to_string().contains("UnknownIssuer"), "{new}");
}
