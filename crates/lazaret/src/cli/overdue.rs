//! What this device destroyed by itself because a deadline had passed.

use desk::{Home, Overdue};
use lexicon::Result;
use serde_json::json;

use super::Context;
use crate::output::Done;
use crate::{exit, output};

/// `lazaret migration destroy --due`: for a timer. No passphrase, no server.
pub(crate) fn run(context: &Context) -> Result<Done> {
    let home = Home::open(&context.home_folder()?)?;
    let overdue = desk::destroy_overdue(&home, context.clock.as_ref())?;
    let mut lines = lines(&overdue);
    if lines.is_empty() {
        lines.push("Nothing on this device is due to be destroyed.".to_owned());
    }
    let failed = overdue.failed.iter().map(|(migration, trouble)| json!({ "migration": migration, "error": trouble }));
    let json = json!({
        "destroyed": overdue.destroyed,
        "returned": overdue.returned,
        "failed": failed.collect::<Vec<_>>(),
        "card": overdue.card,
        "time": overdue.time,
    });
    let failed = overdue.failed.iter().map(|(_, trouble)| trouble).chain(&overdue.card).chain(&overdue.time).next();
    let status = match (failed, overdue.returned.is_empty()) {
        (_, false) => exit::MISMATCH,
        (Some(trouble), true) => exit::status(trouble),
        (None, true) => exit::OK,
    };
    Ok(Done { status, ..Done::new(lines.join("\n"), json) })
}

/// The look of a command that is about to be refused for what its machine or its folder is like, and would not come to its
/// own. Where there is no device, nothing is due.
pub(crate) fn before_a_refusal(context: &Context) {
    let folder = context.global.home.as_deref().filter(|folder| folder.is_dir());
    match folder.map(|folder| desk::destroy_overdue(&Home::open(folder)?, context.clock.as_ref())) {
        Some(Ok(overdue)) => tell(&overdue),
        Some(Err(trouble)) => {
            output::error_line(&format!("Whether keys on this device are due cannot be told: {trouble}"));
        }
        None => {}
    }
}

/// Says on standard error what came of a look, whatever the command was that brought it.
pub(crate) fn tell(overdue: &Overdue) {
    for line in lines(overdue) {
        output::error_line(&line);
    }
}

fn lines(overdue: &Overdue) -> Vec<String> {
    let destroyed = overdue.destroyed.iter().map(|round| {
        format!(
            "The deadline {} has passed: of consignment {} this device's keys ({}) are destroyed. \
             The server is told by `lazaret migration destroy --migration {}`.",
            round.deadline, round.round.consignment, round.keys, round.round.migration
        )
    });
    let returned = overdue.returned.iter().map(|round| {
        format!(
            "ALARM: a share or key of consignment {}, which was destroyed, lay in the folder again. \
             It is destroyed again. [LZ-1013]",
            round.consignment
        )
    });
    let failed = overdue.failed.iter().map(|(migration, trouble)| {
        format!(
            "Whether keys of migration {migration} are due cannot be told, or they could not be destroyed: {trouble}"
        )
    });
    let card = overdue.card.iter().map(|trouble| {
        format!("No deadline on this device can be told, for its server's card cannot be read: {trouble}")
    });
    let time =
        overdue.time.iter().map(|trouble| format!("This device's time could not be read or recorded: {trouble}"));
    destroyed.chain(returned).chain(failed).chain(card).chain(time).collect()
}
