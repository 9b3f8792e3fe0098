//! Which rows differ between F and T: by keyed digests, within a bound of memory, for the loading device's own screen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use lexicon::Trouble;
use procedure::Differing;
use scope::{FingerprintKeys, RowDigest, TableFingerprint, TableScope, row_digests};
use serde::Serialize;

use crate::KeysInClear;

/// What a remedy says of rows that are named by digest alone.
pub const SHOW_KEYS: &str =
    "The same command with `--show-keys` shows the keys of these rows, on this machine's screen only.";
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
    /// One of the rows of [`Suspected`], which alone says among how many. The rows of S are nobody's any more, and its sums
    /// say no more than in which of 4,096 buckets of keys the row lies.
    Suspect,
    /// Read in the old system, and in no parcel.
    NotSealed,
    /// Sealed with other values than the old system has.
    SealedOtherwise,
    /// In the parcels, and not in the old system.
    SealedOnly,
}

/// What gives rows their names: the consignment's keys for the digests, and who asked to see keys in clear, if somebody did.
pub(crate) struct Names {
    pub(crate) secret: FingerprintKeys,
    pub(crate) shown: Option<Arc<KeysInClear>>,
}

/// A refusal together with the rows that it is about, each by the keyed digest of its key, as a report names it. A table
/// without a key has no names for its rows.
pub(crate) fn naming(trouble: Trouble, keys: &Names, table: &TableScope, rows: &[RecordBatch]) -> Trouble {
    let Trouble::Refusal(mut refusal) = trouble else { return trouble };
    let digests = rows.iter().flat_map(|row| row_digests(&keys.secret, table, row).unwrap_or_default());
    let names: Vec<String> = digests.map(|digest| spelled(digest.key)).collect();
    if !table.key.is_empty() && !names.is_empty() {
        refusal.message.push_str("; first rows, by the keyed digest of their key: ");
        refusal.message.push_str(&names.join(", "));
        if keys.shown.is_some() {
            for row in rows {
                named_key(keys, table, row);
            }
        } else {
            refusal.remedy.push(' ');
            refusal.remedy.push_str(SHOW_KEYS);
        }
    }
    refusal.into()
}

/// The keyed digest of one row's key, which whoever asked is shown in clear; nothing of a table without one.
pub(crate) fn named_key(keys: &Names, table: &TableScope, row: &RecordBatch) -> String {
    let digests = row_digests(&keys.secret, table, row).unwrap_or_default();
    let digest = digests.first().map(|digest| spelled(digest.key)).unwrap_or_default();
    if let Some(shown) = keys.shown.as_ref().filter(|_| !digest.is_empty()) {
        shown.keep(table, digest.clone(), row);
    }
    digest
}

pub(crate) fn spelled(key: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(key))
}

/// Of a table that was sealed otherwise than it was read: what its sums tell of the rows, which nobody has any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspected {
    /// In the old system.
    pub table: String,
    /// Buckets of keys, of 4,096, that differ: in each a row at least was sealed otherwise, left out or made up.
    pub buckets: u64,
    /// Rows of the parcels in those buckets.
    pub rows_among: u64,
    /// How many fewer rows those of these buckets are that have fewer than were read: they are in no parcel.
    pub rows_missing: u64,
    /// Keys of the parcels that are named, of the rows among which the others lie.
    pub keys_named: u64,
}

/// The keys among which those lie that were sealed otherwise than they were read.
pub(crate) struct Suspects {
    buckets: HashSet<u16>,
    among: u64,
    missing: u64,
    keys: BTreeSet<[u8; 16]>,
}

