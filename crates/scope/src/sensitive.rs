//! What a name gives away: columns that never cross, and columns that cross for a written reason only.
//!
//! The lists are of English and French words, because that is what the systems of French laboratories use. They err
//! towards asking: a reason is quickly written, a leaked column is not called back.

use serde::{Deserialize, Serialize};

/// What a column or a table looks like by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitive {
    /// Prices, invoices, payments: crosses for a reason only.
    Billing,
    /// Free comments: cross for a reason only.
    Comment,
    /// Passwords and keys: never cross.
    Credentials,
    /// Data about a patient's spouse: crosses for a reason only.
    Spouse,
    /// Data about the laboratory's people: crosses for a reason only.
    Staff,
}

impl Sensitive {
    /// What to call it in a sentence.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Billing => "billing data",
            Self::Comment => "a free comment",
            Self::Credentials => "credentials",
            Self::Spouse => "data about a spouse",
            Self::Staff => "data about staff",
        }
    }
}

/// Found anywhere in the name once its separators are gone.
const CREDENTIALS_INSIDE: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "motdepasse",
    "motpasse",
    "mdpasse",
    "credential",
    "apikey",
    "privatekey",
    "cleprivee",
    "secretkey",
    "accesskey",
    "securityanswer",
];
/// Found as a word of the name.
const CREDENTIALS: [&str; 11] =
    ["pwd", "passw", "mdp", "psw", "secret", "secrets", "token", "tokens", "otp", "totp", "htpasswd"];
const COMMENT_INSIDE: [&str; 8] =
    ["comment", "remarque", "freetext", "textelibre", "textlibre", "annotation", "memolibre", "blocnote"];
const COMMENT: [&str; 7] = ["note", "notes", "memo", "memos", "remark", "remarks", "observations"];
const SPOUSE_INSIDE: [&str; 4] = ["spouse", "conjoint", "husband", "epoux"];
const SPOUSE: [&str; 5] = ["wife", "epouse", "mari", "partner", "partenaire"];
const STAFF_INSIDE: [&str; 6] = ["username", "utilisateur", "employee", "technicien", "technician", "operateur"];
const STAFF: [&str; 14] = [
    "user",
    "users",
    "userid",
    "login",
    "logins",
    "staff",
    "personnel",
    "employe",
    "employes",
    "operator",
    "account",
    "accounts",
    "salarie",
    "actualname",
];
const BILLING_INSIDE: [&str; 7] = ["billing", "invoice", "factur", "payment", "paiement", "reglement", "encaissement"];
const BILLING: [&str; 18] = [
    "bill", "bills", "price", "prices", "prix", "tarif", "tarifs", "cost", "costs", "amount", "montant", "discount",
    "remise", "currency", "iban", "rib", "paid", "unpaid",
];

/// What `name` looks like; `None` when it gives nothing away.
pub fn sensitive(name: &str) -> Option<Sensitive> {
    let words = words(name);
    // Who made a reagent is no invoice ("facture").
    let squashed = words.concat().replace("manufactur", "");
    let inside = |list: &[&str]| list.iter().any(|part| squashed.contains(part));
    let among = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let last = words.last().map(String::as_str);
    if inside(&CREDENTIALS_INSIDE) || among(&CREDENTIALS) || matches!(last, Some("pass" | "passe")) {
        return Some(Sensitive::Credentials);
    }
    if inside(&SPOUSE_INSIDE) || among(&SPOUSE) {
        return Some(Sensitive::Spouse);
    }
    if inside(&STAFF_INSIDE) || among(&STAFF) || (words.len() > 1 && last == Some("by")) {
        return Some(Sensitive::Staff);
    }
    if inside(&BILLING_INSIDE) || among(&BILLING) {
        return Some(Sensitive::Billing);
    }
    (inside(&COMMENT_INSIDE) || among(&COMMENT)).then_some(Sensitive::Comment)
}

/// The words of a name in lower case without accents: split at anything but letters and digits, at digits, and where a
/// small letter is followed by a capital.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_small = false;
    for c in name.chars() {
        let starts = c.is_uppercase() && before_small;
        before_small = c.is_lowercase();
        if starts || !c.is_alphabetic() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphabetic()) {
            word.extend(c.to_lowercase().map(plain));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn plain(c: char) -> char {
    match c {
        'à' | 'â' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' => 'i',
        'ô' | 'ö' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_under_their_usual_names() {
        for name in [
            "password",
            "portal_password",
            "PortalPassword",
            "PASSWD",
            "pwd_hash",
            "mdp",
            "MotDePasse",
            "mot_de_passe",
            "user_pass",
            "api_key",
            "session_token",
            "password_salt",
            "secret",
        ] {
            assert_eq!(sensitive(name), Some(Sensitive::Credentials), "{name}");
        }
    }

    #[test]
    fn what_needs_a_reason_is_known_under_its_usual_names() {
        let expected = [
            ("comment_1", Sensitive::Comment),
            ("Commentaires", Sensitive::Comment),
            ("remarks", Sensitive::Comment),
            ("spouse_name", Sensitive::Spouse),
            ("nom_conjoint", Sensitive::Spouse),
            ("époux", Sensitive::Spouse),
            ("created_by", Sensitive::Staff),
            ("verified_by", Sensitive::Staff),
            ("user_id", Sensitive::Staff),
            ("discount_amount", Sensitive::Billing),
            ("montant_facture", Sensitive::Billing),
            ("NUMFACTURE", Sensitive::Billing),
            ("payments", Sensitive::Billing),
        ];
        for (name, sensitive_as) in expected {
            assert_eq!(sensitive(name), Some(sensitive_as), "{name}");
        }
    }

    #[test]
    fn the_columns_of_a_result_give_nothing_away() {
        for name in [
            "patient_id",
            "name",
            "sex",
            "dob",
            "result",
            "unit",
            "secretariat",
            "specimen_type_id",
            "passage_id",
            "compass",
            "nom_marital",
            "session_num",
            "hash_value",
            "site_id",
            "loinc",
            "bypass_date",
            "billirubin",
            "manufacturer",
            "date_manufactured",
        ] {
            assert_eq!(sensitive(name), None, "{name}");
        }
    }
}
