use std::collections::BTreeSet;

use lexicon::{Code, Digest, PersonId, Refusal, Result, Serial, Timestamp, hours_after, limits, shown};
use serde::{Deserialize, Serialize};

use crate::{Envelope, PayloadType, PublicKey, SigningKey};

/// A root, named by the SHA-256 of its public key.
pub type RootId = Digest;

/// An organisation's root as others know it: pinned by agents, admitted by the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The organisation's name.
    pub organisation: String,
    /// Its root key.
    pub key: PublicKey,
}

impl Root {
    /// What others name it by.
    pub fn id(&self) -> RootId {
        self.key.digest()
    }
}

/// What a person may do for their organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides for the laboratory: approves, releases, extends, accepts differences, signs off.
    Controller,
    /// Runs the extraction on the laboratory's machine.
    Operator,
    /// Writes instruction, scope and plan.
    Engineer,
    /// Gives the second approval.
    Approver,
    /// Runs the loading into the new system.
    Recipient,
    /// Reads; acts in nothing.
    Auditor,
}

/// One natural person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Drawn by the organisation.
    pub id: PersonId,
    /// First name and family name.
    pub name: String,
}

impl Person {
    /// Whether another person has the same name, case, accents, blanks, signs and order of its words apart. Under one
    /// root these would be one human who counts twice, so none certifies both.
    pub fn is_namesake_of(&self, other: &Self) -> bool {
        self.id != other.id && folded(&self.name) == folded(&other.name)
    }
}

/// One device of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// What its person calls it.
    pub name: String,
    /// Its only key.
    pub key: PublicKey,
}

/// A root's word that this device is this person's and may do this until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Names it among the root's certificates.
    pub serial: Serial,
    /// Whose word it is.
    pub root: RootId,
    /// Whose.
    pub person: Person,
    /// On which.
    pub device: Device,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// From when.
    pub from: Timestamp,
    /// Until when: at most 13 months later.
    pub until: Timestamp,
}

impl Certificate {
    /// Signs it with its root.
    ///
    /// # Errors
    /// A refusal when the name is no natural person's or the certificate lasts too long.
    pub fn sign(&self, root: &SigningKey) -> Result<Envelope> {
        self.check()?;
        Envelope::sign(PayloadType::Certificate, self, self.root, root)
    }

    /// What every party checks whoever signed it.
    pub(crate) fn check(&self) -> Result<()> {
        if is_generic_name(&self.person.name) {
            return Err(Refusal::new(
                Code(120),
                format!("'{}' does not name one natural person", shown(&self.person.name)),
                "Give first name and family name of the person who will hold the key; functions and teams hold none.",
            )
            .into());
        }
        if self.until > hours_after(self.from, limits::CERTIFICATE_HOURS_MAX) || self.until <= self.from {
            return Err(Refusal::new(
                Code(121),
                "a certificate lasts more than nothing and at most 13 months",
                "Certify the device with a shorter end.",
            )
            .into());
        }
        if self.roles.is_empty() {
            return Err(Refusal::new(Code(122), "a certificate names no role", "Give at least one role.").into());
        }
        Ok(())
    }
}

/// A root takes a certificate back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Whose word it is.
    pub root: RootId,
    /// Which certificate: the digest of its payload.
    pub certificate: Digest,
    /// Since when its key may have been in other hands.
    pub compromised_since: Timestamp,
    /// When the root said so.
    pub at: Timestamp,
}

/// Words of functions, teams and shared accounts, folded as [`folded`] does. One is enough.
const FUNCTIONS: &str = "acces account accounts accueil adjoint adjointe admin administrateur administratif \
    administration administrative administrator agent agents astreinte biologie biologiste biologistes commune \
    communs compta comptabilite compte comptes contact dba default demo desk directeur direction directrice editeur \
    equipe equipes exploitation fournisseur generique group groupe guest helpdesk hopital hotline infirmier \
    infirmiere infirmieres infirmiers info informatique lab labo laborantin laborantine laborantines laborantins \
    laboratoire laboratory maintenance migration office operateur operator operatrice partage partagee partagees \
    partages permanence personnel pharmacien pharmacienne poste postes prestataire production reception remplacant \
    remplacante responsable root secretaire secretaires secretariat service services shared staff stagiaire \
    stagiaires support system team teams technicien technicienne techniciennes techniciens technique test user users \
    utilisateur utilisateurs vacataire vacataires";

