use std::sync::{Arc, Mutex, PoisonError};

use journal::Checkpoint;
use lexicon::{Alarm, Clock, Code, Digest, Entropy, MigrationId, Result, Timestamp, Trouble};
use people::{Certificate, Envelope, Revocation, Roster};
use procedure::Ledger;
use serde::Serialize;
use wire::{Client, FactsQuery, Keeper, People, Placed, Transport};

use crate::check::{Evidence, Known, check_revocations, count};
use crate::home::Taken;
use crate::{Home, Overdue, Round, destroy_overdue};

/// One person's device at work with its server: follows migrations, acts in them, and believes nothing else.
pub struct Desk {
    pub(crate) home: Home,
    pub(crate) keeper: Arc<dyn Keeper>,
    pub(crate) client: Client,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    certificate: (Digest, Certificate, Envelope),
    latest: Mutex<Timestamp>,
    overdue: Overdue,
    clear_swap: bool,
}

/// What following a migration brought.
pub(crate) struct Standing {
    pub(crate) ledger: Ledger,
    pub(crate) roster: Roster,
    pub(crate) checkpoint: Checkpoint,
}

impl Desk {
    /// Opens the desk of an enrolled device; connects to nobody yet. Destroys what is due
    /// ([`destroy_overdue`]) and finishes destructions that were cut.
    ///
    /// # Errors
    /// A refusal when the device is not enrolled, or the keeper's key is another device's.
    pub fn open(home: Home, keeper: Arc<dyn Keeper>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let client = Client::new(home.card()?, Arc::clone(&clock), Arc::clone(&entropy))?;
        Self::with(client, home, keeper, clock, entropy)
    }

