//! Keys of rows at fault in clear, for the screen of the machine that has those rows anyway. A report, a fact, an error or
//! a log line names a row by keyed digest alone, and nobody else can tell which row that is.

use std::sync::{Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use scope::TableScope;

/// 1,000 keys, of some 200 bytes each: 50 tables with the twenty that a report names of one, and more than a person reads.
const KEYS_KEPT_MAX: usize = 1_000;
/// As wide as a line of a screen: nearly every key is whole, and the others can be told apart by their length too.
const CHARACTERS_SHOWN_MAX: usize = 64;

/// Filled where somebody asks for it ([`crate::Progress::keys`]), read once at the end. It cannot be printed or serialised
/// as a whole, so that it gets into no log by itself:
///
/// ```compile_fail,E0277
/// fn logged(_: impl std::fmt::Debug) {}
/// logged(passage::KeysInClear::default());
/// ```
#[derive(Default)]
pub struct KeysInClear(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    keys: Vec<KeyInClear>,
    beyond: u64,
}

/// One row's key.
#[derive(Clone)]
pub struct KeyInClear {
    /// In the old system.
    pub table: String,
    /// By which a report or a refusal names the row.
    pub digest: String,
    /// In the order of the scope's key.
    pub columns: Vec<ColumnInClear>,
}

/// One column of it.
#[derive(Clone)]
pub struct ColumnInClear {
    /// Its name in the old system.
    pub column: String,
    /// Its name in the new one.
    pub target: String,
    /// As the new system has it, in characters that do nothing to a screen: texts are quoted, what steers a terminal or
    /// cannot be seen is written as `\u{…}`, and a long value is cut.
    pub value: String,
}

impl KeysInClear {
    /// Keeps the key of the first row of a batch in the table's target schema; none of a table without a key.
    pub(crate) fn keep(&self, table: &TableScope, digest: String, row: &RecordBatch) {
        let columns: Vec<_> = table.key.iter().filter_map(|key| column(table, key, row)).collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.keys.iter().any(|key| key.digest == digest && key.table == table.name);
        if known || columns.is_empty() {
            return;
        }
        if kept.keys.len() < KEYS_KEPT_MAX {
            kept.keys.push(KeyInClear { table: table.name.clone(), digest, columns });
        } else {
            kept.beyond = kept.beyond.saturating_add(1);
        }
    }

    /// The key that this digest names, if it is known.
    pub fn of(&self, table: &str, digest: &str) -> Option<KeyInClear> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keys.iter().find(|key| key.digest == digest && key.table == table).cloned()
    }

    /// All of them, and how many more there were than are kept.
    pub fn all(&self) -> (Vec<KeyInClear>, u64) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.keys.clone(), kept.beyond)
    }
}

impl KeyInClear {
    /// As a person reads it: `patient_id = 17`, or `number → id = 17` where the new system has another name for it.
    pub fn told(&self) -> String {
        let column = |column: &ColumnInClear| {
            let ColumnInClear { column, target, value } = column;
            if column == target { format!("{column} = {value}") } else { format!("{column} → {target} = {value}") }
        };
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }
}

fn column(table: &TableScope, key: &str, row: &RecordBatch) -> Option<ColumnInClear> {
    let take = table.taken(key)?;
    let value = spelled(row.column_by_name(&take.target).filter(|column| !column.is_empty())?);
    Some(ColumnInClear { column: take.column.clone(), target: take.target.clone(), value })
}

fn spelled(column: &dyn Array) -> String {
    if column.is_null(0) {
        return "NULL".to_owned();
    }
    let Some(text) = column.as_string_opt::<i32>().map(|texts| texts.value(0)) else {
        // Numbers, times, and bytes in hexadecimal digits: nothing to escape.
        return cut(&array_value_to_string(column, 0).unwrap_or_default(), str::to_owned);
    };
    cut(text, |text| format!("\"{}\"", text.escape_debug()))
}

