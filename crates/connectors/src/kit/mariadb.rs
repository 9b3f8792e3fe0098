//! What only MariaDB does.

use std::fmt::Write;

use lexicon::Code;
use scope::{Dialect, Scope};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use super::bad_data::keys;
use super::lab::{Lab, System, Words, admitted, mark, random_name, scope_of, spelled};
use crate::{Source, connect_source};

fn on_mariadb(name: &str, story: super::Story) {
    super::tell(System::MariaDb, name, story);
}

#[test]
fn a_zero_date_is_refused_by_count_unless_the_scope_names_it() {
    on_mariadb("a_zero_date_is_refused_by_count_unless_the_scope_names_it", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE p (id int, born date, seen datetime, changed timestamp NULL); \
                 INSERT INTO p VALUES (1, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00'), \
                   (2, '1980-00-00', '2020-01-02 03:04:05', '2020-01-02 03:04:05'), (3, NULL, NULL, NULL)",
            )
            .await;
            let take =
                &[("id", "int64"), ("born", "date"), ("seen", "timestamp"), ("changed", "timestamp with time zone")];
            let scope = scope_of(&Words { name: "p", target: "t", key: &["id"], take, ..Words::default() });
            let snapshot = lab.source().begin(true).await.unwrap();
            let refused = admitted(snapshot.read(&scope, "p")).await.unwrap_err();
            let said = format!("{refused} {refused:?}");
            assert_eq!(refused.code(), Code(408), "{said}");
            let parts = ["table `p` ", "`born`: 2 zero dates", "`seen`: 1 zero dates", "`changed`: 1 zero dates"];
            for part in parts {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(!said.contains("1980"), "{said}");
            assert_eq!(keys(&snapshot.at_fault(&scope, "p")), [1, 2]);
            let named = Scope::parse(
                "[[table]]\nname = 'p'\ntarget = 't'\nkey = ['id']\nleave = []\n\
                 take = [{ column = 'id', type = 'int64' }, \
                 { column = 'born', type = 'date', null_if = ['0000-00-00', '1980-00-00'] }, \
                 { column = 'seen', type = 'timestamp', null_if = ['0000-00-00 00:00:00'] }, \
                 { column = 'changed', type = 'timestamp with time zone', null_if = ['0000-00-00 00:00:00'] }]",
            )
            .unwrap();
            let snapshot = lab.source().begin(true).await.unwrap();
            let rows = spelled(&admitted(snapshot.read(&named, "p")).await.unwrap());
            let second = ["2", "-", "2020-01-02 03:04:05", "2020-01-02 03:04:05Z"];
            assert_eq!(rows, [["1", "-", "-", "-"], second, ["3", "-", "-", "-"]]);
            assert_eq!(snapshot.tally("p").columns["born"].nulled, 2);
        })
    });
}

#[test]
fn every_type_of_the_server_is_read() {
    on_mariadb("every_type_of_the_server_is_read", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE r (id int unsigned, one bit(1), many bit(12), tiny tinyint(1), small smallint unsigned, \
                   medium mediumint, price decimal(10,2) unsigned, ratio float, made year, sex enum('F','M'), \
                   flags set('a','b','c'), code char(6), latin varchar(20) CHARACTER SET latin1, doc json, \
                   raw binary(3), span time, u uuid); \
                 INSERT INTO r VALUES (4294967295, b'1', b'100000000001', 1, 65535, -8388608, 12.5, 0.5, 1999, 'M', \
                   'c,a', 'ab  ', 'é', '{\"a\":  1}', x'010203', '23:59:58', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11')",
            )
            .await;
            let take = &[
                ("id", "int64"),
                ("one", "bool"),
                ("many", "uint64"),
                ("tiny", "bool"),
                ("small", "uint64"),
                ("medium", "int64"),
                ("price", "decimal(12,3)"),
                ("ratio", "float64"),
                ("made", "int64"),
                ("sex", "text"),
                ("flags", "text"),
                ("code", "text"),
                ("latin", "text"),
                ("doc", "text"),
                ("raw", "bytes"),
                ("span", "time"),
                ("u", "text"),
            ];
            let scope = scope_of(&Words { name: "r", target: "t", key: &["id"], take, ..Words::default() });
            let expected = [
                "4294967295",
                "true",
                "2049",
                "true",
                "65535",
                "-8388608",
                "12.500",
                "0.5",
                "1999",
                "M",
                "a,c",
                "ab",
                "é",
                "{\"a\":  1}",
                "010203",
                "23:59:58",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ];
            assert_eq!(spelled(&lab.read(&scope, "r").await.unwrap()), [expected]);
            let kinds: Vec<_> =
                lab.source().describe().await.unwrap()[0].columns.iter().map(|c| c.kind.is_some()).collect();
            assert!(kinds.iter().all(|known| *known), "{kinds:?}");

            lab.run("UPDATE r SET tiny = 2, span = '-01:00:00'").await;
            let said = lab.read(&scope, "r").await.unwrap_err().to_string();
            assert!(
                said.contains("`tiny`: 1 values of another type") && said.contains("`span`: 1 values out"),
                "{said}"
            );
        })
    });
}

