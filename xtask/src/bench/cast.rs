//! Who carries: a lazaret on loopback, two organisations and four persons, each acting from a folder of their own by the
//! program's own commands.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::meter;
use crate::process;

const LABORATORY: &str = "laboratory";
const VENDOR: &str = "vendor";
/// Folder, name, organisation, roles. The carrier holds both ends, as `lazaret migrate` asks for.
const PERSONS: [(&str, &str, &str, &[&str]); 4] = [
    (CONTROLLER, "Claire Le Goff", LABORATORY, &["controller"]),
    (CARRIER, "Yann Kerbrat", LABORATORY, &["operator", "recipient"]),
    (ENGINEER, "Ines Moreau", VENDOR, &["engineer"]),
    (APPROVER, "Paul Lambert", VENDOR, &["approver"]),
];
pub(super) const CONTROLLER: &str = "controller";
pub(super) const CARRIER: &str = "carrier";
const ENGINEER: &str = "engineer";
const APPROVER: &str = "approver";
/// How long a lazaret may take to open its door.
const SERVING: Duration = Duration::from_secs(30);

/// The cast in its folder; the lazaret ends when this is dropped.
pub(super) struct Cast {
    program: PathBuf,
    folder: PathBuf,
    server: Child,
}

/// A migration that is approved.
#[derive(Clone, Debug, Default)]
pub(super) struct Approved {
    pub(super) migration: String,
    pub(super) plan: String,
}

/// What a plan says about both systems: made once for each pair of them.
#[derive(Clone, Debug)]
pub(super) struct Systems {
    name: String,
    source: Value,
    target: Value,
    /// What rehearsals load.
    trial: Option<Value>,
}

impl Cast {
    /// Makes everything in `folder`, up to the persons' enrolment. `started` hears of the lazaret's process.
    pub(super) fn create(
        program: &Path,
        folder: &Path,
        port: u16,
        mut started: impl FnMut(&Child) -> Result<()>,
    ) -> Result<Self> {
        for name in ["homes", "papers", "secrets"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        for name in PERSONS.iter().map(|(name, ..)| *name).chain([LABORATORY, VENDOR, "server"]) {
            write(&folder.join("secrets").join(name), &format!("passphrase of the measured {name}\n"))?;
        }
        let secret = ["--passphrase-file", "secrets/server"];
        let listen = format!("127.0.0.1:{port}");
        let made = ["init", "--data", "server", "--ring", "ring", "--listen", &listen];
        document(&mut command(program, folder, &[&secret[..], &made].concat()))?;
        let mut words = Vec::new();
        for (name, called) in [(LABORATORY, "Laboratoire des Halles"), (VENDOR, "Editeur Biolog")] {
            let secret = format!("secrets/{name}");
            let made = ["--passphrase-file", &secret, "organisation", "create", "--name", called, "--folder", name];
            let said = text(&document(&mut command(program, folder, &made))?, "/words")?;
            let root = format!("{name}/organisation.json");
            let trusted = ["--passphrase-file", "secrets/server", "trust", &root, "--data", "server", "--words", &said];
            document(&mut command(program, folder, &trusted))?;
            words.push((name, said));
        }
        let mut serve = command(program, folder, &[&secret[..], &["serve", "--data", "server"]].concat());
        let log = log(&folder.join("server.log"))?;
        let server = process::in_a_group(serve.stdout(Stdio::null()).stderr(log)).spawn().context("lazaret serve")?;
        started(&server)?;
        let mut cast = Self { program: program.to_owned(), folder: folder.to_owned(), server };
        cast.wait_for_door()?;
        cast.enrol_all(&words)?;
        Ok(cast)
    }

    /// The lazaret's process.
    pub(super) fn server(&self) -> u32 {
        self.server.id()
    }

    fn wait_for_door(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            if said.contains("Serving") {
                return Ok(());
            }
            if let Some(status) = self.server.try_wait()? {
                bail!("lazaret serve ended by itself ({status}): {}", said.trim());
            }
            if begun.elapsed() > SERVING {
                bail!("lazaret serve does not open its door: {}", said.trim());
            }
            process::pause();
        }
    }

