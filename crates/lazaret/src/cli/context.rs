use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use desk::{Desk, Home, KeyHolder};
use lexicon::{Clock, Code, Entropy, MigrationId, Refusal, Result, SystemClock, SystemEntropy, Timestamp, Trouble};
use passage::KeysInClear;
use people::{AgeIdentity, Passphrase};
use procedure::{Ledger, Migration};
use serde_json::{Value, json};
use wire::Keeper;
use zeroize::Zeroizing;

use super::{Global, overdue};
use crate::files;
use crate::opener::Opener;
use crate::output::Done;

/// What commands are run with: made once, from the machine.
pub(crate) struct Context {
    pub global: Global,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// This machine may write its memory in clear to its swap, and the command goes on all the same.
    pub clear_swap: bool,
    /// Keys of rows at fault, for whoever asked to see them.
    pub keys: Arc<KeysInClear>,
}

impl Context {
    pub(crate) fn new(global: Global, keys: Arc<KeysInClear>) -> Self {
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::new()));
        Self { global, clock, entropy, clear_swap: false, keys }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The folder of this device.
    pub(crate) fn home_folder(&self) -> Result<PathBuf> {
        self.global.home.clone().ok_or_else(|| {
            Refusal::new(Code(1010), "no folder of a device is named", "Give --home DIR, or set LAZARET_HOME.").into()
        })
    }

    /// The passphrase: from the file, from the service manager's credential, or asked for.
    pub(crate) fn passphrase(&self, what: &str) -> Result<Passphrase> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|folder| PathBuf::from(folder).join("lazaret-passphrase"))
            .filter(|path| path.exists());
        if let Some(path) = self.global.passphrase_file.clone().or(credential) {
            return Ok(Passphrase::new(&Zeroizing::new(files::text(&path)?)));
        }
        if !std::io::stdin().is_terminal() {
            return Err(Refusal::new(
                Code(1011),
                format!("the passphrase of {what} is needed and nobody can be asked"),
                "Give --passphrase-file FILE, or run the command on a terminal.",
            )
            .into());
        }
        let typed = rpassword::prompt_password(format!("Passphrase of {what}: "))
            .map_err(|_| Refusal::new(Code(1012), "no passphrase was typed", "Run the command again."))?;
        Ok(Passphrase::new(&Zeroizing::new(typed)))
    }

    /// What opens a server's secrets: the age identity that is named or handed over by the service manager, its
    /// passphrase otherwise.
    pub(crate) fn server_opener(&self) -> Result<Opener> {
        let handed = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|folder| PathBuf::from(folder).join("lazaret-identity"))
            .filter(|path| path.exists());
        let Some(path) = self.global.identity_file.clone().or(handed) else {
            return Ok(Opener::Passphrase(self.passphrase("the server")?));
        };
        let text = Zeroizing::new(files::text(&path)?);
        if let Some(mode) = files::open_to_everybody(&path) {
            let why = format!("the age identity {} can be used by everybody (mode {mode:o})", path.display());
            let remedy = "Close it with `chmod o= FILE`; if somebody may have read it, make a new server.";
            return Err(Refusal::new(Code(1023), why, remedy).into());
        }
        Ok(Opener::Identity(AgeIdentity::parse(&text)?))
    }

    /// The desk for acts that do not bind: an unlocked key serves, where there is one.
    pub(crate) fn desk(&self) -> Result<Desk> {
        let home = Home::open(&self.home_folder()?)?;
        #[cfg(unix)]
        if let Some(unlocked) = desk::unlocked::Unlocked::connect(&home)? {
            return self.at(home, Arc::new(unlocked));
        }
        self.desk_with(&self.passphrase("this device")?)
    }

    /// Whether `lazaret unlock` holds this device's key: then [`Self::desk`] opens none in this process.
    pub(crate) fn key_is_held(&self) -> bool {
        self.home_folder().and_then(|folder| Home::open(&folder)).is_ok_and(|home| is_held(&home))
    }

    /// The desk for acts that bind, and for work with the shares that this device keeps: the passphrase is asked for.
    pub(crate) fn binding_desk(&self) -> Result<(Desk, Passphrase)> {
        let passphrase = self.passphrase("this device")?;
        Ok((self.desk_with(&passphrase)?, passphrase))
    }

    pub(crate) fn desk_with(&self, passphrase: &Passphrase) -> Result<Desk> {
        let home = Home::open(&self.home_folder()?)?;
        let holder = KeyHolder::unlock(&home, passphrase).inspect_err(|_| overdue::before_a_refusal(self))?;
        self.at(home, Arc::new(holder))
    }

    fn at(&self, home: Home, keeper: Arc<dyn Keeper>) -> Result<Desk> {
        let desk = Desk::open(home, keeper, Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let desk = desk.inspect_err(|_| overdue::before_a_refusal(self))?;
        overdue::tell(desk.overdue());
        Ok(desk.with_clear_swap(self.clear_swap))
    }

    /// The migration that is meant: the one named, or the only one that this organisation has.
    pub(crate) async fn migration(&self, desk: &Desk, named: Option<MigrationId>) -> Result<MigrationId> {
        if let Some(named) = named {
            return Ok(named);
        }
        let lines = match desk.client().migrations(desk.keeper()).await {
            Ok(lines) => lines,
            // What is due is destroyed without the server too: the only one that this device keeps will do.
            Err(fault @ Trouble::Fault(_)) => {
                let kept = desk.home().migrations()?;
                return if let [only] = kept.as_slice() { Ok(*only) } else { Err(fault) };
            }
            Err(trouble) => return Err(trouble),
        };
        match lines.as_slice() {
            [only] => Ok(only.migration),
            [] => Err(Refusal::new(
                Code(1014),
                "your organisation has no migration here",
                "Open one with `lazaret migration open`.",
            )
            .into()),
            _ => Err(Refusal::new(
                Code(1015),
                "your organisation has several migrations here",
                "Name one with --migration ID; `lazaret next` lists them.",
            )
            .into()),
        }
    }
}

