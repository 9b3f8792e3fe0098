//! Keys in a token, through the module of its maker (PKCS#11): AES-256, made in the token, sensitive and not extractable.
//!
//! Every call opens a session and closes it: nothing is kept that a token pulled in between would make untrue. What stays
//! loaded is the module; after any failure it is loaded anew, which is how some of them learn that a token is back.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use lexicon::{Code, ConsignmentId, Digest, Entropy, Fault, Refusal, Result, Retry, Trouble};
use zeroize::Zeroizing;

use super::flaw::Flaw;
use super::names::Names;
use super::store::{KeyStore, Unwrapped, credential, flawless, still_there};
use super::{Level, Said};

/// The version of what a token wraps here; another ring's is no such thing.
const SEALED_VERSION: u8 = 2;
/// 96 bits, as NIST SP 800-38D would have it; drawn by us, and read back, since some tokens put their own.
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const KEY_BYTES: u64 = 32;
/// What a key's label begins with.
const WORD: &str = "lazaret ring key";

/// Where a token is, what opens it, and whose keys in it are meant.
#[derive(Clone, Debug)]
pub struct TokenPlace {
    /// The module: a library of the token's maker.
    pub module: PathBuf,
    /// The token's label, which must be one token's only.
    pub token: String,
    /// The file with the user's PIN.
    pub pin_file: PathBuf,
    /// The digest of the server's public key, which the labels of its keys begin with: others may keep theirs there too.
    pub server: Digest,
}

pub(super) struct Token {
    place: TokenPlace,
    names: Names,
    entropy: Arc<dyn Entropy>,
    loaded: Mutex<Option<Pkcs11>>,
    /// The PIN that the token did not take: given again and again, it would lock the token.
    not_taken: Mutex<Option<Digest>>,
}

/// A session that is logged in, and whose it is.
struct At<'a> {
    session: &'a Session,
    module: &'a Pkcs11,
    slot: Slot,
    info: &'a TokenInfo,
    names: &'a Names,
}

/// Why a step failed.
enum Failed {
    /// The module said so.
    Module(&'static str, Error),
    /// We say so.
    Ours(Trouble),
}

type Step<T> = std::result::Result<T, Failed>;

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Ours(trouble)
    }
}

fn module(what: &'static str) -> impl Fn(Error) -> Failed {
    move |error| Failed::Module(what, error)
}

impl Failed {
    fn trouble(self) -> Trouble {
        match self {
            Self::Ours(trouble) => trouble,
            Self::Module(what, error) => {
                let why = if let Error::Pkcs11(said, function) = &error {
                    format!("{function:?} says {said:?}")
                } else {
                    error.to_string()
                };
                Fault::new(Code(720), Retry::Later, format!("the token cannot be reached, to {what}: {why}")).into()
            }
        }
    }

    fn said(&self) -> Option<RvError> {
        if let Self::Module(_, Error::Pkcs11(said, _)) = self { Some(*said) } else { None }
    }
}

impl Token {
    pub(super) fn new(place: TokenPlace, entropy: Arc<dyn Entropy>) -> Self {
        let names = Names::new(WORD, ' ', &place.server);
        Self { place, names, entropy, loaded: Mutex::new(None), not_taken: Mutex::new(None) }
    }

