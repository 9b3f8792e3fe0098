//! The tables `prescriber`, `request` and `result`, and the two that stay behind: `staff_user` and `bill`.

use rusqlite::types::Value;

use crate::dates::moment;
use crate::dice::{ALWAYS, Dice};
use crate::loinc::{ANALYTES, Analyte, luhn};
use crate::names;
use crate::table::{Column, Plant, Table, number, text, text_or_null};

/// A physician who asks for tests.
pub(crate) struct Prescriber {
    pub(crate) id: u64,
    pub(crate) family: String,
}

/// One visit of one patient.
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) patient: u64,
    pub(crate) nir: String,
    pub(crate) prescriber: u64,
    pub(crate) day: String,
    pub(crate) results: u64,
}

/// One line of a report.
pub(crate) struct Outcome {
    pub(crate) id: u64,
    pub(crate) request: u64,
    pub(crate) day: String,
    pub(crate) analyte: Analyte,
    /// In units of 10^-`decimals` of the analyte; `None` for an answer in words.
    pub(crate) amount: Option<u64>,
    pub(crate) comparator: &'static str,
}

/// Somebody who works at the laboratory.
pub(crate) struct Staff {
    pub(crate) id: u64,
    pub(crate) family: String,
}

impl Outcome {
    /// Draws one line of a request.
    pub(crate) fn draw(seed: u64, id: u64, request: &Request) -> Self {
        let mut dice = Dice::new(seed, "outcome", id);
        let analyte: Analyte = dice.pick(ANALYTES);
        let (low, high) = analyte.range;
        let amount = (high > 0).then(|| match dice.below(20) {
            0 => dice.between(low / 2, low),
            1..3 => dice.between(high, high.saturating_mul(3)),
            _ => dice.between(low, high),
        });
        let comparator = if amount.is_none() { "" } else { dice.weighted(&[("", 95), ("<", 4), (">", 1)]) };
        Self { id, request: request.id, day: request.day.clone(), analyte, amount, comparator }
    }

    /// The amount with its decimal sign.
    fn written(&self, amount: u64, sign: char) -> String {
        if self.analyte.decimals == 0 {
            return amount.to_string();
        }
        let digits = format!("{amount:0width$}", width = self.analyte.decimals.saturating_add(1));
        let at = digits.len().saturating_sub(self.analyte.decimals);
        let (whole, rest) = digits.split_at_checked(at).unwrap_or((&digits, ""));
        format!("{whole}{sign}{rest}")
    }

    fn decimal(&self, amount: Option<u64>) -> Value {
        let parsed = amount.and_then(|amount| self.written(amount, '.').parse().ok());
        parsed.map_or(Value::Null, Value::Real)
    }

    fn in_words(&self, dice: &mut Dice) -> String {
        match (self.amount, self.analyte.label) {
            (Some(amount), _) if self.comparator.is_empty() => self.written(amount, ','),
            (Some(amount), _) => format!("{} {}", self.comparator, self.written(amount, ',')),
            (None, "Groupe sanguin ABO") => dice.pick(&["A", "B", "AB", "O"]).to_owned(),
            (None, "Rhésus D") => dice.weighted(&[("Positif", 85), ("Négatif", 15)]).to_owned(),
            (None, _) => dice
                .weighted(&[("Négatif", 90), ("Absence", 6), ("POSITIF", 2), ("Douteux, à contrôler", 2)])
                .to_owned(),
        }
    }

    fn flag(&self) -> &'static str {
        match (self.amount, self.analyte.range) {
            (Some(amount), (low, _)) if amount < low => "L",
            (Some(amount), (_, high)) if amount > high => "H",
            (Some(_), _) => "N",
            (None, _) => "",
        }
    }
}

/// An RPPS number with its Luhn digit. Issued ones begin with 1; these begin with 9.
fn rpps(prescriber: &Prescriber) -> String {
    let stem = format!("9{:09}", prescriber.id);
    let digits: Vec<u32> = stem.chars().filter_map(|digit| digit.to_digit(10)).collect();
    format!("{stem}{}", luhn(&digits))
}

fn iban(dice: &mut Dice) -> Value {
    // Bank code 00000 is not allotted.
    text(format!("FR7600000{}", dice.digits(18)))
}