#[cfg(unix)]
fn is_held(home: &Home) -> bool {
    matches!(desk::unlocked::Unlocked::connect(home), Ok(Some(_)))
}

#[cfg(not(unix))]
fn is_held(_: &Home) -> bool {
    false
}

/// Asks before something that cannot be taken back; `given` is what an unattended caller said beforehand.
pub(crate) fn confirm(question: &str, expected: &str, given: Option<&str>) -> Result<()> {
    let refused =
        |why: &str| Refusal::new(Code(1016), why, format!("Look at what is shown, then confirm with {expected}."));
    if let Some(given) = given {
        return if given == expected {
            Ok(())
        } else {
            Err(refused("what was confirmed is not what would be done").into())
        };
    }
    if !std::io::stdin().is_terminal() {
        return Err(refused("this has to be confirmed and nobody can be asked").into());
    }
    let mut stderr = std::io::stderr().lock();
    drop(write!(stderr, "{question}\nType the first eight digits of {expected} to go on: "));
    drop(stderr.flush());
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).map_err(|_| refused("nothing was typed"))?;
    let typed = typed.trim();
    if typed.len() >= 8 && expected.starts_with(typed) { Ok(()) } else { Err(refused("it was not confirmed").into()) }
}

/// A passphrase-independent file that holds a database password.
pub(crate) fn credential(file: Option<&PathBuf>) -> Result<Option<connectors::Credential>> {
    let Some(file) = file else { return Ok(None) };
    Ok(Some(connectors::Credential::new(Zeroizing::new(files::text(file)?).trim_end_matches(['\r', '\n']).to_owned())))
}

/// The end of a command that acted: what was done, then whose turn it is.
pub(crate) fn acted(ledger: &Ledger, what: &str) -> Done {
    let migration = ledger.migration();
    let text =
        format!("{what}\nRecorded as fact {} of migration {}.\n{}", migration.facts, migration.id, turn(migration));
    Done::new(text, json!({ "migration": migration.id, "fact": migration.facts, "turn": migration.turn() }))
}

/// Whose turn it is, in one line.
pub(crate) fn turn(migration: &Migration) -> String {
    let turn = migration.turn();
    let until = turn.until.map(|until| format!(", until {until}")).unwrap_or_default();
    match turn.who {
        "server" => "Next: the server destroys its part.".to_owned(),
        "nobody" => format!("Next: {}.", turn.what),
        who => format!("Next: the {who}: `lazaret {}`{until}.", turn.what),
    }
}

/// A JSON value of something that serialises.
pub(crate) fn value<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
