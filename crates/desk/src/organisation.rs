//! An organisation's root key on its own machine: made there, kept locked, written on paper, used to invite, certify
//! and take back. No server has a part in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lexicon::{Code, Digest, Entropy, Refusal, Result, Timestamp, Trouble, hours_after, spoken};
use people::{Certificate, Envelope, Passphrase, PayloadType, Person, Revocation, Role, Root, SigningKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::ServerCard;
use zeroize::Zeroizing;

use crate::enrol::{self, Invitation, Request, serial};
use crate::{files, home};

const ROOT: &str = "organisation.json";
const KEY: &str = "root.key";
const INVITATIONS: &str = "invitations";
const CERTIFICATES: &str = "certificates";

/// An organisation with its root key in memory.
pub struct Organisation {
    folder: PathBuf,
    root: Root,
    key: SigningKey,
}

impl Organisation {
    /// Makes an organisation's root key in a folder of its own.
    ///
    /// # Errors
    /// A refusal when the folder has one already, or the name is empty.
    pub fn create(folder: &Path, name: &str, passphrase: &Passphrase, entropy: &dyn Entropy) -> Result<Self> {
        Self::keep(folder, name, SigningKey::draw(entropy)?, passphrase)
    }

    /// Makes the folder again from what [`Self::paper`] wrote.
    ///
    /// # Errors
    /// A refusal that names the line of the paper that was not typed as it stands.
    pub fn restore(folder: &Path, name: &str, paper: &str, passphrase: &Passphrase) -> Result<Self> {
        Self::keep(folder, name, key_of(paper)?, passphrase)
    }

    /// Opens the folder.
    ///
    /// # Errors
    /// A refusal when there is no organisation in it, or the passphrase is wrong; alarm 1212 when the key is not the
    /// root's.
    pub fn open(folder: &Path, passphrase: &Passphrase) -> Result<Self> {
        let root = root_of(folder)?;
        let locked = files::read(&folder.join(KEY))?.ok_or_else(no_organisation)?;
        let key = home::signing_key(&people::unlock(&locked, passphrase)?);
        let key = key.ok_or_else(|| files::damaged(&folder.join(KEY)))??;
        if key.public() != root.key {
            return Err(files::damaged(&folder.join(ROOT)));
        }
        Ok(Self { folder: folder.to_path_buf(), root, key })
    }

    fn keep(folder: &Path, name: &str, key: SigningKey, passphrase: &Passphrase) -> Result<Self> {
        let name = name.trim();
        if name.is_empty() || name.len() > 120 || name.chars().any(char::is_control) {
            let remedy = "Give the organisation's registered name.";
            return Err(Refusal::new(Code(1250), "an organisation has a name of at most 120 bytes", remedy).into());
        }
        if folder.join(KEY).exists() || folder.join(ROOT).exists() {
            let remedy = "Open it, or name another folder.";
            return Err(Refusal::new(Code(1250), "this folder has an organisation already", remedy).into());
        }
        let root = Root { organisation: name.to_owned(), key: key.public() };
        files::write(&folder.join(KEY), &people::lock(key.seed(), passphrase)?)?;
        files::write_json(&folder.join(ROOT), &root)?;
        Ok(Self { folder: folder.to_path_buf(), root, key })
    }

    /// The root as others pin it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The root key in signs that a person can copy by hand and type again, each line with a check of its own. Whoever
    /// reads it is the organisation: it belongs on paper, in a safe.
    pub fn paper(&self) -> Zeroizing<String> {
        let words = spoken(&self.root.id());
        let mut text = format!("lazaret root key of {}\nroot {words}\n", self.root.organisation);
        for (number, piece) in (1_u8..).zip(self.key.seed().chunks(8)) {
            let groups: Vec<String> = piece.chunks(2).map(hex).collect();
            text.extend([format!("{number}: {} - {}\n", groups.join(" "), check_of(number, piece))]);
        }
        Zeroizing::new(text)
    }

    /// Invites a person, and keeps the invitation; each is good for one device.
    ///
    /// # Errors
    /// A refusal when the name is no natural person's or another's whom this folder invited or certified, there is no
    /// role, or it would stand for more than two weeks.
    pub fn invite(
        &self,
        person: Person,
        roles: BTreeSet<Role>,
        server: ServerCard,
        expires: Timestamp,
        at: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Envelope> {
        if expires <= at || expires > hours_after(at, enrol::INVITATION_HOURS_MAX) {
            let remedy = "Name an earlier end.";
            return Err(Refusal::new(Code(1241), "an invitation stands for at most two weeks", remedy).into());
        }
        one_human(&person, &[self.certified()?, self.invited()?].concat())?;
        let (purpose, nonce) = (Invitation::PURPOSE.to_owned(), Digest(entropy.bytes()?));
        let invitation = Invitation { purpose, nonce, person, roles, root: self.root.clone(), server, expires };
        let envelope = invitation.sign(&self.key)?;
        files::write_json(&self.folder.join(format!("{INVITATIONS}/{}.json", serial(&invitation))), &envelope)?;
        Ok(envelope)
    }

    fn certified(&self) -> Result<Vec<Person>> {
        Ok(certified_in(&self.folder)?.into_iter().map(|(_, certificate)| certificate.person).collect())
    }

    fn invited(&self) -> Result<Vec<Person>> {
        let invited = kept_in::<Invitation>(&self.folder.join(INVITATIONS), PayloadType::Invitation, &self.root)?;
        Ok(invited.into_iter().map(|(_, invitation)| invitation.person).collect())
    }

    /// Certifies the device that answered an invitation, and keeps the certificate. The same request gets the same
    /// certificate again; another request for the same invitation gets none.
    ///
    /// # Errors
    /// As [`enrol::certify`]; a refusal when the invitation was used for another device, or its person's name is
    /// another's whom this folder certified.
    pub fn certify(&self, request: &Envelope, invitation: &Envelope, at: Timestamp) -> Result<Envelope> {
        let certificate = enrol::certify(request, invitation, &self.key, at)?;
        let invited = Invitation::open(invitation)?;
        let path = self.folder.join(format!("{CERTIFICATES}/{}.json", serial(&invited)));
        if let Some(before) = files::read_json::<Envelope>(&path)? {
            let granted: Certificate = before.open(PayloadType::Certificate, &self.root.key)?;
            if granted.device.key == Request::open(request)?.key {
                return Ok(before);
            }
            let remedy =
                "If its person lost it, revoke its certificate and invite the person again; if not, ask who answered.";
            return Err(Refusal::new(Code(1252), "this invitation was used for another device", remedy).into());
        }
        // Invitations do not count here: two that came of two copies of this folder would bar each other.
        one_human(&invited.person, &self.certified()?)?;
        files::write_json(&path, &certificate)?;
        Ok(certificate)
    }

    /// Takes a certificate back. The file works wherever it is handed in: at the server, and at each agent.
    ///
    /// # Errors
    /// As [`Envelope::sign`].
    pub fn revoke(&self, certificate: Digest, compromised_since: Timestamp, at: Timestamp) -> Result<Envelope> {
        let root = self.root.id();
        let revocation = Revocation { root, certificate, compromised_since, at };
        Envelope::sign(PayloadType::Revocation, &revocation, root, &self.key)
    }
}

/// The root of the organisation in a folder, for showing and handing out: needs no passphrase.
///
/// # Errors
/// A refusal when there is none.
pub fn root_of(folder: &Path) -> Result<Root> {
    files::read_json(&folder.join(ROOT))?.ok_or_else(no_organisation)
}

/// The certificates that were made in a folder, with the digests that name them: needs no passphrase.
///
/// # Errors
/// A refusal when there is no organisation; fault 1211; alarms 1212 and of a certificate that its root did not sign.
pub fn certified_in(folder: &Path) -> Result<Vec<(Digest, Certificate)>> {
    kept_in(&folder.join(CERTIFICATES), PayloadType::Certificate, &root_of(folder)?)
}

/// What a root signed and kept in a folder, with the digests.
fn kept_in<T: DeserializeOwned + Serialize>(folder: &Path, of: PayloadType, root: &Root) -> Result<Vec<(Digest, T)>> {
    let mut kept = Vec::new();
    for name in files::names(folder)? {
        let path = folder.join(name);
        let envelope: Envelope = files::read_json(&path)?.ok_or_else(|| files::damaged(&path))?;
        kept.push((envelope.digest()?, envelope.open(of, &root.key)?));
    }
    Ok(kept)
}

/// Refuses a name that one of these has as another person: one human with two ids would approve twice.
fn one_human(person: &Person, known: &[Person]) -> Result<()> {
    let Some(other) = known.iter().find(|other| other.is_namesake_of(person)) else { return Ok(()) };
    let message = format!("'{}' was invited or certified here already, as person {}", other.name, other.id);
    let remedy = format!(
        "For a further device of theirs invite with `--person {}`; for another human write a distinguishing name, with a second first name.",
        other.id
    );
    Err(Refusal::new(Code(1253), message, remedy).into())
}

fn no_organisation() -> Trouble {
    home::missing(
        "there is no organisation in this folder",
        "Make one with `lazaret organisation create`, or name its folder.",
    )
}

/// The key that a paper stands for.
fn key_of(paper: &str) -> Result<SigningKey> {
    let mut seed = Zeroizing::new([0; 32]);
    for (number, piece) in (1_u8..).zip(seed.chunks_mut(8)) {
        let start = format!("{number}:");
        let line = paper.lines().find_map(|line| line.trim().strip_prefix(&start));
        let line = line.ok_or_else(|| mistyped(&format!("line {number} is missing")))?;
        let read = bytes_of(line).filter(|(bytes, check)| bytes.len() == 8 && *check == check_of(number, bytes));
        let (bytes, _) = read.ok_or_else(|| mistyped(&format!("line {number} is not as it was written")))?;
        piece.copy_from_slice(&bytes);
    }
    let key = SigningKey::from_seed(seed)?;
    let words = format!("root {}", spoken(&key.public().digest()));
    if !paper.lines().any(|line| line.trim().eq_ignore_ascii_case(&words)) {
        return Err(mistyped("its root's six words are missing or another root's"));
    }
    Ok(key)
}

/// The bytes of `0123 4567 89ab cdef - 0123`, and the check behind them.
fn bytes_of(line: &str) -> Option<(Zeroizing<Vec<u8>>, String)> {
    let (signs, check) = line.split_once('-')?;
    let signs: Zeroizing<Vec<u8>> = Zeroizing::new(signs.bytes().filter(|sign| !sign.is_ascii_whitespace()).collect());
    let pairs = signs.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    });
    Some((Zeroizing::new(pairs.collect::<Option<Vec<u8>>>()?), check.trim().to_ascii_lowercase()))
}

/// Four signs that notice a wrong sign in a line, and a line in another's place. 16 bits of a digest of 64 bits of
/// secret, which tell whoever finds a line nothing that the line does not.
fn check_of(number: u8, piece: &[u8]) -> String {
    let bytes: Zeroizing<Vec<u8>> = Zeroizing::new([&[number], piece].concat());
    Digest::of(&bytes).to_string().chars().take(4).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn mistyped(why: &str) -> Trouble {
    Refusal::new(
        Code(1251),
        format!("the paper was not typed as it stands: {why}"),
        "Compare it sign by sign and type it again.",
    )
    .into()
}
