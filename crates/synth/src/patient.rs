//! The `patient` table: 60 columns, filled as the 2021 file was (counts per 491,840 rows behind each rate).

use rusqlite::types::Value;

use crate::dates::{Calendar, moment};
use crate::dice::{ALWAYS, Dice};
use crate::names::{self, COMMENTS};
use crate::nir::{self, Nirs};
use crate::table::{Column, Plant, Table, number, text, text_or_null};

/// What one person's columns agree on.
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) female: bool,
    pub(crate) adult: bool,
    pub(crate) civility: &'static str,
    pub(crate) family: String,
    pub(crate) given: String,
    pub(crate) birth: String,
    pub(crate) nir: String,
    pub(crate) department: String,
    pub(crate) created: u64,
    pub(crate) created_text: String,
    /// `None`: never came; NULL in the table, and so outside any scope that compares it.
    pub(crate) last_visit: Option<u64>,
    pub(crate) last_visit_text: String,
    pub(crate) prescriber: u64,
}

/// Civility as found: 268,983 women, 195,828 men, 13,478 `enfant`, 425 `bebe`, 265 `soeur`, 12,861 without.
const CIVILITIES: &[(&str, u32)] = &[
    ("Mme", 158_983),
    ("MME", 56_000),
    ("Mlle", 28_000),
    ("Madame", 20_000),
    ("Melle", 6_000),
    ("M.", 115_828),
    ("MR", 48_000),
    ("Mr", 20_000),
    ("Monsieur", 12_000),
    ("enfant", 13_478),
    ("bebe", 425),
    ("soeur", 265),
    ("", 12_861),
];

/// The first day that the scope takes.
pub(crate) const SCOPE_FROM: (i16, i8, i8) = (2018, 1, 1);

impl Person {
    /// The person of one row.
    pub(crate) fn draw(seed: u64, id: u64, prescribers: u64, calendar: &Calendar, nirs: &mut Nirs) -> Self {
        let mut dice = Dice::new(seed, "person", id);
        let civility = dice.weighted(CIVILITIES);
        let female = match civility {
            "M." | "MR" | "Mr" | "Monsieur" => false,
            "enfant" | "bebe" | "" => dice.chance(50_000),
            _ => true,
        };
        let came = dice.chance(99_700);
        let visit = calendar.visit(&mut dice);
        let (age_from, age_to) = match civility {
            "bebe" => (1, 90),
            "enfant" => (365, 15 * 365),
            _ => (16 * 365, 92 * 365),
        };
        let birth =
            calendar.between(&mut dice, visit.saturating_sub(age_to), visit.saturating_sub(age_from)).min(visit);
        let created = calendar.between(&mut dice, birth.max(calendar.number(2006, 1, 1)).min(visit), visit);
        let born = calendar.day(birth);
        let year = u64::try_from(born.year()).unwrap_or(0) % 100;
        let (nir, department) = nirs.issue(&mut dice, female, year, u64::try_from(born.month()).unwrap_or(1));
        Self {
            id,
            female,
            adult: !matches!(civility, "bebe" | "enfant"),
            civility,
            family: names::family(&mut dice),
            given: names::given(&mut dice, female),
            birth: calendar.text(birth),
            nir,
            department,
            created,
            created_text: moment(&mut dice, &calendar.text(created), 7),
            last_visit: came.then_some(visit),
            last_visit_text: if came { calendar.text(visit) } else { String::new() },
            prescriber: dice.between(1, prescribers),
        }
    }
}

fn for_adults(person: &Person, value: impl FnOnce() -> String) -> Value {
    if person.adult { text(value()) } else { Value::Null }
}

fn spouse_nir(person: &Person, dice: &mut Dice) -> Value {
    for_adults(person, || {
        let sex = if person.female { '1' } else { '2' };
        let birth = format!("{:02}{:02}", dice.between(25, 99), dice.between(1, 12));
        let stem = format!("{sex}{birth}{}000{:03}", person.department, dice.between(1, 999));
        format!("{stem}{:02}", nir::key(&stem).unwrap_or(0))
    })
}

fn day(dice: &mut Dice, from: u64, to: u64) -> String {
    format!("{}-{:02}-{:02}", dice.between(from, to), dice.between(1, 12), dice.between(1, 28))
}

const INS_TEST_OID: &str = "1.2.250.1.213.1.4.10";

