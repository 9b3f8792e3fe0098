//! Keys in OpenBao's transit engine: `aes256-gcm96`, one for each consignment, which the service neither exports nor
//! backs up in clear. `deletion_allowed` is off while a key lives; the destroying act alone sets it.
//!
//! Every answer is looked at for what it says, not only for its status: a 404 of an engine that is not there says nothing
//! about a key, and a key that was "soft-deleted" is there.

mod http;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lexicon::{Code, ConsignmentId, Digest, Fault, Refusal, Result, Retry};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use self::http::{Answer, Body, Client, Verb, unexpected};
use super::flaw::Flaw;
use super::names::Names;
use super::store::{KeyStore, Unwrapped, flawless, still_there};
use super::{Level, Said};

/// The version of what OpenBao wraps here; another ring's is no such thing.
const SEALED_VERSION: u8 = 3;
/// What keys are made as.
const KIND: &str = "aes256-gcm96";
/// What a key's name begins with.
const WORD: &str = "lazaret";
/// What OpenBao says when it is asked to open with a key that it does not have.
const NO_KEY: &str = "encryption key not found";
/// How often a key is deleted that is there again afterwards: another server's POST of its config, begun before the
/// deletion, writes the whole key back.
const DELETIONS_MAX: usize = 3;

/// Where an OpenBao is, what lets this server in, and whose keys in it are meant.
#[derive(Clone, Debug)]
pub struct OpenBaoPlace {
    /// `https://host:port`; `http` on loopback only.
    pub address: String,
    /// Where the transit engine is mounted, usually `transit`.
    pub mount: String,
    /// The file with the token.
    pub token_file: PathBuf,
    /// The certificates, in PEM, of the authority that its certificate comes from; the machine's own when none is named.
    pub ca_file: Option<PathBuf>,
    /// The digest of the server's public key, which the names of its keys begin with: others may keep theirs there too.
    pub server: Digest,
}

pub(super) struct Transit {
    client: Client,
    mount: String,
    names: Names,
}

/// A key, as the service describes it.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the service's own form")]
struct Described {
    #[serde(rename = "type")]
    kind: String,
    exportable: bool,
    allow_plaintext_backup: bool,
    #[serde(default)]
    derived: bool,
    #[serde(default)]
    imported_key: bool,
    #[serde(default)]
    soft_deleted: bool,
}

impl Described {
    /// All for which this key may serve nobody: one must not hide another.
    fn flaws(&self) -> Vec<Flaw> {
        let flaws = [
            (self.soft_deleted, Flaw::Hidden),
            (self.exportable, Flaw::Exportable),
            (self.allow_plaintext_backup, Flaw::ClearBackup),
            (self.imported_key, Flaw::Imported),
            (self.kind != KIND || self.derived, Flaw::AnotherKind),
        ];
        flaws.into_iter().filter(|(is, _)| *is).map(|(_, flaw)| flaw).collect()
    }
}

/// Whatever an answer carries, by the name of the engine's field.
#[derive(Deserialize)]
struct Carries<T> {
    data: T,
}

#[derive(Serialize)]
struct Wraps<'a> {
    plaintext: &'a str,
    associated_data: String,
}

#[derive(Deserialize)]
struct Ciphertext {
    ciphertext: String,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct Plaintext {
    plaintext: String,
}

#[derive(Deserialize)]
struct Listed {
    keys: Vec<String>,
}

#[derive(Deserialize)]
struct Health {
    cluster_id: Option<String>,
}

impl Transit {
    pub(super) fn new(place: OpenBaoPlace) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let mount = place.mount.trim_matches('/').to_owned();
        if mount.is_empty() || !mount.split('/').all(|part| !part.is_empty() && part.chars().all(plain)) {
            return Err(Refusal::new(
                Code(726),
                format!("{mount:?} is not where a transit engine is mounted"),
                "Name the mount as `bao secrets list` shows it, without the slash: usually transit.",
            )
            .into());
        }
        let names = Names::new(WORD, '-', &place.server);
        Ok(Self { client: Client::new(place)?, mount, names })
    }

    fn ask(&self, verb: Verb, path: &str, body: Option<&dyn Body>) -> Result<Answer> {
        self.client.ask(verb, &format!("{}/{path}", self.mount), body)
    }

    /// The key as the service describes it, and what it said; none when it has none.
    fn described(&self, id: ConsignmentId) -> Result<(Option<Described>, Answer)> {
        let answer = self.ask(Verb::Get, &format!("keys/{}", self.names.of(id)), None)?;
        match answer.status {
            200 => {
                let Carries { data } = answer.parsed()?;
                Ok((Some(data), answer))
            }
            404 if answer.is_absent() => Ok((None, answer)),
            404 => Err(self.no_engine().into()),
            _ => Err(unexpected("describe a key", &answer)),
        }
    }

