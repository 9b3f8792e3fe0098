use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use lexicon::{Digest, Result, digest_of};
use serde::{Deserialize, Serialize};

use crate::{DocumentKind, DocumentsScope, Kind, Predicate, rules, trouble};

/// What may leave a laboratory: tables and folders of documents, in file order. Only [`Scope::parse`] makes one that leaves
/// this room, so that every scope keeps the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scope {
    #[serde(rename = "table")]
    tables: Vec<TableScope>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    documents: Vec<DocumentsScope>,
    /// Where each table stands, by its name in the source: there may be thousands.
    #[serde(skip)]
    places: BTreeMap<String, usize>,
}

/// The file as written, before the rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    table: Vec<TableScope>,
    #[serde(default)]
    documents: Vec<DocumentsScope>,
}

/// One table: which columns are taken, which stay, which rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableScope {
    /// Its name in the source.
    pub name: String,
    /// Its name in the target; the source's name when the file gives none.
    #[serde(default)]
    pub target: String,
    /// The key, in names of the source; empty means that rows are compared as a multiset and differences cannot be
    /// located.
    #[serde(default)]
    pub key: Vec<String>,
    /// The columns that cross, in the order of the target's rows.
    #[serde(default)]
    pub take: Vec<Take>,
    /// The columns that stay, named so that a new column is noticed.
    #[serde(default)]
    pub leave: Vec<String>,
    /// Which rows; all when there is none.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Predicate>,
    /// Why, where the rules ask for a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One column that crosses. The transforms apply in the order charset, trim, `null_if`, map, cast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// Its name in the source.
    pub column: String,
    /// Its name in the target; the source's name when the file gives none.
    #[serde(rename = "as", default)]
    pub target: String,
    /// Its type in the target.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its type in the source, when that is another: the cast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Kind>,
    /// The IANA zone of a naive timestamp that becomes a moment, or of a moment that becomes a naive timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Values that mean nothing and become null, as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null_if: Vec<String>,
    /// The code map: every value that occurs must be in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// Which blanks (U+0020) to take off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trim: Option<Trim>,
    /// The old character set of a column that the source hands out as bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<Charset>,
    /// Of a column of files: the kinds that its values may be, told by their content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<DocumentKind>,
    /// Why, where the rules ask for a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which blanks to take off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trim {
    /// At both ends.
    Both,
    /// At the end only, as `char(n)` needs.
    End,
}

/// An old character set, decoded strictly: a byte that it does not define is refused, never replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Charset {
    /// Windows-1252.
    Cp1252,
    /// ISO 8859-1, without its control characters 0x80 to 0x9F: where those occur, the text is Windows-1252.
    Latin1,
}

impl Scope {
    /// Reads a scope file and applies every rule of this room to it.
    ///
    /// # Errors
    /// A refusal that names the table and the column and says what to do.
    pub fn parse(toml: &str) -> Result<Self> {
        let file: File = toml::from_str(toml).map_err(|error| {
            let line = error.span().map_or(0, |span| toml.bytes().take(span.start).filter(|b| *b == b'\n').count());
            trouble::unreadable(format!("line {}: {}", line.saturating_add(1), error.message()))
        })?;
        let File { table: mut tables, mut documents } = file;
        tables.iter_mut().for_each(TableScope::fill_names);
        documents.iter_mut().for_each(DocumentsScope::fill_names);
        rules::check(&tables, &documents)?;
        Ok(Self::of(tables, documents))
    }

    /// Tables of a target, each whole: see [`TableScope::loaded`].
    pub(crate) fn of_loaded(tables: Vec<TableScope>) -> Self {
        Self::of(tables, Vec::new())
    }

    fn of(tables: Vec<TableScope>, documents: Vec<DocumentsScope>) -> Self {
        let places = tables.iter().enumerate().map(|(place, table)| (table.name.clone(), place)).collect();
        Self { tables, documents, places }
    }

