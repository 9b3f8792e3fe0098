//! Which rows differ between F and T: by keyed digests, within a bound of memory, for the loading device's own screen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow_array::RecordBatch;
use lexicon::Trouble;
use procedure::Differing;
use scope::{FingerprintKeys, RowDigest, TableFingerprint, TableScope, row_digests};
use serde::Serialize;

/// 524,288 rows of both sides, 56 bytes each and their place in a map: about 60 MB, 90 MB while it grows.
pub(crate) const ROWS_COMPARED_MAX: u64 = 512 * 1024;
/// Keys that a report names for each table: enough to see a pattern.
const KEYS_NAMED_MAX: usize = 20;

/// A key whose rows differ. No value is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// In the old system.
    pub table: String,
    /// The keyed digest of its key: the same in each report of one consignment, meaningless without the consignment's key.
    pub key: String,
    /// What became of it.
    pub found: Found,
}

/// What was found about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Fewer rows than the parcels.
    Missing,
    /// Rows with other values.
    Changed,
    /// Rows that the parcels do not have.
    Surplus,
    /// One of these was sealed otherwise than it was read. The rows of S are nobody's any more, and its sums say no more
    /// than in which of 4,096 buckets of keys the row lies.
    Suspect,
}

/// A refusal together with the rows that it is about, each by the keyed digest of its key, as a report names it. A table
/// without a key has no names for its rows.
pub(crate) fn naming(trouble: Trouble, keys: &FingerprintKeys, table: &TableScope, rows: &[RecordBatch]) -> Trouble {
    let Trouble::Refusal(mut refusal) = trouble else { return trouble };
    let digests = rows.iter().flat_map(|row| row_digests(keys, table, row).unwrap_or_default());
    let names: Vec<String> = digests.map(|digest| spelled(digest.key)).collect();
    if !table.key.is_empty() && !names.is_empty() {
        refusal.message.push_str("; first rows, by the keyed digest of their key: ");
        refusal.message.push_str(&names.join(", "));
    }
    refusal.into()
}

/// The keyed digest of one row's key; nothing of a table without one.
pub(crate) fn named_key(keys: &FingerprintKeys, table: &TableScope, row: &RecordBatch) -> String {
    let digests = row_digests(keys, table, row).unwrap_or_default();
    digests.first().map(|digest| spelled(digest.key)).unwrap_or_default()
}

fn spelled(key: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(key))
}

/// The keys among which those lie that were sealed otherwise than they were read.
pub(crate) struct Suspects {
    buckets: HashSet<u16>,
    keys: BTreeSet<[u8; 16]>,
}

impl Suspects {
    pub(crate) fn of(sealed: &TableFingerprint, fetched: &TableFingerprint) -> Self {
        Self { buckets: fetched.differing(sealed).into_iter().collect(), keys: BTreeSet::new() }
    }

    /// Rows of the parcels. Keeps the first keys and forgets the others.
    pub(crate) fn fetched(&mut self, rows: Vec<RowDigest>) {
        for row in rows.into_iter().filter(|row| self.buckets.contains(&row.bucket)) {
            self.keys.insert(row.key);
            if self.keys.len() > KEYS_NAMED_MAX {
                self.keys.pop_last();
            }
        }
    }

    pub(crate) fn finish(self, table: &str) -> Vec<Located> {
        let named = |key| Located { table: table.to_owned(), key: spelled(key), found: Found::Suspect };
        self.keys.into_iter().map(named).collect()
    }
}

/// The rows of differing buckets, weighed against each other.
pub(crate) struct Comparison {
    /// Differing buckets that are looked at.
    buckets: HashSet<u16>,
    /// Differing buckets whose rows could not be held; at least one key differs in each.
    beyond: u64,
    /// By key and row: how many more the parcels have than the target.
    surplus: HashMap<([u8; 16], [u8; 32]), i64>,
}

impl Comparison {
    /// Of as many differing buckets as hold at most `rows_max` rows on both sides together.
    pub(crate) fn of(fetched: &TableFingerprint, again: &TableFingerprint, rows_max: u64) -> Self {
        let (mut buckets, mut beyond, mut held) = (HashSet::new(), 0_u64, 0_u64);
        for at in fetched.differing(again) {
            let with = held.saturating_add(fetched.bucket(at).count).saturating_add(again.bucket(at).count);
            if with <= rows_max {
                held = with;
                buckets.insert(at);
            } else {
                beyond = beyond.saturating_add(1);
            }
        }
        Self { buckets, beyond, surplus: HashMap::new() }
    }

    /// Rows of the parcels.
    pub(crate) fn fetched(&mut self, rows: Vec<RowDigest>) {
        self.weigh(rows, 1);
    }

    /// Rows of the target.
    pub(crate) fn target(&mut self, rows: Vec<RowDigest>) {
        self.weigh(rows, -1);
    }

    fn weigh(&mut self, rows: Vec<RowDigest>, weight: i64) {
        for row in rows.into_iter().filter(|row| self.buckets.contains(&row.bucket)) {
            let surplus = self.surplus.entry((row.key, row.row)).or_default();
            *surplus = surplus.saturating_add(weight);
            if *surplus == 0 {
                self.surplus.remove(&(row.key, row.row));
            }
        }
    }