#[test]
fn the_bytes_of_an_old_character_set_are_read_as_they_are() {
    on_mariadb("the_bytes_of_an_old_character_set_are_read_as_they_are", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE p (id int, name varchar(20) CHARACTER SET latin1); INSERT INTO p VALUES (1, x'5a6fe9')",
            )
            .await;
            let scope = Scope::parse(
                "[[table]]\nname = 'p'\ntarget = 't'\nkey = ['id']\nleave = []\n\
                 take = [{ column = 'id', type = 'int64' }, \
                 { column = 'name', type = 'text', charset = 'latin1' }]",
            )
            .unwrap();
            assert_eq!(spelled(&lab.read(&scope, "p").await.unwrap()), [["1", "Zoé"]]);
        })
    });
}

#[test]
fn a_living_table_without_snapshots_is_refused_and_a_frozen_one_read() {
    on_mariadb("a_living_table_without_snapshots_is_refused_and_a_frozen_one_read", |lab| {
        Box::pin(async move {
            lab.run("CREATE TABLE p (id int) ENGINE=MyISAM; INSERT INTO p VALUES (1)").await;
            let scope = scope_of(&Words { name: "p", target: "t", take: &[("id", "int64")], ..Words::default() });
            let living = lab.source().begin(true).await.unwrap();
            let refused = admitted(living.read(&scope, "p")).await.unwrap_err();
            assert_eq!(refused.code(), Code(414));
            let frozen = lab.source().begin(false).await.unwrap();
            assert_eq!(spelled(&admitted(frozen.read(&scope, "p")).await.unwrap()), [["1"]]);
            lab.make_targets(&Scope::parse("").unwrap()).await;
            lab.run("CREATE TABLE t (id int) ENGINE=MyISAM").await;
            assert_eq!(lab.sink().prepare(&scope).await.unwrap_err().code(), Code(412));
        })
    });
}

/// The rows of the view `v`, and what of it the moment does not hold.
async fn viewed(source: &dyn Source, live: bool) -> lexicon::Result<(Vec<Vec<String>>, Vec<String>)> {
    let scope = scope_of(&Words { name: "v", target: "t", take: &[("id", "int64")], ..Words::default() });
    let moment = source.begin(live).await?;
    let rows = admitted(moment.read(&scope, "v")).await?;
    Ok((spelled(&rows), moment.loose()))
}

#[test]
fn a_view_is_read_once_its_definition_is_shown_and_at_one_moment_if_every_table_has_one() {
    on_mariadb("a_view_is_read_once_its_definition_is_shown_and_at_one_moment_if_every_table_has_one", |lab| {
        Box::pin(async move {
            lab.run("CREATE TABLE p (id int); INSERT INTO p VALUES (1); CREATE VIEW v AS SELECT id FROM p").await;
            // It sees no other story's tables.
            let account = random_name();
            let them = ["localhost", "127.0.0.1"].map(|host| format!("{account}@'{host}'"));
            for one in &them {
                let made = format!("CREATE USER {one} IDENTIFIED BY 'viewing'");
                lab.run(&format!("{made}; GRANT SELECT ON {}.* TO {one}", lab.name())).await;
            }
            let source = connect_source(&lab.address_for(&account, "viewing"), None).unwrap();
            let hidden = viewed(source.as_ref(), true).await;
            for one in &them {
                lab.run(&format!("GRANT SHOW VIEW ON {}.* TO {one}", lab.name())).await;
            }
            let shown = viewed(source.as_ref(), true).await;
            lab.run(
                "CREATE TABLE q (id int) ENGINE=MyISAM; INSERT INTO q VALUES (2); \
                 CREATE OR REPLACE VIEW v AS SELECT id FROM q",
            )
            .await;
            let (living, frozen) = (viewed(source.as_ref(), true).await, viewed(source.as_ref(), false).await);
            lab.run(&format!("DROP USER {}", them.join(", "))).await;

            let hidden = hidden.unwrap_err();
            assert_eq!(hidden.code(), Code(404));
            assert!(hidden.to_string().contains("the definition of view `v`"), "{hidden}");
            assert_eq!(shown.unwrap(), (vec![vec!["1".to_owned()]], Vec::new()));
            let living = living.unwrap_err();
            assert_eq!(living.code(), Code(414));
            assert!(living.to_string().contains("table `v` may read what is kept by MyISAM"), "{living}");
            assert_eq!(frozen.unwrap(), (vec![vec!["2".to_owned()]], vec!["v".to_owned()]));
        })
    });
}

