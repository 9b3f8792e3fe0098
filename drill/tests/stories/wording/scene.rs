//! A real round of rows and documents, what each party has of it at a moment, and everything that was said over the door.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use desk::Desk;
use drill::{Name, Party, Round, Systems, World, copy_folder, entropy, passphrase, write_file};
use futures::future::BoxFuture;
use lexicon::{ConsignmentId, Result};
use passage::{Errand, Quiet, Receiving};
use procedure::{Act, Manifest, Plan};
use wire::{Answer, Https, Method, Outgoing, Transport};

use super::thief::{Clear, Haul};

/// HTTPS, and a file with both sides of every act: what TLS keeps from everybody, kept.
pub(super) struct Recorded {
    https: Https,
    file: Mutex<std::fs::File>,
}

impl Transport for Recorded {
    fn carry(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(async move {
            let asked = (outgoing.method == Method::Post).then(|| outgoing.body.clone());
            let answer = self.https.carry(outgoing).await?;
            if let Some(asked) = asked {
                let both = [&asked[..], b"\n", &answer.body[..], b"\n"].concat();
                self.file.lock().unwrap().write_all(&both).unwrap();
            }
            Ok(answer)
        })
    }
}

/// A world in which a round goes its way.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) systems: Systems,
    pub(super) scope: String,
    /// Bytes of the reports in scope; one parcel.
    reports: u64,
    wire: Arc<Recorded>,
}

