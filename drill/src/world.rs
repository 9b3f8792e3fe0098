use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use desk::organisation::Organisation;
use desk::{Desk, Home, KeyHolder, enrol};
use lexicon::{Clock, Digest, Entropy, FixedClock, PersonId, SystemClock, SystemEntropy, hours_after};
use office::{Furniture, Office};
use people::{Passphrase, Person, Role, SigningKey};
use registry::Registry;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vault::{DiskShelf, LocalRing, Secret};
use wire::ServerCard;
use zeroize::Zeroizing;

use crate::clear::{self, Planted};
use crate::write_file;

/// The five persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Of the laboratory; decides.
    Controller,
    /// Of the laboratory; extracts.
    Operator,
    /// Of the vendor; writes the plan.
    Engineer,
    /// Of the vendor; approves.
    Approver,
    /// Of the vendor; loads.
    Recipient,
}

/// The two organisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The controller's.
    Laboratory,
    /// The processor's.
    Vendor,
}

impl Name {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Controller, Self::Operator, Self::Engineer, Self::Approver, Self::Recipient];

    /// Of which organisation.
    pub fn party(self) -> Party {
        if matches!(self, Self::Controller | Self::Operator) { Party::Laboratory } else { Party::Vendor }
    }

    /// What they may do.
    pub fn role(self) -> Role {
        match self {
            Self::Controller => Role::Controller,
            Self::Operator => Role::Operator,
            Self::Engineer => Role::Engineer,
            Self::Approver => Role::Approver,
            Self::Recipient => Role::Recipient,
        }
    }

    /// First name and family name.
    pub fn called(self) -> &'static str {
        match self {
            Self::Controller => "Claire Le Goff",
            Self::Operator => "Yann Kerbrat",
            Self::Engineer => "Ines Moreau",
            Self::Approver => "Paul Lambert",
            Self::Recipient => "Sofia Nunes",
        }
    }
}

/// The secrets of the server, as `server.key` would hold them.
struct Secrets {
    ring: [u8; 32],
    signing: [u8; 32],
    identity: (String, String),
}

/// A server, its door, two organisations and five persons, all in one temporary folder. When it ends, nothing that was
/// planted in its old system may stand in clear anywhere else: see [`World::left_in_clear`].
pub struct World {
    /// Everything lies in here.
    pub dir: TempDir,
    /// The story's time, the server's and everybody's.
    pub clock: Arc<FixedClock>,
    /// How the server is known.
    pub card: ServerCard,
    /// The office, while the server is up.
    pub office: Option<Arc<Office>>,
    secrets: Secrets,
    organisations: BTreeMap<Party, Organisation>,
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    pub(crate) planted: Planted,
}

/// Everybody's.
pub fn passphrase() -> Passphrase {
    Passphrase::new("a passphrase of the drill")
}

/// True randomness.
pub fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy::new())
}

impl World {
    /// A server that is up, five persons who are enrolled, and nothing else.
    pub async fn start() -> Self {
        Self::start_as(true).await
    }

