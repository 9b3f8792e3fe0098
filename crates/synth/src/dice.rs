//! Repeatable draws. Every row has dice of its own, seeded by (seed, lane, row), so that a column added to one table
//! changes no other table.

/// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"): fast; for synthetic data only.
pub(crate) struct Dice(u64);

/// One hundred per cent, in the unit of [`Dice::chance`].
pub(crate) const ALWAYS: u32 = 100_000;

const TOKEN_LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Dice {
    /// The dice of one row.
    pub(crate) fn new(seed: u64, lane: &str, row: u64) -> Self {
        let lane = lane
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self(mix(mix(seed) ^ mix(lane.wrapping_add(1)) ^ mix(row.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number under `bound`; 0 when `bound` is 0. The bias of the remainder is under `bound` / 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// True `per_hundred_thousand` times in 100,000.
    pub(crate) fn chance(&mut self, per_hundred_thousand: u32) -> bool {
        self.below(u64::from(ALWAYS)) < u64::from(per_hundred_thousand)
    }

    /// One of `list`, each as likely; the default of an empty list.
    pub(crate) fn pick<T: Copy + Default>(&mut self, list: &[T]) -> T {
        let at = self.below(u64::try_from(list.len()).unwrap_or(0));
        usize::try_from(at).ok().and_then(|at| list.get(at)).copied().unwrap_or_default()
    }

    /// One of `list`, as likely as its weight.
    pub(crate) fn weighted<T: Copy + Default>(&mut self, list: &[(T, u32)]) -> T {
        let total = list.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for (value, weight) in list {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return *value,
            }
        }
        T::default()
    }

    /// `count` decimal digits.
    pub(crate) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(self.pick(b"0123456789"))).collect()
    }

    /// `count` letters and digits that look like nothing: 56 symbols, 5.8 bits each.
    pub(crate) fn token(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(self.pick(TOKEN_LETTERS))).collect()
    }
}
