//! Processes of every party are killed at random points of every step, and each migration ends as one that nobody
//! disturbed.

use std::time::Duration;

use drill::kills::{Until, Wanted, run};
use drill::skipped;

/// What a run of all tests can spare, with half a minute for the migration that is under way then; `cargo xtask kills`
/// takes as long as one likes.
const TIME: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn however_often_a_process_is_killed_the_end_is_the_same() {
    let wanted = Wanted { seed: 1, until: Until::Elapsed(TIME) };
    let Some(figures) = run(wanted, &mut |line| println!("{line}")).await else {
        skipped!("however_often_a_process_is_killed_the_end_is_the_same (no database servers, or no program)");
        return;
    };
    println!("{}", figures.line());
    assert!(figures.failures.is_empty(), "{:#?}", figures.failures);
    assert!(figures.kills() > 0, "nothing was killed");
}
