use super::batch;
use crate::{
    Account, Dialect, Inspector, Kind, Reference, Scope, SourceColumn, SourceTable, draft, grants, target_ddl,
};

fn column(name: &str, declared: &str, kind: Option<Kind>) -> SourceColumn {
    SourceColumn { name: name.to_owned(), declared: declared.to_owned(), kind, nullable: true }
}

fn tables() -> Vec<SourceTable> {
    vec![
        SourceTable {
            name: "patient".to_owned(),
            columns: vec![
                column("patient_id", "int(11)", Some(Kind::Int64)),
                column("na\"me\n", "varchar(45)", Some(Kind::Text)).renamed("na\"me"),
                column("password", "varchar(45)", Some(Kind::Text)),
                column("comment_1", "text", Some(Kind::Text)),
                column("shape", "geometry\n[[table]]", None),
            ],
            primary_key: vec!["patient_id".to_owned()],
            references: vec![],
            definition: None,
            rows: Some(3033),
        },
        SourceTable {
            name: "bills".to_owned(),
            columns: vec![column("patient_id", "int(11)", Some(Kind::Int64))],
            primary_key: vec![],
            references: vec![Reference {
                columns: vec!["patient_id".to_owned()],
                table: "patient".to_owned(),
                other_columns: vec!["patient_id".to_owned()],
            }],
            definition: None,
            rows: None,
        },
    ]
}