    /// As [`Self::open`], where the server is reached another way.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn over(
        transport: Arc<dyn Transport>,
        home: Home,
        keeper: Arc<dyn Keeper>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        let client = Client::over(transport, home.card()?, Arc::clone(&clock), Arc::clone(&entropy));
        Self::with(client, home, keeper, clock, entropy)
    }

    fn with(
        client: Client,
        home: Home,
        keeper: Arc<dyn Keeper>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self> {
        // Before anything that somebody could refuse: a deadline asks nobody.
        let overdue = destroy_overdue(&home, clock.as_ref())?;
        let certificate = home.certificate()?;
        if certificate.0 != keeper.certificate() {
            let remedy = "End the `lazaret unlock` that holds it, then unlock this device.";
            return Err(lexicon::Refusal::new(Code(1230), "the unlocked key is another device's", remedy).into());
        }
        // One that cannot be read was told of by that look; whoever needs it is refused.
        let latest = Mutex::new(home.time().ok().flatten().unwrap_or(Timestamp::UNIX_EPOCH));
        Ok(Self { home, keeper, client, clock, entropy, certificate, latest, overdue, clear_swap: false })
    }

    /// Of a machine that may write its memory in clear to its swap, where somebody accepted that.
    #[must_use]
    pub fn with_clear_swap(self, accepted: bool) -> Self {
        Self { clear_swap: accepted, ..self }
    }

    /// Whether its machine may write memory in clear to its swap: every begin on it says so.
    pub fn clear_swap(&self) -> bool {
        self.clear_swap
    }

    /// The device's folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The way to the server. What it brings back is not verified; [`Self::follow`] and [`Self::document`] are.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Who signs.
    pub fn keeper(&self) -> &dyn Keeper {
        self.keeper.as_ref()
    }

    /// Where random bytes come from.
    pub fn entropy(&self) -> &dyn Entropy {
        self.entropy.as_ref()
    }

    /// This device's certificate.
    pub fn me(&self) -> &Certificate {
        &self.certificate.1
    }

    /// What was destroyed by itself when the desk was opened.
    pub fn overdue(&self) -> &Overdue {
        &self.overdue
    }

    /// [`Overdue::returned`] of the opening.
    pub fn returned(&self) -> &[Round] {
        &self.overdue.returned
    }

    /// Destroys what has become due since, as at the opening.
    ///
    /// # Errors
    /// As [`destroy_overdue`].
    pub fn destroy_overdue(&self) -> Result<Overdue> {
        destroy_overdue(&self.home, self.clock.as_ref())
    }

    /// This device's time: the larger of its clock and the latest time that it ever recorded. Nobody else's time moves
    /// it, and setting the clock back does not lengthen a deadline.
    ///
    /// # Errors
    /// Fault 1211 when it cannot be recorded; alarm 1212 when the record was changed.
    pub fn now(&self) -> Result<Timestamp> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.home.now(self.clock.as_ref())?.max(*latest);
        *latest = now;
        Ok(now)
    }

    /// As [`Self::now`], for whoever waits for no disk: where the recorded time cannot be read or kept, as well as the clock
    /// and this process know it.
    pub fn now_at_least(&self) -> Timestamp {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.home.now_at_least(self.clock.as_ref()).0.max(*latest);
        *latest = now;
        now
    }

    /// Fetches what is new of a migration and verifies all of it, from the first fact on. Costs two signatures per fact
    /// and two requests.
    ///
    /// # Errors
    /// An alarm when the server is found lying: what it said and what was known are kept in the home. A refusal when a
    /// party's root is not pinned, or an act rests on a certificate that this device knows was taken back.
    pub async fn follow(&self, migration: MigrationId) -> Result<Ledger> {
        Ok(self.catch_up(migration).await?.ledger)
    }

    pub(crate) async fn catch_up(&self, migration: MigrationId) -> Result<Standing> {
        let _locked = self.home.lock().await?;
        let card = self.client.card();
        let (facts, seen) = (self.home.facts(migration)?, self.home.checkpoint(card)?);
        let (_, roster) = self.people().await?;
        let now = self.now()?;
        let known = Known { card, migration, roster: &roster, now, facts: &facts, checkpoint: seen.as_ref() };
        let query = FactsQuery { from: known.from(), size: seen.as_ref().map_or(0, |seen| seen.size) };
        let served = self.client.facts(self.keeper(), migration, query).await?;
        let followed = match known.check(&served) {
            Ok(followed) => followed,
            Err(trouble) => {
                self.show_last(migration, &trouble, &facts).await;
                let evidence = Evidence { kept: &facts, checkpoint: seen.as_ref(), said: &served };
                return Err(self.found_out(migration, trouble, &evidence));
            }
        };
        if followed.facts.len() > facts.len() {
            self.home.keep_facts(migration, &followed.facts)?;
        }
        if seen.as_ref() != Some(&followed.checkpoint) {
            self.home.keep_checkpoint(&served.checkpoint)?;
        }
        check_revocations(&followed.ledger, &roster, &self.home.revocations()?)?;
        Ok(Standing { ledger: followed.ledger, roster, checkpoint: followed.checkpoint })
    }

    /// Shows a server that was put back, or keeps two histories, the last fact that this device has of it: an honest one
    /// then only destroys the migration, and says why to everybody.
    async fn show_last(&self, migration: MigrationId, trouble: &Trouble, facts: &[Placed]) {
        if let (Code(1220 | 1221), Some(last)) = (trouble.code(), facts.last()) {
            // Whatever comes of it, the alarm is raised here.
            drop(self.client.show_fact(self.keeper(), migration, &last.entry.fact).await);
        }
    }

    /// The migration as this device last verified it, without contact: enough to destroy at a deadline, never enough to
    /// open, release or begin.
    ///
    /// # Errors
    /// Alarm 1212 or 270 when the home is not what was kept there.
    pub fn kept(&self, migration: MigrationId) -> Result<Ledger> {
        self.home.replay(self.client.card(), migration, self.now()?)
    }

    /// A document that an act names by its digest, from the home or else from the server.
    ///
    /// # Errors
    /// Alarm 1224 when the server sends other bytes.
    pub async fn document(&self, migration: MigrationId, digest: Digest) -> Result<Vec<u8>> {
        if let Some(document) = self.home.document(migration, digest)? {
            return Ok(document);
        }
        let document = self.client.document(self.keeper(), migration, digest).await?.to_vec();
        if Digest::of(&document) != digest {
            let message =
                format!("the server sends other bytes for document {} than those that were signed", digest.short());
            return Err(Alarm::new(Code(1224), message).into());
        }
        self.home.keep_document(migration, &document)?;
        Ok(document)
    }

    /// Everyone whose certificate holds under a pinned root, and what else the server says of people, for showing only.
    /// Certificates seen before stay known, whatever the server shows now.
    ///
    /// # Errors
    /// As [`Client::request`]; an alarm when the server shows a certificate that its root did not sign.
    pub async fn people(&self) -> Result<(People, Roster)> {
        let served = self.client.people(self.keeper()).await?;
        let before = self.home.people()?;
        let (roster, admitted) = self.roster(before.iter().chain([&served]))?;
        if before.as_ref().is_none_or(|before| before.certificates != admitted) {
            let kept = People { roots: Vec::new(), certificates: admitted, revocations: Vec::new() };
            self.home.keep_people(&kept)?;
        }
        Ok((served, roster))
    }

    /// Shows the server this device's certificate, once, after enrolment.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn present(&self) -> Result<()> {
        self.client.present(self.keeper(), &self.certificate.2).await
    }

    /// Takes a revocation that came by file. From now on no further act under that certificate counts here, whether or
    /// not the server knows of it.
    ///
    /// # Errors
    /// A refusal when no pinned root signed it for a certificate of its own.
    pub fn take_revocation(&self, envelope: &Envelope) -> Result<Revocation> {
        let (roster, _) = self.roster(self.home.people()?.iter())?;
        let (_, revocation) = roster.revocation(envelope)?;
        let mut taken = Taken { revocation: envelope.clone(), known: std::collections::BTreeMap::new() };
        for migration in self.home.migrations()? {
            taken.known.insert(migration, count(&self.home.facts(migration)?));
        }
        self.home.keep_revocation(&taken)?;
        Ok(revocation)
    }

    /// Signs what this device did or saw.
    ///
    /// # Errors
    /// As [`Keeper::sign_statement`].
    pub fn state<T: Serialize>(&self, statement: &T) -> Result<Envelope> {
        let value = serde_json::to_value(statement)
            .map_err(|_| lexicon::Fault::new(Code(1235), lexicon::Retry::Never, "a statement has no JSON form"))?;
        self.keeper.sign_statement(&value)
    }

    fn roster<'a>(&self, people: impl Iterator<Item = &'a People>) -> Result<(Roster, Vec<Envelope>)> {
        self.home.roster(people, &self.certificate.2)
    }

    /// Keeps the evidence when a server was found lying, and says where.
    pub(crate) fn found_out<Said: Serialize>(
        &self,
        migration: MigrationId,
        trouble: Trouble,
        evidence: &Evidence<'_, Said>,
    ) -> Trouble {
        let Trouble::Alarm(alarm) = trouble else { return trouble };
        let place = match self.home.keep_alarm(migration, evidence) {
            Ok(()) => "both sides of it are kept under `alarms` in this device's folder",
            Err(_) => "it could not be kept as evidence: the disk refused",
        };
        Alarm { message: format!("{}; {place}", alarm.message), ..alarm }.into()
    }
}
