//! `lazaret consignment forecast`, and what a rehearsal's load says at its end.

use passage::{Came, Forecast, RefusedAttempt, TableForecast, Window};
use procedure::{Step, percent};
use serde_json::json;

use super::Context;
use super::consignment::WhichRound;
use super::context::{turn, value};
use crate::output::{Done, add};

/// What the full round will take, from the last rehearsal or the one that is named.
pub(crate) async fn run(context: &Context, which: &WhichRound) -> Result<Done, lexicon::Trouble> {
    let desk = context.desk()?;
    let id = context.migration(&desk, which.which.migration).await?;
    let ledger = desk.follow(id).await?;
    let forecast = passage::forecast(&ledger, which.consignment)?;
    let text = format!("{}\n{}", text(&forecast), turn(ledger.migration()));
    Ok(Done::new(text, value(&forecast)).with(json!({ "turn": ledger.migration().turn() })))
}

/// For people.
pub(crate) fn text(forecast: &Forecast) -> String {
    let mut text = format!(
        "Forecast of the full round, from rehearsal {}: {} of the rows in scope, seed {}, into {}\n",
        forecast.consignment,
        percent(forecast.basis_points),
        forecast.seed,
        forecast.target
    );
    for TableForecast { name, target, sampled, window } in &forecast.tables {
        add(&mut text, format_args!("  {name} → {target}: {}; {sampled} rows in the sample\n", told(window)));
    }
    add(&mut text, format_args!("  in all: {}\n", told(&forecast.total)));
    if let Some(came) = &forecast.came {
        add(&mut text, format_args!("  came:   {}\n", told_of(came)));
    }
    text.push_str(
        "Reading the old system takes what it took, the rest grows with bytes and rows but for what was measured apart; in \
         all as many tables pass at once as in the rehearsal.\n",
    );
    for RefusedAttempt { step, attempt, code } in &forecast.refused {
        let step = match step {
            Step::Extract => "extraction",
            Step::Load => "load",
            Step::Reconcile => "reconciliation",
        };
        add(&mut text, format_args!("Refused or failed in this rehearsal: {step}, attempt {attempt} [{code}]\n"));
    }
    text.push_str(ended(forecast.settled, forecast.accepted));
    text
}

/// What the new system made of the sample.
fn ended(settled: bool, accepted: bool) -> &'static str {
    match (settled, accepted) {
        (_, true) => {
            "The new system does not hold the sample as it was sent: the rehearsal is DIFFERENT, and the laboratory took it \
             as it is. Count on the same in the full round."
        }
        (true, false) => "Of the rows of the sample, the new system refused none in the end.",
        (false, false) => "The rehearsal is not loaded and settled: what the new system refuses is not known yet.",
    }
}

/// A percentage as a person writes it, in hundredths of a percent. Whether it is one of a sample is the procedure's to say.
pub(crate) fn basis_points(text: &str) -> Result<u32, String> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| part.parse::<u32>().ok().filter(|_| digits(part));
    let read = || number(whole)?.checked_mul(100)?.checked_add(number(&format!("{rest:0<2}"))?);
    read()
        .filter(|_| rest.len() <= 2 && digits(rest))
        .ok_or_else(|| "a percentage has at most two decimals: 1, 0.5, 12.25".to_owned())
}

fn told(window: &Window) -> String {
    let known = |figure: Option<u64>, tell: fn(u64) -> String| figure.map_or_else(|| "not measured".to_owned(), tell);
    format!(
        "{} rows, {} sealed, {} to extract, {} to load, {} to read again, {} on the target's disk",
        window.rows,
        known(window.sealed_bytes, bytes),
        known(window.extract_ms, duration),
        known(window.load_ms, duration),
        known(window.reconcile_ms, duration),
        known(window.target_bytes, bytes)
    )
}

fn told_of(came: &Came) -> String {
    let loaded = came
        .load_and_reconcile_ms
        .map_or_else(|| "not loaded".to_owned(), |time| format!("{} to load and read again", duration(time)));
    format!(
        "{} rows, {} sealed, {} to extract, {loaded}; consignment {}, {} attempts, by the server's clock",
        came.rows,
        bytes(came.sealed_bytes),
        duration(came.extract_ms),
        came.consignment,
        came.attempts
    )
}

fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1_000);
    // Above two minutes seconds are more than a forecast knows.
    if seconds <= 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

fn bytes(bytes: u64) -> String {
    let mebibytes = bytes.div_ceil(1024 * 1024);
    if bytes < 1024 * 1024 { format!("{} KiB", bytes.div_ceil(1024)) } else { format!("{mebibytes} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_read_and_written_as_a_person_does() {
        for (written, read) in [("1", 100), ("0.5", 50), ("12.25", 1_225), ("100", 10_000), ("0", 0), ("0.05", 5)] {
            assert_eq!(basis_points(written), Ok(read), "{written}");
            assert_eq!(percent(read), format!("{written} %"));
        }
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "1,5", "1.234", "1e2", "one", "1 %", "42949673"] {
            basis_points(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_difference_that_was_accepted_is_no_rehearsal_without_refusals() {
        let refused_none = "the new system refused none";
        assert!(ended(true, false).contains(refused_none) && !ended(true, true).contains(refused_none));
        assert!(ended(true, true).contains("DIFFERENT") && ended(false, false).contains("not known yet"));
    }

    #[test]
    fn figures_are_rounded_up() {
        assert_eq!([duration(1), duration(120_000), duration(120_001)], ["1 s", "120 s", "3 min"]);
        assert_eq!([bytes(1), bytes(1024 * 1024), bytes(1024 * 1024 + 1)], ["1 KiB", "1 MiB", "2 MiB"]);
    }
}
