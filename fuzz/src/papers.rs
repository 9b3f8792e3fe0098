//! Files that people write or hand each other: the server's settings, a plan, an envelope in a file.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lexicon::{Result, canonical};
use people::Envelope;
use procedure::Migration;
use tempfile::TempDir;
use wire::ServerCard;

use crate::cast::{CAST, Who, start};
use crate::cli::Place;
use crate::config::ServerSettings;
use crate::promises::{said_plainly, told_nothing};
use crate::tale::{Setting, Tale};
use crate::{files, plan_file};

thread_local! {
    /// Of one thread, since tests try the targets at once; in memory where the machine has a folder for that.
    static FOLDER: TempDir = {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        for name in ["scope.toml", "report.json"] {
            files::write(&folder.path().join(name), b"{}").unwrap();
        }
        folder
    };
}

pub(crate) fn folder() -> PathBuf {
    FOLDER.with(|folder| folder.path().to_path_buf())
}

/// The bytes as a file of this name.
#[expect(clippy::disallowed_methods, reason = "a file that is made for this alone")]
pub(crate) fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A path in a file is looked at on the machine of whoever tries this: nothing that never ends is read.
fn names_a_device(bytes: &[u8]) -> bool {
    [&b"dev"[..], b"proc"].iter().any(|word| bytes.windows(word.len()).any(|part| part == *word))
}

fn loaded() -> Result<ServerSettings> {
    let data = folder();
    ServerSettings::load(&Place { data, ring: None, listen: None, tls_certificate: None, tls_key: None })
}

pub(crate) fn settings(bytes: &[u8]) {
    put("lazaret.toml", bytes);
    match loaded() {
        Ok(settings) => {
            let written = settings.to_toml();
            put("lazaret.toml", written.as_bytes());
            assert_eq!(loaded().unwrap().to_toml(), written, "settings mean others");
        }
        Err(trouble) => told_nothing(bytes, &trouble),
    }
}

pub(crate) fn settings_seeds() -> Vec<Vec<u8>> {
    [
        "ring = '/srv/ring'\nlisten = '127.0.0.1:8443'\nsweep_seconds = 5\ndeadline_days_max = 30\n",
        "ring = 'r'\ntls_certificate = 'c.pem'\ntls_key = 'k.pem'\n[danger]\nclear_swap = true\n",
        "ring = 'r'\n[shelf]\nendpoint = 'https://s3.example'\nregion = 'r'\nbucket = 'b'\naccess_key = 'a'\n",
        "ring = 'r'\n[key_ring]\nkind = 'openbao'\naddress = 'https://bao.example:8200'\ntoken_file = 't'\n",
        "ring = 'r'\nlisten = 'MC4CAQAwBQYDK2VwBCIEIG5vYm9keSBzaWduc'\n",
        "sweep_secs = 1\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

pub(crate) fn plan(bytes: &[u8]) {
    if names_a_device(bytes) {
        return;
    }
    let path = put("plan.toml", bytes);
    let migration = migration();
    match plan_file::read(&path, migration.id, migration, start()) {
        Ok(proposal) => {
            let written = canonical(&proposal.plan).unwrap();
            let again: procedure::Plan = serde_json::from_slice(&written).unwrap();
            assert_eq!(again, proposal.plan, "a plan means another one");
        }
        Err(trouble) => said_plainly(&trouble),
    }
}

fn migration() -> &'static Migration {
    static TALE: LazyLock<Tale> = LazyLock::new(|| Tale::approved(Setting::default()));
    TALE.ledger.migration()
}

pub(crate) fn plan_seeds() -> Vec<Vec<u8>> {
    let (_, plan, _) = migration().plan.clone().unwrap();
    let value = serde_json::json!({
        "scope": "scope.toml",
        "report": "report.json",
        "deadline": plan.deadline,
        "extracting": plan.extracting,
        "loading": plan.loading,
        "source": plan.source,
        "target": plan.targets,
        "allowed": plan.allowed,
        "instruction": without_nulls(serde_json::to_value(&plan.instruction).unwrap()),
    });
    vec![toml::to_string(&value).unwrap().into_bytes()]
}

/// TOML has no word for nothing.
fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(fields) = value else { return value };
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    serde_json::Value::Object(fields.map(|(name, value)| (name, without_nulls(value))).collect())
}

/// A file that somebody hands over in good faith or not.
pub(crate) fn handed(bytes: &[u8]) {
    let path = put("handed.json", bytes);
    for trouble in [files::json::<Envelope>(&path).err(), files::json::<ServerCard>(&path).err()].into_iter().flatten()
    {
        told_nothing(bytes, &trouble);
    }
    if let Err(trouble) = files::text(&path) {
        told_nothing(bytes, &trouble);
    }
}

pub(crate) fn handed_seeds() -> Vec<Vec<u8>> {
    vec![
        canonical(&CAST.member(Who::Operator).certificate).unwrap(),
        canonical(&CAST.card(false)).unwrap(),
        br#"{"url":7,"value4711x":true}"#.to_vec(),
    ]
}