    /// The scope as a file, without comments and with every default written out.
    ///
    /// # Errors
    /// A refusal when a value has no TOML form; a defect of ours.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(trouble::unreadable)
    }

    /// The digest of what the scope says. Comments, order of keys and defaults left out do not change it; the order of
    /// tables and columns does.
    ///
    /// # Errors
    /// As [`lexicon::canonical`].
    pub fn digest(&self) -> Result<Digest> {
        digest_of(self)
    }

    /// The tables, in file order.
    pub fn tables(&self) -> &[TableScope] {
        &self.tables
    }

    /// The folders of documents, in file order.
    pub fn documents(&self) -> &[DocumentsScope] {
        &self.documents
    }

    /// The folder of documents that the scope calls so, or a refusal.
    ///
    /// # Errors
    /// A refusal when there is none.
    pub fn documents_called(&self, name: &str) -> Result<&DocumentsScope> {
        self.documents.iter().find(|part| part.name == name).ok_or_else(|| trouble::no_documents(name))
    }

    /// The table of that name in the source.
    pub fn table(&self, name: &str) -> Option<&TableScope> {
        self.places.get(name).and_then(|place| self.tables.get(*place))
    }

    /// The table of that name in the source, or a refusal.
    pub(crate) fn known(&self, name: &str) -> Result<&TableScope> {
        self.table(name).ok_or_else(|| trouble::no_table(name))
    }

    /// Whether a plan may name this scope: a draft, which takes nothing of some table, may not.
    ///
    /// # Errors
    /// A refusal that names the first table or folder of documents of which nothing is taken.
    pub fn ready(&self) -> Result<()> {
        if self.tables.is_empty() {
            return Err(trouble::not_ready("it names no table"));
        }
        if let Some(table) = self.tables.iter().find(|table| table.take.is_empty()) {
            return Err(trouble::not_ready(format!("nothing of table {} is taken", table.name)));
        }
        match self.documents.iter().find(|part| part.take.is_empty()) {
            Some(part) => Err(trouble::not_ready(format!("no kind of documents {} is taken", part.name))),
            None => Ok(()),
        }
    }
}

impl TableScope {
    fn fill_names(&mut self) {
        if self.target.is_empty() {
            self.target.clone_from(&self.name);
        }
        for take in &mut self.take {
            if take.target.is_empty() {
                take.target.clone_from(&take.column);
            }
        }
    }

