use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lexicon::{
    Alarm, Clock, Code, ConsignmentId, Digest, Entropy, Fault, MigrationId, ParcelId, Result, Retry, Trouble,
    canonical, limits,
};
use people::Envelope;
use people::request::{Claim, Request};
use procedure::Proof;
use serde::de::DeserializeOwned;

use crate::transport::printable;
use crate::{
    Answer, Facts, FactsQuery, Https, Keeper, Method, MigrationLine, Outgoing, ParcelLine, People, PresentCertificate,
    ServerCard, SubmitAct, Submitted, Transport, path,
};

/// 64 MiB: the facts of one migration, four acts of the largest size among them.
const ANSWER_BYTES_MAX: usize = 4 * limits::ACT_BYTES_MAX;
const _: () = assert!(2 * 300 * limits::PARCELS_MAX < ANSWER_BYTES_MAX, "a destruction fits twice into an answer");
/// 256 MiB: an evidence pack holds the facts, the documents that they name and the proofs.
const EVIDENCE_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;

/// Speaks to one server for one device. What it brings back is the server's word: a desk verifies it.
pub struct Client {
    card: ServerCard,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    transport: Arc<dyn Transport>,
}

impl Client {
    /// A client of the server of `card`, over HTTPS; connects to nobody yet.
    ///
    /// # Errors
    /// As [`Https::new`].
    pub fn new(card: ServerCard, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let transport = Arc::new(Https::new(&card)?);
        Ok(Self::over(transport, card, clock, entropy))
    }

    /// A client that reaches its server another way.
    pub fn over(
        transport: Arc<dyn Transport>,
        card: ServerCard,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { card, clock, entropy, transport }
    }

    /// The server that it speaks to.
    pub fn card(&self) -> &ServerCard {
        &self.card
    }