    fn module(&self) -> Result<MutexGuard<'_, Option<Pkcs11>>> {
        self.loaded.lock().map_err(|_| Fault::new(Code(701), Retry::Never, "the key ring stopped in a call").into())
    }

    /// Does some work in a session of its own. What fails for want of a token with a module that was loaded before is
    /// done once more with the module loaded anew: the token may have been away in between.
    fn with<T>(&self, work: &dyn Fn(&At<'_>) -> Step<T>) -> Result<T> {
        let mut loaded = self.module()?;
        if loaded.is_some() {
            match self.once(&mut loaded, work) {
                Err(Failed::Module(..)) => unload(&mut loaded),
                Err(Failed::Ours(Trouble::Fault(fault))) if fault.code == Code(720) => unload(&mut loaded),
                done => return done.map_err(Failed::trouble),
            }
        }
        let done = self.once(&mut loaded, work);
        if done.is_err() {
            unload(&mut loaded);
        }
        done.map_err(Failed::trouble)
    }

    fn once<T>(&self, loaded: &mut Option<Pkcs11>, work: &dyn Fn(&At<'_>) -> Step<T>) -> Step<T> {
        let module = match loaded {
            Some(module) => &*module,
            None => loaded.insert(self.load()?),
        };
        let (slot, info) = self.find(module)?;
        let session = module.open_rw_session(slot).map_err(self::module("open a session"))?;
        self.log_in(&session)?;
        work(&At { session: &session, module, slot, info: &info, names: &self.names })
    }

    fn load(&self) -> Step<Pkcs11> {
        let loaded = Pkcs11::new(&self.place.module).map_err(|error| {
            if !matches!(error, Error::LibraryLoading(_) | Error::MissingSymbol(_)) {
                return Failed::Module("load its module", error);
            }
            let why = format!("{} cannot be loaded as a PKCS#11 module", self.place.module.display());
            let remedy = "Name the library that came with the token, for this kind of machine.";
            Failed::Ours(Refusal::new(Code(726), why, remedy).into())
        })?;
        match loaded.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(loaded),
            Err(error) => Err(Failed::Module("start its module", error)),
        }
    }

    /// The one token with the label.
    fn find(&self, loaded: &Pkcs11) -> Step<(Slot, TokenInfo)> {
        let slots = loaded.get_slots_with_token().map_err(module("list the slots"))?;
        let tokens = slots.into_iter().filter_map(|slot| Some((slot, loaded.get_token_info(slot).ok()?)));
        let mut ours: Vec<_> = tokens.filter(|(_, info)| info.label().trim_end() == self.place.token).collect();
        match (ours.pop(), ours.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(Failed::Ours(
                Fault::new(
                    Code(727),
                    Retry::Never,
                    format!("{} tokens are labelled {:?}", ours.len().saturating_add(1), self.place.token),
                )
                .into(),
            )),
            (None, _) => Err(Failed::Ours(
                Fault::new(Code(720), Retry::Later, format!("no token labelled {:?} is there", self.place.token))
                    .into(),
            )),
        }
    }

    fn log_in(&self, session: &Session) -> Step<()> {
        let pin = credential(&self.place.pin_file, "PIN")?;
        let digest = Digest::of(pin.as_bytes());
        let mut not_taken = self
            .not_taken
            .lock()
            .map_err(|_| Trouble::from(Fault::new(Code(701), Retry::Never, "the key ring stopped in a call")))?;
        if *not_taken == Some(digest) {
            return Err(Failed::Ours(not_let_in("did not take this PIN; it is not tried twice, which could lock it")));
        }
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str().to_owned()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                *not_taken = Some(digest);
                Err(Failed::Ours(not_let_in("does not take the PIN")))
            }
            Err(Error::Pkcs11(RvError::PinLocked | RvError::PinExpired | RvError::UserPinNotInitialized, _)) => {
                Err(Failed::Ours(not_let_in("takes no PIN of its user: it is locked, expired or was never set")))
            }
            Err(error) => Err(Failed::Module("log in", error)),
        }
    }
}

/// A module that ends badly is gone all the same.
fn unload(loaded: &mut Option<Pkcs11>) {
    drop(loaded.take().map(Pkcs11::finalize));
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Ok(loaded) = self.loaded.get_mut() {
            unload(loaded);
        }
    }
}

fn not_let_in(why: &str) -> Trouble {
    Fault::new(Code(722), Retry::Never, format!("the token does not let this server in: it {why}")).into()
}

/// Every key of one consignment: none, one, or what somebody put there beside it.
fn keys(at: &At<'_>, id: ConsignmentId) -> Step<Vec<ObjectHandle>> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Id(id.0.to_vec()),
        Attribute::Label(at.names.of(id).into_bytes()),
    ];
    at.session.find_objects(&wanted).map_err(module("find a key"))
}

/// The one key of a consignment, if it is one that stays in the token.
fn key(at: &At<'_>, id: ConsignmentId) -> Step<Option<ObjectHandle>> {
    let found = keys(at, id)?;
    flawless(id, &flaws(at, &found)?).map_err(Failed::Ours)?;
    Ok(found.first().copied())
}