impl SourceColumn {
    fn renamed(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

#[test]
fn a_draft_takes_nothing_and_no_plan_may_name_it() {
    let draft = draft(&tables(), Account::local("lazaret_reader")).unwrap();
    let scope = Scope::parse(&draft.scope_toml).unwrap();
    assert!(scope.tables().iter().all(|table| table.take.is_empty()));
    assert_eq!(scope.table("patient").unwrap().leave.len(), 5);
    assert_eq!(scope.tables().len(), 2);
    assert_eq!(scope.ready().unwrap_err().code(), lexicon::Code(317));
    assert!(draft.scope_toml.contains("credentials never cross"));
    assert!(draft.grants.values().all(|sql| !sql.contains("GRANT")));
}

#[test]
fn a_view_is_named_in_a_draft_and_no_target_is_proposed_for_it() {
    let view = SourceTable {
        name: "known\n[[table]]".to_owned(),
        columns: vec![column("patient_id", "int(11)", Some(Kind::Int64)), column("sex", "text", Some(Kind::Text))],
        primary_key: vec![],
        references: vec![],
        definition: Some(lexicon::Digest::of(b"SELECT patient_id, sex FROM patient")),
        rows: None,
    };
    let draft = draft(&[tables(), vec![view]].concat(), Account::local("lazaret_reader")).unwrap();
    assert!(draft.scope_toml.contains("\n# known [[table]]: a view of patient_id, sex;"), "{}", draft.scope_toml);
    assert_eq!(Scope::parse(&draft.scope_toml).unwrap().tables().len(), 2);
    assert!(draft.target_ddl.values().all(|sql| !sql.contains("known")));
}

#[test]
fn the_proposed_target_has_no_column_for_credentials_and_has_the_marker() {
    let draft = draft(&tables(), Account::local("lazaret_reader")).unwrap();
    for sql in draft.target_ddl.values() {
        assert!(sql.contains("lazaret_load") && sql.contains("comment_1"), "{sql}");
        assert!(!sql.contains("password"), "{sql}");
    }
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(&draft.target_ddl[&Dialect::Sqlite]).unwrap();
}

#[test]
fn the_account_may_read_what_the_scope_reads_and_nothing_else() {
    let scope = Scope::parse(
        r#"
[[table]]
name = "patient"
take = [{ column = "patient_id", type = "int64" }]
leave = ["name", "created_at"]
where = "created_at is not null and exists in specimen (patient_id = owner)"
[[table]]
name = "specimen"
take = [{ column = "id", type = "int64" }, { column = "owner", type = "int64" }]
leave = ["portal_password"]
"#,
    )
    .unwrap();
    let sql = grants(&scope, Dialect::Postgres, Account::local("reader")).unwrap();
    assert!(sql.contains("GRANT SELECT (\"created_at\", \"patient_id\") ON \"patient\" TO \"reader\";"), "{sql}");
    assert!(sql.contains("GRANT SELECT (\"id\", \"owner\") ON \"specimen\" TO \"reader\";"), "{sql}");
    assert!(!sql.contains("portal_password"));
    let ddl = target_ddl(&scope, Dialect::MariaDb).unwrap();
    assert!(ddl.contains("`patient_id` bigint"), "{ddl}");
}

#[test]
fn what_a_column_s_name_hides_its_content_tells() {
    let toml =
        "[[table]]\nname = \"t\"\ntake = [{ column = \"x\", type = \"text\" }, { column = \"n\", type = \"int64\" }]";
    let scope = Scope::parse(toml).unwrap();
    let long = "a".repeat(81);
    let texts =
        [Some("269054958815780"), Some("a@example.fr"), Some("Tr0ub4dor&3"), Some(long.as_str()), Some("5.4"), None];
    let numbers = [Some("269054958815780"), Some("1"), None, Some("2"), Some("3"), Some("4")];
    let mut inspector = Inspector::new(scope.table("t").unwrap());
    inspector.look(&batch(&[("x", Kind::Text, &texts), ("n", Kind::Int64, &numbers)])).unwrap();
    let findings = inspector.finish();
    let (x, n) = (&findings.columns[0], &findings.columns[1]);
    assert_eq!(findings.rows, 6);
    assert_eq!((x.nulls, x.nir_like, x.email_like, x.password_like, x.long_text), (1, 1, 1, 1, 1));
    assert_eq!((n.nulls, n.nir_like, n.email_like, n.password_like, n.long_text), (1, 1, 0, 0, 0));
}

#[test]
fn patients_are_counted_as_far_as_they_are_few() {
    let toml = "[[table]]\nname = \"result\"\ntake = [{ column = \"code\", type = \"text\" }, { column = \"patient_id\", type = \"int64\" }]";
    let scope = Scope::parse(toml).unwrap();
    let patients = |named: &[Option<&str>]| {
        let codes = vec![Some("GLU"); named.len()];
        let mut inspector = Inspector::new(scope.table("result").unwrap());
        inspector.look(&batch(&[("code", Kind::Text, &codes), ("patient_id", Kind::Int64, named)])).unwrap();
        inspector.look(&batch(&[("code", Kind::Text, &codes), ("patient_id", Kind::Int64, named)])).unwrap();
        inspector.finish().patients
    };
    assert_eq!(patients(&[Some("7"), Some("8"), Some("7")]), Some(2));
    assert_eq!(patients(&[Some("7"), None, None]), Some(2), "rows that name nobody may all be of one more");
    assert_eq!(patients(&[None, None]), Some(1));
    assert_eq!(patients(&[]), Some(0));
    let numbers: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!(patients(&numbers.iter().map(|number| Some(number.as_str())).collect::<Vec<_>>()), Some(50));
}

#[test]
fn of_several_columns_that_identify_patients_the_one_that_names_the_fewest_counts() {
    let toml = "[[table]]\nname = \"result\"\ntake = [{ column = \"patient_id\", type = \"int64\" }, { column = \"ipp\", type = \"text\" }]";
    let scope = Scope::parse(toml).unwrap();
    let numbers: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    let all: Vec<Option<&str>> = numbers.iter().map(|number| Some(number.as_str())).collect();
    let (nobody, one) = (vec![None; 60], vec![Some("123"); 60]);
    for (ids, ipps, expected) in [(&nobody, &one, 1), (&all, &one, 1), (&one, &all, 1), (&nobody, &all, 50)] {
        let mut inspector = Inspector::new(scope.table("result").unwrap());
        inspector.look(&batch(&[("patient_id", Kind::Int64, ids), ("ipp", Kind::Text, ipps)])).unwrap();
        assert_eq!(inspector.finish().patients, Some(expected));
    }
}

#[test]
fn an_account_may_come_from_another_host_that_cannot_be_read_as_sql() {
    let scope = Scope::parse(&draft(&tables(), Account::local("r`eader")).unwrap().scope_toml).unwrap();
    let at = |host: &str| grants(&scope, Dialect::MariaDb, Account { name: "r`eader", host });
    for host in ["localhost", "10.0.0.%", "192.168.1.0/255.255.255.0", "fe80::1", "lab-7.example"] {
        assert!(at(host).unwrap().contains(&format!("CREATE USER `r``eader`@'{host}' ACCOUNT LOCK;")), "{host}");
    }
    for host in ["", "a'b", "a\\", "a b", "a;", "a`b", "é", &"h".repeat(256)] {
        assert_eq!(at(host).unwrap_err().code(), lexicon::Code(325), "{host}");
        let draft = draft(&tables(), Account { name: "reader", host });
        assert_eq!(draft.unwrap_err().code(), lexicon::Code(325), "{host}");
    }
    let postgres = grants(&scope, Dialect::Postgres, Account { name: "reader", host: "10.0.0.%" }).unwrap();
    assert!(!postgres.contains("10.0.0"), "{postgres}");
}