    fn enrol_all(&self, words: &[(&str, String)]) -> Result<()> {
        for (person, name, organisation, roles) in PERSONS {
            let said = words.iter().find(|(of, _)| *of == organisation).map_or("", |(_, words)| words);
            let paper = |kind: &str| format!("papers/{person}.{kind}");
            let (invitation, request, certificate) = (paper("invitation"), paper("request"), paper("certificate"));
            let mut invite = vec!["person", "invite", "--folder", organisation, "--name", name];
            invite.extend(roles.iter().flat_map(|role| ["--role", role]));
            invite.extend(["--server", "server/card.json", "--out", &invitation]);
            self.root(organisation, &invite)?;
            let asked = [
                "person",
                "enrol",
                "--invitation",
                &invitation,
                "--words",
                said,
                "--device",
                person,
                "--out",
                &request,
            ];
            self.said(person, &asked)?;
            let certify = ["person", "certify", "--folder", organisation, "--request", &request, "--invitation"];
            self.root(organisation, &[&certify[..], &[&invitation, "--out", &certificate]].concat())?;
            self.said(person, &["person", "enrol", "--certificate", &certificate])?;
            for (other, said) in words.iter().filter(|(other, _)| *other != organisation) {
                self.said(person, &["trust", &format!("{other}/organisation.json"), "--words", said])?;
            }
        }
        Ok(())
    }

    fn root(&self, organisation: &str, words: &[&str]) -> Result<Value> {
        let secret = format!("secrets/{organisation}");
        let words = [&["--passphrase-file", &secret][..], words].concat();
        document(&mut command(&self.program, &self.folder, &words))
    }

    /// A command of a person, not yet started.
    pub(super) fn person(&self, person: &str, words: &[&str]) -> Command {
        let (home, secret) = (format!("homes/{person}"), format!("secrets/{person}"));
        let words = [&["--home", &home, "--passphrase-file", &secret][..], words].concat();
        command(&self.program, &self.folder, &words)
    }

    /// What the controller confirms a release with, from what stands.
    pub(super) fn to_release(&self, migration: &str) -> Result<String> {
        let shown = self.said(CONTROLLER, &["migration", "show", "--migration", migration])?;
        let digest = shown.pointer("/confirm/release").and_then(Value::as_str);
        Ok(digest.context("nothing can be released")?.to_owned())
    }

    /// What a command of a person says.
    pub(super) fn said(&self, person: &str, words: &[&str]) -> Result<Value> {
        document(&mut self.person(person, words))
    }

    /// Looks at both systems, for plans. `target` must stand empty.
    pub(super) fn look(&self, name: &str, (source, target): (&str, &str), scope: &str) -> Result<Systems> {
        write(&self.folder.join(format!("papers/{name}.scope.toml")), scope)?;
        let (file, report) = (format!("papers/{name}.scope.toml"), format!("papers/{name}.report.json"));
        let check = ["scope", "check", "--scope", &file];
        let old = self.said(CARRIER, &[&check[..], &["--source", source, "--out", &report]].concat())?;
        let new = self.said(CARRIER, &[&check[..], &["--target", target]].concat())?;
        let (source, target) = (part(&old, "source")?, part(&new, "target")?);
        Ok(Systems { name: name.to_owned(), source, target, trial: None })
    }

    /// The same systems, and another one that rehearsals load.
    pub(super) fn with_trial(&self, systems: &Systems, trial: &str) -> Result<Systems> {
        let scope = format!("papers/{}.scope.toml", systems.name);
        let said = self.said(CARRIER, &["scope", "check", "--scope", &scope, "--target", trial])?;
        Ok(Systems { trial: Some(part(&said, "target")?), ..systems.clone() })
    }

    /// The scope's file that [`Self::look`] wrote.
    pub(super) fn scope(&self, systems: &Systems) -> PathBuf {
        self.folder.join(format!("papers/{}.scope.toml", systems.name))
    }