/// All that is wrong with these keys of one consignment.
fn flaws(at: &At<'_>, keys: &[ObjectHandle]) -> Step<Vec<Flaw>> {
    let mut stay = true;
    for key in keys {
        stay &= stays(at, *key)?;
    }
    let flaws = [(keys.len() > 1, Flaw::Several), (!stay, Flaw::LeavesToken)];
    Ok(flaws.into_iter().filter(|(is, _)| *is).map(|(_, flaw)| flaw).collect())
}

/// Whether a key is as the ring makes one.
fn stays(at: &At<'_>, key: ObjectHandle) -> Step<bool> {
    let expected = [
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Sensitive(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
    ];
    let kinds: Vec<AttributeType> = expected.iter().map(Attribute::attribute_type).collect();
    let found = at.session.get_attributes(key, &kinds).map_err(module("look at a key"))?;
    Ok(expected.iter().all(|attribute| found.contains(attribute)))
}

fn make(at: &At<'_>, id: ConsignmentId) -> Step<()> {
    if key(at, id)?.is_some() {
        return Ok(());
    }
    let mechanisms = at.module.get_mechanism_list(at.slot).map_err(module("list what it can do"))?;
    if ![MechanismType::AES_KEY_GEN, MechanismType::AES_GCM].iter().all(|needed| mechanisms.contains(needed)) {
        return Err(Failed::Ours(
            Refusal::new(
                Code(726),
                "the token does not make AES keys, or does not use them in Galois/Counter mode",
                "Take a token with CKM_AES_KEY_GEN and CKM_AES_GCM.",
            )
            .into(),
        ));
    }
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Id(id.0.to_vec()),
        Attribute::Label(at.names.of(id).into_bytes()),
    ];
    let made = at.session.generate_key(&Mechanism::AesKeyGen, &template).map_err(module("make a key"))?;
    let kept = key(at, id);
    if !matches!(kept, Ok(Some(_))) {
        // Nothing was wrapped under it yet.
        at.session.destroy_object(made).map_err(module("take back a key"))?;
    }
    kept.map(drop)
}

/// IV, ciphertext, tag.
fn seal(entropy: &dyn Entropy, at: &At<'_>, key: ObjectHandle, aad: &[u8], plain: &[u8]) -> Step<Vec<u8>> {
    let mut iv = entropy.bytes::<IV_BYTES>()?;
    let params = GcmParams::new(&mut iv, aad, 128.into()).map_err(module("seal"))?;
    let body = at.session.encrypt(&Mechanism::AesGcm(params), key, plain).map_err(module("seal"))?;
    Ok([iv.as_slice(), &body].concat())
}

fn open(at: &At<'_>, key: ObjectHandle, aad: &[u8], sealed: &[u8]) -> Step<Zeroizing<Vec<u8>>> {
    let (iv, body) = sealed.split_first_chunk::<IV_BYTES>().unwrap_or((&[0; IV_BYTES], &[]));
    let mut iv = *iv;
    let params = GcmParams::new(&mut iv, aad, 128.into()).map_err(module("open"))?;
    at.session.decrypt(&Mechanism::AesGcm(params), key, body).map(Zeroizing::new).map_err(module("open"))
}

impl KeyStore for Token {
    fn identity(&self) -> Result<String> {
        self.with(&|at| {
            let (maker, serial) = (at.info.manufacturer_id().trim_end(), at.info.serial_number().trim_end());
            Ok(format!("token {serial} of {maker}"))
        })
    }

