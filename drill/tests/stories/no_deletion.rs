//! Finding 5 of the decision: nothing deleted the files once the migration was done; they lay there until somebody took
//! them. Here a deadline destroys, whoever does nothing, whatever is cut, and whoever puts a copy back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use desk::Home;
use drill::{Name, Round, World, copy_folder, files_below, lies_on, passphrase, write_file};
use futures::future::BoxFuture;
use lexicon::{Clock, Code, ConsignmentId, Fault, Result, Retry, Trouble, hours_after};
use office::Office;
use passage::{Errand, PartReport, Quiet};
use people::OpeningKey;
use procedure::{Absent, Act, ConsignmentStage, Ending, Stage};
use registry::Registry;
use vault::{Erased, KeyRing, KeyState, ParcelAddress, Receipt, RingEvidence, Shelf};

use super::passes_on::passes_on;

/// Where the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    BeforeTheKey,
    AfterTheKey,
    BeforeTheParcels,
    AfterTheParcels,
    BeforeTheLastLook,
    BeforeTheTombstoneIsTold,
}

impl Cut {
    const ALL: [Self; 6] = [
        Self::BeforeTheKey,
        Self::AfterTheKey,
        Self::BeforeTheParcels,
        Self::AfterTheParcels,
        Self::BeforeTheLastLook,
        Self::BeforeTheTombstoneIsTold,
    ];

    /// Nothing comes back from here.
    fn here(self, at: Self) -> Result<()> {
        if self == at { Err(Fault::new(Code(0), Retry::Later, "the power went").into()) } else { Ok(()) }
    }
}

/// A ring or a shelf whose power goes at one moment.
pub(super) struct Cuts<T: ?Sized> {
    pub(super) inner: Arc<T>,
    pub(super) at: Cut,
}

impl KeyRing for Cuts<dyn KeyRing> {
    passes_on!(create encrypt decrypt attest buried held still_opens level);

    fn destroy(&self, id: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
        self.at.here(Cut::BeforeTheKey)?;
        let evidence = self.inner.destroy(id, seen)?;
        self.at.here(Cut::AfterTheKey)?;
        Ok(evidence)
    }

    fn engrave(&self, id: ConsignmentId, recorded: &Receipt) -> Result<()> {
        self.at.here(Cut::BeforeTheTombstoneIsTold)?;
        self.inner.engrave(id, recorded)
    }
}

impl Shelf for Cuts<dyn Shelf> {
    passes_on!(keeps id put read unfinished);

    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        Box::pin(async move {
            let listed = self.inner.list(consignment).await?;
            // The first look finds parcels.
            if listed.is_empty() {
                self.at.here(Cut::BeforeTheLastLook)?;
            }
            Ok(listed)
        })
    }

    fn erase<'a>(&'a self, consignment: ConsignmentId, seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        Box::pin(async move {
            self.at.here(Cut::BeforeTheParcels)?;
            let erased = self.inner.erase(consignment, seen).await?;
            self.at.here(Cut::AfterTheParcels)?;
            Ok(erased)
        })
    }
}