impl Suspects {
    pub(crate) fn of(sealed: &TableFingerprint, fetched: &TableFingerprint) -> Self {
        let buckets: HashSet<u16> = fetched.differing(sealed).into_iter().collect();
        let (mut among, mut missing) = (0_u64, 0_u64);
        for at in &buckets {
            let (read, there) = (sealed.bucket(*at).count, fetched.bucket(*at).count);
            among = among.saturating_add(there);
            missing = missing.saturating_add(read.saturating_sub(there));
        }
        Self { buckets, among, missing, keys: BTreeSet::new() }
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

    /// How many there are, and the first of them.
    pub(crate) fn finish(self, table: &str) -> (Suspected, Vec<Located>) {
        let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
        let suspected = Suspected {
            table: table.to_owned(),
            buckets: count(self.buckets.len()),
            rows_among: self.among,
            rows_missing: self.missing,
            keys_named: count(self.keys.len()),
        };
        let named = |key| Located { table: table.to_owned(), key: spelled(key), found: Found::Suspect };
        (suspected, self.keys.into_iter().map(named).collect())
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

    /// As [`Self::finish`], when what was compared with the parcels is the old system itself.
    pub(crate) fn of_source(self, table: &str) -> Vec<Located> {
        let (_, mut located) = self.finish(table);
        for row in &mut located {
            row.found = if row.found == Found::Missing {
                Found::SealedOnly
            } else if row.found == Found::Surplus {
                Found::NotSealed
            } else {
                Found::SealedOtherwise
            };
        }
        located
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
            let keys = Names { secret: FingerprintKeys::new([1; 32], [secret; 32]), shown: None };
            naming(refusal(), &keys, table, &[row]).to_string()
        };
        let remedy = |shown| {
            let (keys, scope) = (FingerprintKeys::new([1; 32], [2; 32]), Scope::parse(toml).unwrap());
            let (keys, table) = (Names { secret: keys, shown }, scope.table("result").unwrap());
            let row = RecordBatch::try_new(table.target_schema(), vec![Arc::new(Int64Array::from(vec![7_301_944]))]);
            let Trouble::Refusal(refusal) = naming(refusal(), &keys, table, &[row.unwrap()]) else { unreachable!() };
            format!("{} {}", refusal.message, refusal.remedy)
        };
        let said = named(toml, 2);
        let digest = said.split("of their key: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{said}");
        assert!(said.contains("infinite values") && !said.contains("7301944"), "{said}");
        // What shows the key is said, and shows it to whoever asked and in no error.
        assert!(remedy(None).ends_with(SHOW_KEYS));
        let shown = Arc::new(KeysInClear::default());
        assert!(!remedy(Some(Arc::clone(&shown))).contains("7301944"));
        assert_eq!(shown.of("result", digest).unwrap().told(), "id = 7301944");
        // Under another consignment's key it is another name; without a key in the table there is none.
        assert_ne!(named(toml, 3), said);
        assert!(!named(&toml.replace("key = ['id']", "key = []"), 2).contains("digest"));
    }

    #[test]
    fn of_many_rows_in_a_bucket_the_number_is_told_and_the_first_twenty_are_named() {
        let toml = "[[table]]\nname = 'result'\ntarget = 'import_result'\nkey = ['id']\nleave = []\n\
             take = [{ column = 'id', type = 'int64' }, { column = 'value', type = 'int64' }]";
        let (scope, keys) = (Scope::parse(toml).unwrap(), FingerprintKeys::new([1; 32], [2; 32]));
        let table = scope.table("result").unwrap();
        let batch = |ids: &[i64], changed: Option<i64>| {
            let values = ids.iter().map(|id| i64::from(Some(*id) == changed)).collect::<Int64Array>();
            let ids = Int64Array::from(ids.to_vec());
            RecordBatch::try_new(table.target_schema(), vec![Arc::new(ids), Arc::new(values)]).unwrap()
        };
        let ids: Vec<i64> = (0..120_000).collect();
        let digests = row_digests(&keys, table, &batch(&ids, None)).unwrap();
        let together = ids.iter().zip(&digests).filter(|(_, digest)| digest.bucket == digests[0].bucket);
        let together: Vec<i64> = together.map(|(id, _)| *id).collect();
        assert!(together.len() > 21, "{} keys in one bucket", together.len());
        let fingerprint = |batch: &RecordBatch| {
            let mut fingerprint = Fingerprinter::new(&keys, table);
            fingerprint.add(batch).unwrap();
            fingerprint.finish()
        };
        // One value is changed in sealing, and one row is not sealed at all.
        let (read, parcels) = (batch(&together, None), batch(&together[1..], Some(together[1])));
        let mut suspects = Suspects::of(&fingerprint(&read), &fingerprint(&parcels));
        suspects.fetched(row_digests(&keys, table, &parcels).unwrap());
        let (suspected, located) = suspects.finish("result");
        let among = u64::try_from(together.len() - 1).unwrap();
        let expected = (1, among, 1, 20);
        let Suspected { buckets, rows_among, rows_missing, keys_named, .. } = suspected;
        assert_eq!((buckets, rows_among, rows_missing, keys_named), expected);
        assert_eq!(located.len(), 20);
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
