//! One table of awkward values, two tables that it is reached through, and predicates drawn over them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema};
use lexicon::{Entropy, SeededEntropy};
use proptest::prelude::*;
use proptest::sample::select;

use crate::predicate::{Literal, Node, Operator, Predicate, eval};
use crate::value::Writer;
use crate::{Dialect, Kind, Lookups, Scope, calendar, value};

/// A column: its name, the type it is compared in, the rest of its entry in take (empty: it stays in leave), and the
/// values that may stand in it.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    take: &'static str,
    pub(super) values: Vec<&'static str>,
}

const TEXTS: [&str; 24] = [
    "", " ", "a", "A", "a ", " a", "á", "à", "e", "é", "E", "Z", "z", "5", "05", "ß", "ss", "œ", "a'b", "a\\b", "%",
    "_", "日本", "NULL",
];

fn column(name: &'static str, kind: Kind, take: &'static str, values: &[&'static str]) -> Column {
    Column { name, kind, take, values: values.to_vec() }
}

/// The columns, with the values that the dialect can store.
pub(super) fn columns(dialect: Dialect) -> Vec<Column> {
    let decimal = Kind::Decimal { precision: 12, scale: 3 };
    let largest = if dialect == Dialect::Sqlite { "9223372036854775807" } else { "18446744073709551615" };
    let no_days: &[&str] = match dialect {
        Dialect::Postgres => &["2019-01-01", "2020-02-29"],
        Dialect::MariaDb => &["2019-01-01", "2020-02-29", "0000-00-00", "2019-00-00", "2019-05-00"],
        Dialect::Sqlite => &["2019-01-01", "2020-02-29", "0000-00-00", "2019-00-00", "2019-02-30", "", "then"],
    };
    vec![
        column("i", Kind::Int64, "x", &["-9223372036854775808", "-1", "0", "1", "5", "9223372036854775807"]),
        column("u", Kind::UInt64, "x", &["0", "1", "5", largest]),
        column("f", Kind::Float64, "x", &["-0.0", "0", "0.1", "1.5", "-2.25", "1e300"]),
        column("m", decimal, "x", &["0", "0.05", "-0.05", "12.5", "123456789.125"]),
        column("t", Kind::Text, "x", &TEXTS),
        column("c", Kind::Text, "x", &["a", "A", "ab", "é", "e"]),
        column("l", Kind::Text, "", &["a", "A", "a ", "é", "e", "É"]),
        column("b", Kind::Bool, "x", &["true", "false"]),
        column("d", Kind::Date, "x", &["1900-01-01", "1999-12-31", "2019-01-01", "2020-02-29"]),
        column("h", Kind::Time, "x", &["00:00:00", "12:30:00", "12:30:00.500000", "23:59:59.999999"]),
        column(
            "s",
            Kind::Timestamp,
            "x",
            &["1970-01-01 00:00:00", "2019-01-01 00:00:00", "2019-01-01 00:00:00.000001", "2019-03-31 02:30:00"],
        ),
        column(
            "z",
            Kind::TimestampTz,
            "x",
            &["1970-01-02 00:00:00Z", "2019-01-01 00:00:00Z", "2019-01-01 00:00:00.5Z"],
        ),
        column("n", Kind::Date, ", null_if = [\"0000-00-00\"]", no_days),
    ]
}

const ROWS: usize = 160;

pub(super) struct World {
    pub(super) columns: Vec<Column>,
    /// By row, then by column; `None` is null.
    pub(super) rows: Vec<Vec<Option<&'static str>>>,
    /// Rows (k, kt, w) of table `o`.
    pub(super) others: Vec<(Option<i64>, Option<&'static str>, Option<i64>)>,
    /// Rows (k) of table `p`.
    pub(super) third: Vec<i64>,
}

impl World {
    pub(super) fn new(dialect: Dialect) -> Self {
        let columns = columns(dialect);
        let seeded = SeededEntropy::new(7);
        let entropy: &dyn Entropy = &seeded;
        let draw = |of: usize| {
            let [byte] = entropy.bytes::<1>().unwrap();
            usize::from(byte).checked_rem(of).unwrap()
        };
        let rows = (0..ROWS).map(|_| {
            columns
                .iter()
                .map(|column| column.values.get(draw(column.values.len().saturating_add(1))).copied())
                .collect()
        });
        let rows = rows.collect();
        let others = vec![
            (Some(0), Some("a"), Some(1)),
            (Some(1), Some("A"), Some(0)),
            (Some(5), Some("é"), Some(2)),
            (Some(-1), None, Some(3)),
            (None, Some("05"), Some(1)),
            (Some(5), Some(" a"), None),
        ];
        Self { columns, rows, others, third: vec![1, 5] }
    }

    /// The scope in which table `main` has the predicate.
    pub(super) fn scope(&self, predicate: &Predicate) -> Scope {
        let taken = self.columns.iter().filter(|column| !column.take.is_empty()).map(|column| {
            format!("{{ column = \"{}\", type = \"{}\" {} }}", column.name, column.kind, column.take.trim_matches('x'))
        });
        let left =
            self.columns.iter().filter(|column| column.take.is_empty()).map(|column| format!("\"{}\"", column.name));
        let text = toml::Value::String(predicate.to_string());
        let toml = format!(
            "[[table]]\nname = \"main\"\ntake = [{{ column = \"id\", type = \"int64\" }}, {}]\nleave = [{}]\n\
             where = {text}\n\
             [[table]]\nname = \"o\"\ntake = [{{ column = \"k\", type = \"int64\" }}, \
             {{ column = \"kt\", type = \"text\" }}]\n\
             leave = [\"w\"]\nwhere = \"w >= 1 and not w = 3 or exists in p (k = k)\"\n\
             [[table]]\nname = \"p\"\ntake = [{{ column = \"k\", type = \"int64\" }}]\n",
            taken.collect::<Vec<_>>().join(", "),
            left.collect::<Vec<_>>().join(", "),
        );
        Scope::parse(&toml).unwrap()
    }

    /// The ids that the evaluation on batches lets pass.
    pub(super) fn evaluated(&self, scope: &Scope) -> Vec<i64> {
        let mut lookups = Lookups::default();
        for table in Lookups::order(scope) {
            let batch = if table == "o" { self.others_batch() } else { self.third_batch() };
            lookups.collect(scope, table, &batch).unwrap();
        }
        let passing = eval::passing(scope.table("main").unwrap(), &self.batch(), &lookups).unwrap().unwrap();
        (0_i64..).zip(passing.values().iter()).filter_map(|(id, passes)| passes.then_some(id)).collect()
    }

    fn batch(&self) -> RecordBatch {
        let mut fields = vec![Field::new("id", Kind::Int64.arrow(), true)];
        let mut arrays = vec![array(Kind::Int64, (0..self.rows.len()).map(|id| Some(id.to_string())))];
        for (place, column) in self.columns.iter().enumerate() {
            let kind = if column.take.contains("null_if") { Kind::Text } else { column.kind };
            fields.push(Field::new(column.name, kind.arrow(), true));
            arrays.push(array(kind, self.rows.iter().map(|row| row[place].map(str::to_owned))));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn others_batch(&self) -> RecordBatch {
        let whole = |value: Option<i64>| value.map(|value| value.to_string());
        let fields = [("k", Kind::Int64), ("kt", Kind::Text), ("w", Kind::Int64)];
        let fields = fields.map(|(name, kind)| Field::new(name, kind.arrow(), true));
        let arrays = vec![
            array(Kind::Int64, self.others.iter().map(|row| whole(row.0))),
            array(Kind::Text, self.others.iter().map(|row| row.1.map(str::to_owned))),
            array(Kind::Int64, self.others.iter().map(|row| whole(row.2))),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), arrays).unwrap()
    }

    fn third_batch(&self) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("k", Kind::Int64.arrow(), true)]);
        let array = array(Kind::Int64, self.third.iter().map(|k| Some(k.to_string())));
        RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap()
    }

    /// Statements that make the three tables and fill them.
    pub(super) fn statements(&self, dialect: Dialect) -> Vec<String> {
        let declared = self.columns.iter().map(|column| format!("{} {}", column.name, declared(dialect, column)));
        let text = if dialect == Dialect::MariaDb { "varchar(50) CHARACTER SET utf8mb4" } else { "text" };
        let mut out = vec![
            format!("CREATE TABLE main (id bigint, {})", declared.collect::<Vec<_>>().join(", ")),
            format!("CREATE TABLE o (k bigint, kt {text}, w bigint)"),
            "CREATE TABLE p (k bigint)".to_owned(),
        ];
        for (id, row) in self.rows.iter().enumerate() {
            let values =
                self.columns.iter().zip(row).map(|(column, value)| {
                    value.map_or("NULL".to_owned(), |value| inserted(dialect, column.kind, value))
                });
            out.push(format!("INSERT INTO main VALUES ({id}, {})", values.collect::<Vec<_>>().join(", ")));
        }
        let whole = |value: Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
        for (k, kt, w) in &self.others {
            let kt = kt.map_or("NULL".to_owned(), |kt| inserted(dialect, Kind::Text, kt));
            out.push(format!("INSERT INTO o VALUES ({}, {kt}, {})", whole(*k), whole(*w)));
        }
        out.extend(self.third.iter().map(|k| format!("INSERT INTO p VALUES ({k})")));
        out
    }

    /// Any predicate over table `main`.
    pub(super) fn predicates(&self) -> impl Strategy<Value = Predicate> + use<> {
        let columns: Vec<_> =
            self.columns.iter().map(|column| (column.name, column.kind, column.values.clone())).collect();
        let operators = [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
        ];
        let constants = |kind: Kind, values: Vec<&'static str>| {
            select(values.iter().filter_map(|value| literal(kind, value)).collect::<Vec<_>>())
        };
        let compare = (select(columns.clone()), select(operators.to_vec())).prop_flat_map(
            move |((name, kind, values), operator)| {
                constants(kind, values).prop_map(move |constant| Node::Compare {
                    column: name.to_owned(),
                    operator,
                    constant,
                })
            },
        );
        let among = select(columns.clone()).prop_flat_map(move |(name, kind, values)| {
            proptest::collection::vec(constants(kind, values), 1..4)
                .prop_map(move |constants| Node::In { column: name.to_owned(), constants })
        });
        let null = select(columns).prop_map(|(name, ..)| Node::IsNull { column: name.to_owned() });
        let pair = |this: &str, that: &str| (this.to_owned(), that.to_owned());
        let exists = select(vec![
            Node::Exists { table: "o".to_owned(), pairs: vec![pair("i", "k")] },
            Node::Exists { table: "o".to_owned(), pairs: vec![pair("u", "k")] },
            Node::Exists { table: "o".to_owned(), pairs: vec![pair("t", "kt")] },
            Node::Exists { table: "o".to_owned(), pairs: vec![pair("t", "kt"), pair("i", "k")] },
            Node::Exists { table: "p".to_owned(), pairs: vec![pair("u", "k")] },
        ]);
        let leaf = prop_oneof![6 => compare, 3 => among, 1 => null, 2 => exists];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
                proptest::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
                inner.prop_map(|node| Node::Not(Box::new(node))),
            ]
        })
        .prop_map(Predicate)
    }
}