pub(crate) const PRESCRIBER: Table<Prescriber> = Table {
    name: "prescriber",
    target: "import_prescriber",
    key: "prescriber_id",
    filter: "",
    references: &[],
    takes: &[
        Column::take("prescriber_id", "INTEGER", "int64", ALWAYS, |p, _| number(p.id)),
        Column::take("rpps", "TEXT", "text", 96_000, |p, _| text(rpps(p))),
        Column::prose("last_name", ALWAYS, |p, _| text(&*p.family)),
        Column::prose("first_name", 94_000, |_, dice| {
            let female = dice.chance(48_000);
            text(names::given(dice, female))
        }),
        Column::take("specialty", "TEXT", "text", 91_000, |_, dice| {
            text(dice.weighted(&[
                ("Médecine générale", 70),
                ("Gynécologie", 12),
                ("Cardiologie", 9),
                ("Sage-femme", 9),
            ]))
        }),
        Column::prose("address", 88_000, |_, dice| text(names::street(dice))),
        Column::take("postcode", "TEXT", "text", 88_000, |_, dice| {
            text(dice.pick(&["56000", "45000", "27000", "22000"]))
        }),
        Column::prose("city", 88_000, |_, dice| text(names::town(dice))),
        Column::take("phone", "TEXT", "text", 83_000, |_, dice| text(names::landline(dice))),
    ],
    leaves: &[
        Column::leave("email", 31_000, Plant::Mail, |p, dice| text(names::mail(dice, &p.family))),
        Column::leave("iban", 22_000, Plant::Replace, |_, dice| iban(dice)),
        Column::leave("private_note", 27_000, Plant::Append, |_, dice| {
            text(dice.pick(&[
                "Rappeler après 20 h",
                "Impayés 2017",
                "Veut les résultats par fax",
                "Départ en retraite",
            ]))
        }),
        Column::leave("portal_password", 24_000, Plant::Replace, |p, dice| text(names::password(dice, &p.family))),
    ],
};

pub(crate) const REQUEST: Table<Request> = Table {
    name: "request",
    target: "import_request",
    key: "request_id",
    filter: "exists in patient (patient_id = patient_id)",
    references: &[("patient_id", "patient", "patient_id"), ("prescriber_id", "prescriber", "prescriber_id")],
    takes: &[
        Column::take("request_id", "INTEGER", "int64", ALWAYS, |r, _| number(r.id)),
        Column::take("patient_id", "INTEGER", "int64", ALWAYS, |r, _| number(r.patient)),
        Column::take("prescriber_id", "INTEGER", "int64", 97_000, |r, _| number(r.prescriber)),
        Column::prose("request_number", ALWAYS, |r, _| text(format!("{}-{:07}", r.day.replace('-', ""), r.id))),
        Column::take("sampled_at", "TIMESTAMP", "timestamp", 98_000, |r, dice| text(moment(dice, &r.day, 6))),
        Column::take("received_at", "TIMESTAMP", "timestamp", ALWAYS, |r, dice| text(moment(dice, &r.day, 12))),
        Column::take("status", "TEXT", "text", ALWAYS, |_, dice| text(dice.weighted(&[("V", 96), ("P", 2), ("A", 2)]))),
        Column::take("site_code", "TEXT", "text", ALWAYS, |_, dice| text(format!("S{:02}", dice.between(1, 28)))),
        Column::take("urgent", "INTEGER", "int64", ALWAYS, |_, dice| number(u64::from(dice.chance(6_000)))),
    ],
    leaves: &[
        Column::leave("request_comment", 12_000, Plant::Append, |_, dice| text(dice.pick(names::COMMENTS))),
        Column::leave("sampler", 64_000, Plant::Append, |_, dice| text(format!("IDE {}", names::family(dice)))),
        Column::leave("payer_reference", 71_000, Plant::Replace, |_, dice| text(dice.digits(13))),
        Column::leave("registered_by", ALWAYS, Plant::Append, |_, dice| {
            text(format!("user{:03}", dice.between(1, 60)))
        }),
    ],
};

