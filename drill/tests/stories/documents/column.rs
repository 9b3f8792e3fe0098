//! A table of files: documents in a column of bytes, which moves with its rows and is not looked into either.

use drill::{Name, World};
use futures::TryStreamExt;
use scope::Scope;

const NEW: &str = "CREATE TABLE import_file (id INTEGER PRIMARY KEY, title TEXT, content BLOB);
    CREATE TABLE lazaret_load (consignment VARCHAR(32) NOT NULL, target_table VARCHAR(128) NOT NULL,
        attempt BIGINT NOT NULL, row_count BIGINT NOT NULL, PRIMARY KEY (consignment, target_table));";

fn scope(holds: &str) -> String {
    format!(
        "[[table]]\nname = \"file\"\ntarget = \"import_file\"\nkey = [\"id\"]\n\
         take = [{{ column = \"id\", type = \"int64\" }}, {{ column = \"title\", type = \"text\" }},\n\
         {{ column = \"content\", type = \"bytes\"{holds} }}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_documents_moves_once_its_kinds_are_named_and_nothing_of_another_kind_with_it() {
    let world = World::start().await;
    let (old, new) = (world.path("old.sqlite"), world.path("new.sqlite"));
    let system = rusqlite::Connection::open(&old).unwrap();
    system.execute_batch("CREATE TABLE file (id INTEGER PRIMARY KEY, title TEXT, content BLOB)").unwrap();
    let title = |number: i32| format!("Kerbrat-xq7Zt-{number:02}.pdf");
    let said = |number: i32| format!("potassium-w4Rmk-{number:02}");
    for number in 0..80 {
        let content = (number % 8 != 0).then(|| format!("%PDF-1.4 {}", said(number)).into_bytes());
        system.execute("INSERT INTO file (title, content) VALUES (?1, ?2)", (title(number), content)).unwrap();
    }
    world.plant_in("file", "title", (0..80).map(title));
    world.plant_in("file", "content", (0..80).map(said));
    rusqlite::Connection::open(&new).unwrap().execute_batch(NEW).unwrap();
    let source = connectors::connect_source(&format!("sqlite:{}", old.display()), None).unwrap();
    let sink = connectors::connect_sink(&format!("sqlite:{}", new.display()), None).unwrap();

    let unnamed = Scope::parse(&scope("")).unwrap();
    let snapshot = source.begin(false).await.unwrap();
    let refused = snapshot.read(&unnamed, "file").try_next().await.unwrap_err();
    assert!(refused.to_string().contains("70 values in column content of table file are documents"), "{refused}");
    drop(snapshot);

    let desk = world.desk(Name::Controller);
    let named = scope(", holds = [\"pdf\"], reason = \"the reports that were signed\"");
    let plan = world.approved(&named, source.as_ref(), sink.as_ref()).await;
    let ledger = desk.follow(plan.migration).await.unwrap();
    let taken = passage::check_papers(&desk, plan.migration, &ledger).await.unwrap();
    let shown = taken.tables[0].documents.join("\n");
    assert!(shown.contains("content holds pdf: 70 documents, 1890 bytes"), "{shown}");
    assert!(shown.ends_with(scope::DOCUMENTS_SENTENCE), "{shown}");

    // What came after the approval and is of another kind is not sealed.
    system.execute("INSERT INTO file (content) VALUES (x'ffd8ffe0')", []).unwrap();
    let consignment = world.consign(&plan).await;
    let refused = world.extract(&plan, consignment, source.as_ref()).await.unwrap_err();
    assert!(
        refused.to_string().contains("1 values in column content of table file are no document of a kind"),
        "{refused}"
    );
    system.execute("DELETE FROM file WHERE content = x'ffd8ffe0'", []).unwrap();
    world.extract(&plan, consignment, source.as_ref()).await.unwrap();
    world.release(&plan, consignment).await.unwrap();
    assert!(world.load(&plan, consignment, sink.as_ref()).await.unwrap().reconciliation.equal());
}