#[test]
fn a_table_that_keeps_its_own_history_is_described_like_any_other() {
    on_mariadb("a_table_that_keeps_its_own_history_is_described_like_any_other", |lab| {
        Box::pin(async move {
            lab.run("CREATE TABLE p (id int) WITH SYSTEM VERSIONING; INSERT INTO p VALUES (1), (2)").await;
            lab.run("DELETE FROM p WHERE id = 2").await;
            let tables = lab.source().describe().await.unwrap();
            assert_eq!((tables.len(), tables[0].name.as_str(), tables[0].columns.len()), (1, "p", 1));
            let scope = scope_of(&Words { name: "p", target: "t", take: &[("id", "int64")], ..Words::default() });
            assert_eq!(spelled(&lab.read(&scope, "p").await.unwrap()), [["1"]]);
        })
    });
}

#[test]
fn an_account_with_only_the_scope_s_rights_can_read_it() {
    on_mariadb("an_account_with_only_the_scope_s_rights_can_read_it", |lab| {
        Box::pin(async move {
            let columns = [("id", "int64"), ("seen", "date"), ("portal_code", "text")];
            lab.fill("patient", &columns, &[&[Some("1"), Some("2020-01-01"), Some("s3cret")]]).await;
            let scope = scope_of(&Words {
                name: "patient",
                target: "t",
                key: &["id"],
                take: &columns[..1],
                leave: &["seen", "portal_code"],
                filter: "seen > date '2019-01-01'",
            });
            let account = random_name();
            let grants = scope::grants(&scope, Dialect::MariaDb, scope::Account::local(&account)).unwrap();
            // A server that does not resolve names knows this machine by its number only.
            let by_number = scope::Account { name: &account, host: "127.0.0.1" };
            let by_number = scope::grants(&scope, Dialect::MariaDb, by_number).unwrap();
            let word = |host: &str| format!("ALTER USER {account}@'{host}' IDENTIFIED BY 'granted'");
            lab.run(&format!("{grants}\n{by_number}\n{}; {}", word("localhost"), word("127.0.0.1"))).await;
            let source = connect_source(&lab.address_for(&account, "granted"), None).unwrap();
            let read = async {
                let snapshot = source.begin(true).await?;
                assert_eq!(snapshot.count(&scope, "patient").await?, (1, 1));
                admitted(snapshot.read(&scope, "patient")).await
            };
            let read = read.await;
            lab.run(&format!("DROP USER {account}@'localhost', {account}@'127.0.0.1'")).await;
            assert_eq!(spelled(&read.unwrap()), [["1"]]);
        })
    });
}

#[test]
fn what_a_server_allows_a_statement_ends_no_reading() {
    on_mariadb("what_a_server_allows_a_statement_ends_no_reading", |lab| {
        Box::pin(async move {
            lab.run(
                "CREATE TABLE p (id bigint PRIMARY KEY); INSERT INTO p VALUES (1); \
                 CREATE FUNCTION allowed() RETURNS double NO SQL RETURN @@max_statement_time; \
                 CREATE VIEW unlimited AS SELECT id FROM p WHERE allowed() = 0",
            )
            .await;
            let account = random_name();
            for host in ["localhost", "127.0.0.1"] {
                let them = format!("{account}@'{host}'");
                let made = format!("CREATE USER {them} IDENTIFIED BY 'limited' WITH MAX_STATEMENT_TIME 60");
                lab.run(&format!("{made}; GRANT SELECT, EXECUTE ON {}.* TO {them}", lab.name())).await;
            }
            let address = lab.address_for(&account, "limited");
            let others: MySqlConnectOptions = address.parse().unwrap();
            let others = async {
                let mut session = others.ssl_mode(MySqlSslMode::Disabled).connect().await?;
                sqlx::query_scalar::<_, i64>("SELECT count(*) FROM unlimited").fetch_one(&mut session).await
            };
            let scope = scope_of(&Words { name: "unlimited", take: &[("id", "int64")], ..Words::default() });
            let source = connect_source(&address, None).unwrap();
            let ours = async {
                let snapshot = source.begin(true).await?;
                snapshot.count(&scope, "unlimited").await
            };
            let (others, ours) = (others.await, ours.await);
            lab.run(&format!("DROP USER {account}@'localhost', {account}@'127.0.0.1'")).await;
            // The control: any other session of the account has the limit.
            assert_eq!((others.unwrap(), ours.unwrap()), (0, (1, 1)));
        })
    });
}

