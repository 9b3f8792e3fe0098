//! What a target puts into the columns that a load leaves out, and the keys over them.

use lexicon::Code;
use scope::Scope;

use super::lab::{System, Words, mark, scope_of};

/// A person and the one that it points to, on the way into a table.
fn persons(target: &str) -> Scope {
    let take = &[("id", "int64"), ("parent", "int64")];
    scope_of(&Words { name: "person", target, key: &["id"], take, ..Words::default() })
}

/// The server looks at no key of a table that points to itself while that is loaded.
#[test]
fn a_key_over_a_default_is_counted_where_the_server_looks_at_none() {
    super::tell(System::MariaDb, "a_key_over_a_default_is_counted_where_the_server_looks_at_none", |lab| {
        Box::pin(async move {
            lab.make_targets(&Scope::parse("").unwrap()).await;
            lab.run(
                "CREATE TABLE lab (id int NOT NULL PRIMARY KEY); CREATE TABLE site (code varchar(9) PRIMARY KEY); \
                 CREATE TABLE person (id int, parent int); INSERT INTO person VALUES (1, 2), (2, NULL), (3, 9); \
                 CREATE TABLE arrived (id int NOT NULL PRIMARY KEY, parent int, lab int NOT NULL DEFAULT 1, \
                   site varchar(9) DEFAULT 'it''s', ward int, UNIQUE (lab, id), \
                   CONSTRAINT of_lab FOREIGN KEY (lab) REFERENCES lab (id), \
                   CONSTRAINT of_site FOREIGN KEY (site) REFERENCES site (code), \
                   CONSTRAINT of_ward FOREIGN KEY (ward) REFERENCES lab (id), \
                   CONSTRAINT family FOREIGN KEY (lab, parent) REFERENCES arrived (lab, id))",
            )
            .await;
            let scope = persons("arrived");
            lab.sink().prepare(&scope).await.unwrap();
            let refused = lab.carry(&scope, "person", mark(1)).await.unwrap_err();
            let said = refused.to_string();
            assert_eq!(refused.code(), Code(411), "{said}");
            for part in ["of_lab on `lab`: 3 rows", "of_site on `site`: 3 rows", "family on `lab`, `parent`: 1 rows"] {
                assert!(said.contains(part), "{part} {said}");
            }
            assert!(!said.contains("of_ward"), "what stays null points nowhere: {said}");
            assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
            lab.run("INSERT INTO lab VALUES (1); INSERT INTO site VALUES ('it''s'); DELETE FROM person WHERE id = 3")
                .await;
            assert_eq!(lab.carry(&scope, "person", mark(1)).await.unwrap().rows, 2);
        })
    });
}

#[test]
fn a_key_that_only_the_server_could_test_is_refused_before_any_row_where_it_does_not() {
    super::tell(
        System::MariaDb,
        "a_key_that_only_the_server_could_test_is_refused_before_any_row_where_it_does_not",
        |lab| {
            Box::pin(async move {
                lab.make_targets(&Scope::parse("").unwrap()).await;
                let columns = "id int NOT NULL PRIMARY KEY, parent int, lab int NOT NULL DEFAULT (length('a')), \
                     FOREIGN KEY (lab) REFERENCES lab (id)";
                lab.run(&format!(
                    "CREATE TABLE lab (id int NOT NULL PRIMARY KEY); CREATE TABLE watched ({columns}); \
                     CREATE TABLE arrived ({columns}, FOREIGN KEY (parent) REFERENCES arrived (id)); \
                     CREATE TABLE numbered (number int NOT NULL AUTO_INCREMENT PRIMARY KEY, id int, parent int, \
                       other int, FOREIGN KEY (other) REFERENCES numbered (number))"
                ))
                .await;
                let refused = lab.sink().prepare(&persons("arrived")).await.map(drop).unwrap_err();
                assert_eq!(refused.code(), Code(412), "{refused}");
                for target in ["watched", "numbered"] {
                    lab.sink().prepare(&persons(target)).await.unwrap();
                }
            })
        },
    );
}
