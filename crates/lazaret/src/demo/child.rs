//! The parties' commands: each is this program, run as a process of its own from the folder of whoever acts.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use lexicon::{Code, Fault, Result, Retry, Trouble};
use serde_json::Value;
use tokio::process::Command;

use super::cast::{Organisation, Person};
use super::ground::{Ground, unusable};
use super::tell::Teller;

/// What would make a party act from another's folder, or with another's passphrase.
const NOT_INHERITED: [&str; 7] = [
    "CREDENTIALS_DIRECTORY",
    "LAZARET_DATA",
    "LAZARET_HOME",
    "LAZARET_LISTEN",
    "LAZARET_LOG",
    "LAZARET_PASSPHRASE_FILE",
    "LAZARET_RING",
];

/// Where programs and databases put temporary files: inside the demonstration, so that the search sees them.
const TEMPORARY: [&str; 4] = ["TMPDIR", "TMP", "TEMP", "SQLITE_TMPDIR"];

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
        let (home, secret) = (format!("homes/{}", who.role), format!("secrets/{}", who.role));
        self.run(&[&["--home", &home, "--passphrase-file", &secret], arguments].concat()).await
    }

    /// An organisation acts with its root.
    pub(super) async fn organisation(&self, which: &Organisation, arguments: &[&str]) -> Result<Value> {
        let secret = format!("secrets/{}", which.folder);
        self.run(&[&["--passphrase-file", &secret], arguments].concat()).await
    }

    /// Somebody acts on the server's machine.
    pub(super) async fn server(&self, arguments: &[&str]) -> Result<Value> {
        self.run(&[&["--passphrase-file", "secrets/server"], arguments].concat()).await
    }

    /// Somebody who has nothing but files.
    pub(super) async fn anybody(&self, arguments: &[&str]) -> Result<Value> {
        self.run(arguments).await
    }

    /// A command of this program, not yet started. It dies with the demonstration.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.ground.dir()).stdin(Stdio::null()).kill_on_drop(true);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        for name in TEMPORARY {
            command.env(name, self.ground.path("temporary"));
        }
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [&["--json", "--quiet"], arguments].concat();
        let typed = format!("lazaret {}", arguments.join(" "));
        let output = self.command(&arguments).output().await.map_err(|error| unusable(&self.program, &error))?;
        let record = [format!("$ {typed}\n").as_bytes(), &output.stdout, &output.stderr].concat();
        self.append("commands.log", &record)?;
        document(&typed, &output).inspect_err(|_| self.tell.happened(&format!("This failed: {typed}")))
    }

    /// Adds to a log, which is searched like everything else.
    pub(super) fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.ground.path("logs").join(name);
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        Ok(opened.and_then(|mut file| file.write_all(bytes)).map_err(|error| unusable(&path, &error))?)
    }
}

/// What a command printed, or the trouble that it ended with, in its own words.
fn document(typed: &str, output: &Output) -> Result<Value> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.and_then(|line| serde_json::from_str::<Value>(line).ok());
    let trouble = said.as_ref().and_then(|said| said.get("error"));
    if let Some(Ok(trouble)) = trouble.map(|trouble| serde_json::from_value::<Trouble>(trouble.clone())) {
        return Err(trouble);
    }
    said.filter(|_| output.status.success()).ok_or_else(|| {
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
        assert_eq!(document("lazaret x", &ended(4, &said, "")).unwrap_err(), refused);
    }

    #[test]
    fn a_command_that_prints_no_document_has_failed_whatever_its_status() {
        for status in [0, 2] {
            let failed = document("lazaret x", &ended(status, "", "unexpected argument\n")).unwrap_err();
            assert!(failed.to_string().contains("unexpected argument"), "{failed}");
        }
        assert!(document("lazaret x", &ended(5, "{\"equal\":false}", "")).is_err());
    }

    #[test]
    fn the_last_line_is_the_document() {
        let said = document("lazaret x", &ended(0, "a page for people\n{\"plan\":\"ab\"}\n", "")).unwrap();
        assert_eq!(text(&said, "plan").unwrap(), "ab");
        assert_eq!(text(&said, "fact").unwrap_err().code(), Code(1086));
    }
}