    fn no_engine(&self) -> Fault {
        Fault::new(
            Code(727),
            Retry::Later,
            format!(
                "there is no transit engine of OpenBao at {:?}: what answers says nothing about the ring's keys",
                self.mount
            ),
        )
    }

    /// Whether there is a key that may be used.
    fn usable(&self, id: ConsignmentId) -> Result<bool> {
        let Some(described) = self.described(id)?.0 else { return Ok(false) };
        flawless(id, &described.flaws())?;
        Ok(true)
    }

    fn encrypt(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<(Answer, Option<String>)> {
        let plain = Zeroizing::new(STANDARD.encode(plain));
        let body = Wraps { plaintext: &plain, associated_data: STANDARD.encode(aad) };
        let answer = self.ask(Verb::Post, &format!("encrypt/{}", self.names.of(id)), Some(&body))?;
        let sealed = (answer.status == 200).then(|| answer.parsed::<Carries<Ciphertext>>()).transpose()?;
        Ok((answer, sealed.map(|sealed| sealed.data.ciphertext)))
    }

    fn decrypt(&self, id: ConsignmentId, aad: &[u8], sealed: &str) -> Result<Answer> {
        let body = json!({ "ciphertext": sealed, "associated_data": STANDARD.encode(aad) });
        self.ask(Verb::Post, &format!("decrypt/{}", self.names.of(id)), Some(&body))
    }

    /// What follows once the key is described: it is made deletable and deleted, whatever its flaws.
    fn delete(&self, id: ConsignmentId, said: &mut Vec<Said>) -> Result<()> {
        let allow = json!({ "deletion_allowed": true });
        let answer = self.ask(Verb::Post, &format!("keys/{}/config", self.names.of(id)), Some(&allow))?;
        said.push(answer.said("POST config deletion_allowed=true"));
        let answer = self.ask(Verb::Delete, &format!("keys/{}", self.names.of(id)), None)?;
        said.push(answer.said("DELETE the key"));
        if answer.status == 204 || self.described(id)?.0.is_none() {
            // Somebody else may have been faster.
            return Ok(());
        }
        Err(unexpected("delete a key", &answer))
    }
}

/// Our version, the key's version, and the bytes: the text that OpenBao makes of them can be written in several ways.
fn packed(text: &str) -> Option<Vec<u8>> {
    let (version, body) = text.strip_prefix("vault:v")?.split_once(':')?;
    // What [`unpacked`] does not take must not be kept as a share.
    let version = version.parse::<u32>().ok().filter(|version| *version > 0)?;
    let body = STANDARD.decode(body).ok()?;
    Some([&[SEALED_VERSION], version.to_be_bytes().as_slice(), &body].concat())
}

fn unpacked(sealed: &[u8]) -> Option<String> {
    let (version, body) = sealed.strip_prefix(&[SEALED_VERSION])?.split_first_chunk::<4>()?;
    // OpenBao takes 0 for 1.
    let version = Some(u32::from_be_bytes(*version)).filter(|version| *version > 0)?;
    Some(format!("vault:v{version}:{}", STANDARD.encode(body)))
}

#[cfg(feature = "parsers")]
pub(crate) fn openbao_answer(status: u16, body: &[u8]) -> (Said, Vec<Result<()>>) {
    let answer = Answer::new(status, body.to_vec());
    let read = vec![
        answer.parsed::<Carries<Described>>().map(drop),
        answer.parsed::<Carries<Ciphertext>>().map(drop),
        answer.parsed::<Carries<Plaintext>>().map(drop),
        answer.parsed::<Carries<Listed>>().map(drop),
        answer.parsed::<Health>().map(drop),
        Err(unexpected("open", &answer)),
    ];
    (answer.said("GET the key"), read)
}

#[cfg(feature = "parsers")]
pub(crate) fn openbao_sealed(text: &str) -> Option<(Vec<u8>, Option<String>)> {
    let bytes = packed(text)?;
    let again = unpacked(&bytes);
    Some((bytes, again))
}

#[cfg(feature = "parsers")]
pub(crate) fn openbao_text(sealed: &[u8]) -> Option<String> {
    unpacked(sealed)
}

impl KeyStore for Transit {
    fn identity(&self) -> Result<String> {
        let answer = self.client.ask(Verb::Get, "sys/health?standbyok=true&perfstandbyok=true", None)?;
        let health: Health = answer.parsed()?;
        let cluster = health.cluster_id.ok_or_else(|| unexpected("say which cluster it is", &answer))?;
        Ok(format!("OpenBao cluster {cluster}, engine {}", self.mount))
    }