    /// As [`Self::start`], on a server that was made as a demonstration, which takes synthetic sources only, or was not.
    pub async fn start_as(demonstration: bool) -> Self {
        let (planted, dir) = (Planted::nothing(), clear::folder());
        let clock = Arc::new(FixedClock::new(SystemClock.now()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let identity = doors::make_identity(&["127.0.0.1".to_owned()]).unwrap();
        let random = SystemEntropy::new();
        let entropy_ref: &dyn Entropy = &random;
        let signing: [u8; 32] = entropy_ref.bytes().unwrap();
        let key = SigningKey::from_seed(Zeroizing::new(signing)).unwrap();
        let card = ServerCard {
            url: format!("https://{}", listener.local_addr().unwrap()),
            fingerprint: identity.fingerprint().unwrap(),
            origin: ServerCard::origin_of("127.0.0.1", demonstration, &key.public()),
            key: key.public(),
            demonstration,
            serial: None,
        };
        let secrets = Secrets {
            ring: entropy_ref.bytes().unwrap(),
            signing,
            identity: (identity.certificate_pem, identity.key_pem),
        };
        std::fs::create_dir_all(dir.path().join("server")).unwrap();
        let organisations = BTreeMap::new();
        let mut world = Self { dir, clock, card, office: None, secrets, organisations, serving: None, planted };
        world.found();
        world.serve_on(listener);
        for organisation in world.organisations.values() {
            world.office().admit_root(organisation.root()).await.unwrap();
        }
        for name in Name::ALL {
            world.enrol(name).await;
        }
        world
    }

    fn found(&mut self) {
        for (party, name) in [(Party::Laboratory, "Laboratoire des Halles"), (Party::Vendor, "Editeur Biolog")] {
            let folder = self.path(&format!("{party:?}"));
            let made = Organisation::create(&folder, name, &passphrase(), entropy().as_ref()).unwrap();
            self.organisations.insert(party, made);
        }
    }

    /// A path in the world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The server's data folder: what a thief or a backup would have.
    pub fn server_folder(&self) -> PathBuf {
        self.path("server")
    }

    /// The key ring's folder.
    pub fn ring_folder(&self) -> PathBuf {
        self.path("ring")
    }

    /// An organisation with its root key.
    pub fn organisation(&self, party: Party) -> &Organisation {
        self.organisations.get(&party).unwrap()
    }

    /// The office of the server that is up.
    pub fn office(&self) -> &Arc<Office> {
        self.office.as_ref().unwrap()
    }

    /// The key that signs facts: what a hostile server has.
    pub fn server_key(&self) -> SigningKey {
        SigningKey::from_seed(Zeroizing::new(self.secrets.signing)).unwrap()
    }

    /// The secrets that the server alone has: half of what ring keys come from, its signing key, its TLS key.
    pub fn server_secrets(&self) -> [Vec<u8>; 3] {
        [self.secrets.ring.to_vec(), self.secrets.signing.to_vec(), self.secrets.identity.1.clone().into_bytes()]
    }

    /// Puts into the server's folder what `lazaret serve` looks for there, under everybody's passphrase.
    pub fn write_program_files(&self, settings: &str) {
        let [ring, signing] = [self.secrets.ring, self.secrets.signing].map(lexicon::Digest);
        let secrets = serde_json::json!({ "ring": ring, "signing": signing, "tls": self.secrets.identity.1 });
        let secrets = people::lock(&lexicon::canonical(&secrets).unwrap(), &passphrase()).unwrap();
        let server = self.server_folder();
        write_file(&server.join("server.key"), &secrets);
        write_file(&server.join("tls.pem"), self.secrets.identity.0.as_bytes());
        write_file(&server.join("card.json"), &lexicon::canonical(&self.card).unwrap());
        write_file(&server.join("lazaret.toml"), settings.as_bytes());
    }

    /// A key ring in a folder, with the server's real secret.
    ///
    /// # Errors
    /// As [`LocalRing::open`].
    pub fn ring(&self, data: &Path, ring: &Path) -> lexicon::Result<LocalRing> {
        let clock = self.time();
        LocalRing::open(ring, Secret::new(self.secrets.ring.to_vec())?, data, clock, entropy())
    }

    /// What an office over a data folder and a ring folder is made of, with the server's real secrets and the story's
    /// clock. A story may put something else in its place before it opens the office.
    ///
    /// # Errors
    /// As the rooms below the office.
    pub fn furniture(&self, data: &Path, ring: &Path) -> lexicon::Result<Furniture> {
        Ok(Furniture {
            ring: Arc::new(self.ring(data, ring)?),
            registry: Registry::open(&data.join("registry.sqlite"))?,
            shelf: Arc::new(DiskShelf::open(&data.join("shelf"))?),
            key: self.server_key(),
            card: self.card.clone(),
            clock: self.time(),
            entropy: entropy(),
            deadline_days_max: lexicon::limits::DEADLINE_DAYS_DEFAULT,
            snapshot_days: 0,
            erasure_wait: office::ERASURE_WAIT,
        })
    }

    /// The office over a data folder and a ring folder.
    ///
    /// # Errors
    /// As [`Office::open`] and the rooms below it.
    pub fn open_office(&self, data: &Path, ring: &Path) -> lexicon::Result<Office> {
        Office::open(self.furniture(data, ring)?)
    }

    fn serve_on(&mut self, listener: TcpListener) {
        let (data, ring) = (self.server_folder(), self.ring_folder());
        self.serve_from(&data, &ring, listener);
    }

    fn serve_from(&mut self, data: &Path, ring: &Path, listener: TcpListener) {
        let furniture = self.furniture(data, ring).unwrap();
        self.serve_with(furniture, listener);
    }

    fn serve_with(&mut self, furniture: Furniture, listener: TcpListener) {
        let office = Arc::new(Office::open(furniture).unwrap());
        let identity = doors::Identity {
            certificate_pem: self.secrets.identity.0.clone(),
            key_pem: self.secrets.identity.1.clone(),
        };
        self.office = Some(Arc::clone(&office));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let shut = async move {
                // A world that is dropped stops its server too.
                drop(stopped.await);
            };
            doors::serve(office, listener, &identity, shut).await.unwrap();
        });
        self.serving = Some((stop, serving));
    }

