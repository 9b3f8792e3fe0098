//! What a copy of the server is worth: tried while everything lives, and again once its ring key is gone.

use lexicon::{Code, ConsignmentId, MigrationId, Result, Trouble};
use people::Passphrase;
use serde_json::Value;
use zeroize::Zeroizing;

use super::cast::RECIPIENT;
use super::child::{Commands, field, text};
use super::figures::{bytes, of};
use super::ground::{DATA_LOOKED_INTO, Ground, RING, RING_COPY, RING_LOOKED_INTO, SERVER, SERVER_COPY};
use crate::cli::Context;
use crate::opener::Opener;
use crate::{files, server};

/// 1 MiB: what the server knows it writes beside the parcels. Each parcel is the bytes whose digest the laboratory's machine
/// signed in the manifest, so that the server cannot have written into it; to try every 32 bytes of large ones would cost
/// minutes and show nothing that the small ones do not.
const PARCEL_BYTES_LOOKED_INTO: u64 = 1024 * 1024;

/// The round that the copies are tried on.
pub(super) type Round = (MigrationId, ConsignmentId);

/// What the recipient's agent saw when it asked again and tried with all that it had.
#[derive(Clone, Copy)]
pub(super) struct Tried {
    /// Whether a parcel opened, with whatever it was.
    pub(super) opened: bool,
    /// Whether one did with what came out of the copy.
    pub(super) with_copy: bool,
}

/// Somebody copies the server in the middle of its life, as no backup may: the data folder and the key ring. With the
/// passphrase besides, and the recipient's real opening key, that opens a parcel.
pub(super) async fn somebody_copies(context: &Context, commands: &Commands, round: Round) -> Result<Tried> {
    commands.tell.stage("Somebody copies the server");
    let ground = &commands.ground;
    let copied = ground.copy(SERVER, SERVER_COPY, &[])?;
    ground.copy(RING, RING_COPY, &[])?;
    commands.tell.happened(&format!(
        "{}, {}: every parcel and the whole registry, kept in {SERVER_COPY}/ for good; the key ring in {RING_COPY}/.",
        of(copied.files, "file"),
        bytes(copied.bytes)
    ));
    let share = share(context, commands, RING_COPY, round)?;
    let said = recipient(commands, &["--only-probe"], share.as_ref()).await?;
    let tried = tried(&said, "probes")?;
    commands.tell.happened(&format!(
        "With this ring and the server's passphrase the copy {} the strongroom share; with the recipient's opening key {}.",
        if share.is_some() { "gives" } else { "does NOT give" },
        if tried.with_copy { "a parcel opens" } else { "NOTHING OPENS" }
    ));
    commands.tell.proved("the trial can open something: what fails after the destruction fails because a key is gone");
    Ok(tried)
}

/// After sign-off: the same copy of the data with today's ring; then the recipient asks and tries once more with all
/// that it has, and destroys its opening key.
pub(super) async fn recipient_destroys(context: &Context, commands: &Commands, round: Round) -> Result<Tried> {
    let share = match share(context, commands, RING, round) {
        // The ring's own word for a key that it destroyed; nothing else counts as its refusal.
        Err(Trouble::Refusal(refusal)) if refusal.code == Code(707) => {
            commands.tell.happened(&format!("The copied data, with today's ring: {refusal}"));
            None
        }
        given => given?,
    };
    let copies = looked_into(&commands.ground)?;
    let more: Vec<&str> = copies.iter().flat_map(|copy| ["--try-with", copy]).collect();
    let said = recipient(commands, &more, share.as_ref()).await?;
    let tried = tried(&said, "destroyed")?;
    let probe = probe(&said, "destroyed")?;
    commands.tell.happened(&format!(
        "The recipient asks for the strongroom share again. The server: {}",
        text(&probe, "server")?
    ));
    commands.tell.happened(&format!(
        "The recipient tries what it still holds, its opening key included, and every 32 bytes of {} that were copied, \
         also where they are spelled in hexadecimal or base64: {}, {}.",
        of(u64::try_from(copies.len()).unwrap_or(u64::MAX), "file"),
        of(field(&probe, "tried")?, "candidate"),
        if tried.opened { "A PARCEL OPENED" } else { "nothing opens" }
    ));
    commands.tell.acted(&format!("{} destroys the opening key", RECIPIENT.introduced()));
    // A ring that gives the share has not destroyed it, whatever came of it then.
    Ok(Tried { with_copy: tried.with_copy || share.is_some(), ..tried })
}

/// The copied files whose every 32 bytes are tried: all but the large parcels.
fn looked_into(ground: &Ground) -> Result<Vec<String>> {
    let shelf = ground.path(SERVER_COPY).join("shelf");
    let mut files = ground.files(SERVER_COPY)?;
    files.retain(|file| {
        let small = std::fs::metadata(file).is_ok_and(|about| about.len() <= PARCEL_BYTES_LOOKED_INTO);
        small || !file.starts_with(&shelf)
    });
    let names = files.iter().map(|file| file.strip_prefix(ground.dir()).unwrap_or(file).to_string_lossy().into_owned());
    Ok(names.collect())
}

/// The strongroom share out of the copied data and a ring, as whoever has the server's passphrase gets it.
fn share(context: &Context, commands: &Commands, ring: &str, round: Round) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let ground = &commands.ground;
    let opener = Opener::Passphrase(Passphrase::new(&files::text(&ground.path("secrets/server"))?));
    // Copies of the copies: what opens a registry or a ring tidies it up, a server may hold this one, and what somebody
    // took is to stay as it was taken.
    ground.copy(SERVER_COPY, DATA_LOOKED_INTO, &["shelf"])?;
    ground.copy(ring, RING_LOOKED_INTO, &[])?;
    let folders = (ground.path(DATA_LOOKED_INTO), ground.path(RING_LOOKED_INTO));
    let share =
        tokio::task::block_in_place(|| server::strongroom_share(context, (&folders.0, &folders.1), &opener, round));
    ground.remove(DATA_LOOKED_INTO)?;
    ground.remove(RING_LOOKED_INTO)?;
    share
}

/// The recipient's `migration destroy`. A share goes from memory to memory, through its standard input.
async fn recipient(commands: &Commands, more: &[&str], share: Option<&Zeroizing<Vec<u8>>>) -> Result<Value> {
    let arguments = [&["migration", "destroy"], more].concat();
    let given: &[&str] = if share.is_some() { &["--try-with", "-"] } else { &[] };
    commands.probe(&RECIPIENT, &[&arguments, given].concat(), share.map(|share| share.as_slice())).await
}

/// The probe of the one round; nothing to read from when nothing was loaded.
fn probe(said: &Value, list: &str) -> Result<Value> {
    let rounds: Vec<Value> = field(said, list)?;
    rounds.first().map_or(Ok(Value::Null), |round| field(round, "probe"))
}

fn tried(said: &Value, list: &str) -> Result<Tried> {
    let probe = probe(said, list)?;
    Ok(Tried { opened: field(&probe, "opened")?, with_copy: field(&probe, "opened_with_given")? })
}