    fn held(&self) -> Result<Vec<ConsignmentId>> {
        let answer = self.ask(Verb::Get, "keys?list=true", None)?;
        match answer.status {
            200 => {
                let Carries::<Listed> { data } = answer.parsed()?;
                Ok(data.keys.iter().filter_map(|name| self.names.consignment(name)).collect())
            }
            404 if answer.is_absent() => Ok(Vec::new()),
            404 => Err(self.no_engine().into()),
            _ => Err(unexpected("list its keys", &answer)),
        }
    }

    fn holds(&self, id: ConsignmentId) -> Result<bool> {
        Ok(self.described(id)?.0.is_some())
    }

    fn make(&self, id: ConsignmentId) -> Result<()> {
        if self.usable(id)? {
            return Ok(());
        }
        let body = json!({ "type": KIND, "exportable": false, "allow_plaintext_backup": false, "derived": false });
        let answer = self.ask(Verb::Post, &format!("keys/{}", self.names.of(id)), Some(&body))?;
        if matches!(answer.status, 200 | 204) && self.usable(id)? {
            return Ok(());
        }
        Err(unexpected("make a key", &answer))
    }

    fn seal(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Option<Vec<u8>>> {
        if !self.usable(id)? {
            return Ok(None);
        }
        let (answer, sealed) = self.encrypt(id, aad, plain)?;
        let sealed = sealed.and_then(|sealed| packed(&sealed)).ok_or_else(|| unexpected("seal", &answer))?;
        Ok(Some(sealed))
    }

    fn open(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Unwrapped> {
        if !self.usable(id)? {
            return Ok(Unwrapped::NoKey);
        }
        let Some(text) = unpacked(sealed) else { return Ok(Unwrapped::DoesNotOpen) };
        let answer = self.decrypt(id, aad, &text)?;
        match answer.status {
            200 => {
                let Carries::<Plaintext> { data } = answer.parsed()?;
                let plain = STANDARD.decode(data.plaintext.as_bytes()).map_err(|_| unexpected("open", &answer))?;
                Ok(Unwrapped::Plain(Zeroizing::new(plain)))
            }
            400 if answer.errors().iter().any(|error| error == NO_KEY) => Ok(Unwrapped::NoKey),
            400 => Ok(Unwrapped::DoesNotOpen),
            _ => Err(unexpected("open", &answer)),
        }
    }

    fn flaws(&self, id: ConsignmentId) -> Result<Vec<Flaw>> {
        Ok(self.described(id)?.0.map_or_else(Vec::new, |described| described.flaws()))
    }

    fn kill(&self, id: ConsignmentId) -> Result<Vec<Said>> {
        let (described, answer) = self.described(id)?;
        let mut said = vec![answer.said("GET the key")];
        let mut probe = None;
        if described.is_some() {
            // Who may only delete must be able to.
            probe = self.encrypt(id, b"probe", b"probe").ok().and_then(|(_, sealed)| sealed);
            self.delete(id, &mut said)?;
        }
        let (mut left, mut answer) = self.described(id)?;
        said.push(answer.said("GET the key"));
        for _ in 1..DELETIONS_MAX {
            if left.as_ref().is_none_or(|left| left.soft_deleted) {
                break;
            }
            self.delete(id, &mut said)?;
            (left, answer) = self.described(id)?;
            said.push(answer.said("GET the key"));
        }
        if let Some(left) = left {
            let how = if left.soft_deleted { "it only hid it (soft-deleted)" } else { "it still has it" };
            return Err(still_there(id, how).into());
        }
        // A hidden key seals nothing: then it is asked with what no key sealed.
        let asked =
            if probe.is_some() { "POST decrypt of what the key sealed a moment before" } else { "POST decrypt" };
        let probe = probe.unwrap_or_else(|| format!("vault:v1:{}", STANDARD.encode([0; 44])));
        let answer = self.decrypt(id, b"probe", &probe)?;
        said.push(answer.said(asked));
        match answer.status {
            400 if answer.errors().iter().any(|error| error == NO_KEY) => Ok(said),
            200 => Err(still_there(id, "it still opens with it").into()),
            _ => Err(unexpected("refuse to open", &answer)),
        }
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn level(&self) -> Level {
        Level::K2
    }

    fn achieves(&self) -> &'static str {
        "service, key deleted in it (OpenBao transit); snapshots and backups of its storage are not reached"
    }
}
