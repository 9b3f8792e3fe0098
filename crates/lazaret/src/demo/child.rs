//! The parties' commands: each is this program, run as a process of its own from the folder of whoever acts.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use lexicon::{Code, Fault, Result, Retry, Trouble};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::cast::{CONTROLLER, Organisation, Person};
use super::ground::{Ground, unusable};
use super::tell::Teller;
use crate::exit;

/// What would make a party act from another's folder, or with another's passphrase.
const NOT_INHERITED: [&str; 8] = [
    "CREDENTIALS_DIRECTORY",
    "LAZARET_DATA",
    "LAZARET_HOME",
    "LAZARET_IDENTITY_FILE",
    "LAZARET_LISTEN",
    "LAZARET_LOG",
    "LAZARET_PASSPHRASE_FILE",
    "LAZARET_RING",
];

/// Where programs and databases put temporary files: inside the demonstration, so that the search sees them.
const TEMPORARY: [&str; 4] = ["TMPDIR", "TMP", "TEMP", "SQLITE_TMPDIR"];

/// Makes a command end when its standard input does, of which this process holds the other end.
pub(super) const WHILE_WE_LIVE: &str = "--until-stdin-closes";

/// Runs commands on one ground.
pub(super) struct Commands {
    program: PathBuf,
    pub(super) ground: Ground,
    pub(super) tell: Teller,
}

impl Commands {
    pub(super) fn new(ground: Ground, tell: Teller) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| unusable(&PathBuf::from("lazaret"), &error))?;
        Ok(Self { program, ground, tell })
    }

    /// A person acts on their device.
    pub(super) async fn person(&self, who: &Person, arguments: &[&str]) -> Result<Value> {
        self.run(&as_person(who, arguments), None, exit::OK).await
    }

    /// What the controller confirms an act with, from where the migration stands.
    pub(super) async fn to_confirm(&self, act: &str) -> Result<String> {
        let shown = self.person(&CONTROLLER, &["migration", "show"]).await?;
        field(&field::<Value>(&shown, "confirm")?, act)
    }

    /// A person tries whether something opens: that it did is an answer and no failure. What they are given comes on
    /// standard input, because it must stand on no disk and no command line.
    pub(super) async fn probe(&self, who: &Person, arguments: &[&str], given: Option<&[u8]>) -> Result<Value> {
        self.run(&as_person(who, arguments), given, exit::MISMATCH).await
    }

    /// An organisation acts with its root.
    pub(super) async fn organisation(&self, which: &Organisation, arguments: &[&str]) -> Result<Value> {
        let secret = format!("secrets/{}", which.folder);
        self.run(&own(&["--passphrase-file", &secret], arguments), None, exit::OK).await
    }

    /// Somebody acts on the server's machine.
    pub(super) async fn server(&self, arguments: &[&str]) -> Result<Value> {
        self.run(&own(&["--passphrase-file", "secrets/server"], arguments), None, exit::OK).await
    }

    /// Somebody who has nothing but files.
    pub(super) async fn anybody(&self, arguments: &[&str]) -> Result<Value> {
        self.run(&own(&[], arguments), None, exit::OK).await
    }

    /// A command of this program, not yet started. It is killed when it is dropped; one that is started with
    /// [`WHILE_WE_LIVE`] also ends when this process was killed and could drop nothing.
    pub(super) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.ground.dir()).stdin(Stdio::piped()).kill_on_drop(true);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        for name in TEMPORARY {
            command.env(name, self.ground.path("temporary"));
        }
        // No record here is anybody's: no machine is refused for its swap.
        command.env("LAZARET_DANGER_CLEAR_SWAP", "1");
        command
    }

    /// What a command printed that ended with status 0 or the other one that is an answer.
    async fn run(&self, arguments: &[String], input: Option<&[u8]>, or: u8) -> Result<Value> {
        let mut arguments = [&["--json".to_owned(), "--quiet".to_owned()], arguments].concat();
        let typed = format!("lazaret {}", arguments.join(" "));
        if input.is_none() {
            arguments.push(WHILE_WE_LIVE.to_owned());
        }
        let output = self.output(&arguments, input).await.map_err(|error| unusable(&self.program, &error))?;
        let record = [format!("$ {typed}\n").as_bytes(), &output.stdout, &output.stderr].concat();
        self.append("commands.log", &record)?;
        document(&typed, &output, or).inspect_err(|_| self.tell.happened(&format!("This failed: {typed}")))
    }

    async fn output(&self, arguments: &[String], input: Option<&[u8]>) -> std::io::Result<Output> {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // Taken out, because waiting for a child closes what it still has.
        let mut held = child.stdin.take();
        if let Some(input) = input
            && let Some(mut stdin) = held.take()
        {
            stdin.write_all(input).await?;
        }
        let output = child.wait_with_output().await;
        drop(held);
        output
    }

    /// Adds to a log, which is searched like everything else.
    pub(super) fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.ground.path("logs").join(name);
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        Ok(opened.and_then(|mut file| file.write_all(bytes)).map_err(|error| unusable(&path, &error))?)
    }
}