/// Copies of all that the parties have, each party's apart.
pub(super) struct Saved {
    /// Registry, shelf, and the server's secrets under their passphrase.
    pub(super) server: PathBuf,
    /// The key ring.
    pub(super) ring: PathBuf,
    /// Both devices of the laboratory, and its root.
    pub(super) laboratory: PathBuf,
    /// The three devices of the vendor, and its root.
    pub(super) recipient: PathBuf,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let world = World::start().await;
        world.write_program_files("");
        std::fs::create_dir(world.path("saved")).unwrap();
        let file = Mutex::new(std::fs::File::create_new(world.path("saved/wire")).unwrap());
        let wire = Arc::new(Recorded { https: Https::new(&world.card).unwrap(), file });
        let systems = world.systems(60);
        let (made, _, scope) = world.reports(71, 20);
        Self { world, systems, scope, reports: made.bytes, wire }
    }

    /// A person's desk whose acts and their answers are recorded.
    pub(super) fn desk(&self, name: Name) -> Desk {
        let wire = Arc::clone(&self.wire);
        self.world.desk_over(name, wire)
    }

    /// What was recorded.
    pub(super) fn wire(&self) -> PathBuf {
        self.world.path("saved/wire")
    }

    pub(super) async fn extracted(&self, plan: Plan, consignment: ConsignmentId) -> Round {
        let (desk, secret, migration) = (self.desk(Name::Operator), passphrase(), plan.migration);
        let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &Quiet };
        let manifest = passage::extract(&errand, self.systems.source.as_ref(), entropy()).await.unwrap();
        Round { plan, consignment, manifest }
    }

    /// Everything in scope is on the shelf, and nothing is released.
    pub(super) async fn closed(&self) -> Round {
        let (source, sink) = (self.systems.source.as_ref(), self.systems.sink.as_ref());
        let plan = self.world.approved(&self.scope, source, sink).await;
        let consignment = self.world.consign(&plan).await;
        self.extracted(plan, consignment).await
    }

    /// The recipient may open the laboratory share.
    pub(super) async fn handed_over(&self) -> Round {
        let round = self.closed().await;
        self.world.release(&round.plan, round.consignment).await.unwrap();
        round
    }

    /// The recipient has had both shares.
    pub(super) async fn loaded(&self) -> Round {
        let round = self.handed_over().await;
        let (desk, secret, migration) = (self.desk(Name::Recipient), passphrase(), round.plan.migration);
        let (consignment, documents) = (round.consignment, Some(&self.world.documents()));
        let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &Quiet };
        let into = Receiving { sink: self.systems.sink.as_ref(), documents };
        assert!(passage::load(&errand, into).await.unwrap().reconciliation.equal());
        round
    }

    pub(super) fn save(&self, moment: &str) -> Saved {
        let at = |part: &str| self.world.path("saved").join(moment).join(part);
        copy_folder(&self.world.server_folder(), &at("server"));
        copy_folder(&self.world.ring_folder(), &at("ring"));
        for (party, part) in [(Party::Laboratory, "laboratory"), (Party::Vendor, "recipient")] {
            copy_folder(&self.world.path(&format!("{party:?}")), &at(part).join("root"));
            for name in Name::ALL.into_iter().filter(|name| name.party() == party) {
                copy_folder(&self.world.home(name), &at(part).join(format!("{name:?}")));
            }
        }
        Saved { server: at("server"), ring: at("ring"), laboratory: at("laboratory"), recipient: at("recipient") }
    }

    /// A file that somebody kept beside what the procedure knows of.
    pub(super) fn kept(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.world.path("saved").join(name);
        write_file(&path, bytes);
        path
    }

    /// The strongroom share, as a machine would keep it that says it forgot it.
    pub(super) fn not_forgotten(&self, saved: &Saved, round: &Round) -> PathBuf {
        let copy = self.world.path("saved/unwrapped ring");
        copy_folder(&saved.ring, &copy);
        let share = self.world.strongroom_share(&saved.server, &copy, round).unwrap().unwrap();
        self.kept("not forgotten", share.expose())
    }

    /// The migration is given up, and the server destroys its part.
    pub(super) async fn cancelled(&self, round: &Round) {
        let reason = "the drill ends it".to_owned();
        self.world.act(Name::Controller, round.plan.migration, Act::Cancel { reason }).await.unwrap();
        self.world.office().sweep().await.unwrap();
    }

    pub(super) async fn destroyed(&self, name: Name, round: &Round) {
        let parts = self.world.destroy_part(name, round.plan.migration, &[]).await.unwrap();
        assert!(parts.iter().any(|part| part.keys > 0 && part.stated), "{parts:?}");
    }

    /// The certificate, as people read it.
    pub(super) async fn certificate(&self, round: &Round) -> String {
        let desk = self.world.desk(Name::Controller);
        let zip = desk.client().evidence(desk.keeper(), round.plan.migration).await.unwrap();
        let told = evidence::read(&zip).unwrap().told;
        String::from_utf8(told.get("certificate.md").unwrap().clone()).unwrap()
    }

    /// Every parcel of everything in scope opened, the reports among them.
    pub(super) fn is_all_of_it(&self, haul: &Haul, round: &Round) {
        all_opened(haul, &round.manifest);
        let parcel = round.manifest.documents.first().and_then(|part| part.parcels.first()).unwrap();
        let (bytes, begins) = (self.reports, "%PDF-1.4".to_owned());
        assert_eq!(haul.opened.get(&parcel.parcel), Some(&Clear::Documents { bytes, begins }));
    }
}

/// Parcels of a manifest: of rows, of documents, and the sums.
fn parcels(manifest: &Manifest) -> usize {
    manifest.sealed().chain(manifest.all_sums()).count()
}

/// Every parcel of this manifest opened, and those of rows say how many it lists.
pub(super) fn all_opened(haul: &Haul, manifest: &Manifest) {
    assert!(haul.laboratory && haul.strongroom, "{haul:?}");
    assert_eq!(haul.opened.len(), parcels(manifest), "{haul:?}");
    for line in manifest.parcels.iter().chain(manifest.all_sums()) {
        assert_eq!(haul.opened.get(&line.parcel), Some(&Clear::Rows { rows: line.rows }), "{}", line.table);
    }
}

/// Every parcel was tried, and none opened, with these shares in hand: the laboratory's, the strongroom's.
pub(super) fn none_opened(haul: &Haul, manifest: &Manifest, shares: (bool, bool)) {
    assert_eq!((haul.laboratory, haul.strongroom), shares, "{haul:?}");
    assert_eq!((haul.parcels, haul.opened.len()), (parcels(manifest), 0), "{haul:?}");
}

impl Saved {
    /// Everything of everybody.
    pub(super) fn all(&self) -> [&Path; 4] {
        [&self.server, &self.ring, &self.laboratory, &self.recipient]
    }
}