const TAKES: [Column<Person>; 26] = [
    Column::take("patient_id", "INTEGER", "int64", ALWAYS, |p, _| number(p.id)),
    // 489,838 of 491,840.
    Column::take("nir", "TEXT", "text", 99_593, |p: &Person, _| text_or_null(&p.nir)).planted(Plant::Itself),
    Column::take("ins_oid", "TEXT", "text", 41_000, |_, _| text(INS_TEST_OID)),
    Column::take("ins_status", "TEXT", "text", 97_000, |_, dice| {
        text(dice.weighted(&[("VALI", 30), ("PROV", 45), ("RECUP", 15), ("QUAL?", 1), ("vali", 1), ("VIDE", 8)]))
    }),
    Column::take("civility", "TEXT", "text", ALWAYS, |p, _| text_or_null(p.civility)),
    // 478,882.
    Column::prose("family_name", 97_366, |p: &Person, _| text(&*p.family)).renamed("surname"),
    Column::prose("birth_name", 61_000, |p, dice| {
        text(if p.female && p.adult && dice.chance(60_000) { names::family(dice) } else { p.family.clone() })
    }),
    Column::prose("first_names", 98_900, |p, _| text(&*p.given)),
    Column::take("birth_date", "DATE", "date", 99_900, |p, _| text(&*p.birth)),
    Column::take("birth_rank", "INTEGER", "int64", 99_000, |_, dice| {
        number(dice.weighted(&[(1, 970), (2, 28), (3, 2)]))
    }),
    Column::take("sex", "TEXT", "text", 99_500, |p, dice| {
        text(if dice.chance(300) {
            "I"
        } else if p.female {
            "F"
        } else {
            "M"
        })
    }),
    Column::take("birth_place_code", "TEXT", "text", 34_000, |p, _| text(format!("{}000", p.department))),
    Column::prose("address_1", 96_000, |_, dice| text(names::street(dice))),
    Column::prose("address_2", 11_000, |_, dice| {
        text(format!("Appt {} – bât. {}", dice.between(1, 90), dice.token(1)))
    }),
    Column::take("postcode", "TEXT", "text", 96_500, |p, dice| {
        // Corsican postcodes begin with 20 whatever the half.
        let department = if p.department.starts_with('2') && !p.department.bytes().all(|b| b.is_ascii_digit()) {
            "20"
        } else {
            &p.department
        };
        text(format!("{department}{}", dice.pick(&["000", "100", "190", "250", "410", "700"])))
    }),
    Column::prose("city", 96_500, |_, dice| text(names::town(dice))),
    Column::take("country", "TEXT", "text", 88_000, |_, dice| {
        text(dice.weighted(&[("FR", 90), ("FRANCE", 7), ("F", 2), ("BE", 1)]))
    }),
    // 270,569.
    Column::take("phone_home", "TEXT", "text", 55_012, |_, dice| text(names::landline(dice))),
    // 159,591.
    Column::take("phone_mobile", "TEXT", "text", 32_448, |_, dice| text(names::mobile(dice))),
    // 55,738.
    Column::prose("email", 11_333, |p: &Person, dice| text(names::mail(dice, &p.family))).planted(Plant::Mail),
    Column::take("prescriber_id", "INTEGER", "int64", 98_000, |p, _| number(p.prescriber)),
    Column::take("site_code", "TEXT", "text", ALWAYS, |_, dice| text(format!("S{:02}", dice.between(1, 28)))),
    Column::take("created_at", "TIMESTAMP", "timestamp", ALWAYS, |p, _| text(&*p.created_text)),
    Column::take("updated_at", "TIMESTAMP", "timestamp", ALWAYS, |p, dice| {
        if p.last_visit_text.is_empty() { Value::Null } else { text(moment(dice, &p.last_visit_text, 14)) }
    }),
    Column::take("last_visit", "DATE", "date", ALWAYS, |p, _| text_or_null(&p.last_visit_text)),
    Column::take("deceased", "INTEGER", "int64", ALWAYS, |_, dice| number(u64::from(dice.chance(2_100)))),
];

