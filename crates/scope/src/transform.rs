//! The transforms: charset, trim, `null_if`, map, cast, in this order, each counted.
//! Everything else is carried as it is.

use std::borrow::Cow;
use std::str::FromStr;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use lexicon::Result;

use crate::calendar::DAY_MICROS;
use crate::tally::ColumnTally;
use crate::value::{Column, Writer};
use crate::{DocumentKind, Kind, Take, Trim, calendar, charset, trouble};

impl Take {
    /// Whether a value may leave in another form than it came.
    pub(crate) fn changes(&self) -> bool {
        let Self { column: _, target: _, kind: _, holds: _, reason: _, from, zone, null_if, map, trim, charset } = self;
        let casts = from.is_some_and(|from| from != self.kind) || zone.is_some();
        casts || !null_if.is_empty() || !map.is_empty() || trim.is_some() || charset.is_some()
    }
}

/// Whether the transforms of a column make sense together.
///
/// # Errors
/// A refusal that says why not.
pub(crate) fn check(table: &str, take: &Take) -> Result<()> {
    let from = take.from.unwrap_or(if take.charset.is_some() { Kind::Text } else { take.kind });
    let wrong = |why: &str| Err(trouble::transform(table, &take.column, why));
    if take.charset.is_some() && from != Kind::Text {
        return wrong("a character set belongs to a column that is text in the source");
    }
    if take.trim.is_some() && from != Kind::Text {
        return wrong("only text can be trimmed");
    }
    if !take.null_if.is_empty() && matches!(from, Kind::Bytes | Kind::Float64) {
        return wrong("null_if compares texts, and these values have none");
    }
    if !take.holds.is_empty() && !matches!(take.kind, Kind::Bytes | Kind::Text) {
        return wrong("only a column of bytes or text holds documents");
    }
    check_zone(table, take, from)?;
    if take.map.is_empty() {
        if from != take.kind && !castable(from, take.kind) {
            return wrong(&format!("{from} does not become {} without loss", take.kind));
        }
    } else {
        if take.zone.is_some() || !matches!(from, Kind::Text | Kind::Bool | Kind::Int64 | Kind::UInt64) {
            return wrong("a code map belongs to text, integers or booleans, and no zone to it");
        }
        let readable = |code: &String| Writer::new(take.kind).text(code).is_some();
        if take.kind == Kind::Bytes || !take.map.values().all(readable) {
            return wrong(&format!("a code of the map is not a value of {}", take.kind));
        }
    }
    Ok(())
}

fn check_zone(table: &str, take: &Take, from: Kind) -> Result<()> {
    let crosses = match (from, take.kind) {
        (Kind::Timestamp, Kind::TimestampTz) | (Kind::TimestampTz, Kind::Timestamp) => Some(true),
        // A text may hold a moment with its offset, or a local time for which the zone is named.
        (Kind::Text, Kind::TimestampTz) => None,
        _ => Some(false),
    };
    match (&take.zone, crosses) {
        (None, Some(true)) => {
            Err(trouble::transform(table, &take.column, "a zone must be named between a local time and a moment"))
        }
        (Some(_), Some(false)) => {
            Err(trouble::transform(table, &take.column, "a zone belongs between a local time and a moment"))
        }
        (Some(name), Some(true) | None) => zone(table, &take.column, name).map(drop),
        (None, Some(false) | None) => Ok(()),
    }
}

/// The zone from the list that is built in, so that two machines agree.
fn zone(table: &str, column: &str, name: &str) -> Result<TimeZone> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| trouble::zone(table, column))
}

/// The casts that lose nothing, or refuse the values that would.
fn castable(from: Kind, to: Kind) -> bool {
    match (from, to) {
        (_, Kind::Bytes) | (Kind::Bytes | Kind::Float64, _) => false,
        (Kind::Text, _)
        | (_, Kind::Text)
        | (Kind::Bool | Kind::Int64 | Kind::UInt64, Kind::Bool | Kind::Int64 | Kind::UInt64)
        | (Kind::Int64 | Kind::UInt64 | Kind::Decimal { .. }, Kind::Decimal { .. })
        | (Kind::Decimal { .. }, Kind::Int64 | Kind::UInt64)
        | (Kind::Date | Kind::TimestampTz, Kind::Timestamp)
        | (Kind::Timestamp, Kind::Date | Kind::TimestampTz) => true,
        (
            Kind::Bool
            | Kind::Int64
            | Kind::UInt64
            | Kind::Decimal { .. }
            | Kind::Date
            | Kind::Time
            | Kind::Timestamp
            | Kind::TimestampTz,
            _,
        ) => false,
    }
}

