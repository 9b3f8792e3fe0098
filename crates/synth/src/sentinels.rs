//! Values that stand in one place of the made laboratory and nowhere else on earth, so that finding one elsewhere
//! proves that this place leaked.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use serde::{Deserialize, Serialize};

use crate::dice::{ALWAYS, Dice};
use crate::table::{Column, Fate, Plant, Table};

/// How many sentinels each place gets, when the made laboratory has that many values there.
pub const PER_PLACE: u32 = 200;

/// 20 symbols of 56: 116 bits, never met by chance.
const TOKEN_LENGTH: usize = 20;

/// Where a sentinel stands, and so where it may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a column or table that the scope leaves: only in the old system.
    LeftColumn,
    /// In a column that moves, of a row that the scope's predicate leaves: only in the old system.
    LeftRow,
    /// In a column that moves, of a row that moves: in the clear only in the old system and in the new one.
    Moves,
}

/// One planted value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// The old table.
    pub table: String,
    /// The old column.
    pub column: String,
    /// Where it stands.
    pub place: Place,
    /// The value to look for. It is all or a part of the column's value.
    pub value: String,
}

impl Sentinel {
    /// `table.column`, for a report that must not show the value.
    pub fn label(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }
}

/// Plants one table's sentinels, evenly over its filled values.
pub(crate) struct Planter {
    seed: u64,
    expected: u64,
    slots: BTreeMap<(&'static str, Place), Slot>,
}

#[derive(Default)]
struct Slot {
    seen: u64,
    planted: u32,
}

impl Planter {
    /// A planter for a table of about `expected` rows.
    pub(crate) fn new(seed: u64, expected: u64) -> Self {
        Self { seed, expected, slots: BTreeMap::new() }
    }

    /// The value with a sentinel in it, where this row's turn has come; the value as it was otherwise.
    pub(crate) fn plant<R>(
        &mut self,
        table: &Table<R>,
        column: &'static Column<R>,
        moves: bool,
        value: Value,
        planted: &mut Vec<Sentinel>,
    ) -> Value {
        let place = match (&column.fate, moves) {
            (Fate::Leave, _) => Place::LeftColumn,
            (Fate::Take(..), false) => Place::LeftRow,
            (Fate::Take(..), true) => Place::Moves,
        };
        let (Value::Text(old), false) = (&value, matches!(column.plant, Plant::Never)) else { return value };
        let slot = self.slots.entry((column.name, place)).or_default();
        slot.seen = slot.seen.saturating_add(1);
        let due = slot.seen.checked_rem(stride(self.expected, column.filled)).unwrap_or(0) == 0;
        if !due || slot.planted >= PER_PLACE {
            return value;
        }
        slot.planted = slot.planted.saturating_add(1);
        let lane = format!("sentinel/{}.{}/{place:?}", table.name, column.name);
        let token = Dice::new(self.seed, &lane, u64::from(slot.planted)).token(TOKEN_LENGTH);
        let (new, sentinel) = match column.plant {
            Plant::Append => (format!("{} {token}", old.trim_end()), token),
            Plant::Mail => (format!("{token}@courriel.example"), token),
            Plant::Itself => (old.clone(), old.clone()),
            Plant::Replace | Plant::Never => (token.clone(), token),
        };
        planted.push(Sentinel { table: table.name.to_owned(), column: column.name.to_owned(), place, value: sentinel });
        Value::Text(new)
    }
}

/// Every how many filled values one is planted, so that even the fifth of the rows that stays behind gets all of its
/// sentinels, from all over the table.
fn stride(expected: u64, filled: u32) -> u64 {
    let values = expected.saturating_mul(u64::from(filled)).checked_div(u64::from(ALWAYS)).unwrap_or(0);
    values.checked_div(u64::from(PER_PLACE).saturating_mul(10)).unwrap_or(0).max(1)
}
