//! How a person's device comes to its certificate: an organisation invites a named person, the device answers with a
//! key of its own, the organisation certifies that key, the device accepts. Each step is one signed file, and the only
//! thing that must travel another way are the root's six words, read out by telephone.

use std::collections::BTreeSet;

use lexicon::{Code, Digest, Entropy, Refusal, Result, Serial, Timestamp, Trouble, hours_after, limits, shown};
use people::{
    Certificate, Device, Envelope, Passphrase, PayloadType, Person, PublicKey, Role, Root, SigningKey, is_generic_name,
};
use serde::{Deserialize, Serialize};
use wire::ServerCard;

use crate::Home;

/// How long an invitation may stand: two weeks, so that one forgotten in a mailbox ends by itself.
pub const INVITATION_HOURS_MAX: i64 = 14 * 24;
/// How long a certificate lasts: a year. The 13th month that is allowed is for whoever renews late.
pub const CERTIFICATE_HOURS: i64 = 365 * 24;

/// A root's word that this person may have a device certified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// `lazaret/1/invitation`.
    pub purpose: String,
    /// Makes it one invitation, good for one certificate.
    pub nonce: Digest,
    /// Who.
    pub person: Person,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// Whose word it is.
    pub root: Root,
    /// The server that they will work with.
    pub server: ServerCard,
    /// Until when a certificate may be made of it.
    pub expires: Timestamp,
}

impl Invitation {
    /// The one purpose there is.
    pub const PURPOSE: &'static str = "lazaret/1/invitation";

    /// Signs it with its root.
    ///
    /// # Errors
    /// A refusal when it names no natural person, or no role.
    pub fn sign(&self, root: &SigningKey) -> Result<Envelope> {
        self.check()?;
        Envelope::sign(PayloadType::Invitation, self, self.root.id(), root)
    }

    /// What an invitation says, signed by the root that it names. Whether that root is who it claims to be, only the
    /// six words of `spoken(&invitation.root.id())`, compared by telephone, can tell.
    ///
    /// # Errors
    /// A refusal when it is no invitation; an alarm when its root did not sign it.
    pub fn open(envelope: &Envelope) -> Result<Self> {
        let claimed: Self = claimed(envelope)?;
        let invitation: Self = envelope.open(PayloadType::Invitation, &claimed.root.key)?;
        if envelope.keyid()? != invitation.root.id() || invitation.purpose != Self::PURPOSE {
            return Err(not_one("this is not an invitation"));
        }
        invitation.check()?;
        Ok(invitation)
    }

    fn check(&self) -> Result<()> {
        if is_generic_name(&self.person.name) {
            return Err(Refusal::new(
                Code(1240),
                format!("'{}' does not name one natural person", shown(&self.person.name)),
                "Give first name and family name of the person who will hold the key; functions and teams hold none.",
            )
            .into());
        }
        if self.roles.is_empty() {
            return Err(Refusal::new(Code(1240), "an invitation names no role", "Give at least one role.").into());
        }
        Ok(())
    }

    fn good_at(&self, at: Timestamp) -> Result<()> {
        if at < self.expires {
            return Ok(());
        }
        let message = format!("the invitation of {} ended at {}", self.person.name, self.expires);
        Err(Refusal::new(Code(1241), message, "Ask the organisation for a new one.").into())
    }
}

/// A new device's answer to an invitation, signed by its own key: whoever asks holds the key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `lazaret/1/request`.
    pub purpose: String,
    /// The digest of the invitation.
    pub invitation: Digest,
    /// The device's key, made on it.
    pub key: PublicKey,
    /// What its person calls the device.
    pub device: String,
}

impl Request {
    /// The one purpose there is.
    pub const PURPOSE: &'static str = "lazaret/1/request";

    /// What a request says, signed by the key that it is for.
    ///
    /// # Errors
    /// A refusal when it is no request; an alarm when the key did not sign it.
    pub fn open(envelope: &Envelope) -> Result<Self> {
        let claimed: Self = claimed(envelope)?;
        let request: Self = envelope.open(PayloadType::Request, &claimed.key)?;
        let named = !request.device.trim().is_empty() && request.device.len() <= 60;
        let plain = !request.device.chars().any(char::is_control);
        if envelope.keyid()? != request.key.digest() || request.purpose != Self::PURPOSE || !named || !plain {
            return Err(not_one("this is not a device's request, or its name is empty or longer than 60 bytes"));
        }
        Ok(request)
    }
}