const LEAVES: [Column<Person>; 34] = [
    Column::leave("comment_1", 18_000, Plant::Append, |_, dice| text(dice.pick(COMMENTS))),
    Column::leave("comment_2", 5_000, Plant::Append, |_, dice| text(dice.pick(COMMENTS))),
    Column::leave("portal_login", 4_200, Plant::Append, |p, _| text(format!("p{:07}", p.id))),
    // 14,997, in clear.
    Column::leave("portal_password", 3_049, Plant::Replace, |p, dice| text(names::password(dice, &p.given))),
    Column::leave("portal_last_login", 2_600, Plant::Replace, |_, dice| text(day(dice, 2016, 2020))),
    Column::leave("blood_group", 16_000, Plant::Replace, |_, dice| {
        text(dice.weighted(&[("O", 43), ("A", 44), ("B", 9), ("AB", 4)]))
    }),
    Column::leave("rhesus", 16_000, Plant::Replace, |_, dice| text(dice.weighted(&[("+", 85), ("-", 15)]))),
    Column::leave("spouse_name", 21_000, Plant::Append, |p, dice| for_adults(p, || names::family(dice))),
    Column::leave("spouse_first_name", 14_000, Plant::Append, |p, dice| {
        for_adults(p, || names::given(dice, !p.female))
    }),
    Column::leave("spouse_birth_date", 7_000, Plant::Replace, |p, dice| for_adults(p, || day(dice, 1930, 1999))),
    Column::leave("spouse_nir", 6_000, Plant::Replace, spouse_nir),
    Column::leave("spouse_phone", 3_000, Plant::Replace, |p, dice| for_adults(p, || names::mobile(dice))),
    Column::leave("attending_physician", 71_000, Plant::Append, |_, dice| {
        text(format!("Dr {}", names::family(dice).trim_end()))
    }),
    Column::leave("sampler_nurse", 23_000, Plant::Append, |_, dice| text(format!("IDE {}", names::family(dice)))),
    Column::leave("insurer_code", 93_000, Plant::Replace, |p, _| text(format!("01{:0<3}", p.department))),
    Column::leave("insurer_centre", 90_000, Plant::Replace, |_, dice| text(dice.digits(4))),
    Column::leave("cpam_rank", 93_000, Plant::Replace, |_, dice| text(dice.weighted(&[("1", 88), ("2", 9), ("3", 3)]))),
    Column::leave("cover_start", 64_000, Plant::Replace, |_, dice| text(day(dice, 2010, 2020))),
    Column::leave("cover_end", 64_000, Plant::Replace, |_, dice| text(day(dice, 2019, 2022))),
    Column::leave("exemption_code", 22_000, Plant::Replace, |_, dice| {
        text(dice.pick(&["ALD30", "ALD31", "MAT", "AT"]))
    }),
    Column::leave("mutual_insurer", 58_000, Plant::Append, |_, dice| {
        text(dice.pick(&["Mutuelle de l'Étoile feinte", "MGX Santé", "Harmonie fictive", "Prévoyance d'Île"]))
    }),
    Column::leave("mutual_number", 55_000, Plant::Replace, |_, dice| text(dice.digits(8))),
    Column::leave("mutual_end", 50_000, Plant::Replace, |_, dice| text(day(dice, 2019, 2022))),
    Column::leave("occupation", 8_000, Plant::Append, |p, dice| {
        for_adults(p, || dice.pick(&["retraitée", "agriculteur", "infirmière", "marin-pêcheur", "sans"]).to_owned())
    }),
    Column::leave("employer", 3_000, Plant::Append, |p, dice| for_adults(p, || format!("Éts {}", names::family(dice)))),
    Column::leave("family_situation", 12_000, Plant::Replace, |_, dice| text(dice.pick(&["M", "C", "D", "V", "PACS"]))),
    Column::leave("guardian_name", 2_800, Plant::Append, |_, dice| text(names::family(dice))),
    Column::leave("guardian_phone", 2_300, Plant::Replace, |_, dice| text(names::landline(dice))),
    Column::leave("weight", 9_000, Plant::Replace, |_, dice| text(format!("{} kg", dice.between(4, 120)))),
    Column::leave("height", 7_000, Plant::Replace, |_, dice| text(format!("1,{:02} m", dice.below(95)))),
    Column::leave("pregnancy_term", 4_000, Plant::Replace, |p, dice| {
        if p.female && p.adult { text(day(dice, 2018, 2021)) } else { Value::Null }
    }),
    Column::leave("treatment", 9_500, Plant::Append, |_, dice| {
        text(dice.pick(&["AVK", "metformine 850", "lévothyroxine 75 µg", "méthotrexate", "PrEP", "lithium"]))
    }),
    Column::leave("fax", 2_500, Plant::Replace, |_, dice| text(names::landline(dice))),
    Column::leave("legacy_reference", 40_000, Plant::Append, |p, dice| text(format!("N{}{:06}", dice.digits(2), p.id))),
];

pub(crate) const PATIENT: Table<Person> = Table {
    name: "patient",
    target: "import_patient",
    key: "patient_id",
    filter: "last_visit >= date '2018-01-01'",
    references: &[("prescriber_id", "prescriber", "prescriber_id")],
    takes: &TAKES,
    leaves: &LEAVES,
};