/// How many values of a column have no image, and why not.
pub(crate) type Refused = Vec<(u64, &'static str)>;

/// The column after its transforms, what they changed, and the values that have no image: NULL stands in their place.
///
/// # Errors
/// A fault when the array is not of the column's read type.
pub(crate) fn apply(table: &str, take: &Take, array: &ArrayRef) -> Result<(ArrayRef, ColumnTally, Refused)> {
    let column = Column::of(take.read_kind(), array)
        .ok_or_else(|| trouble::batch_shape(table, &take.column, format!("{} is expected", take.read_kind())))?;
    let zone = take.zone.as_ref().map(|name| zone(table, &take.column, name)).transpose()?;
    let from = if take.charset.is_some() { Kind::Text } else { take.source_kind() };
    let cast = Cast { from, to: take.kind, zone };
    let mut counts = ColumnTally::default();
    let mut writer = Writer::new(take.kind);
    let mut bad = Bad::default();
    for row in 0..array.len() {
        if column.is_null(row) {
            writer.null();
            continue;
        }
        // A column of moments or local times without other transforms needs no text.
        if take.null_if.is_empty()
            && let (Column::Timestamp(times) | Column::TimestampTz(times), Some(_)) = (&column, &cast.zone)
        {
            let shifted = cast.shift(times.value(row), &mut counts).and_then(|micros| writer.micros(micros));
            bad.cast(shifted, &mut writer);
            continue;
        }
        one(take, &column, row, &cast, &mut writer, &mut counts, &mut bad);
    }
    Ok((writer.finish(), counts, bad.report()))
}

/// The values of a column of files that are no document of a kind which it may hold; of any other, those that are a page
/// or a picture all the same.
pub(crate) fn foreign(take: &Take, array: &ArrayRef) -> Option<(u64, &'static str)> {
    let page = |value: &[u8]| DocumentKind::of_page(value).is_some();
    let held = |value: &[u8]| DocumentKind::of_content(value).is_some_and(|kind| take.holds.contains(&kind));
    let names_none = take.holds.is_empty();
    let foreign = |value: &[u8]| if names_none { page(value) } else { !held(value) };
    let count = if let Some(values) = array.as_binary_opt::<i32>() {
        values.iter().flatten().filter(|value| foreign(value)).count()
    } else {
        let texts = array.as_string_opt::<i32>()?;
        texts.iter().flatten().filter(|text| foreign(text.as_bytes())).count()
    };
    let why = if names_none {
        "are documents, and the scope names no kind that it may hold"
    } else {
        "are no document of a kind that the column may hold"
    };
    (count > 0).then(|| (u64::try_from(count).unwrap_or(u64::MAX), why))
}

/// Values without an image, by the transform that has none for them.
#[derive(Default)]
struct Bad {
    decode: u64,
    map: u64,
    cast: u64,
}

impl Bad {
    fn cast(&mut self, done: Option<()>, writer: &mut Writer) {
        if done.is_none() {
            self.cast = self.cast.saturating_add(1);
            writer.null();
        }
    }

    fn report(&self) -> Refused {
        let counted = [
            (self.decode, "hold a byte that the character set does not define"),
            (self.map, "are not in the code map"),
            (self.cast, "do not become the target's type without loss"),
        ];
        counted.into_iter().filter(|(count, _)| *count > 0).collect()
    }
}

fn one(
    take: &Take,
    column: &Column<'_>,
    row: usize,
    cast: &Cast,
    writer: &mut Writer,
    counts: &mut ColumnTally,
    bad: &mut Bad,
) {
    let Some(text) = decoded(take, column, row, counts) else {
        bad.decode = bad.decode.saturating_add(1);
        writer.null();
        return;
    };
    let trimmed = trim(take.trim, &text);
    counts.trimmed = counts.trimmed.saturating_add(u64::from(trimmed.len() < text.len()));
    if take.null_if.iter().any(|nothing| nothing == trimmed) {
        counts.nulled = counts.nulled.saturating_add(1);
        writer.null();
        return;
    }
    if take.map.is_empty() {
        bad.cast(cast.write(trimmed, writer, counts), writer);
    } else if let Some(code) = take.map.get(trimmed) {
        counts.mapped = counts.mapped.saturating_add(u64::from(code != trimmed));
        bad.cast(writer.text(code), writer);
    } else {
        bad.map = bad.map.saturating_add(1);
        writer.null();
    }
}

/// The text of the value; `None` when it has none in its character set.
fn decoded<'a>(take: &Take, column: &Column<'a>, row: usize, counts: &mut ColumnTally) -> Option<Cow<'a, str>> {
    match column {
        Column::Text(array) => Some(Cow::Borrowed(array.value(row))),
        Column::Bytes(array) => {
            let text = charset::decode(take.charset?, array.value(row))?;
            counts.decoded = counts.decoded.saturating_add(u64::from(matches!(text, Cow::Owned(_))));
            Some(text)
        }
        Column::Bool(_)
        | Column::Int64(_)
        | Column::UInt64(_)
        | Column::Float64(_)
        | Column::Decimal(..)
        | Column::Date(_)
        | Column::Time(_)
        | Column::Timestamp(_)
        | Column::TimestampTz(_) => column.text(row).map(Cow::Owned),
    }
}