fn cut(value: &str, spell: impl Fn(&str) -> String) -> String {
    match value.char_indices().nth(CHARACTERS_SHOWN_MAX) {
        None => spell(value),
        Some((end, _)) => {
            let (first, all) = (value.get(..end).unwrap_or_default(), value.chars().count());
            format!("{}… (the first {CHARACTERS_SHOWN_MAX} of {all} characters)", spell(first))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BinaryArray, Int64Array, StringArray};
    use scope::Scope;

    use super::*;

    const TOML: &str = "[[table]]\nname = 'result'\ntarget = 'import_result'\nkey = ['number', 'code', 'raw']\nleave = []\n\
         take = [{ column = 'code', type = 'text' }, { column = 'number', as = 'id', type = 'int64' }, \
         { column = 'raw', type = 'bytes' }, { column = 'name', type = 'text' }]";

    fn row(table: &TableScope, id: i64, code: &str, raw: &[u8]) -> RecordBatch {
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(StringArray::from(vec![code])),
            Arc::new(Int64Array::from(vec![id])),
            Arc::new(BinaryArray::from(vec![raw])),
            Arc::new(StringArray::from(vec!["a name"])),
        ];
        RecordBatch::try_new(table.target_schema(), columns).unwrap()
    }

    #[test]
    fn a_key_is_told_by_its_columns_and_by_nothing_else_of_the_row() {
        let (scope, keys) = (Scope::parse(TOML).unwrap(), KeysInClear::default());
        let table = scope.table("result").unwrap();
        keys.keep(table, "d1".to_owned(), &row(table, -7, "K", &[0xAB, 1]));
        assert_eq!(keys.of("result", "d1").unwrap().told(), "number → id = -7, code = \"K\", raw = ab01");
        assert!(keys.of("result", "d2").is_none() && keys.of("patient", "d1").is_none());
    }

    #[test]
    fn a_key_does_nothing_to_the_screen_and_is_not_longer_than_a_line() {
        let (scope, keys) = (Scope::parse(TOML).unwrap(), KeysInClear::default());
        let table = scope.table("result").unwrap();
        let steering = "\u{1b}[2J\r\nkey 7: fine\t\u{202e}\u{200b}\u{9b}\u{2066}é\"\\";
        keys.keep(table, "d1".to_owned(), &row(table, 1, steering, b""));
        keys.keep(table, "d2".to_owned(), &row(table, 2, &"é".repeat(70), &[7; 70]));
        let told = keys.of("result", "d1").unwrap().told();
        let spelled = "\"\\u{1b}[2J\\r\\nkey 7: fine\\t\\u{202e}\\u{200b}\\u{9b}\\u{2066}é\\\"\\\\\"";
        assert_eq!(told, format!("number → id = 1, code = {spelled}, raw = "));
        let (text, bytes) = ("é".repeat(64), "07".repeat(32));
        let told = keys.of("result", "d2").unwrap().told();
        let long = |of| format!("… (the first 64 of {of} characters)");
        assert_eq!(told, format!("number → id = 2, code = \"{text}\"{}, raw = {bytes}{}", long(70), long(140)));
    }

    #[test]
    fn no_more_keys_are_kept_than_a_person_reads_and_the_others_are_counted() {
        let (scope, keys) = (Scope::parse(TOML).unwrap(), KeysInClear::default());
        let table = scope.table("result").unwrap();
        let row = row(table, 1, "K", b"");
        for number in 0..1_003 {
            keys.keep(table, format!("d{number}"), &row);
            keys.keep(table, format!("d{number}"), &row);
        }
        let (all, beyond) = keys.all();
        // One that is kept is not counted twice; of the others it is not known which they were.
        assert_eq!((all.len(), beyond), (1_000, 6));
        // A table without a key has no name for a row.
        let without = Scope::parse(&TOML.replace("['number', 'code', 'raw']", "[]")).unwrap();
        let keys = KeysInClear::default();
        keys.keep(without.table("result").unwrap(), "d".to_owned(), &row);
        assert!(keys.all().0.is_empty());
    }
}
