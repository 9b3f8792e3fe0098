//! A server on this machine: made once, opened at each start.
//!
//! `DATA/` holds the registry, the shelf, the card, the TLS certificate, the settings, and `server.key`: the server's
//! secrets under its passphrase. The key ring lies elsewhere.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doors::Identity;
use lexicon::{Alarm, Code, ConsignmentId, Digest, Fault, MigrationId, Refusal, Result, Retry, canonical};
use office::{Furniture, Office, Sweeper};
use people::{Root, SigningKey};
use registry::Registry;
use serde::{Deserialize, Serialize};
use vault::{LocalRing, Secret};
use wire::ServerCard;
use zeroize::{Zeroize, Zeroizing};

use crate::cli::Context;
use crate::config::ServerSettings;
use crate::opener::Opener;
use crate::{files, memory, output, ring, shelf, tls};

/// What `server.key` holds.
#[derive(Serialize, Deserialize)]
struct Secrets {
    /// Half of what ring keys are derived from.
    ring: Digest,
    /// Signs facts and checkpoints.
    signing: Digest,
    /// The TLS key, PEM.
    tls: String,
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.ring.0.zeroize();
        self.signing.0.zeroize();
        self.tls.zeroize();
    }
}

/// Makes a server. Nothing that exists is replaced.
pub(crate) fn init(
    context: &Context,
    settings: &ServerSettings,
    host: Option<&str>,
    demonstration: bool,
    opener: &Opener,
) -> Result<ServerCard> {
    if settings.data.join("server.key").exists() {
        return Err(
            Refusal::new(Code(1030), "there is a server in this data folder already", "Name another folder.").into()
        );
    }
    let address = settings.listen.parse::<std::net::SocketAddr>().map_err(|_| {
        Refusal::new(
            Code(1031),
            format!("'{}' is not an address with a port", settings.listen),
            "Write it like 127.0.0.1:8443.",
        )
    })?;
    if demonstration && !address.ip().is_loopback() {
        return Err(Refusal::new(Code(1032), "a demonstration listens on loopback only", "Listen on 127.0.0.1.").into());
    }
    std::fs::create_dir_all(&settings.data).and_then(|()| close(&settings.data)).map_err(|error| unusable(&error))?;
    let name = host.map_or_else(|| address.ip().to_string(), str::to_owned);
    let own = doors::make_identity(std::slice::from_ref(&name))?;
    let configured = tls::configured(settings, context.now())?;
    let signing = Zeroizing::new(context.entropy.bytes::<32>()?);
    let key = SigningKey::from_seed(signing.clone())?;
    let secrets =
        Secrets { ring: Digest(context.entropy.bytes()?), signing: Digest(*signing), tls: own.key_pem.clone() };
    let card = ServerCard {
        url: format!(
            "https://{}",
            if name.contains(':') {
                format!("[{name}]:{}", address.port())
            } else {
                format!("{name}:{}", address.port())
            }
        ),
        fingerprint: configured.as_ref().unwrap_or(&own).fingerprint()?,
        origin: ServerCard::origin_of(&name, demonstration, &key.public()),
        key: key.public(),
        demonstration,
        serial: None,
    };
    LocalRing::open(
        &settings.ring,
        Secret::new(secrets.ring.0.to_vec())?,
        &settings.data,
        Arc::clone(&context.clock),
        Arc::clone(&context.entropy),
    )?;
    Registry::open(&settings.data.join("registry.sqlite"))?;
    files::write_new(&settings.data.join("tls.pem"), own.certificate_pem.as_bytes())?;
    files::write_new(&settings.data.join("card.json"), &canonical(&card)?)?;
    files::write_new(&settings.data.join("lazaret.toml"), settings.to_toml().as_bytes())?;
    let plain = Zeroizing::new(canonical(&secrets)?);
    files::write_new(&settings.data.join("server.key"), &opener.lock(&plain)?)?;
    Ok(card)
}

fn secrets(data: &Path, opener: &Opener) -> Result<Secrets> {
    let plain = opener.unlock(&files::read(&data.join("server.key"))?)?;
    serde_json::from_slice(&plain).map_err(|_| {
        Fault::new(Code(1033), Retry::Never, "server.key does not hold what this version writes there").into()
    })
}