    /// How many keys differ, and the first of them.
    pub(crate) fn finish(self, table: &str) -> (Differing, Vec<Located>) {
        let mut keys: BTreeMap<[u8; 16], Found> = BTreeMap::new();
        for ((key, _), surplus) in self.surplus {
            let found = if surplus > 0 { Found::Missing } else { Found::Surplus };
            let known = keys.entry(key).or_insert(found);
            if *known != found {
                *known = Found::Changed;
            }
        }
        let located = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let differing = match self.beyond {
            0 => Differing::Exactly(located),
            beyond => Differing::AtLeast(located.saturating_add(beyond)),
        };
        let named = keys.into_iter().take(KEYS_NAMED_MAX).map(|(key, found)| Located {
            table: table.to_owned(),
            key: spelled(key),
            found,
        });
        (differing, named.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use lexicon::{Code, Refusal};
    use scope::{Fingerprinter, Scope};

    use super::*;

    /// Compares rows of `(id, value)` within a bound; also says how many were held at most.
    fn compared(parcels: &[(i64, i64)], target: &[(i64, i64)], rows_max: u64) -> (Differing, Vec<Found>, usize) {
        let scope = Scope::parse(
            "[[table]]\nname = 'result'\ntarget = 'import_result'\nkey = ['id']\nleave = []\n\
             take = [{ column = 'id', type = 'int64' }, { column = 'value', type = 'int64' }]",
        )
        .unwrap();
        let table = scope.table("result").unwrap();
        let keys = FingerprintKeys::new([1; 32], [2; 32]);
        let batch = |rows: &[(i64, i64)]| {
            let ids: Int64Array = rows.iter().map(|(id, _)| *id).collect();
            let values: Int64Array = rows.iter().map(|(_, value)| *value).collect();
            RecordBatch::try_new(table.target_schema(), vec![Arc::new(ids), Arc::new(values)]).unwrap()
        };
        let fingerprint = |rows: &[(i64, i64)]| {
            let mut fingerprint = Fingerprinter::new(&keys, table);
            fingerprint.add(&batch(rows)).unwrap();
            fingerprint.finish()
        };
        let mut comparison = Comparison::of(&fingerprint(parcels), &fingerprint(target), rows_max);
        comparison.fetched(row_digests(&keys, table, &batch(parcels)).unwrap());
        let mut held = comparison.surplus.len();
        comparison.target(row_digests(&keys, table, &batch(target)).unwrap());
        held = held.max(comparison.surplus.len());
        let (differing, located) = comparison.finish("result");
        (differing, located.into_iter().map(|located| located.found).collect(), held)
    }

    #[test]
    fn a_row_that_is_missing_changed_or_too_many_is_named() {
        let parcels = [(1, 10), (2, 20), (3, 30)];
        let only = |target: &[(i64, i64)]| {
            let (differing, found, _) = compared(&parcels, target, 100);
            (differing, found)
        };
        assert_eq!(only(&parcels), (Differing::Exactly(0), vec![]));
        assert_eq!(only(&[(1, 10), (2, 20)]), (Differing::Exactly(1), vec![Found::Missing]));
        assert_eq!(only(&[(1, 10), (2, 21), (3, 30)]), (Differing::Exactly(1), vec![Found::Changed]));
        assert_eq!(only(&[(1, 10), (2, 20), (3, 30), (4, 40)]), (Differing::Exactly(1), vec![Found::Surplus]));
        // The same row twice is one row too many.
        assert_eq!(only(&[(1, 10), (2, 20), (3, 30), (3, 30)]), (Differing::Exactly(1), vec![Found::Surplus]));
        assert_eq!(only(&[(2, 0), (3, 30), (5, 50)]).0, Differing::Exactly(3));
    }

    #[test]
    fn a_refusal_names_its_rows_by_keyed_digest_and_shows_no_value() {
        let toml = "[[table]]\nname = 'result'\ntarget = 'import_result'\nkey = ['id']\nleave = []\n\
             take = [{ column = 'id', type = 'int64' }]";
        let refusal = || Refusal::new(Code(408), "table `result` holds 1 infinite values", "Correct it.").into();
        let named = |toml: &str, secret: u8| {
            let scope = Scope::parse(toml).unwrap();
            let table = scope.table("result").unwrap();
            let ids: Int64Array = [7_301_944].into_iter().map(Some).collect();
            let row = RecordBatch::try_new(table.target_schema(), vec![Arc::new(ids)]).unwrap();
            naming(refusal(), &FingerprintKeys::new([1; 32], [secret; 32]), table, &[row]).to_string()
        };
        let said = named(toml, 2);
        let digest = said.split("of their key: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{said}");
        assert!(said.contains("infinite values") && !said.contains("7301944"), "{said}");
        // Under another consignment's key it is another name; without a key in the table there is none.
        assert_ne!(named(toml, 3), said);
        assert!(!named(&toml.replace("key = ['id']", "key = []"), 2).contains("digest"));
    }

    #[test]
    fn differences_beyond_the_bound_are_not_held_and_told_as_at_least() {
        let parcels: Vec<_> = (0..20_000).map(|id| (id, 0)).collect();
        let target: Vec<_> = (0..20_000).map(|id| (id, 1)).collect();
        let (whole, found, _) = compared(&parcels, &target, 40_000);
        assert_eq!((whole, found.len()), (Differing::Exactly(20_000), KEYS_NAMED_MAX));
        let (part, _, held) = compared(&parcels, &target, 1_000);
        let Differing::AtLeast(keys) = part else { unreachable!("{part:?}") };
        // Some hundred buckets were looked at; of the others, nearly 4,000, one key each is certain.
        assert!((4_000..5_000).contains(&keys), "{keys}");
        assert!((900..=1_000).contains(&held), "{held}");
        let (none, found, held) = compared(&parcels, &target, 0);
        assert!(matches!(none, Differing::AtLeast(4_000..=4_096)), "{none:?}");
        assert_eq!((found.len(), held), (0, 0));
    }
}
