//! A folder of files, one per table, each with a line of column names: what an old system gives when it can only dump
//! everything. The predicate is evaluated here, on the way out.
//!
//! `TABLE.csv`, UTF-8 (or the character set that the scope names for a column), RFC 4180 quotes, separated by comma,
//! semicolon, tab or bar, whichever cuts the first line into most names. An empty field is NULL; a quoted empty field
//! is an empty text, and NULL where the kind is not text.

mod records;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use lexicon::{Digest, Hasher, Result};
use scope::{
    Followed, Kind, Lookups, Rows, Sampling, Scope, ScopedBatch, SourceColumn, SourceTable, TableScope, TableTally,
};
use tokio::sync::{Mutex, mpsc};

use self::records::Records;
use crate::at_fault::AtFault;
use crate::columns::{Batcher, give, given};
use crate::gate::{Gate, drawn, table_scope, wanted};
use crate::{Snapshot, Source, trouble};

const BATCHES_WAITING: usize = 2;
/// 64 KiB: a file is read in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// The files of one folder.
#[derive(Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// One file and what it held when the moment began.
#[derive(Clone, Debug)]
struct Held {
    path: PathBuf,
    digest: Digest,
    /// Whether no other file has the table's name; of two, which is the table nobody can say.
    is_alone: bool,
}

/// By table.
type Files = BTreeMap<String, Held>;

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Every `*.csv` of the folder with its digest. A table is looked for among these and nowhere else, so that no
    /// table's name can lead out of the folder.
    fn hold(&self) -> Result<Files> {
        let unreadable = || trouble::unreachable("the folder of files", "it cannot be read");
        let mut files = Files::new();
        for entry in std::fs::read_dir(&self.path).map_err(|_| unreadable())? {
            let path = entry.map_err(|_| unreadable())?.path();
            let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
            if !is_csv || !path.is_file() {
                continue;
            }
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else {
                return Err(trouble::file("?", "its name is not UTF-8"));
            };
            let digest = digest(&name, &path)?;
            let again = |first: &mut Held| first.is_alone = false;
            files.entry(name).and_modify(again).or_insert(Held { path, digest, is_alone: true });
        }
        Ok(files)
    }
}

fn open(name: &str, path: &PathBuf) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|_| trouble::unreachable(&format!("file `{name}`"), "it cannot be opened"))?;
    Ok(BufReader::with_capacity(PIECE_BYTES, file))
}

fn digest(name: &str, path: &PathBuf) -> Result<Digest> {
    let mut file = open(name, path)?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read =
            file.read(&mut piece).map_err(|_| trouble::unreachable(&format!("file `{name}`"), "a read failed"))?;
        match piece.get(..read) {
            Some(bytes) if read > 0 => hasher.update(bytes),
            _ => return Ok(hasher.finish()),
        }
    }
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| trouble::gone("a thread that reads files"))?
}

impl Source for Folder {
    fn identity(&self) -> String {
        format!("csv:{}", self.path.display())
    }

    fn describe(&self) -> BoxFuture<'_, Result<Vec<SourceTable>>> {
        let folder = self.clone();
        on_thread(move || {
            let described = |(name, held): (String, Held)| {
                let mut records = Records::new(&name, open(&name, &held.path)?);
                let columns = records.header()?.into_iter().map(|name| SourceColumn {
                    name,
                    declared: "text".to_owned(),
                    kind: Some(Kind::Text),
                    nullable: true,
                });
                let columns = columns.collect();
                let (primary_key, references) = (Vec::new(), Vec::new());
                Ok(SourceTable { name, columns, primary_key, references, definition: None, rows: None })
            };
            folder.hold()?.into_iter().map(described).collect()
        })
        .boxed()
    }

    fn begin(&self, _live: bool) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        async {
            let folder = self.clone();
            let files = on_thread(move || folder.hold()).await?;
            let all: Vec<_> = files.iter().map(|(name, held)| (name, held.digest)).collect();
            let description = format!(
                "{} files, digested before and after; SHA-256 over the list of names and digests: {}",
                files.len(),
                lexicon::digest_of(&all)?
            );
            let lookups = Mutex::new(None);
            let gate = Gate::default();
            let moment: Box<dyn Snapshot> =
                Box::new(Moment { folder: self.clone(), files, description, lookups, gate });
            Ok(moment)
        }
        .boxed()
    }
}

