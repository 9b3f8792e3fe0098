//! A server's certificate is changed: the server's key, which every device knows from its invitation, says so on paper.

use lexicon::{Code, Refusal, Result};
use people::{Envelope, PayloadType, SigningKey};
use serde::{Deserialize, Serialize};
use wire::ServerCard;

use crate::Home;

/// What the server's key signs: somebody had its passphrase.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewal {
    purpose: String,
    card: ServerCard,
}

const PURPOSE: &str = "lazaret/1/card";

/// The paper by which devices take in a card that has changed.
///
/// # Errors
/// As [`Envelope::sign`].
pub fn renewed(card: &ServerCard, key: &SigningKey) -> Result<Envelope> {
    let renewal = Renewal { purpose: PURPOSE.to_owned(), card: card.clone() };
    Envelope::sign(PayloadType::Statement, &renewal, key.public().digest(), key)
}

impl Home {
    /// Takes in a new card of the server that this device knows: another address or certificate, signed by the same key
    /// for the same journal.
    ///
    /// # Errors
    /// An alarm when the server's key did not sign it; a refusal when it is no card, or another whose serial is not
    /// larger than that of the card in force, which may have come with the invitation.
    pub fn renew_card(&self, paper: &Envelope) -> Result<ServerCard> {
        let known = self.card()?;
        let Renewal { purpose, card } = paper.open(PayloadType::Statement, &known.key)?;
        let same = card.origin == known.origin && card.key == known.key && card.demonstration == known.demonstration;
        if purpose != PURPOSE || !same {
            let why = "this file is not a new card of the server that this device knows";
            return Err(Refusal::new(Code(1254), why, "Ask the server's operator for it again.").into());
        }
        if card != known && card.serial <= known.serial {
            let why = "this card is not newer than the one that this device has";
            return Err(Refusal::new(Code(1255), why, "Ask the server's operator for the newest.").into());
        }
        self.keep_card(&card)?;
        Ok(card)
    }
}
