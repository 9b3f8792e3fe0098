//! `lazaret scope`: the allow-list of what leaves the old system, drafted from it, and checked against both systems.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use connectors::{
    DocumentSource, DocumentTarget, Prepared, Snapshot, Source, connect_sink, connect_source, schema_digest,
};
use futures::TryStreamExt;
use lexicon::{Code, Digest, Refusal, Result, canonical};
use scope::{
    Account, ColumnFindings, Dialect, Inspector, Marks, Report, ReportDocuments, ReportTable, Scope as ScopeFile,
    SourceTable,
};
use serde_json::{Value, json};

use super::Context;
use super::context::{credential, value};
use crate::files;
use crate::output::{self, Done, add};

/// The allow-list of what leaves the old system.
#[derive(Subcommand)]
pub(crate) enum Scope {
    /// Write a first scope in which everything stays, with the statements that go with it
    Draft(Draft),
    /// Write the rights of a throw-away account, and tables for a target, of a finished scope
    Statements(Statements),
    /// Say what would pass and what stays, and sign that; or whether the new system can take it
    Check(Check),
}

impl Scope {
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        match self {
            Self::Draft(command) => command.run().await,
            Self::Statements(command) => command.run(),
            Self::Check(command) => command.run(context).await,
        }
    }
}

/// Who will read the old system.
#[derive(Args)]
struct Reader {
    /// The throw-away account that will read the old system
    #[arg(long, default_value = "lazaret_extract")]
    account: String,
    /// Where it will come from, as MariaDB or MySQL sees it: an address, a name, or a pattern like `10.0.0.%`
    #[arg(long, default_value = "localhost")]
    account_host: String,
}

impl Reader {
    fn account(&self) -> Account<'_> {
        Account { name: &self.account, host: &self.account_host }
    }
}

/// Draft a scope.
#[derive(Args)]
pub(crate) struct Draft {
    /// The old system: `sqlite:/path`, `postgres://user@host/db`, `mariadb://user@host/db`, `csv:/folder`
    #[arg(long)]
    source: String,
    /// The file that holds its password
    #[arg(long)]
    source_credential: Option<PathBuf>,
    #[command(flatten)]
    reader: Reader,
    /// Where to write the scope; grants-*.sql and target-*.sql go beside it
    #[arg(long)]
    out: PathBuf,
}

impl Draft {
    async fn run(self) -> Result<Done> {
        let source = connect_source(&self.source, credential(self.source_credential.as_ref())?)?;
        let tables = source.describe().await?;
        let schema = schema_digest(&tables)?;
        let draft = scope::draft(&tables, self.reader.account())?;
        let mut written = statement_files(&self.out, |dialect| {
            Ok([draft.grants.get(&dialect), draft.target_ddl.get(&dialect)]
                .map(|text| text.cloned().unwrap_or_default()))
        })?;
        files::write_new(&self.out, draft.scope_toml.as_bytes())?;
        written.insert(0, self.out.clone());
        let (views, tables): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.definition.is_some());
        let columns: usize = tables.iter().map(|table| table.columns.len()).sum();
        let mut text = format!(
            "Found {} tables with {columns} columns, and {} views, in {}. In the draft all of them stay.\n",
            tables.len(),
            views.len(),
            source.identity()
        );
        for path in &written {
            add(&mut text, format_args!("  {}\n", path.display()));
        }
        text.push_str(
            "The grants give nothing yet: write them again with `lazaret scope statements` once the scope is \
             finished.\nNext: the engineer moves what the new system needs from leave to take; then a person of the laboratory: \
             `lazaret scope check`.",
        );
        let source = json!({ "identity": source.identity(), "schema": schema });
        let (tables, views) = (tables.len(), views.len());
        let json =
            json!({ "source": source, "tables": tables, "views": views, "columns": columns, "written": written });
        Ok(Done::new(text, json))
    }
}

