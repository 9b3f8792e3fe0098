//! Processes of every party are killed at random points of extraction, load, reconciliation and destruction, and each
//! migration ends as one that nobody disturbed.

use std::io::Write;
use std::time::Duration;

use drill::kills::{Until, Wanted, run};
use drill::skipped;

/// What a run of all tests can spare, with half a minute for the migration that is under way then, and some more migrations
/// where a process came through unharmed so far; `cargo xtask kills` takes as long as one likes.
const TIME: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn however_often_a_process_is_killed_the_end_is_the_same() {
    // One whose migration is to be cut a few times only.
    let wanted = Wanted { seed: 38, until: Until::Elapsed(TIME) };
    let Some(figures) = run(wanted, &mut |line| println!("{line}")).await else {
        skipped!("however_often_a_process_is_killed_the_end_is_the_same (no database servers, or no program)");
        return;
    };
    // Past the test harness, which keeps what a passing test prints.
    writeln!(std::io::stderr(), "kills: {}", figures.line()).unwrap();
    assert!(figures.failures.is_empty(), "{:#?}", figures.failures);
    assert!(figures.migrations > 0, "no migration came to its end");
    assert_eq!(figures.spared(), Vec::<String>::new(), "processes that were not killed in a step");
}