    /// A migration of its own, proposed and approved by two persons.
    pub(super) fn approved(&self, systems: &Systems) -> Result<Approved> {
        let (laboratory, vendor) = ("laboratory/organisation.json", "vendor/organisation.json");
        let said = self.said(ENGINEER, &["migration", "open", "--controller", laboratory, "--processor", vendor])?;
        let migration = text(&said, "/migration")?;
        let file = format!("papers/{migration}.toml");
        write(&self.folder.join(&file), &plan(systems)?)?;
        let of = ["--migration", &migration];
        let propose = [&["migration", "propose", "--plan", &file][..], &of].concat();
        let plan = text(&self.said(ENGINEER, &propose)?, "/plan")?;
        for person in [APPROVER, CONTROLLER] {
            self.said(person, &[&["migration", "approve", "--yes", &plan][..], &of].concat())?;
        }
        Ok(Approved { migration, plan })
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        process::signal("INT", &self.server.id().to_string());
        if !matches!(process::wait(&mut self.server, Duration::from_secs(10)), Ok(Some(_))) {
            drop(self.server.kill());
            drop(self.server.wait());
        }
    }
}

fn command(program: &Path, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["--json", "--quiet"]).args(words).current_dir(folder).stdin(Stdio::null());
    for name in ["CREDENTIALS_DIRECTORY", "LAZARET_DATA", "LAZARET_HOME", "LAZARET_LISTEN", "LAZARET_RING"] {
        command.env_remove(name);
    }
    // Its records are nobody's.
    command.env("LAZARET_DANGER_CLEAR_SWAP", "1");
    command
}

fn document(command: &mut Command) -> Result<Value> {
    let said = meter::said(command)?;
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("lazaret said no document: {last}"))
}

/// A part of a document.
fn part(said: &Value, name: &str) -> Result<Value> {
    said.get(name).cloned().with_context(|| format!("no {name} was told"))
}

/// A text in a document.
fn text(said: &Value, pointer: &str) -> Result<String> {
    let found = said.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.with_context(|| format!("lazaret said no {pointer}"))
}

fn plan(systems: &Systems) -> Result<String> {
    let deadline = process::answer("date", &["-u", "-d", "+30 days", "+%Y-%m-%dT%H:%M:%SZ"]).context("date")?;
    let of = |value: &Value, name: &str| text(value, &format!("/{name}"));
    let clause = |(item, number): (char, u8)| format!("[instruction.clauses.{item}]\nplace = \"art. 4.{number}\"\n");
    let rehearsals = match &systems.trial {
        None => String::new(),
        Some(trial) => format!(
            "[[target]]\nkinds = [\"rehearsal\"]\nidentity = \"{}\"\nschema = \"{}\"\n\
             [[allowed]]\nkind = \"rehearsal\"\ncount_max = 1\nhours_max = 240\n",
            of(trial, "identity")?,
            of(trial, "schema")?
        ),
    };
    let clauses = "abcdefgh".chars().zip(1..).map(clause).collect::<Vec<_>>().concat();
    Ok(format!(
        r#"scope = "{name}.scope.toml"
report = "{name}.report.json"
extracting = ["{CARRIER}.certificate"]
loading = ["{CARRIER}.certificate"]
one_operator_both_ends = true
[source]
identity = "{old}"
schema = "{old_schema}"
live = false
[[target]]
kinds = ["full"]
identity = "{new}"
schema = "{new_schema}"
[[allowed]]
kind = "full"
count_max = 1
hours_max = 240
{rehearsals}[instruction]
purpose = "Measure the carriage of records that belong to nobody"
nature = "Extraction, sealed carriage, loading, comparison"
duration = "One run"
data = ["identity of patients", "results"]
persons = ["patients"]
sub_processors = ["none"]
recipients = ["Laboratoire des Halles"]
deadline = "{deadline}"
ending = "delete"
no_other_channel = true
dpia = {{ reference = "none: the records are computed" }}
[instruction.controller]
name = "Laboratoire des Halles"
contact = "dpo@halles.example"
[instruction.processor]
name = "Editeur Biolog"
contact = "dpo@biolog.example"
[instruction.contract]
digest = "{digest}"
signatory = "Claire Le Goff"
{clauses}"#,
        name = systems.name,
        old = of(&systems.source, "identity")?,
        old_schema = of(&systems.source, "schema")?,
        new = of(&systems.target, "identity")?,
        new_schema = of(&systems.target, "schema")?,
        digest = "0".repeat(64),
    ))
}

/// Writes a paper of the measured persons.
pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a paper or a passphrase in the bench's own temporary folder")]
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

fn log(file: &Path) -> Result<std::fs::File> {
    #[expect(clippy::disallowed_methods, reason = "the measured server's log in the bench's own temporary folder")]
    let log = std::fs::File::create(file)?;
    Ok(log)
}