    /// The taken columns under their source names and types: what a source hands to [`Scope::admit`] when it has
    /// applied the predicate itself.
    pub fn source_schema(&self) -> SchemaRef {
        let fields = self.take.iter().map(|take| Field::new(&take.column, take.read_kind().arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The columns that the predicate looks at, under their source names and types. A source that cannot filter hands
    /// these out beside [`Self::source_schema`] (a column in both occurs once).
    pub fn filter_schema(&self) -> SchemaRef {
        let fields = self.filter.iter().flat_map(Predicate::columns).map(|column| {
            let kind = self.taken(&column).map_or_else(
                || self.filter.as_ref().and_then(|filter| filter.kind_by_constants(&column)).unwrap_or(Kind::Text),
                Take::read_kind,
            );
            Field::new(&column, kind.arrow(), true)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The taken columns under their target names and types: what is sealed, loaded, read back and fingerprinted.
    pub fn target_schema(&self) -> SchemaRef {
        let fields = self.take.iter().map(|take| Field::new(&take.target, take.kind.arrow(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The table as it stands in the target once it is loaded: every row, under the target's names and types.
    pub(crate) fn loaded(&self) -> Self {
        let take = self.take.iter().map(|take| Take::plain(&take.target, take.kind));
        Self {
            name: self.target.clone(),
            target: self.target.clone(),
            key: Vec::new(),
            take: take.collect(),
            leave: Vec::new(),
            filter: None,
            reason: None,
        }
    }

    /// The taken column of that source name.
    pub fn taken(&self, column: &str) -> Option<&Take> {
        self.take.iter().find(|take| take.column == column)
    }

    /// Take and leave together must be exactly the source's columns.
    ///
    /// # Errors
    /// A refusal with the name of each unknown and each missing column.
    pub fn check_columns(&self, found: &[String]) -> Result<()> {
        let named = |column: &str| self.taken(column).is_some() || self.leave.iter().any(|left| left == column);
        let unknown: Vec<&str> = found.iter().map(String::as_str).filter(|column| !named(column)).collect();
        let mentioned = self.take.iter().map(|take| &take.column).chain(&self.leave);
        let missing: Vec<&str> = mentioned.filter(|column| !found.contains(column)).map(String::as_str).collect();
        if unknown.is_empty() && missing.is_empty() {
            return Ok(());
        }
        Err(trouble::columns(&self.name, &unknown, &missing))
    }
}

impl Take {
    /// A column that crosses as it is.
    pub(crate) fn plain(column: &str, kind: Kind) -> Self {
        Self {
            column: column.to_owned(),
            target: column.to_owned(),
            kind,
            from: None,
            zone: None,
            null_if: Vec::new(),
            map: BTreeMap::new(),
            trim: None,
            charset: None,
            holds: Vec::new(),
            reason: None,
        }
    }

    /// The type in which a source hands the column out.
    ///
    /// A column with a character set comes as its bytes. A day or a time with `null_if` comes as text (`2019-01-31`,
    /// `12:30:00`, `2019-01-31 12:30:00`, with fractions where there are any), because `MariaDB`'s `0000-00-00` is no
    /// day and only text can carry it.
    pub fn read_kind(&self) -> Kind {
        let kind = self.source_kind();
        if kind.is_temporal() && !self.null_if.is_empty() { Kind::Text } else { kind }
    }

    /// The type that predicates compare in.
    pub(crate) fn source_kind(&self) -> Kind {
        if self.charset.is_some() { Kind::Bytes } else { self.from.unwrap_or(self.kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const PATIENT: &str = r#"
        # What the laboratory lets go.
        [[table]]
        name = "patient"
        target = "import_patient"
        key = ["patient_id"]
        take = [
          { column = "patient_id", type = "int64" },
          { column = "name", as = "full_name", type = "text" },
        ]
        leave = ["portal_password", "comment_1", "spouse_name", "created_at"]
        where = "created_at >= date '2019-01-01'"
    "#;

    #[test]
    fn the_file_of_the_manual_is_read() {
        let scope = Scope::parse(PATIENT).unwrap();
        let table = scope.table("patient").unwrap();
        assert_eq!(table.target, "import_patient");
        let names: Vec<_> = table.target_schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["patient_id", "full_name"]);
        assert_eq!(table.filter_schema().field(0).data_type(), &Kind::Date.arrow());
        scope.ready().unwrap();
    }

    #[test]
    fn a_scope_written_out_is_the_same_scope() {
        let scope = Scope::parse(PATIENT).unwrap();
        let again = Scope::parse(&scope.to_toml().unwrap()).unwrap();
        assert_eq!(scope, again);
        assert_eq!(scope.digest().unwrap(), again.digest().unwrap());
    }

    #[test]
    fn a_comment_does_not_change_the_digest_and_a_column_does() {
        let digest = |toml: &str| Scope::parse(toml).unwrap().digest().unwrap();
        assert_eq!(digest(PATIENT), digest(&PATIENT.replace("# What the laboratory lets go.", "")));
        assert_ne!(digest(PATIENT), digest(&PATIENT.replace("spouse_name", "spouse_names")));
    }

    #[test]
    fn an_unknown_column_is_refused_by_name() {
        let scope = Scope::parse(PATIENT).unwrap();
        let found = ["patient_id", "name", "portal_password", "comment_1", "spouse_name", "created_at", "hiv_status"];
        let refusal = scope.table("patient").unwrap().check_columns(&found.map(String::from)).unwrap_err();
        assert_eq!(refusal.code(), lexicon::Code(311));
        assert!(refusal.to_string().contains("hiv_status"));
    }

    #[test]
    fn a_missing_column_is_refused_by_name() {
        let scope = Scope::parse(PATIENT).unwrap();
        let found = ["patient_id", "name", "portal_password", "comment_1", "created_at"];
        let refusal = scope.table("patient").unwrap().check_columns(&found.map(String::from)).unwrap_err();
        assert!(refusal.to_string().contains("spouse_name"));
    }

    #[test]
    fn an_unknown_word_in_the_file_is_refused() {
        for toml in [
            "[[table]]\nname = \"a\"\ntakes = []",
            "[[table]]\nname = \"a\"\ntake = [{ column = \"x\", type = \"text\", sql = \"1\" }]",
            "query = \"select\"",
        ] {
            assert_eq!(Scope::parse(toml).unwrap_err().code(), lexicon::Code(301));
        }
    }
}
