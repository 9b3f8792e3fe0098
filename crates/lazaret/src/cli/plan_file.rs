//! The plan as its author writes it: one TOML file that names scope and report beside it.

use std::path::{Path, PathBuf};

use lexicon::{Code, Digest, MigrationId, Refusal, Result, Timestamp, hours_after, limits, shown};
use people::{Certificate, Envelope, PublicKey};
use procedure::{Allowed, Instruction, Migration, Plan, System, Target};
use serde::Deserialize;

use crate::files;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanFile {
    scope: PathBuf,
    report: PathBuf,
    deadline: Option<Timestamp>,
    extension_cap: Option<Timestamp>,
    /// Device keys, or certificate files.
    extracting: Vec<String>,
    loading: Vec<String>,
    #[serde(default)]
    one_operator_both_ends: bool,
    /// The kind of the server's key ring.
    key_ring: Option<String>,
    source: System,
    target: Vec<Target>,
    allowed: Vec<Allowed>,
    instruction: Instruction,
}

/// A plan with the documents that it names.
pub(crate) struct Proposal {
    pub plan: Plan,
    pub documents: Vec<Vec<u8>>,
}

/// Reads a plan file and makes it this migration's next plan.
pub(crate) fn read(path: &Path, id: MigrationId, migration: &Migration, now: Timestamp) -> Result<Proposal> {
    let file: PlanFile = toml::from_str(&files::text(path)?).map_err(|error| {
        Refusal::new(
            Code(1050),
            format!("the plan file cannot be used: {}", shown(error.message())),
            "Mend what is named; the manual's chapter on plans shows a whole file.",
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let scope = files::read(&folder.join(&file.scope))?;
    let report = files::read(&folder.join(&file.report))?;
    let devices = |names: &[String]| names.iter().map(|name| device(folder, name)).collect::<Result<Vec<_>>>();
    let (serial, previous) = match &migration.plan {
        Some((digest, plan, _)) => (plan.serial.saturating_add(1), Some(*digest)),
        None => (1, None),
    };
    let by_default = hours_after(now, limits::DEADLINE_DAYS_DEFAULT.saturating_mul(24));
    let deadline = file.deadline.or(file.instruction.deadline).unwrap_or(by_default);
    let plan = Plan {
        purpose: Plan::PURPOSE.to_owned(),
        migration: id,
        serial,
        previous,
        parties: migration.parties.clone(),
        instruction: file.instruction,
        scope: Digest::of(&scope),
        report: Digest::of(&report),
        source: file.source,
        targets: file.target,
        extracting: devices(&file.extracting)?,
        loading: devices(&file.loading)?,
        allowed: file.allowed,
        deadline,
        extension_cap: file.extension_cap.unwrap_or_else(|| hours_after(deadline, 30 * 24)),
        key_ring: file.key_ring.unwrap_or_else(|| "local".to_owned()),
        one_operator_both_ends: file.one_operator_both_ends,
    };
    Ok(Proposal { plan, documents: vec![scope, report] })
}

/// A device's key: as hexadecimal digits, or out of a certificate file. The plan binds the key, not the certificate.
fn device(folder: &Path, name: &str) -> Result<PublicKey> {
    if let Ok(key) = name.parse() {
        return Ok(key);
    }
    let envelope: Envelope = files::json(&folder.join(name))?;
    let certificate: Certificate = serde_json::from_slice(&envelope.bytes()?).map_err(|_| {
        Refusal::new(Code(1051), format!("'{name}' is neither a device key nor a certificate"), "Name one of the two.")
    })?;
    Ok(certificate.device.key)
}