/// The files as they were when it began.
struct Moment {
    folder: Folder,
    files: Files,
    description: String,
    /// The keys that `exists in` asks for, of the scope with this digest.
    lookups: Mutex<Option<(Digest, Arc<Lookups>)>>,
    gate: Gate,
}

impl Moment {
    /// Everything in one file that the scope takes or looks at, before admission.
    async fn raw(&self, taken: &TableScope, at_fault: &AtFault) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = taken.name.clone();
        let held = self.files.get(&name).ok_or_else(|| trouble::no_table("the folder", &name))?;
        if !held.is_alone {
            return Err(trouble::file(&name, "a second one stands beside it, with `.csv` in other letters"));
        }
        let mut records = Records::new(&name, open(&name, &held.path)?);
        let (header, records) = on_thread(move || Ok((records.header()?, records))).await?;
        let (schema, places) = placed(taken, &header)?;
        let batcher = Batcher::new(&name, schema, at_fault)?;
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
        let reading = tokio::task::spawn_blocking(move || {
            let mut each = |batch| futures::executor::block_on(give(&sender, batch));
            send_rows(records, &places, batcher, &mut each)
        });
        Ok(given(receiver, reading, "a thread that reads a file"))
    }

    /// The keys that predicates of this scope reach through: one pass over each file that they name.
    async fn lookups(&self, scope: &Scope) -> Result<Arc<Lookups>> {
        let order = Lookups::order(scope);
        if order.is_empty() {
            return Ok(Arc::default());
        }
        // Digesting a scope of thousands of tables takes milliseconds, and this is asked for each.
        let digest = scope.digest()?;
        let mut kept = self.lookups.lock().await;
        if let Some((of, lookups)) = kept.as_ref()
            && *of == digest
        {
            return Ok(Arc::clone(lookups));
        }
        let mut lookups = Lookups::default();
        for table in order {
            lookups.expect(scope, table);
            let mut batches = self.raw(table_scope(scope, table)?, self.gate.at_fault()).await?;
            while let Some(batch) = batches.try_next().await? {
                lookups.collect(scope, table, &batch)?;
            }
        }
        let lookups = Arc::new(lookups);
        *kept = Some((digest, Arc::clone(&lookups)));
        Ok(lookups)
    }

    async fn admitted<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        gate: &'a Gate,
    ) -> Result<BoxStream<'a, Result<ScopedBatch>>> {
        let lookups = self.lookups(scope).await?;
        let raw = self.raw(table_scope(scope, table)?, gate.at_fault()).await?;
        Ok(raw.map(move |batch| gate.admit(scope, table, &batch?, Rows::Filter(&lookups))).boxed())
    }
}

/// Reads all records and gives the batches out, until nobody takes them any more.
fn send_rows<R: BufRead>(
    mut records: Records<R>,
    places: &[usize],
    mut batcher: Batcher,
    give: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<()> {
    while records.advance()? {
        for (index, place) in places.iter().enumerate() {
            let field = records.field(*place);
            batcher.cell(index, field.bytes.len(), |cells| values::put(cells, field));
        }
        if let Some(batch) = batcher.end_row()?
            && !give(batch)
        {
            return Ok(());
        }
    }
    if let Some(batch) = batcher.finish()? {
        give(batch);
    }
    Ok(())
}

/// Of two columns with one name only one would be read.
fn twice(name: &str, (first, second): (usize, usize)) -> lexicon::Trouble {
    let [first, second] = [first, second].map(|place| place.saturating_add(1));
    trouble::file(name, &format!("its columns {first} and {second} have the same name"))
}

/// Where each wanted column stands in a file.
fn placed(taken: &TableScope, header: &[String]) -> Result<(SchemaRef, Vec<usize>)> {
    taken.check_columns(header)?;
    let schema = wanted(taken);
    let place = |name: &String| {
        let mut places = (0..).zip(header).filter(|(_, found)| *found == name).map(|(place, _)| place);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(first), Some(second)) => Err(twice(&taken.name, (first, second))),
            (None, _) => Err(trouble::no_column(&taken.name, "named in the scope")),
        }
    };
    let places = schema.fields().iter().map(|field| place(field.name())).collect::<Result<Vec<_>>>()?;
    Ok((schema, places))
}