#[test]
fn a_target_keeps_its_own_types() {
    on_mariadb("a_target_keeps_its_own_types", |lab| {
        Box::pin(async move {
            lab.make_targets(&Scope::parse("").unwrap()).await;
            lab.run(
                "CREATE TABLE arrived (id int unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, sex enum('F','M'), \
                   name varchar(10) CHARACTER SET latin1, code char(4) UNIQUE, at datetime, flag bit(1), doc json)",
            )
            .await;
            let take = &[
                ("id", "int64"),
                ("sex", "text"),
                ("name", "text"),
                ("code", "text"),
                ("at", "timestamp"),
                ("flag", "bool"),
                ("doc", "text"),
            ];
            let row = |id, sex, name, code, at| {
                [Some(id), Some(sex), Some(name), Some(code), Some(at), Some("true"), Some("[1]")]
            };
            let good =
                [row("0", "F", "Zoé", "ab", "2020-01-01 10:00:00"), row("7", "M", "x", "cd", "2020-01-01 10:00:00")];
            lab.fill("person", take, &[&good[0], &good[1]]).await;
            let scope = scope_of(&Words { name: "person", target: "arrived", key: &["id"], take, ..Words::default() });
            lab.sink().prepare(&scope).await.unwrap();
            lab.carry(&scope, "person", mark(1)).await.unwrap();
            let back = lab.read_back(&scope, "person").await.unwrap();
            assert_eq!(spelled(&back), spelled(&lab.read(&scope, "person").await.unwrap()));

            lab.run("DELETE FROM arrived; DELETE FROM lazaret_load; DROP TABLE person").await;
            let bad = [
                row("-1", "f", "漢", "ab ", "2020-01-01 10:00:00.5"),
                row("8", "M", "12345678901", "AB", "2020-01-01 10:00:00"),
            ];
            lab.fill("person", take, &[&good[0], &bad[0], &bad[1]]).await;
            let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
            for part in [
                "`id`: int64 in int",
                "`sex`: ",
                "`name`: text in varchar(10): 1",
                "outside latin1: 1",
                "`code`: ",
                "`at`: ",
            ] {
                assert!(said.contains(part), "{part} {said}");
            }
            lab.run("DELETE FROM person WHERE id = -1; UPDATE person SET name = 'x', doc = '[' WHERE id = 8").await;
            // The target's collation takes AB and ab for the same code.
            let said = lab.carry(&scope, "person", mark(1)).await.unwrap_err().to_string();
            for part in ["unique code on `code`: 1 rows", "check doc on `doc`: 1 rows"] {
                assert!(said.contains(part), "{part} {said}");
            }
        })
    });
}

/// A real laboratory system's own tables and settings, every table there and back.
#[test]
fn a_real_laboratory_system_arrives_whole() {
    let Ok(folder) = std::env::var("LAZARET_TEST_DATA") else {
        skipped!("a_real_laboratory_system_arrives_whole (LAZARET_TEST_DATA is not set)");
        return;
    };
    let [structure, seed] = ["structure", "seed"].map(|part| format!("{folder}/blis_127-{part}.sql"));
    let [structure, seed] = [structure, seed].map(|path| std::fs::read_to_string(path).unwrap());
    STATEMENTS.set(format!("{structure}\n{seed}")).unwrap();
    on_mariadb("a_real_laboratory_system_arrives_whole", |lab| Box::pin(blis(lab)));
}

static STATEMENTS: std::sync::OnceLock<String> = std::sync::OnceLock::new();