/// Write the statements of a finished scope.
#[derive(Args)]
pub(crate) struct Statements {
    /// The scope
    #[arg(long)]
    scope: PathBuf,
    #[command(flatten)]
    reader: Reader,
    /// The folder that will hold grants-*.sql and target-*.sql
    #[arg(long)]
    out: PathBuf,
}

impl Statements {
    fn run(self) -> Result<Done> {
        let scope = ScopeFile::parse(&files::text(&self.scope)?)?;
        scope.ready()?;
        let written = statement_files(&self.out.join("scope.toml"), |dialect| {
            Ok([scope::grants(&scope, dialect, self.reader.account())?, scope::target_ddl(&scope, dialect)?])
        })?;
        let mut text = "Written, to be read and run by a person; Lazaret runs none of it:\n".to_owned();
        for path in &written {
            add(&mut text, format_args!("  {}\n", path.display()));
        }
        text.push_str("Next: the old system's administrator runs the grants of their database.");
        Ok(Done::new(text, json!({ "written": written })))
    }
}

/// Writes `grants-*.sql` and `target-*.sql` beside a scope; nothing that exists is replaced.
fn statement_files(scope: &Path, texts: impl Fn(Dialect) -> Result<[String; 2]>) -> Result<Vec<PathBuf>> {
    let folder = scope.parent().unwrap_or(Path::new("."));
    let mut written = Vec::new();
    for (dialect, name) in
        [(Dialect::MariaDb, "mariadb"), (Dialect::Postgres, "postgresql"), (Dialect::Sqlite, "sqlite")]
    {
        for (text, what) in texts(dialect)?.iter().zip(["grants", "target"]) {
            let path = folder.join(format!("{what}-{name}.sql"));
            files::write_new(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Check a scope.
#[derive(Args)]
pub(crate) struct Check {
    /// The scope
    #[arg(long)]
    scope: PathBuf,
    /// The old system, on the laboratory's side
    #[arg(long, required_unless_present = "target")]
    source: Option<String>,
    /// The file that holds its password
    #[arg(long)]
    source_credential: Option<PathBuf>,
    /// The old system is still written to while it is read
    #[arg(long)]
    live: bool,
    /// The new system, on the recipient's side
    #[arg(long)]
    target: Option<String>,
    /// The file that holds its password
    #[arg(long)]
    target_credential: Option<PathBuf>,
    /// The folder of the new system for documents, on the recipient's side
    #[arg(long, requires = "target")]
    documents: Option<String>,
    /// Where to write the signed report about the old system
    #[arg(long, required_unless_present = "target")]
    out: Option<PathBuf>,
}

impl Check {
    async fn run(self, context: &Context) -> Result<Done> {
        let scope = ScopeFile::parse(&files::text(&self.scope)?)?;
        scope.ready()?;
        let mut text = String::new();
        let mut json = json!({ "scope": scope.digest()? });
        if let Some(url) = &self.source {
            let source = connect_source(url, credential(self.source_credential.as_ref())?)?;
            let checked = self.check_source(context, &scope, source.as_ref()).await?;
            text.push_str(&checked.text);
            merge(&mut json, checked.json);
        }
        if let Some(url) = &self.target {
            let sink = connect_sink(url, credential(self.target_credential.as_ref())?)?;
            let prepared = sink.prepare(&scope).await?;
            text.push_str(&target_text(&scope, &sink.identity(), &prepared));
            merge(&mut json, target_json(&sink.identity(), &prepared));
        }
        if let Some(folder) = &self.documents {
            let folder = DocumentTarget::open(folder)?.identity();
            let line = toml::Value::String(folder.clone());
            add(&mut text, format_args!("In the same [[target]], for documents:\ndocuments = {line}\n"));
            merge(&mut json, json!({ "documents_folder": folder }));
        }
        text.push_str("Next: the engineer: `lazaret migration propose --plan FILE`, with these lines in the file.");
        Ok(Done::new(text, json))
    }

    async fn check_source(&self, context: &Context, scope: &ScopeFile, source: &dyn Source) -> Result<Done> {
        let Some(out) = &self.out else {
            return Err(Refusal::new(
                Code(1045),
                "the report about the old system has no place to go to",
                "Give --out FILE.",
            )
            .into());
        };
        if out.exists() {
            return Err(Refusal::new(
                Code(1046),
                format!("the file {} exists already", out.display()),
                "Name another one: a report that somebody may have approved is not replaced.",
            )
            .into());
        }
        // Before the source is read: a report that nobody here can sign is of no use.
        let desk = context.desk()?;
        let found = source.describe().await?;
        let system = System {
            identity: source.identity(),
            schema: schema_digest(&found)?,
            live: self.live,
            declared: Marks::new(),
        };
        let snapshot = source.begin(self.live).await?;
        let mut tables = Vec::new();
        for table in scope.tables() {
            if !context.global.quiet {
                output::error_line(&format!("looking at {}", table.name));
            }
            tables.push(look(scope, table, snapshot.as_ref()).await?);
        }
        let moment = snapshot.description();
        let documents = counted(scope, snapshot.as_ref()).await?;
        snapshot.finish().await?;
        let (source, schema) = (system.identity.clone(), system.schema);
        let (digest, declared) = (scope.digest()?, scope::declared(scope, &found)?);
        let report = Report { scope: digest, source, schema, declared, at: desk.now()?, tables, documents };
        report.check(scope)?;
        let document = canonical(&desk.state(&report)?)?;
        files::write_new(out, &document)?;
        let mut text = source_text(scope, &report, &found);
        add(
            &mut text,
            format_args!(
                "Read {moment}.\nSigned by {}: {} (digest {}). Names, counts and digests; no value left this machine.\n{}",
                desk.me().person.name,
                out.display(),
                Digest::of(&document),
                system.plan_lines("[source]", Some(self.live)),
            ),
        );
        let json = json!({
            "source": { "identity": system.identity, "schema": system.schema, "live": system.live },
            "report": out,
            "report_digest": Digest::of(&document),
            "tables": value(&report.tables),
            "documents": value(&report.documents),
            "stays_whole": left_whole(scope, &found),
        });
        Ok(Done::new(text, json))
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Counts one table and looks at the content of its rows in scope.
async fn look(scope: &ScopeFile, table: &scope::TableScope, snapshot: &dyn Snapshot) -> Result<ReportTable> {
    let (rows, in_scope) = snapshot.count(scope, &table.name).await?;
    let mut inspector = Inspector::new(table);
    let mut batches = snapshot.read(scope, &table.name);
    while let Some(batch) = batches.try_next().await? {
        inspector.look(batch.batch())?;
    }
    Ok(ReportTable::new(table, rows, in_scope, inspector.finish()))
}

/// Counts each folder of documents, by the beginning of each file in it.
async fn counted(scope: &ScopeFile, snapshot: &dyn Snapshot) -> Result<Vec<ReportDocuments>> {
    let (scope, mut counted) = (Arc::new(scope.clone()), Vec::new());
    for part in scope.documents() {
        let listed = connectors::listed(snapshot, &scope, part).await?;
        counted.push(DocumentSource::open(&scope, &part.name, listed)?.count()?);
    }
    Ok(counted)
}

/// What the plan file says about a system.
struct System {
    identity: String,
    schema: Digest,
    live: bool,
    /// Of a new system.
    declared: Marks,
}

impl System {
    fn plan_lines(&self, header: &str, live: Option<bool>) -> String {
        let identity = toml::Value::String(self.identity.clone());
        let live = live.map(|live| format!("live = {live}\n")).unwrap_or_default();
        // On one line: whoever writes a line more below it is still in the same table.
        let declared = toml::Value::try_from(&self.declared).ok().filter(|_| !self.declared.is_empty());
        let declared = declared.map(|declared| format!("declared = {declared}\n")).unwrap_or_default();
        let schema = self.schema;
        format!("For the plan file:\n\n{header}\nidentity = {identity}\nschema = \"{schema}\"\n{live}{declared}\n")
    }
}

/// Views are not among them: what they show is their tables', and may be in scope there.
fn left_whole(scope: &ScopeFile, found: &[SourceTable]) -> Vec<String> {
    let tables = found.iter().filter(|table| table.definition.is_none() && scope.table(&table.name).is_none());
    tables.map(|table| table.name.clone()).collect()
}

fn source_text(scope: &ScopeFile, report: &Report, found: &[SourceTable]) -> String {
    let mut text = String::new();
    let mut line = |what: String| {
        add(&mut text, format_args!("{what}\n"));
    };
    for table in &report.tables {
        let target = scope.table(&table.name).map_or("", |scoped| scoped.target.as_str());
        line(format!("{} → {target}: {} of {} rows", table.name, table.rows_in_scope, table.rows_source));
        line(format!("  would pass: {}", table.columns_taken.join(", ")));
        line(format!("  stays:      {}", list(&table.columns_left)));
        for column in &table.findings.columns {
            let seen = seen(column);
            if !seen.is_empty() {
                line(format!("  look at {}: {seen}", column.column));
            }
        }
        table.documents_lines().iter().for_each(|told| line(format!("  {told}")));
    }
    line(format!("Tables that stay as a whole: {}", list(&left_whole(scope, found))));
    for (report, part) in report.documents.iter().zip(scope.documents()) {
        let (report, target, reason) = (report.clone(), part.target.clone(), part.reason.clone().unwrap_or_default());
        passage::PreviewDocuments { report, target, reason }.lines().into_iter().for_each(&mut line);
    }
    text
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// What was found in a column that its name may not have given away; nothing when nothing was.
fn seen(column: &ColumnFindings) -> String {
    let kinds = [
        (column.nir_like, "like a NIR"),
        (column.email_like, "with an e-mail address"),
        (column.password_like, "like a password"),
        (column.long_text, "of long text"),
    ];
    let seen = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} values {what}"));
    seen.collect::<Vec<_>>().join(", ")
}

fn target_text(scope: &ScopeFile, identity: &str, prepared: &Prepared) -> String {
    let mut text = "The new system can take this scope. Load order:\n".to_owned();
    for name in prepared.waves.iter().flatten() {
        let target = scope.table(name).map_or("", |table| table.target.as_str());
        let rows = prepared.counts.get(name).copied().unwrap_or(0);
        let full = if rows > 0 { "; a load needs it empty" } else { "" };
        add(&mut text, format_args!("  {name} → {target}: {rows} rows there now{full}\n"));
    }
    for note in &prepared.notes {
        add(&mut text, format_args!("Note: {note}\n"));
    }
    let system = System {
        identity: identity.to_owned(),
        schema: prepared.schema,
        live: false,
        declared: prepared.declared.clone(),
    };
    text.push_str(&system.plan_lines("[[target]]\nkinds = [\"full\", \"delta\"]", None));
    text
}

fn target_json(identity: &str, prepared: &Prepared) -> Value {
    json!({
        "target": { "identity": identity, "schema": prepared.schema },
        "marks": prepared.declared,
        "waves": prepared.waves,
        "counts": prepared.counts,
        "notes": prepared.notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_without_findings_is_not_mentioned() {
        let mut column = ColumnFindings { column: "remark".to_owned(), nulls: 3, ..ColumnFindings::default() };
        assert_eq!(seen(&column), "");
        column.nir_like = 2;
        column.long_text = 1;
        assert_eq!(seen(&column), "2 values like a NIR, 1 values of long text");
    }

    #[test]
    fn the_lines_for_the_plan_file_are_toml_whatever_the_path_is_called() {
        let system = System {
            identity: "sqlite:/a \"b\"\\c".to_owned(),
            schema: Digest::of(b"x"),
            live: true,
            declared: Marks::new(),
        };
        let lines = system.plan_lines("[source]", Some(true));
        let table: toml::Table = toml::from_str(lines.trim_start_matches("For the plan file:")).unwrap();
        let source: procedure::System = table.get("source").unwrap().clone().try_into().unwrap();
        assert_eq!((source.identity, source.live), (system.identity, true));
    }
}
