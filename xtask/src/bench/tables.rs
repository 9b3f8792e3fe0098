//! The two tables of the measured laboratory: 60 columns of patients, 15 of results. Values follow from the row's number
//! and the column's place by arithmetic, so every run and every database has the same ones.

use super::dialect::{Dialect, chance};

/// How a column's values come about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// The row's own number.
    Key,
    /// A patient's number.
    Patient,
    /// A number below.
    Whole(u32),
    /// So many digits.
    Digits(u32),
    /// One of these words.
    Pick(&'static [&'static str]),
    /// `12 rue de …` with one of these words.
    Street(&'static [&'static str]),
    /// One of these words and 12 hexadecimal digits.
    Marked(&'static str),
    /// 32 hexadecimal digits: text that does not compress well.
    Words,
    /// `numeric(12,4)` below.
    Decimal(u32),
    Day(&'static str, u32),
    Moment(&'static str, u32),
    /// A moment with its zone.
    Instant(&'static str, u32),
    Yes,
    Real(u32),
}

/// One column; every `nulls`th value or so is null, none when it is 0.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) nulls: u32,
}

/// One table; its first column is its key.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
}

const fn full(name: &'static str, form: Form) -> Column {
    Column { name, form, nulls: 0 }
}

const fn with_nulls(name: &'static str, form: Form, nulls: u32) -> Column {
    Column { name, form, nulls }
}

const FAMILY: Form = Form::Pick(&[
    "Martin", "Bernard", "Thomas", "Petit", "Robert", "Richard", "Durand", "Dubois", "Moreau", "Laurent", "Simon",
    "Michel", "Lefebvre", "Leroy", "Roux", "David", "Bertrand", "Morel", "Fournier", "Girard", "Le Goff", "Kerbrat",
    "Müller", "Guérin", "Lefèvre", "D'Angelo",
]);
const FIRST: Form = Form::Pick(&[
    "Marie",
    "Jeanne",
    "Françoise",
    "Monique",
    "Catherine",
    "Nathalie",
    "Isabelle",
    "Sylvie",
    "Anne",
    "Jean",
    "Pierre",
    "Michel",
    "André",
    "Philippe",
    "Alain",
    "Bernard",
    "Loïc",
    "Yann",
    "Gaël",
    "Chloé",
    "Zoé",
    "Jean-Baptiste",
]);
const TOWNS: &[&str] = &[
    "Rennes",
    "Saint-Brieuc",
    "Quimper",
    "Lorient",
    "Vannes",
    "Brest",
    "Nantes",
    "Angers",
    "Laval",
    "Le Mans",
    "Blois",
    "Orléans",
    "Tours",
    "Fougères",
    "Redon",
    "Vitré",
];
const TOWN: Form = Form::Pick(TOWNS);
const COUNTRY: Form = Form::Pick(&["FR", "FR", "FR", "FR", "FR", "BE", "ES", "PT", "DZ", "MA", "GB"]);
const SITE: Form = Form::Pick(&["HAL-01", "HAL-02", "HAL-03", "GAR-01", "GAR-02", "POR-01", "POR-07"]);
const YEARS_100: u32 = 36_525;
const YEARS_10: u32 = 3_652;
const SECONDS_10_YEARS: u32 = 315_360_000;

/// Those who were analysed.
pub(super) const PATIENT: Table = Table {
    name: "patient",
    columns: &[
        full("patient_id", Form::Key),
        full("record_number", Form::Digits(8)),
        full("external_reference", Form::Marked("EXT-")),
        full("birth_name", FAMILY),
        with_nulls("used_name", FAMILY, 3),
        full("first_name", FIRST),
        with_nulls("second_first_name", FIRST, 2),
        full("sex", Form::Pick(&["F", "M", "F", "M", "F", "M", "U"])),
        full("birth_date", Form::Day("1920-01-01", YEARS_100)),
        with_nulls("birth_place", TOWN, 4),
        full("birth_country", COUNTRY),
        full("title", Form::Pick(&["MME", "M", "ENF", "BB"])),
        full("address_line_1", Form::Street(TOWNS)),
        with_nulls("address_line_2", Form::Street(&["la Gare", "la Poste", "l'Église"]), 2),
        full("postcode", Form::Digits(5)),
        full("town", TOWN),
        full("country", COUNTRY),
        with_nulls("phone_home", Form::Digits(10), 3),
        with_nulls("phone_mobile", Form::Digits(10), 4),
        with_nulls("contact_code", Form::Marked("c-"), 3),
        full("language", Form::Pick(&["fr", "fr", "fr", "br", "en", "pt", "ar"])),
        full("preferred_channel", Form::Pick(&["post", "portal", "counter"])),
        with_nulls("insurer_code", Form::Digits(9), 9),
        with_nulls("insurer_name", Form::Pick(&["CPAM 35", "CPAM 22", "CPAM 29", "MSA Bretagne", "MGEN", "SSI"]), 9),
        full("insured_rank", Form::Whole(4)),
        with_nulls("coverage_start", Form::Day("2010-01-01", YEARS_10), 9),
        with_nulls("coverage_end", Form::Day("2020-01-01", YEARS_10), 2),
        with_nulls("attending_code", Form::Digits(9), 5),
        with_nulls("attending_name", FAMILY, 5),
        with_nulls("attending_town", TOWN, 5),
        with_nulls("referring_code", Form::Digits(9), 2),
        with_nulls("blood_group", Form::Pick(&["A", "B", "AB", "O"]), 2),
        with_nulls("rhesus", Form::Pick(&["+", "+", "+", "-"]), 2),
        with_nulls("phenotype", Form::Pick(&["CCDee", "ccDEe", "CcDEe", "ccdee"]), 2),
        with_nulls("weight_kg", Form::Decimal(1_200_000), 3),
        with_nulls("height_cm", Form::Decimal(2_000_000), 3),
        with_nulls("pregnant", Form::Yes, 2),
        with_nulls("pregnancy_start", Form::Day("2018-01-01", YEARS_10), 2),
        full("diabetic", Form::Yes),
        full("anticoagulated", Form::Yes),
        full("fasting_usual", Form::Yes),
        full("risk_level", Form::Whole(6)),
        full("site_code", SITE),
        full("site_rank", Form::Whole(3)),
        with_nulls("ward", Form::Pick(&["Cardiologie", "Néphrologie", "Urgences", "Maternité"]), 2),
        with_nulls("room", Form::Whole(400), 2),
        full("deceased", Form::Yes),
        with_nulls("deceased_on", Form::Day("2015-01-01", YEARS_10), 2),
        full("research_allowed", Form::Yes),
        with_nulls("research_since", Form::Day("2015-01-01", YEARS_10), 2),
        full("portal_active", Form::Yes),
        with_nulls("portal_opened", Form::Moment("2015-01-01", SECONDS_10_YEARS), 2),
        full("report_format", Form::Pick(&["pdf", "paper", "hprim", "cda"])),
        full("created_at", Form::Moment("2012-01-01", SECONDS_10_YEARS)),
        full("changed_at", Form::Instant("2014-01-01", SECONDS_10_YEARS)),
        with_nulls("merged_into", Form::Patient, 2),
        with_nulls("archive_box", Form::Marked("BOX-"), 2),
        full("frailty", Form::Real(100_000)),
        with_nulls("context", Form::Words, 2),
        full("row_version", Form::Whole(90)),
    ],
};

/// What was found.
pub(super) const RESULT: Table = Table {
    name: "result",
    columns: &[
        full("result_id", Form::Key),
        full("patient_id", Form::Patient),
        full("request_number", Form::Whole(900_000)),
        full(
            "code",
            Form::Pick(&["2345-7", "718-7", "789-8", "2160-0", "2951-2", "2823-3", "1742-6", "1920-8", "3016-3"]),
        ),
        full(
            "label",
            Form::Pick(&["Glucose", "Hémoglobine", "Hématies", "Créatinine", "Sodium", "Potassium", "ALAT", "TSH"]),
        ),
        with_nulls("measured", Form::Decimal(90_000_000), 10),
        with_nulls("measured_text", Form::Words, 2),
        full("unit", Form::Pick(&["mmol/L", "g/dL", "T/L", "µmol/L", "UI/L", "mUI/L"])),
        with_nulls("range_low", Form::Decimal(40_000_000), 8),
        with_nulls("range_high", Form::Decimal(80_000_000), 8),
        with_nulls("flag", Form::Pick(&["H", "L", "HH", "LL"]), 2),
        full("sampled_at", Form::Moment("2012-01-01", SECONDS_10_YEARS)),
        full("validated_at", Form::Instant("2012-01-02", SECONDS_10_YEARS)),
        full("validated", Form::Yes),
        full("response", Form::Real(1_000_000)),
    ],
};

/// Both, in the order in which they are loaded.
pub(super) const TABLES: [&Table; 2] = [&PATIENT, &RESULT];

/// How many rows each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) patients: u64,
    pub(super) results: u64,
}