    /// Stops the server as a power cut would leave it: nothing in memory survives, files do.
    pub async fn stop(&mut self) {
        if let Some((stop, serving)) = self.serving.take() {
            drop(stop);
            serving.abort();
            drop(serving.await);
        }
        if let Some(office) = self.office.take() {
            // The ring's lock is held as long as a request still runs.
            while Arc::strong_count(&office) > 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Starts the server again on its folders and its address.
    pub fn restart(&mut self) {
        let listener = self.own_address();
        self.serve_on(listener);
    }

    /// Starts the server at its address on other folders: those that somebody restored.
    pub fn restart_from(&mut self, data: &Path, ring: &Path) {
        let listener = self.own_address();
        self.serve_from(data, ring, listener);
    }

    /// Starts the server again with something else in its furniture.
    pub fn restart_with(&mut self, change: impl FnOnce(&mut Furniture)) {
        self.restart_on(&self.ring_folder(), change);
    }

    /// As [`Self::restart_with`], with its key ring in this folder.
    pub fn restart_on(&mut self, ring: &Path, change: impl FnOnce(&mut Furniture)) {
        let mut furniture = self.furniture(&self.server_folder(), ring).unwrap();
        change(&mut furniture);
        let listener = self.own_address();
        self.serve_with(furniture, listener);
    }

    fn own_address(&self) -> TcpListener {
        TcpListener::bind(self.card.url.trim_start_matches("https://")).unwrap()
    }

    async fn enrol(&self, name: Name) {
        let person = Person { id: PersonId::draw(entropy().as_ref()).unwrap(), name: name.called().to_owned() };
        self.newcomer(self.organisation(name.party()), &self.home(name), person, name.role());
        self.desk(name).present().await.unwrap();
    }

    /// Enrols one more device in a new folder: a person's second one, or a stranger's. The server is not told.
    pub fn newcomer(&self, organisation: &Organisation, folder: &Path, person: Person, role: Role) -> Home {
        let now = self.clock.now();
        let until = hours_after(now, 24);
        let roles = [role].into();
        let invitation = organisation.invite(person, roles, self.card.clone(), until, now, entropy().as_ref()).unwrap();
        let home = Home::create(folder).unwrap();
        let request = enrol::answer(&home, &invitation, "laptop", &passphrase(), entropy().as_ref(), now).unwrap();
        let certificate = organisation.certify(&request, &invitation, now).unwrap();
        enrol::accept(&home, &certificate, now).unwrap();
        for organisation in self.organisations.values() {
            home.trust(organisation.root()).unwrap();
        }
        home
    }

    /// The desk of any folder that was enrolled.
    pub fn desk_at(&self, folder: &Path) -> Desk {
        let home = Home::open(folder).unwrap();
        let keeper = KeyHolder::unlock(&home, &passphrase()).unwrap();
        Desk::open(home, Arc::new(keeper), self.time(), entropy()).unwrap()
    }

    /// The folder of a person's device.
    pub fn home(&self, name: Name) -> PathBuf {
        self.path("homes").join(format!("{name:?}"))
    }

    /// A person's desk, opened afresh from their folder.
    pub fn desk(&self, name: Name) -> Desk {
        self.desk_at(&self.home(name))
    }

    /// A person's desk that speaks over another transport than the true one: a server that lies.
    pub fn desk_over(&self, name: Name, transport: Arc<dyn wire::Transport>) -> Desk {
        let home = Home::open(&self.home(name)).unwrap();
        let keeper = KeyHolder::unlock(&home, &passphrase()).unwrap();
        Desk::over(transport, home, Arc::new(keeper), self.time(), entropy()).unwrap()
    }

    fn time(&self) -> Arc<dyn Clock> {
        let clock: Arc<FixedClock> = Arc::clone(&self.clock);
        clock
    }

    /// Moves everybody's clock on.
    pub fn pass_hours(&self, hours: i64) {
        self.clock.set(hours_after(self.clock.now(), hours));
    }

    /// SHA-256 of a certificate's payload: what names a person's device.
    pub fn certificate(&self, name: Name) -> Digest {
        Home::open(&self.home(name)).unwrap().certificate().unwrap().0
    }
}