    /// Everyone the server knows.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn people(&self, keeper: &dyn Keeper) -> Result<People> {
        self.request(keeper, Method::Get, path::PEOPLE, "", Bytes::new()).await
    }

    /// A device's first words. The keeper's certificate is the one that is presented.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn present(&self, keeper: &dyn Keeper, certificate: &Envelope) -> Result<()> {
        let body = canonical(&PresentCertificate { certificate: certificate.clone() })?;
        self.nothing(keeper, path::PEOPLE, body).await
    }

    /// Hands in a revocation that a root signed.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn revoke(&self, keeper: &dyn Keeper, revocation: &Envelope) -> Result<()> {
        self.nothing(keeper, path::REVOCATIONS, canonical(revocation)?).await
    }

    /// The migrations of the asker's organisation, as the server tells it.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn migrations(&self, keeper: &dyn Keeper) -> Result<Vec<MigrationLine>> {
        self.request(keeper, Method::Get, path::MIGRATIONS, "", Bytes::new()).await
    }

    /// Facts from a number on.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn facts(&self, keeper: &dyn Keeper, migration: MigrationId, query: FactsQuery) -> Result<Facts> {
        let query = format!("from={}&size={}", query.from, query.size);
        self.request(keeper, Method::Get, &path::facts(migration), &query, Bytes::new()).await
    }

    /// Shows the server a fact that it signed: when it does not have it any more, that proves that it was put back.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn show_fact(&self, keeper: &dyn Keeper, migration: MigrationId, fact: &Envelope) -> Result<()> {
        self.nothing(keeper, &path::facts(migration), canonical(fact)?).await
    }

    /// Submits a signed act with the documents that it names, each given with its bytes in base64.
    ///
    /// # Errors
    /// As [`Self::request`]; what the procedure refuses comes back as its refusal.
    pub async fn submit(
        &self,
        keeper: &dyn Keeper,
        migration: MigrationId,
        proof: Proof,
        documents: BTreeMap<Digest, String>,
    ) -> Result<Submitted> {
        let body = canonical(&SubmitAct { proof, documents })?;
        self.request(keeper, Method::Post, &path::acts(migration), "", body.into()).await
    }

    /// A document that an act names. Whoever asked compares the digest.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn document(&self, keeper: &dyn Keeper, migration: MigrationId, digest: Digest) -> Result<Bytes> {
        self.bytes(keeper, &path::document(migration, digest), ANSWER_BYTES_MAX).await
    }

    /// The evidence pack, a zip file.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn evidence(&self, keeper: &dyn Keeper, migration: MigrationId) -> Result<Bytes> {
        self.bytes(keeper, &path::evidence(migration), EVIDENCE_BYTES_MAX).await
    }

    /// The parcels on the shelf of a consignment.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn parcels(
        &self,
        keeper: &dyn Keeper,
        migration: MigrationId,
        consignment: ConsignmentId,
    ) -> Result<Vec<ParcelLine>> {
        self.request(keeper, Method::Get, &path::parcels(migration, consignment), "", Bytes::new()).await
    }

    /// Stores a sealed parcel, whose digest whoever sealed it knows. Storing the same bytes again is the same.
    ///
    /// # Errors
    /// As [`Self::request`]; alarm 1204 when the server says that it stored anything else than was sent.
    pub async fn put_parcel(
        &self,
        keeper: &dyn Keeper,
        migration: MigrationId,
        consignment: ConsignmentId,
        (attempt, parcel): (u32, ParcelId),
        (sealed, digest): (Bytes, Digest),
    ) -> Result<ParcelLine> {
        let bytes = u64::try_from(sealed.len()).unwrap_or(u64::MAX);
        let path = path::parcel(migration, consignment, attempt, parcel);
        let answer = self.exchange(keeper, (Method::Put, &path, ""), (sealed, digest), ANSWER_BYTES_MAX).await?;
        let line: ParcelLine = parsed(&answer)?;
        if (ParcelLine { attempt, parcel, bytes, digest }) != line {
            return Err(Alarm::new(
                Code(1204),
                format!("the server stored parcel {} otherwise than it was sent", parcel.short()),
            )
            .into());
        }
        Ok(line)
    }

    /// Fetches a sealed parcel, of at most [`limits::PARCEL_BYTES_MAX`]. Whoever opens it compares the digest.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn fetch_parcel(
        &self,
        keeper: &dyn Keeper,
        migration: MigrationId,
        consignment: ConsignmentId,
        (attempt, parcel): (u32, ParcelId),
    ) -> Result<Bytes> {
        self.bytes(keeper, &path::parcel(migration, consignment, attempt, parcel), limits::PARCEL_BYTES_MAX).await
    }

    /// One signed request, and what its answer says.
    ///
    /// # Errors
    /// What the server answers, as it says it; fault 1201 when it cannot be reached; alarm 1202 when it is not the
    /// server of the card; fault 1203 when its answer is none.
    pub async fn request<T: DeserializeOwned>(
        &self,
        keeper: &dyn Keeper,
        method: Method,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<T> {
        parsed(&self.exchange(keeper, (method, path, query), digested(body), ANSWER_BYTES_MAX).await?)
    }

    async fn nothing(&self, keeper: &dyn Keeper, path: &str, body: Vec<u8>) -> Result<()> {
        self.exchange(keeper, (Method::Post, path, ""), digested(body.into()), ANSWER_BYTES_MAX).await.map(drop)
    }

    async fn bytes(&self, keeper: &dyn Keeper, path: &str, bytes_max: usize) -> Result<Bytes> {
        let answer = self.exchange(keeper, (Method::Get, path, ""), digested(Bytes::new()), bytes_max).await?;
        Ok(answer.body)
    }

    async fn exchange(
        &self,
        keeper: &dyn Keeper,
        (method, path, query): (Method, &str, &str),
        (body, digest): (Bytes, Digest),
        answer_bytes_max: usize,
    ) -> Result<Answer> {
        let request = Request { method: method.text(), path, query, body: digest };
        let claim = Claim {
            keyid: keeper.certificate(),
            created: self.clock.now().as_second(),
            nonce: Digest(self.entropy.bytes()?),
            origin: self.card.origin.clone(),
        };
        let signed = keeper.sign_request(&request, &claim)?;
        let kind = if method == Method::Put { "application/octet-stream" } else { "application/json" };
        let headers = vec![
            ("content-type", kind.to_owned()),
            ("content-digest", signed.content_digest),
            ("signature-input", signed.signature_input),
            ("signature", signed.signature),
        ];
        let (path, query) = (path.to_owned(), query.to_owned());
        let answer = self.transport.carry(Outgoing { method, path, query, headers, body, answer_bytes_max }).await?;
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(said(&answer)) }
    }
}

fn digested(body: Bytes) -> (Bytes, Digest) {
    let digest = Digest::of(&body);
    (body, digest)
}

fn parsed<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    serde_json::from_slice(&answer.body).map_err(|_| unreadable(answer.status))
}

/// The trouble that the server answers with. Its words are the server's: nothing in them reaches a terminal's controls.
fn said(answer: &Answer) -> Trouble {
    match serde_json::from_slice(&answer.body) {
        Ok(Trouble::Refusal(mut refusal)) => {
            refusal.message = printable(&refusal.message);
            refusal.remedy = printable(&refusal.remedy);
            refusal.into()
        }
        Ok(Trouble::Fault(fault)) => Fault { message: printable(&fault.message), ..fault }.into(),
        Ok(Trouble::Alarm(alarm)) => Alarm { message: printable(&alarm.message), ..alarm }.into(),
        Err(_) => unreadable(answer.status),
    }
}

fn unreadable(status: u16) -> Trouble {
    let retry = if status >= 500 { Retry::Later } else { Retry::Never };
    Fault::new(Code(1203), retry, format!("the server's answer (status {status}) is not one of ours")).into()
}