/// A consignment that was handed over, its share sealed in the registry, and is not loaded.
pub(super) async fn handed_over(world: &World) -> (drill::Systems, Round) {
    let systems = world.systems(60);
    let round = world.closed(&systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    (systems, round)
}

pub(super) fn parcels_on(data: &Path, round: &Round) -> usize {
    let shelf = data.join("shelf").join(round.consignment.to_string());
    if shelf.exists() { files_below(&[&shelf]).len() } else { 0 }
}

/// How many facts name parcels that were not where they had been stored.
fn tell_of_absent(data: &Path) -> i64 {
    let db = rusqlite::Connection::open(data.join("registry.sqlite")).unwrap();
    let query = r#"SELECT count(*) FROM fact WHERE entry LIKE '%"absent":%'"#;
    db.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Nothing of the consignment is left on the server but what says that it was destroyed.
pub(super) fn is_destroyed(world: &World, data: &Path, ring: &Path, round: &Round) {
    let registry = Registry::open(&data.join("registry.sqlite")).unwrap();
    assert_eq!(parcels_on(data, round), 0);
    assert!(registry.wrapped_share(round.consignment).unwrap().is_none());
    assert!(registry.parcels(round.consignment).unwrap().is_empty());
    let documents = registry.documents(round.plan.migration).unwrap();
    let named = [round.plan.scope, round.plan.report];
    assert_eq!(documents.iter().filter(|(digest, _)| named.contains(digest)).count(), 2, "scope and report stay");
    let sealed = documents.iter().filter(|(_, body)| body.starts_with(b"age-encryption.org/v1"));
    assert_eq!(sealed.count(), 0, "the sealed laboratory share does not");
    let state = world.ring(data, ring).unwrap().attest(round.consignment).unwrap();
    assert!(matches!(state, KeyState::Destroyed { recorded: true, .. }), "{state:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_destroys_by_itself_also_when_it_is_cut_anywhere() {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    world.stop().await;
    let copies: Vec<(Cut, PathBuf, PathBuf)> = Cut::ALL
        .iter()
        .map(|cut| {
            let (data, ring) = (world.path(&format!("{cut:?} data")), world.path(&format!("{cut:?} ring")));
            copy_folder(&world.server_folder(), &data);
            copy_folder(&world.ring_folder(), &ring);
            (*cut, data, ring)
        })
        .collect();

    world.pass_hours(71);
    world.open_office(&world.server_folder(), &world.ring_folder()).unwrap().sweep().await.unwrap();
    assert!(parcels_on(&world.server_folder(), &round) >= 4, "the control: an hour before, everything is there");
    world.pass_hours(2);
    for (cut, data, ring) in &copies {
        let mut furniture = world.furniture(data, ring).unwrap();
        furniture.ring = Arc::new(Cuts::<dyn KeyRing> { inner: furniture.ring, at: *cut });
        furniture.shelf = Arc::new(Cuts::<dyn Shelf> { inner: furniture.shelf, at: *cut });
        let office = Office::open(furniture).unwrap();
        assert!(office.sweep().await.is_err(), "{cut:?} was not cut");
        drop(office);
        let ring_of = world.ring(data, ring).unwrap();
        let alive = ring_of.attest(round.consignment).unwrap() == KeyState::Alive;
        assert_eq!(alive, *cut == Cut::BeforeTheKey, "{cut:?}: the key goes first");
        drop(ring_of);

        let office = world.open_office(data, ring).unwrap();
        office.sweep().await.unwrap();
        office.sweep().await.unwrap();
        drop(office);
        assert_eq!(tell_of_absent(data), 0, "{cut:?}: what was deleted before it was cut is taken for lost");

        is_destroyed(&world, data, ring, &round);
    }
    world.restart();
    world.office().sweep().await.unwrap();
    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let consignment = ledger.migration().consignment(round.consignment).unwrap();
    assert_eq!((consignment.stage, consignment.ending), (ConsignmentStage::Destroyed, Some(Ending::Overdue)));
    let overdue = ledger.recorded().iter().find(|recorded| matches!(recorded.fact.act, Act::Overdue { .. })).unwrap();
    assert!(overdue.fact.by.person().is_none(), "a person who did nothing is said to have acted");
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_that_are_not_where_they_were_stored_are_certified_as_absent_and_not_as_deleted() {
    let mut world = World::start().await;
    let (_, round) = handed_over(&world).await;
    let stored = parcels_on(&world.server_folder(), &round);
    world.stop().await;
    // As behind a mount that is not there: all but one, and one that is empty. Others that nobody noted are no substitute.
    let (shelf, elsewhere) = (world.server_folder().join("shelf"), world.path("elsewhere"));
    std::fs::rename(&shelf, &elsewhere).unwrap();
    let mut parcels = lies_on(&elsewhere);
    let [whole, empty] = [parcels.pop().unwrap(), parcels.pop().unwrap()];
    let place = |parcel: &Path| shelf.join(parcel.strip_prefix(&elsewhere).unwrap());
    for parcel in [&whole, &empty] {
        std::fs::create_dir_all(place(parcel).parent().unwrap()).unwrap();
    }
    std::fs::copy(&whole, place(&whole)).unwrap();
    write_file(&place(&empty), b"");
    for other in 1..=stored {
        std::fs::copy(&whole, place(&whole).with_file_name(format!("{other:032x}"))).unwrap();
    }
    world.restart();
    let cancel = Act::Cancel { reason: "no longer wanted".to_owned() };
    world.act(Name::Controller, round.plan.migration, cancel).await.unwrap();
    world.office().sweep().await.unwrap();

    let ledger = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let evidence = ledger.recorded().iter().find_map(|recorded| {
        if let Act::Destroyed { evidence, .. } = &recorded.fact.act { Some(evidence.clone()) } else { None }
    });
    let evidence = evidence.unwrap();
    assert!(stored > 2 && evidence.inventory.len() == stored, "this story says too little: {stored}");
    let there = std::fs::metadata(&whole).unwrap().len();
    let inventory: u64 = evidence.inventory.iter().map(|line| line.bytes).sum();
    let absent = Absent { parcels: u64::try_from(stored - 1).unwrap(), bytes: inventory - there };
    assert_eq!(evidence.absent, Some(absent));
    // What was deleted is counted as it was found: both, and the others.
    let others = u64::try_from(stored).unwrap();
    assert_eq!((evidence.parcels, evidence.bytes), (others + 2, (others + 1) * there));
    assert_eq!(tell_of_absent(&world.server_folder()), 1);
    let told = |note: &String| {
        note.contains("stored parcels were not on the shelf as they were stored when it was to be emptied")
    };
    assert_eq!(world.notes().into_iter().filter(told).count(), 1);
}

/// The names of what a device keeps of a round.
pub(super) fn kept(world: &World, name: Name, round: desk::Round) -> Vec<String> {
    let path = format!("migrations/{}/consignments/{}", round.migration, round.consignment);
    let mut names: Vec<String> = std::fs::read_dir(world.home(name).join(path))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn each_partys_own_part_goes_at_its_own_deadline_with_the_server_away() {
    let mut world = World::start().await;
    let (systems, round) = handed_over(&world).await;
    world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap();
    let (id, deadline) = (round.plan.migration, hours_after(world.clock.now(), 72));
    let place = desk::Round { migration: id, consignment: round.consignment };
    world.stop().await;

    world.pass_hours(71);
    for name in [Name::Operator, Name::Recipient] {
        assert!(world.desk(name).overdue().is_quiet());
    }
    assert_eq!(kept(&world, Name::Operator, place), ["laboratory.share", "progress.jsonl"]);
    assert_eq!(kept(&world, Name::Recipient, place), ["opening.key", "probe.json", "probe.parcel"]);
    world.pass_hours(1);
    // The operator's next command, whatever it is; the recipient's timer, which needs no passphrase.
    let command = world.desk(Name::Operator).overdue().destroyed.clone();
    let recipient = Home::open(&world.home(Name::Recipient)).unwrap();
    let timer = desk::destroy_overdue(&recipient, world.clock.as_ref()).unwrap().destroyed;

    for (name, destroyed) in [(Name::Operator, command), (Name::Recipient, timer)] {
        assert_eq!(destroyed, [desk::OverdueRound { round: place, deadline, keys: 1 }]);
        assert_eq!(kept(&world, name, place), ["gone.json"]);
        let untold = world.destroy_part(name, id, &[]).await.unwrap();
        assert!(matches!(untold.as_slice(), [PartReport { keys: 1, stated: false, .. }]), "{untold:?}");
    }
    world.restart();
    world.office().sweep().await.unwrap();
    for name in [Name::Operator, Name::Recipient] {
        let told = world.destroy_part(name, id, &[]).await.unwrap();
        assert!(matches!(told.as_slice(), [PartReport { keys: 1, probe: None, stated: true, .. }]), "{told:?}");
        assert!(world.destroy_part(name, id, &[]).await.unwrap().is_empty(), "said once");
    }
    let ledger = world.desk(Name::Controller).follow(id).await.unwrap();
    let parts = &ledger.migration().consignment(round.consignment).unwrap().parts;
    assert!(parts.len() == 2 && parts.iter().all(|(_, _, keys, probe)| (*keys, *probe) == (1, None)), "{parts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_offer_never_became_a_fact_is_destroyed_when_its_round_or_the_migration_ends() {
    let world = World::start().await;
    let systems = world.systems(60);
    let plan = world.approved(&synth::scope_toml(), systems.source.as_ref(), systems.sink.as_ref()).await;
    let (id, consignment) = (plan.migration, world.consign(&plan).await);
    let nobodys = ConsignmentId([9; 16]);
    for (name, consignment) in [(Name::Engineer, consignment), (Name::Recipient, nobodys)] {
        let (desk, secret, round) = (world.desk(name), passphrase(), desk::Round { migration: id, consignment });
        let errand = Errand { desk: &desk, passphrase: &secret, migration: id, consignment, progress: &Quiet };
        passage::offer(&errand).await.unwrap_err();
        if consignment == nobodys {
            // Of a consignment that nobody knows none is kept; this one comes from elsewhere.
            assert!(!desk.home().held(id).unwrap().contains(&round));
            desk.home().keep_opening_key(round, &OpeningKey::draw(), &secret).unwrap();
        }
        assert_eq!(kept(&world, name, round), ["opening.key"]);
        assert!(world.destroy_part(name, id, &[]).await.unwrap().is_empty(), "while it may still be needed it stays");
    }

    world.act(Name::Operator, id, Act::Abandon { consignment, reason: "wrong seed".into() }).await.unwrap();
    let of_engineer = world.destroy_part(Name::Engineer, id, &[]).await.unwrap();
    let of_recipient = world.destroy_part(Name::Recipient, id, &[]).await.unwrap();
    world.act(Name::Controller, id, Act::Cancel { reason: "no longer wanted".into() }).await.unwrap();
    let at_the_end = world.destroy_part(Name::Recipient, id, &[]).await.unwrap();

    let of = |consignment| PartReport { consignment, keys: 1, probe: None, stated: true };
    assert_eq!(of_engineer, [of(consignment)]);
    assert_eq!(of_recipient, [of(consignment)], "the part that a fact knows of, and it alone");
    assert_eq!(at_the_end, [of(nobodys)]);
    assert_eq!(kept(&world, Name::Engineer, desk::Round { migration: id, consignment }), ["gone.json"]);
    assert_eq!(kept(&world, Name::Recipient, desk::Round { migration: id, consignment: nobodys }), ["gone.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_opening_key_is_kept_before_the_facts_that_tell_its_deadline() {
    let mut world = World::start().await;
    world.plants_nothing("a migration is opened; there is no old system");
    let (id, desk, secret) = (world.open().await, world.desk(Name::Recipient), passphrase());
    let consignment = ConsignmentId([9; 16]);
    let errand = Errand { desk: &desk, passphrase: &secret, migration: id, consignment, progress: &Quiet };
    let unknown = passage::offer(&errand).await.unwrap_err();
    assert_eq!(unknown.code(), Code(604), "{unknown}");
    assert!(desk.home().held(id).unwrap().is_empty());
    world.stop().await;
    passage::offer(&errand).await.unwrap_err();
    assert!(desk.home().held(id).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_its_rounds_deadline_overtook_is_signed_off_with_nothing_left() {
    let world = World::start().await;
    let (systems, round) = handed_over(&world).await;
    assert!(world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap().reconciliation.equal());

    world.pass_hours(73);
    world.office().sweep().await.unwrap();
    assert_eq!(parcels_on(&world.server_folder(), &round), 0);
    let followed = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let turn = followed.migration().turn();
    assert_eq!((turn.who, turn.what), ("controller", "migration sign-off"));
    world.sign_off(&round.plan).await.unwrap();

    world.office().sweep().await.unwrap();
    let ended = world.desk(Name::Controller).follow(round.plan.migration).await.unwrap();
    let consignment = ended.migration().consignment(round.consignment).unwrap();
    assert_eq!((ended.migration().stage, consignment.ending), (Stage::Destroyed, Some(Ending::Overdue)));
}

/// What somebody saved while everything lived.
struct Saved {
    data: PathBuf,
    ring: PathBuf,
    recipient: PathBuf,
    operator: PathBuf,
}

fn save(world: &World) -> Saved {
    let saved = Saved {
        data: world.path("saved/data"),
        ring: world.path("saved/ring"),
        recipient: world.path("saved/recipient"),
        operator: world.path("saved/operator"),
    };
    copy_folder(&world.server_folder(), &saved.data);
    copy_folder(&world.ring_folder(), &saved.ring);
    copy_folder(&world.home(Name::Recipient), &saved.recipient);
    copy_folder(&world.home(Name::Operator), &saved.operator);
    saved
}

/// A whole migration that ended by sign-off, all parties having destroyed their part, and what was saved in between.
async fn ended() -> (World, Round, lexicon::Digest, Saved, drill::Systems) {
    let mut world = World::start().await;
    let (systems, round) = handed_over(&world).await;
    let salt = world.opened(&round).await;
    world.stop().await;
    let saved = save(&world);
    world.restart();
    assert!(world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap().reconciliation.equal());
    world.sign_off(&round.plan).await.unwrap();
    for name in [Name::Recipient, Name::Operator] {
        world.destroy_part(name, round.plan.migration, &[]).await.unwrap();
    }
    world.stop().await;
    (world, round, salt, saved, systems)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_data_put_back_opens_nothing_and_only_destroys() {
    let (mut world, round, _, saved, systems) = ended().await;
    let ring = world.ring_folder();
    assert_eq!(certificates(&world.server_folder(), &round), 1, "the control");

    // The data of before, and the ring of now: the key of that consignment is gone for good.
    let unwrapped = world.strongroom_share(&saved.data, &ring, &round).err().unwrap();
    world.restart_from(&saved.data, &ring);
    // The ring alone tells the server, before any device does. Even a recipient whose own folder was put back too, so that it knows of no destruction, gets nothing.
    let home = desk::Home::open(&saved.recipient).unwrap();
    let device = world.desk_at(home.folder());
    let secret = drill::passphrase();
    let (migration, consignment) = (round.plan.migration, round.consignment);
    let errand =
        passage::Errand { desk: &device, passphrase: &secret, migration, consignment, progress: &passage::Quiet };
    let load = passage::load(&errand, systems.sink.as_ref()).await.unwrap_err();
    let found_out = world.desk(Name::Controller).follow(round.plan.migration).await.map(|_| ()).unwrap_err();

    assert_eq!(unwrapped.code(), Code(707), "{unwrapped}");
    assert!(matches!(&found_out, Trouble::Alarm(_)), "{found_out}");
    assert!(matches!(&load, Trouble::Alarm(alarm) if alarm.code == Code(813)), "{load}");
    assert!(parcels_on(&saved.data, &round) >= 4);
    world.pass_hours(73);
    world.office().sweep().await.unwrap();
    // The whole migration's deadline, too: what it knows is too old to be certified.
    world.pass_hours(400 * 24);
    world.office().sweep().await.unwrap();
    world.stop().await;
    is_destroyed(&world, &saved.data, &ring, &round);
    assert_eq!(certificates(&saved.data, &round), 0);
}

/// How many certificates of destruction a server's folder holds of the migration.
fn certificates(data: &Path, round: &Round) -> usize {
    let documents = Registry::open(&data.join("registry.sqlite")).unwrap().documents(round.plan.migration).unwrap();
    documents.iter().filter(|(_, body)| String::from_utf8_lossy(body).contains("application/vnd.in-toto+json")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_data_and_ring_put_back_open_nothing_while_the_laboratorys_share_is_destroyed() {
    let (world, round, salt, saved, _) = ended().await;

    // Who saved the whole ring folder, and has the server's secret besides, has the strongroom share again: that is
    // what the ring's folder must never be in a backup for, and what the certificate says.
    let strongroom = world.strongroom_share(&saved.data, &saved.ring, &round).unwrap().unwrap();
    let ring = world.ring(&world.server_folder(), &world.ring_folder()).unwrap();
    // Again, it says what it said.
    let level = ring.destroy(round.consignment, &Receipt::of_committed(1, lexicon::Digest([0; 32]))).unwrap().level;
    let everything: Vec<Vec<u8>> =
        files_below(&[&saved.data, &saved.ring, &world.path("homes"), &world.server_folder()])
            .into_iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect();
    let found = round.shares_within(everything.iter().map(Vec::as_slice));

    assert_eq!(strongroom.digest(), round.manifest.strongroom_share);
    assert!(level.contains("copies of the whole ring folder are not reached"), "{level}");
    assert!(found.is_empty(), "a share stands in the clear in what was saved");
    assert!(world.laboratory_share(&world.home(Name::Operator), &round).is_none());
    assert_eq!(round.opened_by(&saved.data, salt, (&strongroom, &strongroom)), 0);
    // The control, and the limit of what was promised: with a copy of the operator's folder and its passphrase too,
    // every parcel opens. It takes a copy of the ring and a copy of the laboratory's machine.
    let laboratory = world.laboratory_share(&saved.operator, &round).unwrap();
    assert_eq!(round.opened_by(&saved.data, salt, (&laboratory, &strongroom)), round.manifest.parcels.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_put_back_is_destroyed_again_and_told_by_ring_and_devices() {
    let (world, round, _, saved, _) = ended().await;
    let (server, ring) = (world.server_folder(), world.ring_folder());
    let share = format!("migrations/{}/consignments/{}/laboratory.share", round.plan.migration, round.consignment);
    let key = format!("keys/{}.key", round.consignment);

    std::fs::copy(saved.ring.join(&key), ring.join(&key)).unwrap();
    std::fs::copy(saved.operator.join(&share), world.home(Name::Operator).join(&share)).unwrap();
    let opened = world.ring(&server, &ring).unwrap();
    let desk = world.desk(Name::Operator);

    assert_eq!(opened.returned(), [round.consignment]);
    assert_eq!(desk.returned().len(), 1);
    assert!(!ring.join(&key).exists() && !world.home(Name::Operator).join(&share).exists());
    assert!(matches!(opened.attest(round.consignment), Ok(KeyState::Destroyed { .. })));
}