fn array(kind: Kind, values: impl Iterator<Item = Option<String>>) -> arrow_array::ArrayRef {
    let mut writer = Writer::new(kind);
    for value in values {
        match value {
            Some(value) => writer.text(&value).unwrap(),
            None => writer.null(),
        }
    }
    writer.finish()
}

fn literal(kind: Kind, value: &str) -> Option<Literal> {
    match kind {
        Kind::Bool => Some(Literal::Bool(value == "true")),
        Kind::Text => Some(Literal::Text(value.to_owned())),
        Kind::Date => calendar::parse_date(value).map(Literal::Date),
        Kind::Time => calendar::parse_time(value).map(Literal::Time),
        Kind::Timestamp => calendar::parse_timestamp(value).map(Literal::Timestamp),
        Kind::TimestampTz => calendar::parse_moment(value).map(Literal::TimestampTz),
        Kind::Int64 | Kind::UInt64 | Kind::Float64 | Kind::Decimal { .. } | Kind::Bytes => {
            let (unscaled, scale) = value::parse_decimal_free(value)?;
            Some(if scale == 0 { Literal::Integer(unscaled) } else { Literal::Decimal { unscaled, scale } })
        }
    }
}

fn declared(dialect: Dialect, column: &Column) -> &'static str {
    let (maria, postgres, sqlite) = match column.kind {
        Kind::Bool => ("boolean", "boolean", "integer"),
        Kind::Int64 => ("bigint", "bigint", "integer"),
        Kind::UInt64 => ("bigint unsigned", "numeric(20,0)", "integer"),
        Kind::Float64 => ("double", "float8", "real"),
        Kind::Decimal { .. } => ("decimal(12,3)", "numeric(12,3)", "decimal(12,3)"),
        Kind::Text if column.name == "c" => ("char(5) CHARACTER SET utf8mb4", "char(5)", "text"),
        Kind::Text if column.name == "l" => ("varchar(50) CHARACTER SET latin1", "varchar(50)", "text COLLATE NOCASE"),
        Kind::Text | Kind::Bytes => ("varchar(50) CHARACTER SET utf8mb4", "text", "text COLLATE RTRIM"),
        Kind::Date => ("date", "date", "date"),
        Kind::Time => ("time(6)", "time", "time"),
        Kind::Timestamp => ("datetime(6)", "timestamp", "datetime"),
        Kind::TimestampTz => ("timestamp(6) NULL", "timestamptz", "datetime"),
    };
    match dialect {
        Dialect::MariaDb => maria,
        Dialect::Postgres => postgres,
        // A date or a time keeps its text only without numeric affinity.
        Dialect::Sqlite if column.kind.is_temporal() => "text",
        Dialect::Sqlite => sqlite,
    }
}

