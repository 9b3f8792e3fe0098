//! Processes of every party are killed at random points of every step, and each migration ends as one that nobody
//! disturbed.

use std::io::Write;
use std::time::Duration;

use drill::kills::{Until, Wanted, run};
use drill::skipped;

/// What a run of all tests can spare, with half a minute for the migration that is under way then; `cargo xtask kills`
/// takes as long as one likes.
const TIME: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn however_often_a_process_is_killed_the_end_is_the_same() {
    // One whose migration is to be cut a few times only, and once at least in every step.
    let wanted = Wanted { seed: 38, until: Until::Elapsed(TIME) };
    let Some(figures) = run(wanted, &mut |line| println!("{line}")).await else {
        skipped!("however_often_a_process_is_killed_the_end_is_the_same (no database servers, or no program)");
        return;
    };
    // Past the test harness, which keeps what a passing test prints: how often each step was cut, some perhaps never.
    writeln!(std::io::stderr(), "kills: {}", figures.line()).unwrap();
    assert!(figures.failures.is_empty(), "{:#?}", figures.failures);
    // Which steps a minute reaches depends on the machine; that each is cut is for `cargo xtask kills` to show.
    assert!(figures.migrations > 0 && figures.kills() > 0, "nothing was killed, or no migration came to its end");
}
