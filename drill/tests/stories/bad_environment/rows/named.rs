//! Wherever an extraction meets a row that it cannot carry, the refusal names it: in counting, in reading, and in reading
//! again what an earlier attempt had stored. On files, which need no server.

use drill::write_file;

use super::super::replace;
use super::{Bad, Scene};

const SCOPE: &str = "[[table]]\nname = 'person'\ntarget = 'import_person'\nkey = ['id']\nleave = []\n\
     take = [{ column = 'id', type = 'int64' }, { column = 'label', type = 'text' }]\n";
const OLD: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY, label TEXT); \
     INSERT INTO person VALUES (1, 'Zoé'), (730194401, 'b')";
const NEW: &str = "CREATE TABLE import_person (id BIGINT PRIMARY KEY, label TEXT); \
     CREATE TABLE lazaret_load (consignment TEXT, target_table TEXT, attempt INTEGER, row_count INTEGER)";

const NOT_UTF_8: Bad = Bad {
    table: "person",
    column: "label",
    value: "CAST(x'5a517672373330313934343831e9' AS TEXT)",
    good: "'b'",
    code: 408,
    says: "1 texts that are not valid in their character set",
    hidden: &["ZQvr73019448"],
};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_carried_is_named_by_keyed_digest_wherever_it_is_met() {
    let mut scene = Scene::between_files(OLD, NEW, SCOPE, &[NOT_UTF_8]).await;
    let source = scene.systems.source.identity();
    let old = |bad: bool| {
        let file = source.strip_prefix("sqlite:").unwrap();
        rusqlite::Connection::open(file).unwrap().execute_batch(&NOT_UTF_8.sql(bad)).unwrap();
    };

    // In reading.
    old(true);
    NOT_UTF_8.is_told(NOT_UTF_8.table, &scene.extracted_from(&source).await, true);
    scene.nothing_is_closed().await;
    old(false);

    // In reading what is stored already.
    scene.turn_to(SCOPE).await;
    scene.world.extract_until(&scene.plan, scene.consignment, scene.systems.source.as_ref(), 1).await;
    old(true);
    NOT_UTF_8.is_told(NOT_UTF_8.table, &scene.extracted_from(&source).await, true);
    scene.nothing_is_closed().await;
    old(false);

    // In counting, which reads where there is nobody to ask.
    let folder = scene.world.system("old.sqlite-files");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("person.csv");
    write_file(&file, "id,label\n1,Zoé\n730194401,b\n".as_bytes());
    scene.systems.source = connectors::connect_source(&format!("csv:{}", folder.display()), None).unwrap();
    scene.turn_to(SCOPE).await;
    replace(&file, b"id,label\n1,Zo\xc3\xa9\n730194401,ZQvr73019448\xe9\n");
    NOT_UTF_8.is_told(NOT_UTF_8.table, &scene.extracted_from(&scene.systems.source.identity()).await, true);
    scene.nothing_is_closed().await;
}