fn as_person(who: &Person, arguments: &[&str]) -> Vec<String> {
    let (home, secret) = (format!("homes/{}", who.role), format!("secrets/{}", who.role));
    own(&["--home", &home, "--passphrase-file", &secret], arguments)
}

fn own(first: &[&str], then: &[&str]) -> Vec<String> {
    first.iter().chain(then).map(|&word| word.to_owned()).collect()
}

/// What a command printed, or the trouble that it ended with, in its own words.
fn document(typed: &str, output: &Output, or: u8) -> Result<Value> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.and_then(|line| serde_json::from_str::<Value>(line).ok());
    let trouble = said.as_ref().and_then(|said| said.get("error"));
    if let Some(Ok(trouble)) = trouble.map(|trouble| serde_json::from_value::<Trouble>(trouble.clone())) {
        return Err(trouble);
    }
    let answered = output.status.success() || output.status.code() == Some(or.into());
    said.filter(|_| answered).ok_or_else(|| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let text = format!("`{typed}` ended with {}: {}", output.status, stderr.trim());
        Fault::new(Code(1085), Retry::Never, text).into()
    })
}

/// A text in a document that a command printed.
pub(super) fn text<'v>(said: &'v Value, name: &str) -> Result<&'v str> {
    said.get(name).and_then(Value::as_str).ok_or_else(|| absent(name))
}

/// Any other value in it.
pub(super) fn field<T: serde::de::DeserializeOwned>(said: &Value, name: &str) -> Result<T> {
    said.get(name).and_then(|value| serde_json::from_value(value.clone()).ok()).ok_or_else(|| absent(name))
}

fn absent(name: &str) -> Trouble {
    Fault::new(Code(1086), Retry::Never, format!("a command did not say '{name}', which the demonstration needs"))
        .into()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use lexicon::Refusal;
    use serde_json::json;

    use super::*;

    fn ended(status: i32, stdout: &str, stderr: &str) -> Output {
        Output {
            status: std::process::ExitStatus::from_raw(status << 8),
            stdout: stdout.as_bytes().to_vec(),
            stderr: stderr.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_command_that_refuses_is_heard_in_its_own_words() {
        let refused =
            Trouble::from(Refusal::new(Code(1060), "there is no plan to approve", "Wait until one is proposed."));
        let said = json!({ "error": refused }).to_string();
        assert_eq!(document("lazaret x", &ended(4, &said, ""), exit::OK).unwrap_err(), refused);
    }

    #[test]
    fn a_command_that_prints_no_document_has_failed_whatever_its_status() {
        for status in [0, 2] {
            let failed = document("lazaret x", &ended(status, "", "unexpected argument\n"), exit::OK).unwrap_err();
            assert!(failed.to_string().contains("unexpected argument"), "{failed}");
        }
        assert!(document("lazaret x", &ended(5, "{\"equal\":false}", ""), exit::OK).is_err());
        assert!(document("lazaret x", &ended(5, "{\"opened\":true}", ""), exit::MISMATCH).is_ok());
    }

    #[test]
    fn the_last_line_is_the_document() {
        let said = document("lazaret x", &ended(0, "a page for people\n{\"plan\":\"ab\"}\n", ""), exit::OK).unwrap();
        assert_eq!(text(&said, "plan").unwrap(), "ab");
        assert_eq!(text(&said, "fact").unwrap_err().code(), Code(1086));
    }
}
