//! The measured tables in the words of each database.

use super::tables::Form;

/// A prime, so that the low digits of a product are as mixed as the high ones.
const MODULUS: u64 = 2_147_483_647;
/// Where the sequence begins: the seed of all values.
const SEED: u64 = 20_210_215;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    MariaDb,
    Postgres,
    Sqlite,
}

/// A number from 0 to below `limit` that follows from the row's number `n` and the column's place.
pub(super) fn chance(place: u32, limit: u64) -> String {
    let step = u64::from(place).saturating_mul(7_919).saturating_add(1_103_515_245);
    let first = u64::from(place).saturating_mul(104_729).saturating_add(SEED);
    format!("((n * {step} + {first}) % {MODULUS}) % {}", limit.max(1))
}

/// One of these words.
fn pick(words: &[&str], place: u32) -> String {
    let case = |(word, number): (&&str, u32)| format!(" WHEN {number} THEN '{}'", word.replace('\'', "''"));
    let cases = words.iter().zip(0..).map(case).collect::<Vec<_>>().concat();
    format!("CASE {}{cases} END", chance(place, u64::try_from(words.len()).unwrap_or(1)))
}

impl Dialect {
    /// The declared type.
    pub(super) fn declared(self, form: Form) -> &'static str {
        let [maria, postgres, sqlite] = match form {
            Form::Key | Form::Patient => ["bigint", "bigint", "integer"],
            Form::Whole(_) => ["int", "integer", "integer"],
            Form::Digits(_) | Form::Pick(_) => ["varchar(40)", "varchar(40)", "text"],
            Form::Street(_) | Form::Marked(_) => ["varchar(80)", "varchar(80)", "text"],
            Form::Words => ["text", "text", "text"],
            Form::Decimal(_) => ["decimal(12,4)", "numeric(12,4)", "text"],
            Form::Day(..) => ["date", "date", "date"],
            Form::Moment(..) => ["datetime(6)", "timestamp", "timestamp"],
            Form::Instant(..) => ["timestamp(6)", "timestamptz", "timestamptz"],
            Form::Yes => ["boolean", "boolean", "boolean"],
            Form::Real(_) => ["double", "double precision", "real"],
        };
        match self {
            Self::MariaDb => maria,
            Self::Postgres => postgres,
            Self::Sqlite => sqlite,
        }
    }

    /// The value of a column in row `n`.
    pub(super) fn value(self, form: Form, place: u32, patients: u64) -> String {
        match form {
            Form::Key => "n".to_owned(),
            Form::Patient => format!("1 + {}", chance(place, patients)),
            Form::Whole(limit) => chance(place, u64::from(limit)),
            Form::Digits(digits) => {
                let number = chance(place, 10_u64.saturating_pow(digits).min(MODULUS));
                match self {
                    Self::MariaDb => format!("LPAD({number}, {digits}, '0')"),
                    Self::Postgres => format!("lpad(({number})::text, {digits}, '0')"),
                    Self::Sqlite => format!("printf('%0{digits}d', {number})"),
                }
            }
            Form::Pick(words) => pick(words, place),
            Form::Street(words) => {
                let (number, word) = (chance(place, 200), pick(words, place.saturating_add(200)));
                self.joined(&[&format!("1 + {number}"), "' rue de '", &word])
            }
            Form::Marked(mark) => {
                let words = self.words(place);
                self.joined(&[&format!("'{mark}'"), &format!("substr({words}, 1, 12)")])
            }
            Form::Words => self.words(place),
            Form::Decimal(limit) => self.decimal(&chance(place, u64::from(limit))),
            Form::Day(from, days) => self.day(from, &chance(place, u64::from(days))),
            Form::Moment(from, seconds) => self.moment(from, &chance(place, u64::from(seconds))),
            Form::Instant(from, seconds) => self.instant(from, &chance(place, u64::from(seconds))),
            Form::Yes => format!("({} = 0)", chance(place, 5)),
            Form::Real(limit) => format!("({}) / 7e0", chance(place, u64::from(limit))),
        }
    }

    /// The rows' numbers, as `n`.
    pub(super) fn numbers(self, rows: u64) -> String {
        match self {
            Self::MariaDb => format!("(SELECT CAST(seq AS SIGNED) AS n FROM seq_1_to_{rows}) AS numbers"),
            Self::Postgres => format!("generate_series(1::bigint, {rows}) AS numbers(n)"),
            Self::Sqlite => format!("(SELECT value AS n FROM generate_series(1, {rows})) AS numbers"),
        }
    }

    fn joined(self, parts: &[&str]) -> String {
        match self {
            Self::MariaDb => format!("CONCAT({})", parts.join(", ")),
            Self::Postgres | Self::Sqlite => {
                let parts: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
                parts.join(" || ")
            }
        }
    }

    fn words(self, place: u32) -> String {
        match self {
            Self::MariaDb => format!("MD5(n * 64 + {place})"),
            Self::Postgres => format!("md5((n * 64 + {place})::text)"),
            Self::Sqlite => format!("substr(lower(hex(sha3(n * 64 + {place}, 224))), 1, 32)"),
        }
    }

    fn decimal(self, number: &str) -> String {
        match self {
            Self::MariaDb => format!("CAST({number} AS DECIMAL(16,0)) / 10000"),
            Self::Postgres => format!("({number})::numeric / 10000"),
            Self::Sqlite => format!("printf('%d.%04d', ({number}) / 10000, ({number}) % 10000)"),
        }
    }

    fn day(self, from: &str, days: &str) -> String {
        match self {
            Self::MariaDb => format!("DATE_ADD('{from}', INTERVAL {days} DAY)"),
            Self::Postgres => format!("date '{from}' + ({days})::int"),
            Self::Sqlite => format!("date('{from}', '+' || ({days}) || ' days')"),
        }
    }

    fn moment(self, from: &str, seconds: &str) -> String {
        match self {
            Self::MariaDb => format!("DATE_ADD('{from} 00:00:00', INTERVAL {seconds} SECOND)"),
            Self::Postgres => format!("timestamp '{from}' + ({seconds}) * interval '1 second'"),
            Self::Sqlite => format!("datetime('{from}', '+' || ({seconds}) || ' seconds')"),
        }
    }

    fn instant(self, from: &str, seconds: &str) -> String {
        match self {
            Self::MariaDb => self.moment(from, seconds),
            Self::Postgres => format!("timestamptz '{from} 00:00:00Z' + ({seconds}) * interval '1 second'"),
            Self::Sqlite => format!("{} || 'Z'", self.moment(from, seconds)),
        }
    }

    /// The marker table, which every target has.
    pub(super) fn marker(self) -> &'static str {
        match self {
            Self::MariaDb | Self::Postgres => {
                "CREATE TABLE lazaret_load (consignment varchar(32) NOT NULL, target_table varchar(128) NOT NULL, \
                 attempt bigint NOT NULL, row_count bigint NOT NULL, PRIMARY KEY (consignment, target_table));"
            }
            Self::Sqlite => {
                "CREATE TABLE lazaret_load (consignment text NOT NULL, target_table text NOT NULL, \
                 attempt integer NOT NULL, row_count integer NOT NULL, PRIMARY KEY (consignment, target_table));"
            }
        }
    }
}