/// Words of functions that are surnames as well: two of them are no person.
const SURNAMES_TOO: &str = "bureau chef commun garde interne jour medecin nuit";

/// Whether a name cannot be one natural person's: fewer than two words, a digit, or the words of a function. Goes by
/// words alone: a made-up name passes.
pub fn is_generic_name(name: &str) -> bool {
    let words: Vec<&str> = name.split([' ', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    let spelled = |word: &&str| {
        word.chars().any(char::is_alphabetic)
            && word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’' | '.'))
    };
    let of = |list: &str| folded(name).iter().filter(|word| list.split_whitespace().any(|one| one == *word)).count();
    words.len() < 2 || name.len() > 120 || !words.iter().all(spelled) || of(FUNCTIONS) > 0 || of(SURNAMES_TOO) > 1
}

/// The words of a name without case, accents, blanks, signs and order: what two spellings of one name have in common.
fn folded(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    let parts = lower.split([' ', '\u{a0}', '-', '\'', '’', '.']).filter(|part| !part.is_empty());
    let mut words: Vec<String> =
        parts.map(|part| part.chars().fold(String::new(), |word, sign| word + &unaccented(sign))).collect();
    words.sort_unstable();
    words
}

/// A lower-case Latin letter without its accent; every other sign as it is.
fn unaccented(sign: char) -> String {
    let plain = match sign {
        '\u{300}'..='\u{36f}' => "",
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ð' | 'ď' | 'đ' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return sign.to_string(),
    };
    plain.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_teams_are_no_persons() {
        for name in [
            "labo",
            "Support",
            "Equipe Support",
            "admin admin",
            "Claire",
            "Labo 35",
            "test-labo Rennes",
            "",
            "Compte Partagé",
            "Compte Commun",
            "Technicienne Hématologie",
            "LABORANTINS RENNES",
            "Biologiste d'Astreinte",
            "Secrétaire Médicale",
            "Stagiaire Lefèvre",
            "Shared Account",
            "Help-Desk Rennes",
            "Poste Microbiologie",
            "L'Équipe Rennes",
            "Bureau de Garde",
            "Médecin de Garde",
        ] {
            assert!(is_generic_name(name), "{name}");
        }
        for name in [
            "Claire Le Goff",
            "Jean-Marc D'Anjou",
            "Ana de la Cruz",
            "Élise Noël",
            "J. Testard",
            "Marie Garde",
            "Paul Lagarde",
            "Dominique Bureau",
            "Jacques Médecin",
            "Patrick Commun",
            "Anne Lecomte",
            "Yves Postel",
            "Zoë Labory",
            "Łukasz Żak",
        ] {
            assert!(!is_generic_name(name), "{name}");
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_spelled() {
        let person = |id, name: &str| Person { id: PersonId([id; 16]), name: name.to_owned() };
        let noel = person(1, "Anne-Élise Le Noël");
        for name in
            ["anne élise le noël", "ANNE-ELISE LE NOEL", "Anne  Élise\u{a0}Le Noe\u{308}l", "Le Noël Anne-Élise"]
        {
            assert!(noel.is_namesake_of(&person(2, name)), "{name}");
            assert!(!noel.is_namesake_of(&person(1, name)), "one id is one person: {name}");
        }
        for name in ["Anne Le Noël", "Anne-Élise Marie Le Noël", "Anne-Élise Le Noëlle"] {
            assert!(!noel.is_namesake_of(&person(2, name)), "{name}");
        }
    }

    #[test]
    fn every_word_of_a_function_is_folded() {
        for word in FUNCTIONS.split_whitespace().chain(SURNAMES_TOO.split_whitespace()) {
            assert_eq!(folded(word), [word]);
        }
    }
}
