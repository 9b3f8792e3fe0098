//! What PostgreSQL could leave out without a word: rows that row security hides from an account, and rows that are
//! not of the moment that it shows.

use arrow_array::RecordBatch;
use lexicon::Code;
use scope::Scope;

use super::lab::{Lab, System, Words, admitted, random_name, scope_of, scope_of_all};
use crate::{Source, connect_sink, connect_source};

const TAKE: &[(&str, &str)] = &[("id", "int64")];

/// How many rows an account counts in a table, and how many it reads.
async fn seen(source: &dyn Source, scope: &Scope, table: &str) -> [lexicon::Result<u64>; 2] {
    let counting = source.begin(true).await.unwrap();
    let counted = counting.count(scope, table).await.map(|(rows, _)| rows);
    let reading = source.begin(true).await.unwrap();
    let read = admitted(reading.read(scope, table)).await;
    let rows =
        |batches: Vec<RecordBatch>| batches.iter().map(|batch| u64::try_from(batch.num_rows()).unwrap()).sum::<u64>();
    [counted, read.map(rows)]
}

#[test]
fn rows_that_row_security_would_hide_are_refused_and_not_left_out() {
    super::tell(System::Postgres, "rows_that_row_security_would_hide_are_refused_and_not_left_out", |lab| {
        Box::pin(async move {
            let account = random_name();
            lab.run(&format!(
                "CREATE TABLE patient (id bigint); INSERT INTO patient VALUES (1), (2); \
                 ALTER TABLE patient ENABLE ROW LEVEL SECURITY; CREATE POLICY first ON patient USING (id = 1); \
                 CREATE VIEW known AS SELECT id FROM patient; \
                 CREATE ROLE {account} LOGIN PASSWORD 'granted'; GRANT SELECT ON patient, known TO {account}"
            ))
            .await;
            let table = |name| Words { name, target: name, take: TAKE, ..Words::default() };
            let scope = scope_of_all(&[table("patient"), table("known")]);
            let source = connect_source(&lab.address_for(&account, "granted"), None).unwrap();
            let hidden = seen(source.as_ref(), &scope, "patient").await;
            let by_view = seen(source.as_ref(), &scope, "known").await;
            lab.run(&format!("ALTER ROLE {account} BYPASSRLS")).await;
            let all = seen(source.as_ref(), &scope, "patient").await;
            lab.run(&format!("DROP OWNED BY {account}; DROP ROLE {account}")).await;

            for refused in hidden {
                let refused = refused.unwrap_err();
                let said = refused.to_string();
                assert_eq!(refused.code(), Code(404), "{said}");
                assert!(said.starts_with("table `patient`: PostgreSQL has row security"), "{said}");
            }
            // A view looks with the rights of its owner, from whom nothing is hidden.
            assert_eq!(by_view.map(Result::unwrap), [2, 2]);
            assert_eq!(all.map(Result::unwrap), [2, 2]);
        })
    });
}

#[test]
fn a_target_that_may_hide_rows_from_the_account_is_refused_before_any_row() {
    super::tell(System::Postgres, "a_target_that_may_hide_rows_from_the_account_is_refused_before_any_row", |lab| {
        Box::pin(async move {
            let (account, scope) =
                (random_name(), scope_of(&Words { name: "p", target: "t", take: TAKE, ..Words::default() }));
            lab.make_targets(&scope).await;
            lab.run(&format!(
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY all_may ON t USING (true) WITH CHECK (true); \
                 CREATE ROLE {account} LOGIN PASSWORD 'granted'; \
                 GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {account}"
            ))
            .await;
            let sink = connect_sink(&lab.address_for(&account, "granted"), None).unwrap();
            let before = sink.prepare(&scope).await.map(drop);
            lab.run(&format!("ALTER ROLE {account} BYPASSRLS")).await;
            let after = sink.prepare(&scope).await.map(drop);
            lab.run(&format!("DROP OWNED BY {account}; DROP ROLE {account}")).await;

            let refused = before.unwrap_err();
            let said = refused.to_string();
            assert_eq!(refused.code(), Code(404), "{said}");
            assert!(said.starts_with("target table `t`: PostgreSQL has row security"), "{said}");
            after.unwrap();
        })
    });
}

/// How the reading of each table of a scope is refused, and which of them the moment does not hold.
async fn refused(lab: &Lab, live: bool, scope: &Scope) -> (Vec<Option<Code>>, Vec<String>) {
    let moment = lab.source().begin(live).await.unwrap();
    let mut codes = Vec::new();
    for table in scope.tables() {
        codes.push(admitted(moment.read(scope, &table.name)).await.err().map(|trouble| trouble.code()));
    }
    (codes, moment.loose())
}

#[test]
fn a_living_table_whose_rows_are_kept_elsewhere_is_refused_and_a_frozen_one_is_not_of_the_moment() {
    let name = "a_living_table_whose_rows_are_kept_elsewhere_is_refused_and_a_frozen_one_is_not_of_the_moment";
    super::tell(System::Postgres, name, |lab| {
        Box::pin(async move {
            // A wrapper without a handler: whoever reads comes as far as the database, which fails.
            lab.run(
                "CREATE FOREIGN DATA WRAPPER line; CREATE SERVER elsewhere FOREIGN DATA WRAPPER line; \
                 CREATE FOREIGN TABLE far (id bigint) SERVER elsewhere; \
                 CREATE VIEW near AS SELECT id FROM far; CREATE VIEW seen AS SELECT id FROM near; \
                 CREATE TABLE heir (id bigint); CREATE FOREIGN TABLE child () INHERITS (heir) SERVER elsewhere; \
                 CREATE TABLE parted (id bigint) PARTITION BY RANGE (id); \
                 CREATE FOREIGN TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (9) SERVER elsewhere; \
                 CREATE MATERIALIZED VIEW kept AS SELECT id FROM far WITH NO DATA; CREATE TABLE p (id bigint)",
            )
            .await;
            let tables = ["far", "seen", "heir", "parted", "kept", "p"];
            let scope = scope_of_all(&tables.map(|name| Words { name, target: name, take: TAKE, ..Words::default() }));
            let [moved, failed] = [Code(414), Code(403)].map(Some);
            let living = refused(lab, true, &scope).await;
            assert_eq!(living, (vec![moved, moved, moved, moved, failed, None], Vec::new()));
            let frozen = refused(lab, false, &scope).await;
            let loose = ["far", "heir", "parted", "seen"].map(str::to_owned).to_vec();
            assert_eq!(frozen, (vec![failed, failed, failed, failed, failed, None], loose));
        })
    });
}