async fn blis(lab: &Lab) {
    lab.run(STATEMENTS.get().unwrap()).await;
    let mut toml = String::new();
    for table in lab.source().describe().await.unwrap() {
        let (taken, left): (Vec<_>, Vec<_>) =
            table.columns.iter().partition(|column| scope::sensitive(&column.name).is_none() && column.kind.is_some());
        let key: Vec<_> =
            table.primary_key.iter().filter(|key| taken.iter().any(|column| column.name == **key)).collect();
        let whole_key = key.len() == table.primary_key.len();
        let take: Vec<_> = taken
            .iter()
            .map(|column| {
                let kind = column.kind.unwrap().to_string();
                let zero = match kind.as_str() {
                    "date" => ", null_if = ['0000-00-00']",
                    "timestamp" | "timestamp with time zone" => ", null_if = ['0000-00-00 00:00:00']",
                    _ => "",
                };
                format!("{{ column = '{}', type = '{kind}'{zero} }}", column.name)
            })
            .collect();
        if scope::sensitive(&table.name).is_some() || take.is_empty() {
            continue;
        }
        let list = |names: &[String]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        writeln!(
            toml,
            "[[table]]\nname = '{0}'\ntarget = 'import_{0}'\nkey = [{1}]\ntake = [{2}]\nleave = [{3}]",
            table.name,
            if whole_key { list(&table.primary_key) } else { String::new() },
            take.join(", "),
            list(&left.iter().map(|column| column.name.clone()).collect::<Vec<_>>())
        )
        .unwrap();
    }
    let scope = Scope::parse(&toml).unwrap_or_else(|refusal| panic!("{refusal}\n{toml}"));
    lab.make_targets(&scope).await;
    let (sink, snapshot) = (lab.sink(), lab.source().begin(true).await.unwrap());
    let mut rows = Vec::new();
    for name in sink.prepare(&scope).await.unwrap().waves.concat() {
        let batches = admitted(snapshot.read(&scope, &name)).await.unwrap();
        let loaded = sink.load(&scope, &name, mark(1), super::lab::stream(batches.clone())).await.unwrap();
        assert_eq!(snapshot.count(&scope, &name).await.unwrap().1, loaded.rows);
        assert_eq!(spelled(&batches), spelled(&lab.read_back(&scope, &name).await.unwrap()), "{name}");
        rows.push(loaded.rows);
    }
    let all: u64 = rows.iter().sum();
    assert!(rows.len() > 30 && all > 10_000, "{} tables, {all} rows", rows.len());
}

/// A forecast takes what a sample's table grew by and multiplies it by rows. InnoDB gives out pages one by one and then 64
/// at once, so that within a factor of two is what can be held.
#[test]
fn the_size_of_a_target_grows_with_its_rows_and_is_near_what_they_and_their_indexes_weigh() {
    on_mariadb("the_size_of_a_target_grows_with_its_rows_and_is_near_what_they_and_their_indexes_weigh", |lab| {
        Box::pin(async move {
            const ROWS: [u64; 2] = [3_000, 30_000];
            /// A number and ASCII; the index holds both once more.
            const BYTES: u64 = 2 * (8 + 200);
            lab.make_targets(&Scope::parse("").unwrap()).await;
            let words = ["sample", "everything"].map(|name| Words {
                name,
                target: if name == "sample" { "import_sample" } else { "import_everything" },
                key: &["id"],
                take: &[("id", "int64"), ("label", "text")],
                ..Words::default()
            });
            for (words, rows) in words.iter().zip(ROWS) {
                lab.run(&format!(
                    "CREATE TABLE {0} (id bigint PRIMARY KEY, label varchar(200) CHARACTER SET latin1); \
                     INSERT INTO {0} SELECT seq, RPAD(seq, 200, 'x') FROM seq_1_to_{rows}; \
                     CREATE TABLE {1} (id bigint PRIMARY KEY, label varchar(200) CHARACTER SET utf8mb4, KEY (label))",
                    words.name, words.target
                ))
                .await;
            }
            let scope = super::lab::scope_of_all(&words);
            let empty = lab.sink().sizes(&scope).await.unwrap();
            for (words, rows) in words.iter().zip(ROWS) {
                assert_eq!(lab.carry(&scope, words.name, mark(1)).await.unwrap().rows, rows);
            }
            let full = lab.sink().sizes(&scope).await.unwrap();
            let [sample, everything] = words.map(|words| full[words.name].checked_sub(empty[words.name]).unwrap());
            let within_two = |figure: u64, of: u64| figure <= of.saturating_mul(2) && figure.saturating_mul(2) >= of;
            println!("{sample} bytes for {} rows, {everything} for {}", ROWS[0], ROWS[1]);
            // No row takes less than its values.
            assert!(everything >= ROWS[1] * BYTES && within_two(everything, ROWS[1] * BYTES), "{everything}");
            assert!(within_two(sample * (ROWS[1] / ROWS[0]), everything), "{sample} foretells {everything}");
        })
    });
}

#[test]
fn a_line_that_must_be_protected_never_falls_back_to_clear() {
    on_mariadb("a_line_that_must_be_protected_never_falls_back_to_clear", |lab| {
        Box::pin(super::sources::a_line_that_must_be_protected_never_falls_back_to_clear(lab))
    });
}