    fn held(&self) -> Result<Vec<ConsignmentId>> {
        self.with(&|at| {
            let secret = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Token(true)];
            let found = at.session.find_objects(&secret).map_err(module("list its keys"))?;
            let mut ids = Vec::new();
            for object in found {
                let told =
                    at.session.get_attributes(object, &[AttributeType::Label]).map_err(module("look at a key"))?;
                let labels = told.iter().filter_map(|attribute| {
                    let Attribute::Label(label) = attribute else { return None };
                    at.names.consignment(str::from_utf8(label).ok()?)
                });
                ids.extend(labels);
            }
            Ok(ids)
        })
    }

    fn holds(&self, id: ConsignmentId) -> Result<bool> {
        self.with(&|at| Ok(!keys(at, id)?.is_empty()))
    }

    fn make(&self, id: ConsignmentId) -> Result<()> {
        self.with(&|at| make(at, id))
    }

    fn seal(&self, id: ConsignmentId, aad: &[u8], plain: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with(&|at| {
            let Some(key) = key(at, id)? else { return Ok(None) };
            let body = seal(self.entropy.as_ref(), at, key, aad, plain)?;
            Ok(Some([&[SEALED_VERSION], body.as_slice()].concat()))
        })
    }

    fn open(&self, id: ConsignmentId, aad: &[u8], sealed: &[u8]) -> Result<Unwrapped> {
        self.with(&|at| {
            let Some(key) = key(at, id)? else { return Ok(Unwrapped::NoKey) };
            let body = sealed.strip_prefix(&[SEALED_VERSION]).unwrap_or_default();
            if body.len() < IV_BYTES + TAG_BYTES {
                return Ok(Unwrapped::DoesNotOpen);
            }
            open(at, key, aad, body).map(Unwrapped::Plain).or_else(|failed| {
                // Tokens disagree on what they say to a wrong tag. One that still seals and opens with this key is well,
                // and what it was shown is not.
                let probe = seal(self.entropy.as_ref(), at, key, aad, b"probe")?;
                let opened = open(at, key, aad, &probe)?;
                if opened.as_slice() == b"probe" { Ok(Unwrapped::DoesNotOpen) } else { Err(failed) }
            })
        })
    }

    fn flaws(&self, id: ConsignmentId) -> Result<Vec<Flaw>> {
        self.with(&|at| flaws(at, &keys(at, id)?))
    }

    fn kill(&self, id: ConsignmentId) -> Result<Vec<Said>> {
        let mut said = self.with(&|at| kill(self.entropy.as_ref(), at, id))?;
        // Asked again with the module loaded anew: what it remembers of a key proves nothing.
        unload(&mut *self.module()?);
        let left = self.with(&|at| Ok(keys(at, id)?.len()))?;
        if left > 0 {
            return Err(still_there(id, "it still finds one").into());
        }
        said.push(answer("C_FindObjects in a new session", "0 objects"));
        Ok(said)
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn level(&self) -> Level {
        Level::K1
    }

    fn achieves(&self) -> &'static str {
        "token, key object destroyed in it (PKCS#11); backup tokens are not reached"
    }
}

fn kill(entropy: &dyn Entropy, at: &At<'_>, id: ConsignmentId) -> Step<Vec<Said>> {
    let info = at.info;
    let mut said = vec![answer(
        "C_GetTokenInfo",
        &format!(
            "{} {}, serial {}, label {:?}",
            info.manufacturer_id().trim_end(),
            info.model().trim_end(),
            info.serial_number().trim_end(),
            info.label().trim_end()
        ),
    )];
    let found = keys(at, id)?;
    said.push(answer("C_FindObjects", &format!("{} objects", found.len())));
    for key in found {
        let aad = id.0;
        let probe = seal(entropy, at, key, &aad, b"probe").ok();
        match at.session.destroy_object(key) {
            Ok(()) => said.push(answer("C_DestroyObject", "CKR_OK")),
            // Somebody else was faster.
            Err(Error::Pkcs11(RvError::ObjectHandleInvalid, _)) => {
                said.push(answer("C_DestroyObject", "ObjectHandleInvalid"));
            }
            Err(error) => return Err(Failed::Module("destroy a key", error)),
        }
        if let Some(probe) = probe {
            match open(at, key, &aad, &probe) {
                Ok(_) => return Err(Failed::Ours(still_there(id, "it still opens with it").into())),
                Err(failed) => {
                    let why = failed.said().map_or_else(|| "refused".to_owned(), |said| format!("{said:?}"));
                    said.push(answer("C_DecryptInit with what it sealed a moment before", &why));
                }
            }
        }
    }
    Ok(said)
}

fn answer(asked: &str, answered: &str) -> Said {
    Said { asked: asked.to_owned(), answered: answered.to_owned(), request: None }
}
