//! Invented French names, places and sentences, with the accents, apostrophes and stray blanks of real ones.

use crate::dice::Dice;

const STARTS: &[&str] = &[
    "Ker", "Tré", "Pen", "Plou", "Lan", "Coat", "Gué", "Bois", "Mont", "Le ", "Le ", "La ", "De ", "Du ", "D'", "L'",
    "N'", "Ben ", "El ", "Da ", "Saint-", "Beau", "Chante", "Mar", "Rou", "Fou", "Gau", "Per", "Vau", "Hé",
];
const MIDDLES: &[&str] = &[
    "va", "go", "lé", "ri", "mo", "bé", "nou", "gui", "cha", "fré", "li", "du", "ro", "sé", "ma", "pi", "clo", "tour",
    "œ", "çai",
];
const ENDS: &[&str] = &[
    "dec", "ff", "nez", "ric", "lec", "garec", "dois", "bœuf", "gnon", "nault", "rion", "let", "chêne", "vieux",
    "mère", "llier", "ssé", "gny", "zel", "naïs", "quen", "reau", "tel", "vin",
];
const FEMALE: &[&str] = &[
    "Anaïs",
    "Béatrice",
    "Cécile",
    "Chloé",
    "Claire",
    "Élodie",
    "Fatima",
    "Françoise",
    "Gaëlle",
    "Hélène",
    "Inès",
    "Jeanne",
    "Joëlle",
    "Léa",
    "Louise",
    "Maëlys",
    "Marie-Thérèse",
    "Mégane",
    "Nathalie",
    "Noémie",
    "Odile",
    "Renée",
    "Rozenn",
    "Soazig",
    "Solène",
    "Sylvie",
    "Yaël",
    "Zoé",
];
const MALE: &[&str] = &[
    "André",
    "Aurélien",
    "Benoît",
    "Clément",
    "Érwan",
    "Fañch",
    "François",
    "Gaël",
    "Hervé",
    "Jean-Noël",
    "Jérôme",
    "Joël",
    "Karim",
    "Loïc",
    "Ludovic",
    "Mathéo",
    "Michel",
    "Mickaël",
    "Moïse",
    "Nicolas",
    "Noël",
    "Philippe",
    "Raphaël",
    "Rémi",
    "Stéphane",
    "Théo",
    "Timothée",
    "Yann",
];
const STREETS: &[&str] = &[
    "rue de l'Église",
    "rue du Général-Fictif",
    "allée des Chênes",
    "impasse de la Grève",
    "boulevard de la Forêt",
    "chemin du Château d'eau",
    "place du Marché",
    "route de l'Étang",
    "quai de l'Île",
    "lotissement Les Prés Fleuris",
];
const PLACES: &[&str] = &[
    "Saint-Invent",
    "Ploufeinte",
    "L'Hermitage-Feinte",
    "Kerfictif",
    "La Ferté-Imaginaire",
    "Montfeint-sur-Loire",
    "Sainte-Chimère",
    "Île-aux-Songes",
    "Bourg-l'Évêché",
    "Villefausse",
    "Le Faux-Guérande",
    "Évrêle",
];

/// A family name as old systems keep it: mostly capitals, here and there with a trailing blank or a double one.
pub(crate) fn family(dice: &mut Dice) -> String {
    let middle = if dice.chance(70_000) { dice.pick(MIDDLES) } else { "" };
    let mut name = [dice.pick(STARTS), middle, dice.pick(ENDS)].concat();
    if dice.chance(4_000) {
        name = format!("{name}-{}{}", dice.pick(STARTS).trim(), dice.pick(ENDS));
    }
    if dice.chance(92_000) {
        name = name.to_uppercase();
    }
    if dice.chance(1_500) {
        name = name.replace('\'', "’");
    }
    if dice.chance(1_200) {
        name.push_str(dice.pick(&[" ", "  "]));
    }
    name
}

/// One given name, or several.
pub(crate) fn given(dice: &mut Dice, female: bool) -> String {
    let list = if female { FEMALE } else { MALE };
    let mut names = dice.pick(list).to_owned();
    while dice.chance(22_000) && names.len() < 60 {
        names = format!("{names} {}", dice.pick(list));
    }
    if dice.chance(700) {
        names.push(' ');
    }
    names
}

/// Number and street.
pub(crate) fn street(dice: &mut Dice) -> String {
    let suffix = dice.weighted(&[("", 85), (" bis", 9), (" ter", 2), (" B", 4)]);
    format!("{}{suffix} {}", dice.between(1, 180), dice.pick(STREETS))
}

/// A town that does not exist.
pub(crate) fn town(dice: &mut Dice) -> String {
    let town = dice.pick(PLACES);
    if dice.chance(80_000) { town.to_uppercase() } else { town.to_owned() }
}

/// A landline in one of the ranges that the regulator (ARCEP) keeps for fiction.
pub(crate) fn landline(dice: &mut Dice) -> String {
    let range = dice.weighted(&[("026191", 60), ("019900", 15), ("035301", 10), ("046571", 8), ("053649", 7)]);
    spaced(dice, range)
}

/// A mobile in the range kept for fiction.
pub(crate) fn mobile(dice: &mut Dice) -> String {
    spaced(dice, "063998")
}

fn spaced(dice: &mut Dice, range: &str) -> String {
    let number = [range, &dice.digits(4)].concat();
    match dice.below(10) {
        0..7 => number,
        7 => number.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect::<Vec<_>>().join(" "),
        8 => number.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect::<Vec<_>>().join("."),
        _ => number.replacen('0', "+33", 1),
    }
}

/// An address under the reserved top-level domain `.example` (RFC 2606).
pub(crate) fn mail(dice: &mut Dice, family: &str) -> String {
    let plain: String = family.chars().filter(char::is_ascii_alphabetic).collect();
    format!("{}{}@courriel.example", plain.to_lowercase(), dice.between(1, 9_999))
}

/// A password as people choose them, kept in clear as the 2021 file did.
pub(crate) fn password(dice: &mut Dice, given: &str) -> String {
    let word = given.split([' ', '-']).next().unwrap_or_default().to_lowercase();
    match dice.below(4) {
        0 => format!("{word}{}", dice.between(1_930, 2_019)),
        1 => format!("{word}{}!", dice.between(1, 99)),
        2 => dice.digits(6),
        _ => dice.token(8),
    }
}

/// What people wrote into the free comment columns.
pub(crate) const COMMENTS: &[&str] = &[
    "Grossesse en cours, terme prévu en mars, ne pas appeler au domicile",
    "Suivi VIH, résultats à remettre en main propre uniquement",
    "AVK, INR toutes les 3 semaines ; prévenir l'infirmière si > 4",
    "Chimiothérapie J1 le lundi, NFS urgente la veille",
    "Maladie génétique dans la famille (consentement signé, classeur n° 4)",
    "Bilan d'infertilité, 3e tentative de FIV",
    "Malaise à la piqûre : allonger, papillon, bras gauche",
    "Dette de 14,20 €, à régler au prochain passage",
    "Ne pas communiquer les résultats à l'employeur",
    "Traitement : lévothyroxine 75 µg ; contrôle TSH à 6 semaines",
];
