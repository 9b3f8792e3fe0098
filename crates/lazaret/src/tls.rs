//! The TLS certificate that a server's operator configured, in place of the server's own.

use std::path::Path;

use doors::Identity;
use lexicon::{Code, Digest, Refusal, Result, Timestamp};
use wire::ServerCard;

use crate::config::{ServerSettings, TlsFiles};
use crate::files;

/// What is configured, fit to be served at this time; none where nothing is. There is no falling back to another.
pub(crate) fn configured(settings: &ServerSettings, now: Timestamp) -> Result<Option<Identity>> {
    let Some(TlsFiles { certificate, key }) = &settings.tls else { return Ok(None) };
    let identity = Identity { certificate_pem: files::text(certificate)?, key_pem: files::text(key)? };
    closed(key)?;
    identity.check(now)?;
    Ok(Some(identity))
}

/// Agents speak to the certificate of the card and to no other: a server that shows another would speak to nobody.
pub(crate) fn is_on_the_card(identity: &Identity, card: &ServerCard) -> Result<()> {
    let shown = identity.fingerprint()?;
    if shown == card.fingerprint {
        return Ok(());
    }
    let why = format!(
        "the TLS certificate {} is another than the {} of this server's card: every device would refuse it",
        shown.short(),
        card.fingerprint.short()
    );
    let remedy = "If it was renewed: `lazaret card renew --data DIR --out FILE`, with --tls-certificate and --tls-key if the server is started with them. If not: put the one of the card back.";
    Err(Refusal::new(Code(1039), why, remedy).into())
}

/// What a renewed card names: never a certificate that was merely found where none is configured. A card that was renewed
/// for it already is written again; one that was never renewed is every device's as it is.
pub(crate) fn renewed(configured: Option<Identity>, own: Option<Identity>, card: &ServerCard) -> Result<Digest> {
    let fingerprint = match (configured, own) {
        (Some(_), Some(_)) => {
            let remedy = "Take tls_certificate and tls_key out of the settings first, or leave --own out.";
            let why = "a TLS certificate is configured, and the server would show it and not its own";
            return Err(Refusal::new(Code(1059), why, remedy).into());
        }
        (None, None) => {
            let remedy = "Give --tls-certificate and --tls-key as the server gets them when it is started, or --own for the certificate that the server made itself.";
            let why = "no TLS certificate is configured that the card could name";
            return Err(Refusal::new(Code(1059), why, remedy).into());
        }
        (Some(identity), None) | (None, Some(identity)) => identity.fingerprint()?,
    };
    if fingerprint == card.fingerprint && card.serial.is_none() {
        let remedy = "Put the new certificate and its key where the settings look, or give them with --tls-certificate and --tls-key.";
        let why = "the card names this TLS certificate already";
        return Err(Refusal::new(Code(1059), why, remedy).into());
    }
    Ok(fingerprint)
}

fn closed(key: &Path) -> Result<()> {
    let Some(mode) = files::open_to_everybody(key) else { return Ok(()) };
    let why = format!("the TLS key {} can be used by everybody on this machine (mode {mode:o})", key.display());
    let remedy = "Close it with `chmod o= FILE`, and have a new key certified if somebody may have read it.";
    Err(Refusal::new(Code(1049), why, remedy).into())
}