/// The strongroom share of a consignment, out of a data folder and a ring folder that no server holds, for whoever has
/// the passphrase too.
///
/// # Errors
/// As [`office::strongroom_share`] and [`LocalRing::open`]; a refusal when the passphrase is another server's.
pub(crate) fn strongroom_share(
    context: &Context,
    (data, ring_folder): (&Path, &Path),
    opener: &Opener,
    (migration, consignment): (MigrationId, ConsignmentId),
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let secret = Secret::new(secrets(data, opener)?.ring.0.to_vec())?;
    let (clock, entropy) = (Arc::clone(&context.clock), Arc::clone(&context.entropy));
    let ring = LocalRing::open(ring_folder, secret, data, clock, entropy)?;
    let registry = Registry::open(&data.join("registry.sqlite"))?;
    office::strongroom_share(&registry, &ring, migration, consignment)
}

/// The office over a server's folders, and the server's secrets.
fn open_office(context: &Context, settings: &ServerSettings, opener: &Opener) -> Result<(Office, Secrets)> {
    let secrets = secrets(&settings.data, opener)?;
    // First: a server that is refused touches no key ring.
    let registry = Registry::open_alone(&settings.data.join("registry.sqlite"))?;
    let key = SigningKey::from_seed(Zeroizing::new(secrets.signing.0))?;
    // A server that was restored has its key, and so the names of its ring keys.
    let whose = (Secret::new(secrets.ring.0.to_vec())?, key.public().digest());
    let keys = ring::open(context, (&settings.ring, &settings.data), settings.key_ring.as_ref(), whose)?;
    if let Some(trouble) = &keys.trouble {
        output::error_line(&format!(
            "{trouble}. Until that is over no ring key is made or used, and what ends waits for its destruction."
        ));
    }
    for consignment in &keys.returned {
        output::error_line(&format!(
            "ALARM: the ring key of consignment {consignment}, which was destroyed, lay in the ring again. It is destroyed again. [LZ-1034]"
        ));
    }
    let office = Office::open(Furniture {
        registry,
        ring: keys.ring,
        shelf: shelf::open(&settings.data, settings.shelf.as_ref())?,
        key,
        card: files::json(&settings.data.join("card.json"))?,
        clock: Arc::clone(&context.clock),
        entropy: Arc::clone(&context.entropy),
        deadline_days_max: settings.deadline_days_max,
        snapshot_days: ring::snapshot_days(settings.key_ring.as_ref())?,
        erasure_wait: office::ERASURE_WAIT,
    })?;
    Ok((office, secrets))
}

/// The certificate that is configured, or the server's own.
fn identity(context: &Context, settings: &ServerSettings, secrets: &Secrets) -> Result<Identity> {
    tls::configured(settings, context.now())?.map_or_else(|| own(settings, secrets), Ok)
}

fn own(settings: &ServerSettings, secrets: &Secrets) -> Result<Identity> {
    Ok(Identity { certificate_pem: files::text(&settings.data.join("tls.pem"))?, key_pem: secrets.tls.clone() })
}

/// What a renewed card is to name.
pub(crate) enum Named {
    /// The certificate that is configured.
    Configured,
    /// The server's own, none being configured any more.
    Own,
}

/// Takes a changed certificate into the card, and writes the paper by which devices learn of it: the same one again as
/// long as the certificate is the same. The card, and whether it was changed.
pub(crate) fn renew_card(
    context: &Context,
    settings: &ServerSettings,
    opener: &Opener,
    named: &Named,
    out: &Path,
) -> Result<(ServerCard, bool)> {
    let secrets = secrets(&settings.data, opener)?;
    let path = settings.data.join("card.json");
    let last: ServerCard = files::json(&path)?;
    let own = matches!(named, Named::Own).then(|| own(settings, &secrets)).transpose()?;
    let fingerprint = tls::renewed(tls::configured(settings, context.now())?, own, &last)?;
    let changed = fingerprint != last.fingerprint;
    // Larger than the last whatever the clock says, and the time where it can be: a server that was restored from before
    // its last renewal does not give a serial that devices know.
    let now = u64::try_from(context.now().as_second()).unwrap_or(0);
    let next = now.max(last.serial.map_or(0, |last| last.saturating_add(1)));
    let serial = if changed { Some(next) } else { last.serial };
    let card = ServerCard { fingerprint, serial, ..last };
    let key = SigningKey::from_seed(Zeroizing::new(secrets.signing.0))?;
    files::write_new(out, &canonical(&desk::renewed(&card, &key)?)?)?;
    files::write(&path, &canonical(&card)?)?;
    Ok((card, changed))
}