/// Makes this device's key, locks it into `home`, and asks for a certificate. The person has compared the root's six
/// words by then.
///
/// # Errors
/// A refusal when the invitation is none or has ended, or the folder is another enrolment's.
pub fn answer(
    home: &Home,
    invitation: &Envelope,
    device: &str,
    passphrase: &Passphrase,
    entropy: &dyn Entropy,
    at: Timestamp,
) -> Result<Envelope> {
    let invited = Invitation::open(invitation)?;
    invited.good_at(at)?;
    if home.has_key() {
        let remedy = "One folder is one device of one person; name another folder.";
        return Err(Refusal::new(Code(1243), "this folder has a device's key already", remedy).into());
    }
    let key = SigningKey::draw(entropy)?;
    let request = Request {
        purpose: Request::PURPOSE.to_owned(),
        invitation: invitation.digest()?,
        key: key.public(),
        device: device.trim().to_owned(),
    };
    let envelope = Envelope::sign(PayloadType::Request, &request, key.public().digest(), &key)?;
    Request::open(&envelope)?;
    home.keep("invitation.json", invitation)?;
    home.keep("request.json", &envelope)?;
    home.keep_card(&invited.server)?;
    // Last: a folder with a key has everything else.
    home.keep_key(&key, passphrase)?;
    Ok(envelope)
}

/// The certificate for a request, by the root that invited. Its serial is the invitation's, so that a second
/// certificate of one invitation cannot pass for another.
///
/// # Errors
/// A refusal when the invitation is not this root's or has ended, or the request is not for it.
pub fn certify(request: &Envelope, invitation: &Envelope, root: &SigningKey, at: Timestamp) -> Result<Envelope> {
    let (invited, asked) = (Invitation::open(invitation)?, Request::open(request)?);
    invited.good_at(at)?;
    if invited.root.key != root.public() || asked.invitation != invitation.digest()? {
        let remedy = "Certify it with the root that invited, and the request that came for this invitation.";
        return Err(Refusal::new(Code(1242), "this request is not for an invitation of this root", remedy).into());
    }
    certificate(&invited, asked, at).sign(root)
}

/// The serial of the one certificate that an invitation can become.
pub(crate) fn serial(invitation: &Invitation) -> Serial {
    let mut serial = [0; 8];
    for (to, from) in serial.iter_mut().zip(invitation.nonce.0) {
        *to = from;
    }
    Serial(serial)
}

fn certificate(invited: &Invitation, asked: Request, at: Timestamp) -> Certificate {
    // From a little before, so that a server whose clock is behind by what is allowed takes it at once.
    let early = at.checked_sub(jiff::SignedDuration::from_mins(limits::AHEAD_MINUTES_MAX)).unwrap_or(at);
    Certificate {
        serial: serial(invited),
        root: invited.root.id(),
        person: invited.person.clone(),
        device: Device { name: asked.device, key: asked.key },
        roles: invited.roles.clone(),
        from: early,
        until: hours_after(at, CERTIFICATE_HOURS),
    }
}

/// Takes the certificate that came back, and pins the root that signed it.
///
/// # Errors
/// A refusal when it is not for this device, not what the invitation said, or not good at `at`; an alarm when the
/// inviting root did not sign it.
pub fn accept(home: &Home, certificate: &Envelope, at: Timestamp) -> Result<Certificate> {
    let kept = |name: &str| home.json::<Envelope>(name);
    let (Some(invitation), Some(request)) = (kept("invitation.json")?, kept("request.json")?) else {
        return Err(crate::home::missing(
            "this device asked for no certificate",
            "Answer an invitation first with `lazaret person enrol`.",
        ));
    };
    let (invited, asked) = (Invitation::open(&invitation)?, Request::open(&request)?);
    let granted: Certificate = certificate.open(PayloadType::Certificate, &invited.root.key)?;
    let is_ours = granted.root == invited.root.id()
        && granted.person == invited.person
        && granted.roles == invited.roles
        && granted.device == (Device { name: asked.device, key: asked.key });
    if !is_ours || at >= granted.until {
        let remedy = "Ask the organisation for the certificate that answers this device's request.";
        return Err(
            Refusal::new(Code(1244), "this certificate is not the one that this device asked for", remedy).into()
        );
    }
    home.trust(&invited.root)?;
    home.keep_certificate(certificate)?;
    Ok(granted)
}

/// What an envelope says, to find the key in it by which it is then verified.
fn claimed<T: serde::de::DeserializeOwned>(envelope: &Envelope) -> Result<T> {
    serde_json::from_slice(&envelope.bytes()?).map_err(|_| not_one("this file says something else"))
}

fn not_one(why: &str) -> Trouble {
    Refusal::new(Code(1245), why, "Ask its sender for the file again.").into()
}