#[cfg(feature = "parsers")]
pub(crate) fn fields(text: &[u8]) -> Result<Vec<crate::parsers::Fields>> {
    let mut records = Records::new("t", text);
    let width = records.header()?.len();
    let here = |records: &Records<&[u8]>| {
        let fields = (0..width).map(|place| records.field(place));
        fields.map(|field| (field.bytes.to_vec(), field.quoted)).collect()
    };
    let mut found = vec![here(&records)];
    while records.advance()? {
        found.push(here(&records));
    }
    Ok(found)
}

#[cfg(feature = "parsers")]
pub(crate) fn rows(text: &[u8], taken: &TableScope) -> Result<Vec<RecordBatch>> {
    let mut records = Records::new(&taken.name, text);
    let (schema, places) = placed(taken, &records.header()?)?;
    let mut found = Vec::new();
    let mut give = |batch| {
        found.push(batch);
        true
    };
    send_rows(records, &places, Batcher::new(&taken.name, schema, &AtFault::default())?, &mut give)?;
    Ok(found)
}

impl Snapshot for Moment {
    fn description(&self) -> String {
        self.description.clone()
    }

    /// Reads the whole file: nothing else knows.
    fn count<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxFuture<'a, Result<(u64, u64)>> {
        async move {
            // A tally of its own: counting is not reading.
            let gate = Gate::beside(self.gate.at_fault());
            let mut rows = self.admitted(scope, table, &gate).await?;
            while rows.try_next().await?.is_some() {}
            drop(rows);
            let tally = gate.tally(table);
            Ok((tally.rows_in, tally.rows_admitted))
        }
        .boxed()
    }

    fn orphans<'a>(&'a self, scope: &'a Scope, followed: &'a Followed) -> BoxFuture<'a, Result<u64>> {
        async move {
            let lookups = self.lookups(scope).await?;
            let mut batches = self.raw(table_scope(scope, followed.table())?, self.gate.at_fault()).await?;
            let mut orphans = 0_u64;
            while let Some(batch) = batches.try_next().await? {
                orphans = orphans.saturating_add(followed.orphans_in(&batch, &lookups)?);
            }
            Ok(orphans)
        }
        .boxed()
    }

    fn read<'a>(&'a self, scope: &'a Scope, table: &'a str) -> BoxStream<'a, Result<ScopedBatch>> {
        self.admitted(scope, table, &self.gate).try_flatten_stream().boxed()
    }

    fn sampling<'a>(&'a self, scope: &'a Scope, sampling: Sampling) -> BoxFuture<'a, Result<Sampling>> {
        async move {
            let all = self.lookups(scope).await?;
            let raw = |table| async move { self.raw(table_scope(scope, table)?, self.gate.at_fault()).await };
            drawn(scope, sampling, Some(&all), raw).await
        }
        .boxed()
    }

    fn sample<'a>(
        &'a self,
        scope: &'a Scope,
        table: &'a str,
        sampling: &'a Sampling,
    ) -> BoxStream<'a, Result<ScopedBatch>> {
        let rows = async move {
            let all = self.lookups(scope).await?;
            let raw = self.raw(table_scope(scope, table)?, self.gate.at_fault()).await?;
            Ok::<_, lexicon::Trouble>(self.gate.sample(scope, table, (sampling, Some(all)), raw))
        };
        rows.try_flatten_stream().boxed()
    }

    fn at_fault(&self, scope: &Scope, table: &str) -> Vec<RecordBatch> {
        self.gate.at_fault().keyed(scope, table)
    }

    fn tally(&self, table: &str) -> TableTally {
        self.gate.tally(table)
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        on_thread(move || {
            let now = self.folder.hold()?;
            for (name, held) in &self.files {
                match now.get(name) {
                    Some(found) if found.digest == held.digest => {}
                    Some(_) => return Err(trouble::moved(&format!("file `{name}` changed while it was read"))),
                    None => return Err(trouble::moved(&format!("file `{name}` went away while it was read"))),
                }
            }
            Ok(())
        })
        .boxed()
    }
}