pub(crate) const RESULT: Table<Outcome> = Table {
    name: "result",
    target: "import_result",
    key: "result_id",
    filter: "exists in request (request_id = request_id)",
    references: &[("request_id", "request", "request_id")],
    takes: &[
        Column::take("result_id", "INTEGER", "int64", ALWAYS, |o, _| number(o.id)),
        Column::take("request_id", "INTEGER", "int64", ALWAYS, |o, _| number(o.request)),
        Column::take("loinc", "TEXT", "text", 99_000, |o, _| text(o.analyte.code)),
        Column::take("label", "TEXT", "text", ALWAYS, |o, _| text(o.analyte.label)),
        Column::take("comparator", "TEXT", "text", ALWAYS, |o, _| text_or_null(o.comparator)),
        Column::prose("value_text", 99_800, |o, dice| text(o.in_words(dice))),
        Column::take("value_decimal", "DECIMAL(12,4)", "decimal(12,4)", ALWAYS, |o, _| o.decimal(o.amount)),
        Column::take("unit", "TEXT", "text", ALWAYS, |o, _| text_or_null(o.analyte.unit)),
        Column::take("range_low", "DECIMAL(12,4)", "decimal(12,4)", ALWAYS, |o, _| {
            o.decimal(o.amount.map(|_| o.analyte.range.0))
        }),
        Column::take("range_high", "DECIMAL(12,4)", "decimal(12,4)", ALWAYS, |o, _| {
            o.decimal(o.amount.map(|_| o.analyte.range.1))
        }),
        Column::take("flag", "TEXT", "text", ALWAYS, |o, _| text_or_null(o.flag())),
        Column::take("validated_at", "TIMESTAMP", "timestamp", 97_500, |o, dice| text(moment(dice, &o.day, 16))),
    ],
    leaves: &[
        Column::leave("result_comment", 4_000, Plant::Append, |_, dice| {
            text(dice.pick(&["Contrôlé sur second prélèvement", "Sérum hémolysé", "Appel prescripteur 18 h 40"]))
        }),
        Column::leave("validator", 97_500, Plant::Append, |_, dice| text(format!("bio{:02}", dice.between(1, 12)))),
        Column::leave("instrument", 93_000, Plant::Append, |_, dice| {
            text(dice.pick(&["AU-1", "AU-2", "HEM-3", "IMM-1"]))
        }),
    ],
};

pub(crate) const STAFF: Table<Staff> = Table {
    name: "staff_user",
    target: "",
    key: "user_id",
    filter: "",
    references: &[],
    takes: &[],
    leaves: &[
        Column { declared: "INTEGER", ..Column::leave("user_id", ALWAYS, Plant::Never, |s, _| number(s.id)) },
        Column::leave("login", ALWAYS, Plant::Append, |s, _| text(format!("user{:03}", s.id))),
        Column::leave("password", ALWAYS, Plant::Replace, |s, dice| text(names::password(dice, &s.family))),
        Column::leave("full_name", ALWAYS, Plant::Append, |s, _| text(&*s.family)),
        Column::leave("email", 80_000, Plant::Mail, |s, dice| text(names::mail(dice, &s.family))),
        Column::leave("role", ALWAYS, Plant::Append, |_, dice| text(dice.pick(&["secretary", "sampler", "biologist"]))),
    ],
};

pub(crate) const BILL: Table<Request> = Table {
    name: "bill",
    target: "",
    key: "bill_id",
    filter: "",
    references: &[("request_id", "request", "request_id")],
    takes: &[],
    leaves: &[
        Column { declared: "INTEGER", ..Column::leave("bill_id", ALWAYS, Plant::Never, |r, _| number(r.id)) },
        Column { declared: "INTEGER", ..Column::leave("request_id", ALWAYS, Plant::Never, |r, _| number(r.id)) },
        Column::leave("insured_nir", 98_000, Plant::Replace, |r, _| text_or_null(&r.nir)),
        Column::leave("acts", ALWAYS, Plant::Append, |r, dice| {
            text(format!("B{}", r.results.saturating_mul(dice.between(6, 30))))
        }),
        Column::leave("amount", ALWAYS, Plant::Replace, |_, dice| {
            text(format!("{},{:02}", dice.between(5, 180), dice.below(100)))
        }),
        Column::leave("payer", 97_000, Plant::Append, |_, dice| {
            text(dice.pick(&["CPAM", "MSA", "patient", "clinique"]))
        }),
        Column::leave("iban", 9_000, Plant::Replace, |_, dice| iban(dice)),
    ],
};