fn inserted(dialect: Dialect, kind: Kind, value: &str) -> String {
    match (kind, dialect) {
        (Kind::Text, Dialect::MariaDb) => format!("CONVERT({} USING utf8mb4)", dialect.text(value)),
        (Kind::Text, Dialect::Postgres | Dialect::Sqlite) => dialect.text(value),
        (Kind::Bool, Dialect::MariaDb | Dialect::Sqlite) => u8::from(value == "true").to_string(),
        (Kind::TimestampTz, Dialect::Postgres) => format!("'{}'", value.replace('Z', "+00")),
        (Kind::TimestampTz, Dialect::MariaDb) => format!("'{}'", value.trim_end_matches('Z')),
        (Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz, _) => format!("'{value}'"),
        (Kind::Bool | Kind::Int64 | Kind::UInt64 | Kind::Float64 | Kind::Decimal { .. } | Kind::Bytes, _) => {
            value.to_owned()
        }
    }
}

/// The question to the database: the ids that its own evaluation lets pass, in order.
pub(super) fn question(scope: &Scope, dialect: Dialect) -> String {
    let select = scope.table("main").unwrap().select_sql(scope, dialect).unwrap();
    format!("SELECT t0.id FROM {} WHERE {} ORDER BY t0.id", select.from, select.condition.unwrap())
}