/// Everything that serving needs, the bound listener included. A start that is refused once the office is open comes to no
/// beat, and what is lacking then is needed to destroy no key: what is due goes first.
pub(crate) async fn open(
    context: &Context,
    settings: &ServerSettings,
    opener: &Opener,
) -> Result<(Arc<Office>, Identity, TcpListener)> {
    let (office, secrets) = open_office(context, settings, opener)?;
    match fit_to_serve(context, settings, (&office, &secrets)) {
        Ok((identity, listener)) => Ok((Arc::new(office), identity, listener)),
        Err(refused) => {
            before_a_refusal(&office).await;
            Err(refused)
        }
    }
}

/// Destroys the keys that are due. What comes of that hides no refusal.
async fn before_a_refusal(office: &Office) {
    if let Err(trouble) = office.sweep_keys().await {
        tracing::error!(code = %trouble.code(), "What is due could not all be destroyed before the refusal: {trouble}.");
    }
}

/// The identity and the listener of a server that may serve as it is configured, on this machine.
fn fit_to_serve(
    context: &Context,
    settings: &ServerSettings,
    (office, secrets): (&Office, &Secrets),
) -> Result<(Identity, TcpListener)> {
    let swaps = memory::clear_swap(settings.clear_swap || context.global.danger_clear_swap)?;
    let identity = identity(context, settings, secrets)?;
    if !office.card().mark_holds() {
        let why = "card.json and the name of the journal do not agree on whether this server is a demonstration";
        return Err(Alarm::new(Code(1038), why).into());
    }
    tls::is_on_the_card(&identity, office.card())?;
    let loopback = settings.listen.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    if office.card().demonstration && !loopback {
        let why = "this server was made as a demonstration and listens on loopback only, for ever";
        return Err(
            Refusal::new(Code(1037), why, "Listen on 127.0.0.1, or make a server without --demonstration.").into()
        );
    }
    let listener = TcpListener::bind(&settings.listen).map_err(|error| {
        Refusal::new(
            Code(1035),
            format!("the address {} cannot be listened on: {}", settings.listen, error.kind()),
            "Stop what listens there, or name another port.",
        )
    })?;
    for swap in &swaps {
        memory::warn(swap);
        office.note_danger(&format!("memory may be written in clear to the swap {swap}"))?;
    }
    Ok((identity, listener))
}

/// Admits an organisation on the server of a data folder, whether it runs or not: it takes it up by itself.
pub(crate) fn admit(data: &Path, root: &Root, opener: &Opener) -> Result<()> {
    let secrets = secrets(data, opener)?;
    let key = SigningKey::from_seed(Zeroizing::new(secrets.signing.0))?;
    let admission = office::admission(root, &files::json(&data.join("card.json"))?, &key)?;
    Registry::leave_admission(&data.join("registry.sqlite"), root.id(), &admission)
}

/// Serves and sweeps until interrupted.
pub(crate) async fn serve(
    office: Arc<Office>,
    identity: &Identity,
    listener: TcpListener,
    sweep_seconds: u64,
) -> Result<()> {
    let mut sweeper = Sweeper::new(Arc::clone(&office));
    let sweeping = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_secs(sweep_seconds.max(1)));
        loop {
            beat.tick().await;
            if let Err(trouble) = sweeper.beat().await {
                tracing::error!(code = %trouble.code(), "The sweep could not end: {trouble}.");
            }
        }
    });
    let served = doors::serve(office, listener, identity, interrupted()).await;
    sweeping.abort();
    // The emptying of shelves stops with its sweeper.
    drop(sweeping.await);
    served
}

/// Over when the process is asked to stop.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}

/// The folder is its owner's alone: it holds names of persons, plans and the locked keys.
fn close(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn unusable(error: &std::io::Error) -> Fault {
    Fault::new(Code(1036), Retry::Later, format!("the data folder cannot be made: {}", error.kind()))
}