fn trim(trim: Option<Trim>, text: &str) -> &str {
    match trim {
        None => text,
        Some(Trim::End) => text.trim_end_matches(' '),
        Some(Trim::Both) => text.trim_matches(' '),
    }
}

struct Cast {
    from: Kind,
    to: Kind,
    zone: Option<TimeZone>,
}

impl Cast {
    /// Appends the text's value in the target's type; `None`, and nothing appended, when it has none.
    fn write(&self, text: &str, writer: &mut Writer, counts: &mut ColumnTally) -> Option<()> {
        if self.from == self.to {
            return writer.text(text);
        }
        let done = match (self.from, self.to) {
            (Kind::Bool, Kind::Int64 | Kind::UInt64) => writer.text(if text == "true" { "1" } else { "0" }),
            (Kind::Decimal { .. }, Kind::Int64 | Kind::UInt64) => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                if fraction.bytes().all(|digit| digit == b'0') { writer.text(whole) } else { None }
            }
            (Kind::Date, Kind::Timestamp) => {
                writer.micros(i64::from(calendar::parse_date(text)?).checked_mul(DAY_MICROS)?)
            }
            (Kind::Timestamp, Kind::Date) => writer.text(text.strip_suffix(" 00:00:00")?),
            (Kind::Text, Kind::TimestampTz) if self.zone.is_some() => match calendar::parse_timestamp(text) {
                Some(local) => writer.micros(self.shift(local, counts)?),
                None => writer.text(text),
            },
            (Kind::Timestamp, Kind::TimestampTz) => {
                writer.micros(self.shift(calendar::parse_timestamp(text)?, counts)?)
            }
            (Kind::TimestampTz, Kind::Timestamp) => writer.micros(self.shift(calendar::parse_moment(text)?, counts)?),
            (_, _) => writer.text(text),
        };
        counts.cast = counts.cast.saturating_add(u64::from(done.is_some() && !self.zone_counts()));
        done
    }

    /// Whether [`Self::shift`] does the counting.
    fn zone_counts(&self) -> bool {
        self.zone.is_some()
    }

    /// The same instant on the other side of the zone: a local time as UTC, or UTC as a local time.
    fn shift(&self, micros: i64, counts: &mut ColumnTally) -> Option<i64> {
        let zone = self.zone.as_ref()?;
        let shifted = if self.to == Kind::TimestampTz {
            let offset = match zone.to_ambiguous_timestamp(civil_time(micros)?).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset,
                AmbiguousOffset::Fold { before, .. } => {
                    counts.ambiguous = counts.ambiguous.saturating_add(1);
                    before
                }
                AmbiguousOffset::Gap { before, .. } => {
                    counts.nonexistent = counts.nonexistent.saturating_add(1);
                    before
                }
            };
            micros.checked_sub(offset_micros(offset)?)?
        } else {
            let moment = jiff::Timestamp::from_microsecond(micros).ok()?;
            micros.checked_add(offset_micros(zone.to_offset(moment))?)?
        };
        counts.cast = counts.cast.saturating_add(1);
        Some(shifted)
    }
}

fn offset_micros(offset: Offset) -> Option<i64> {
    i64::from(offset.seconds()).checked_mul(1_000_000)
}

fn civil_time(micros: i64) -> Option<civil::DateTime> {
    civil::DateTime::from_str(&calendar::timestamp_text(micros)).ok()
}
