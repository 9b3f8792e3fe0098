//! A server whose disk is full: its target table on a disk of its own in memory, which only the root account can make,
//! for a server on this machine.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use lexicon::{Code, Retry, Trouble};
use scope::Scope;

use super::lab::{Lab, System, Words, mark, scope_of, stream};

/// A fixed number of megabytes, in a folder that the server may enter.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Owned as the server's data are. None where it cannot be made.
    fn of(data: &Path, megabytes: u32) -> Option<Self> {
        let owner = std::fs::metadata(data).ok()?;
        let folder = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let disk = Self(folder);
        std::fs::create_dir(disk.place()).unwrap();
        let owner = format!("uid={},gid={},mode=700", owner.uid(), owner.gid());
        disk.mount(&format!("size={megabytes}m,{owner}")).then_some(disk)
    }

    fn place(&self) -> PathBuf {
        self.0.path().join("disk")
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.place()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    fn grow(&self, megabytes: u32) {
        assert!(self.mount(&format!("remount,size={megabytes}m")));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the server may still hold a file. One that was never mounted has nothing to give back.
        let mut umount = Command::new("umount");
        drop(umount.arg("-l").arg(self.place()).stderr(Stdio::null()).status());
    }
}

/// 20 MB in 20,000 rows, each too short to be compressed.
fn rows() -> (Scope, RecordBatch) {
    let take = &[("id", "int64"), ("label", "text")];
    let scope = scope_of(&Words { name: "label", target: "arrived", key: &["id"], take, ..Words::default() });
    let ids = (0..20_000).collect::<Int64Array>();
    let labels: StringArray = (0..20_000).map(|id| Some(format!("{id:01000}"))).collect();
    let rows = RecordBatch::try_new(scope.tables()[0].target_schema(), vec![Arc::new(ids), Arc::new(labels)]);
    (scope, rows.unwrap())
}

fn is_full(trouble: &Trouble, state: &str) {
    let Trouble::Fault(fault) = trouble else { unreachable!("no fault: {trouble}") };
    assert_eq!((fault.code, fault.retry), (Code(432), Retry::Later), "{fault}");
    assert!(["target table `arrived`: ", "is full", state].iter().all(|part| fault.message.contains(part)), "{fault}");
}

async fn nothing_is_loaded(lab: &Lab) {
    assert_eq!((lab.count("arrived").await, lab.count("lazaret_load").await), (0, 0));
}

#[test]
fn a_full_disk_of_postgresql_is_told_and_loaded_into_once_it_has_grown() {
    let name = "a_full_disk_of_postgresql_is_told_and_loaded_into_once_it_has_grown";
    super::tell(System::Postgres, name, |lab| Box::pin(full_postgresql(lab)));
}

async fn full_postgresql(lab: &Lab) {
    let Some(disk) = Disk::of(&lab.data_directory().await, 8) else {
        skipped!("a full disk of PostgreSQL (no disk can be made in memory here)");
        return;
    };
    let space = super::lab::random_name();
    lab.make_targets(&Scope::parse("").unwrap()).await;
    lab.run(&format!("CREATE TABLESPACE {space} LOCATION '{}'", disk.place().display())).await;
    lab.run(&format!("CREATE TABLE arrived (id bigint, label varchar(1000)) TABLESPACE {space}")).await;
    let (scope, rows) = rows();
    let sink = lab.sink();

    let refused = sink.load(&scope, "label", mark(1), stream(vec![rows.clone()])).await.unwrap_err();
    is_full(&refused, "53100");
    nothing_is_loaded(lab).await;
    let refused = sink.load_straight(&scope, "label", mark(1), stream(vec![rows.clone()])).await.unwrap_err();
    is_full(&refused, "53100");
    nothing_is_loaded(lab).await;
    disk.grow(64);
    assert_eq!(sink.load(&scope, "label", mark(1), stream(vec![rows])).await.unwrap().rows, 20_000);

    lab.run("DROP TABLE arrived").await;
    lab.run(&format!("DROP TABLESPACE {space}")).await;
}

#[test]
fn a_full_disk_of_mariadb_is_told_and_loaded_into_once_it_has_grown() {
    let name = "a_full_disk_of_mariadb_is_told_and_loaded_into_once_it_has_grown";
    super::tell(System::MariaDb, name, |lab| Box::pin(full_mariadb(lab)));
}

async fn full_mariadb(lab: &Lab) {
    let Some(disk) = Disk::of(&lab.data_directory().await, 8) else {
        skipped!("a full disk of MariaDB (no disk can be made in memory here)");
        return;
    };
    lab.make_targets(&Scope::parse("").unwrap()).await;
    let ddl = "CREATE TABLE arrived (id bigint, label varchar(1000)) DATA DIRECTORY=";
    lab.run(&format!("{ddl}'{}'", disk.place().display())).await;
    let (scope, rows) = rows();
    let sink = lab.sink();

    let refused = sink.load(&scope, "label", mark(1), stream(vec![rows.clone()])).await.unwrap_err();
    is_full(&refused, "1114");
    nothing_is_loaded(lab).await;
    disk.grow(64);
    assert_eq!(sink.load(&scope, "label", mark(1), stream(vec![rows.clone()])).await.unwrap().rows, 20_000);

    // The other number, which the engines that write row by row give after waiting for space.
    lab.run(
        "DELETE FROM lazaret_load; DROP TABLE arrived; CREATE TABLE arrived (id bigint, label varchar(1000)); \
         CREATE TRIGGER no_space BEFORE INSERT ON arrived FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1021",
    )
    .await;
    let refused = sink.load(&scope, "label", mark(1), stream(vec![rows])).await.unwrap_err();
    is_full(&refused, "1021");
    nothing_is_loaded(lab).await;
}
