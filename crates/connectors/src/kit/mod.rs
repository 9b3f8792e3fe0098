//! The stories that every connector must pass, told once and run against each system.
//!
//! A system that needs a server is told where by `LAZARET_TEST_POSTGRES` or `LAZARET_TEST_MARIADB`; without, each of
//! its stories says that it was skipped. Every story has a database of its own.

/// Says past the test harness, which keeps what a passing test prints, what was not run.
macro_rules! skipped {
    ($($text:tt)*) => {
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {}\n", format_args!($($text)*))).unwrap()
    };
}

mod bad_data;
mod bad_data_size;
mod csv;
mod defaults;
#[cfg(target_os = "linux")]
mod disk;
mod lab;
mod mariadb;
mod postgres;
mod sampled;
mod sinks;
mod sources;
mod sqlite;
mod straight;
mod unseen;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::BoxFuture;

pub(crate) use lab::{Lab, System};

/// A story: what must hold on any system.
type Story = for<'a> fn(&'a Lab) -> BoxFuture<'a, ()>;

/// Runs a story on a fresh database, and drops that whatever the story's end.
pub(crate) fn tell(system: System, name: &str, story: Story) {
    let Some(address) = system.address() else {
        skipped!("{name} ({} is not set)", system.variable());
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let lab = Lab::open(system, &address).await;
        let ended = AssertUnwindSafe(story(&lab)).catch_unwind().await;
        lab.close().await;
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}

/// One test per story.
macro_rules! on {
    ($system:ident: $($module:ident::$story:ident),* $(,)?) => {
        $(#[test] fn $story() {
            super::tell(super::System::$system, stringify!($story), |lab| Box::pin(super::$module::$story(lab)));
        })*
    };
}

/// One module per system. Files run every story of a source but three that they cannot tell: of a moment that stays while
/// others write (a file that changes is refused instead), of keys and references in a description (a line of names has
/// none), and of views. The others in `in_databases` are of targets, which files are not.
macro_rules! kit {
    (everywhere: $($module:ident::$story:ident),* ; in_databases: $($room:ident::$tale:ident),* ;) => {
        mod on_csv { on!(Csv: $($module::$story),*); }
        mod on_sqlite { on!(Sqlite: $($module::$story,)* $($room::$tale),*); }
        mod on_postgres { on!(Postgres: $($module::$story,)* $($room::$tale),*); }
        mod on_mariadb { on!(MariaDb: $($module::$story,)* $($room::$tale),*); }
    };
}

kit!(
    everywhere:
        sampled::a_sample_is_closed_and_the_same_for_the_same_seed,
        bad_data::a_decimal_beyond_its_declared_digits_is_refused_and_its_row_kept_by_key,
        bad_data::a_name_with_a_line_break_is_described_and_left_out_of_a_draft,
        bad_data::a_text_with_a_nul_is_carried_where_the_target_can_hold_one,
        bad_data_size::a_row_that_no_parcel_carries_is_refused_with_the_limit,
        bad_data_size::the_widest_table_that_the_system_holds_is_carried,
        bad_data_size::ten_thousand_tables_are_described_drafted_and_counted,
        sources::a_row_that_leads_nowhere_is_counted_on_both_sides,
        sources::a_hostile_name_stays_a_name,
        sources::a_null_is_not_an_empty_text,
        sources::a_stream_is_cut_into_bounded_batches,
        sources::a_table_without_a_key_keeps_its_equal_rows,
        sources::a_table_that_is_not_there_is_refused_by_name,
        sources::a_value_beyond_the_declared_kind_is_refused_by_column_and_count,
        sources::a_reader_that_stops_early_leaves_the_snapshot_usable,
        sources::an_empty_table_is_read_as_no_rows,
        sources::an_unknown_column_stops_the_read_by_its_name,
        sources::every_kind_arrives_as_it_left,
        sources::only_rows_in_scope_leave_the_source,
        sources::unicode_and_blanks_at_the_end_survive;
    in_databases:
        bad_data::a_float_that_is_no_number_or_infinite_is_carried_or_refused,
        bad_data::an_unsigned_number_beyond_bigint_is_refused_by_count,
        sources::a_snapshot_shows_one_moment_while_rows_are_written,
        sources::a_view_is_described_with_its_columns_and_another_one_is_another_schema,
        sources::the_description_holds_keys_and_references,
        sinks::a_broken_constraint_is_refused_by_count_and_quotes_nothing,
        sinks::a_column_that_must_be_filled_is_refused_before_any_row,
        sinks::a_load_that_is_dropped_leaves_nothing_behind,
        sinks::a_lossy_type_is_refused_before_any_row,
        sinks::a_row_may_point_to_a_row_that_arrives_with_it,
        sinks::a_row_that_breaks_a_constraint_is_kept_by_its_whole_key,
        sinks::a_second_load_finds_the_marker_and_inserts_nothing,
        sinks::a_stream_that_fails_leaves_nothing_behind,
        sinks::a_table_changed_after_its_load_is_refused,
        sinks::a_target_with_rows_is_refused_with_their_number,
        sinks::a_target_without_a_marker_table_is_refused,
        sinks::a_value_too_long_for_its_column_is_refused_by_count,
        sinks::of_two_tables_loaded_at_once_one_fails_alone,
        sinks::tables_are_loaded_after_those_they_point_to,
        sinks::what_a_target_lacks_is_told_together;
);