impl Sizes {
    pub(super) fn of(self, table: &Table) -> u64 {
        if table.name == PATIENT.name { self.patients } else { self.results }
    }
}

impl Table {
    /// `CREATE TABLE`.
    pub(super) fn ddl(&self, dialect: Dialect) -> String {
        let mut lines: Vec<String> = Vec::new();
        for column in self.columns {
            let not_null = if column.nulls == 0 { " NOT NULL" } else { " NULL" };
            lines.push(format!("{} {}{not_null}", column.name, dialect.declared(column.form)));
        }
        let key = self.columns.first().map_or("", |column| column.name);
        lines.push(format!("PRIMARY KEY ({key})"));
        format!("CREATE TABLE {} (\n{}\n);", self.name, lines.join(",\n"))
    }

    /// `INSERT` of all its rows.
    pub(super) fn filling(&self, dialect: Dialect, sizes: Sizes) -> String {
        let values: Vec<String> = self
            .columns
            .iter()
            .zip(1_u32..)
            .map(|(column, place)| {
                let value = dialect.value(column.form, place, sizes.patients);
                if column.nulls == 0 {
                    return value;
                }
                let chance = chance(place.saturating_add(100), u64::from(column.nulls));
                format!("CASE WHEN {chance} = 0 THEN NULL ELSE {value} END")
            })
            .collect();
        format!("INSERT INTO {} SELECT {} FROM {};", self.name, values.join(",\n"), dialect.numbers(sizes.of(self)))
    }

