//! The bounds that everything keeps; each shows its arithmetic.

/// 13 months of 31 days: a certificate that outlives its yearly renewal by one month and no more.
pub const CERTIFICATE_HOURS_MAX: i64 = 13 * 31 * 24;

/// How far ahead of a party's own clock an act may be dated: common drift without time service, no more.
pub const AHEAD_MINUTES_MAX: i64 = 5;

/// A migration's deadline when nobody sets one, and the farthest that a server takes whose settings do not say.
pub const DEADLINE_DAYS_DEFAULT: i64 = 30;
/// The farthest that a plan may name, and that a server's settings may allow.
pub const DEADLINE_DAYS_MAX: i64 = 90;

/// A year and a day: for how long a server may declare that snapshots of what a ring key lay in are kept. Who keeps them
/// longer destroys nothing by destroying a key.
pub const SNAPSHOT_DAYS_MAX: u32 = 366;

/// How long a release may be used.
pub const RELEASE_HOURS: i64 = 24;

/// How long one attempt at a long step may run before another may begin.
pub const LEASE_HOURS: i64 = 6;

/// 64 MiB: a parcel is held in memory until the shelf has it, so that a cut upload is sent again without reading the
/// source twice.
pub const PARCEL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// 48 MiB: a row goes into one parcel. Its batch may hold other rows before it (2 MiB, and 8 MiB are allowed), and 8 MiB are
/// left for Parquet's own, so 64 - 8 - 8.
pub const ROW_BYTES_MAX: usize = 48 * 1024 * 1024;

/// 4 MiB, twice what a source fills a batch to: one with a row that takes it over this goes alone. Whoever hands it on waits
/// until it is taken before the next is made, and of two tables that have such rows one goes on at a time.
pub const HEAVY_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// 16 MiB: every act, manifest included, is smaller (a parcel's line in a manifest is about 250 bytes, so 16 MiB hold
/// about 60,000 parcels).
pub const ACT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// 100,000 parcels of one consignment, of all its attempts together. The fact of their destruction lists each with 160 bytes
/// at most, and with 140 more where an object store holds it: 30 MB, less than half of the 64 MiB of facts that a device
/// reads at once; its certificate, with 480 bytes for each, is 48 MB. A manifest lists about 60,000: the rest is for
/// attempts that were cut.
pub const PARCELS_MAX: usize = 100_000;

/// A predicate that singles out fewer patients than this needs a written reason.
pub const SINGLE_OUT_PATIENTS: u64 = 50;