    fn scope(&self) -> String {
        let take = self.columns.iter().map(|column| {
            let kind = match column.form {
                Form::Key | Form::Patient | Form::Whole(_) => "int64",
                Form::Digits(_) | Form::Pick(_) | Form::Street(_) | Form::Marked(_) | Form::Words => "text",
                Form::Decimal(_) => "decimal(12,4)",
                Form::Day(..) => "date",
                Form::Moment(..) => "timestamp",
                Form::Instant(..) => "timestamp with time zone",
                Form::Yes => "bool",
                Form::Real(_) => "float64",
            };
            format!("  {{ column = \"{}\", type = \"{kind}\" }},\n", column.name)
        });
        let key = self.columns.first().map_or("", |column| column.name);
        let take: String = take.collect();
        format!("[[table]]\nname = \"{}\"\nkey = [\"{key}\"]\ntake = [\n{take}]\n\n", self.name)
    }
}

/// The scope that takes everything: what is measured is the carriage, not the choice.
pub(super) fn scope() -> String {
    TABLES.iter().map(|table| table.scope()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_are_as_wide_as_they_are_said_to_be() {
        assert_eq!((PATIENT.columns.len(), RESULT.columns.len()), (60, 15));
        for table in TABLES {
            let names: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(names.len(), table.columns.len(), "{}", table.name);
        }
    }
}
