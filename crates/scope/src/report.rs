use std::collections::{BTreeMap, BTreeSet};

use lexicon::limits::SINGLE_OUT_PATIENTS;
use lexicon::{Digest, Result, Timestamp, digest_of};
use serde::{Deserialize, Serialize};

use crate::persons::Persons;
use crate::{
    DOCUMENTS_SENTENCE, Declared, DocumentKind, DocumentsScope, Scope, SourceTable, TableFindings, TableScope, Unfit,
    WHOLE_ROWS_MAX, declared, rules, trouble,
};

/// What a check of a scope against its source found: names, counts and digests. The approval binds its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The scope that was checked.
    pub scope: Digest,
    /// The source that it was checked against: scheme, host and database.
    pub source: String,
    /// The digest of the source's tables and columns.
    pub schema: Digest,
    /// How the scope's tables are declared in it, by their names there.
    pub declared: BTreeMap<String, Declared>,
    /// When.
    pub at: Timestamp,
    /// By table, in the order of the scope.
    pub tables: Vec<ReportTable>,
    /// By folder of documents, in the order of the scope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<ReportDocuments>,
}

/// What the check found in one folder of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportDocuments {
    /// The part of the scope.
    pub name: String,
    /// The folder that was looked at.
    pub folder: String,
    /// What moves, by kind.
    pub kinds: BTreeMap<DocumentKind, DocumentCount>,
    /// What stays, by reason.
    pub stays: BTreeMap<Unfit, u64>,
    /// Documents that rows in scope name and that are not there, where the part has a listing.
    #[serde(default)]
    pub missing: u64,
    /// What whoever approves is told: [`DOCUMENTS_SENTENCE`].
    pub sentence: String,
}

/// How many documents, and how large they are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentCount {
    /// How many.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl DocumentCount {
    /// One more.
    pub fn add(&mut self, bytes: u64) {
        self.documents = self.documents.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl ReportDocuments {
    /// The line of one folder.
    pub fn new(
        part: &DocumentsScope,
        kinds: BTreeMap<DocumentKind, DocumentCount>,
        stays: BTreeMap<Unfit, u64>,
    ) -> Self {
        let (name, folder) = (part.name.clone(), part.folder.clone());
        Self { name, folder, kinds, stays, missing: 0, sentence: DOCUMENTS_SENTENCE.to_owned() }
    }

    /// Whether it is of this part, tells the sentence, and says that nothing lies there that the scope does not take.
    fn check(&self, part: &DocumentsScope) -> Result<()> {
        let taken = self.kinds.keys().all(|kind| part.take.contains(kind));
        let same = (&self.name, &self.folder) == (&part.name, &part.folder);
        if !same || !taken || self.sentence != DOCUMENTS_SENTENCE {
            return Err(trouble::not_ready("the report is about another scope"));
        }
        if part.refuses(&self.stays) {
            return Err(trouble::documents_unfit(&part.name, &self.stays));
        }
        Ok(())
    }
}

/// What the check found in one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportTable {
    /// Its name in the source.
    pub name: String,
    /// Rows in the table.
    pub rows_source: u64,
    /// Rows in scope.
    pub rows_in_scope: u64,
    /// The columns that pass, by their names in the source.
    pub columns_taken: Vec<String>,
    /// The columns that stay.
    pub columns_left: Vec<String>,
    /// What the rows in scope hold.
    pub findings: TableFindings,
    /// What whoever approves is told where a column holds documents: [`DOCUMENTS_SENTENCE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
}

impl ReportTable {
    /// The line of one table.
    pub fn new(table: &TableScope, rows_source: u64, rows_in_scope: u64, findings: TableFindings) -> Self {
        Self {
            name: table.name.clone(),
            rows_source,
            rows_in_scope,
            columns_taken: table.take.iter().map(|take| take.column.clone()).collect(),
            columns_left: table.leave.clone(),
            sentence: sentence(table),
            findings,
        }
    }

    /// The documents in its columns, as people read them, and the sentence; nothing where no column holds any.
    pub fn documents_lines(&self) -> Vec<String> {
        let Some(sentence) = &self.sentence else { return Vec::new() };
        let found = self.findings.columns.iter().flat_map(|column| {
            let line = |(kind, count): (&DocumentKind, &DocumentCount)| {
                format!("{} holds {kind}: {} documents, {} bytes", column.column, count.documents, count.bytes)
            };
            column.documents.iter().map(line)
        });
        found.chain([sentence.clone()]).collect()
    }

    /// Whether it tells the sentence where it has to.
    fn check_documents(&self, table: &TableScope) -> Result<()> {
        if self.sentence == sentence(table) {
            return Ok(());
        }
        Err(trouble::not_ready("the report is about another scope"))
    }
}

fn sentence(table: &TableScope) -> Option<String> {
    let holds = table.take.iter().any(|take| !take.holds.is_empty());
    holds.then(|| DOCUMENTS_SENTENCE.to_owned())
}

impl Report {
    /// The digest that an approval binds.
    ///
    /// # Errors
    /// As [`lexicon::canonical`].
    pub fn digest(&self) -> Result<Digest> {
        digest_of(self)
    }

    /// Whether the scope may be approved as far as this report shows.
    ///
    /// # Errors
    /// A refusal when it is a report about another scope or does not say of documents what it has to, or when a predicate singles out fewer than 50 patients without a
    /// written reason: where each row is one, and else where it leaves rows out. Only a table that speaks of no patient
    /// and is as short as a list of codes is nobody, and not even that where no table is known to speak of patients.
    pub fn check(&self, scope: &Scope) -> Result<()> {
        let reported: BTreeSet<&str> = self.tables.iter().map(|line| line.name.as_str()).collect();
        let scoped: BTreeSet<&str> = scope.tables().iter().map(|table| table.name.as_str()).collect();
        if self.scope != scope.digest()? || reported != scoped {
            return Err(trouble::not_ready("the report is about another scope"));
        }
        if self.documents.len() != scope.documents().len() {
            return Err(trouble::not_ready("the report is about another scope"));
        }
        scope.documents().iter().zip(&self.documents).try_for_each(|(part, line)| line.check(part))?;
        let persons = Persons::of(scope, self);
        for line in &self.tables {
            let (table, name) = (scope.known(&line.name)?, line.name.as_str());
            line.check_documents(table)?;
            let short = line.rows_source <= WHOLE_ROWS_MAX;
            let counts = !short || persons.speaking.is_empty() || persons.speaking.contains(name);
            let narrows = persons.standing.contains(name) || line.rows_in_scope < line.rows_source;
            let patients = line.findings.patients.unwrap_or(line.rows_in_scope);
            let few = (1..SINGLE_OUT_PATIENTS).contains(&patients);
            if table.filter.is_some() && counts && narrows && few && !rules::given(table.reason.as_ref()) {
                return Err(trouble::singled_out(name, patients));
            }
        }
        Ok(())
    }

    /// What of the scope's tables is declared otherwise than when it was checked, a clause for each table, by names alone.
    ///
    /// # Errors
    /// As [`declared`].
    pub fn declared_otherwise(&self, scope: &Scope, found: &[SourceTable]) -> Result<Vec<String>> {
        let now = declared(scope, found)?;
        let both = self.declared.iter().filter_map(|(name, before)| Some((name, before, now.get(name)?)));
        Ok(both.filter_map(|(name, before, now)| before.changed(name, now)).collect())
    }

    /// Whether a table has, give or take 2 %, the rows in scope that the report counted.
    ///
    /// # Errors
    /// A refusal when it has not, or when the report does not name it.
    pub fn holds(&self, table: &str, rows_in_scope: u64) -> Result<()> {
        let line = self.tables.iter().find(|line| line.name == table).ok_or_else(|| trouble::no_table(table))?;
        if !near(rows_in_scope, line.rows_in_scope) {
            return Err(trouble::outside_report(table, line.rows_in_scope, rows_in_scope));
        }
        Ok(())
    }

    /// Whether a folder has, give or take 2 %, the documents of each kind and the bytes that the report counted.
    ///
    /// # Errors
    /// A refusal when it has not, or when the report does not name it.
    pub fn holds_documents(&self, part: &str, kinds: &BTreeMap<DocumentKind, DocumentCount>) -> Result<()> {
        let line = self.documents.iter().find(|line| line.name == part).ok_or_else(|| trouble::no_documents(part))?;
        for kind in line.kinds.keys().chain(kinds.keys()) {
            let of = |kinds: &BTreeMap<DocumentKind, DocumentCount>| kinds.get(kind).copied().unwrap_or_default();
            let (expected, found) = (of(&line.kinds), of(kinds));
            if !near(found.documents, expected.documents) || !near(found.bytes, expected.bytes) {
                return Err(trouble::documents_outside_report(part, *kind, expected, found));
            }
        }
        Ok(())
    }
}

/// Whether a number is what was counted, give or take 2 %.
fn near(found: u64, expected: u64) -> bool {
    // 2 % of u64::MAX times 50 fits a u128.
    let (found, expected) = (u128::from(found), u128::from(expected));
    found.abs_diff(expected).saturating_mul(50) <= expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceColumn;

    const TOML: &str = "[[table]]\nname = \"p\"\ntake = [{ column = \"a\", type = \"int64\" }]\nwhere = \"a = 1\"\n";

    fn report(scope: &Scope, rows_in_scope: u64) -> Report {
        let line = ReportTable::new(scope.table("p").unwrap(), 1000, rows_in_scope, TableFindings::default());
        {
            let (source, schema) = ("sqlite:/old".to_owned(), Digest::of(b"schema"));
            let (scope, declared, at) = (scope.digest().unwrap(), BTreeMap::new(), Timestamp::UNIX_EPOCH);
            Report { scope, source, schema, declared, at, tables: vec![line], documents: Vec::new() }
        }
    }

    #[test]
    fn a_scope_that_singles_out_a_few_needs_a_reason() {
        let scope = Scope::parse(TOML).unwrap();
        assert_eq!(report(&scope, 49).check(&scope).unwrap_err().code(), lexicon::Code(322));
        report(&scope, 50).check(&scope).unwrap();
        let scope = Scope::parse(&format!("{TOML}reason = \"the rehearsal's volunteers\"\n")).unwrap();
        report(&scope, 49).check(&scope).unwrap();
    }

    /// One table of a scope of several: its section, its rows in the source and in scope, its patients if it names them.
    type Told<'a> = (&'a str, u64, u64, Option<u64>);

    fn refused(tables: &[Told<'_>]) -> Option<String> {
        let toml: Vec<String> = tables.iter().map(|(section, ..)| format!("[[table]]\n{section}\n")).collect();
        let scope = Scope::parse(&toml.concat()).unwrap();
        let lines = scope.tables().iter().zip(tables).map(|(table, (_, rows_source, rows_in_scope, patients))| {
            let findings = TableFindings { patients: *patients, ..TableFindings::default() };
            ReportTable::new(table, *rows_source, *rows_in_scope, findings)
        });
        let tables = lines.collect();
        let report = Report { tables, ..report(&Scope::parse(TOML).unwrap(), 50) };
        let report = Report { scope: scope.digest().unwrap(), ..report };
        let trouble = report.check(&scope).err()?;
        assert_eq!(trouble.code(), lexicon::Code(322));
        Some(trouble.to_string())
    }

    const PATIENT: &str = "name = \"patient\"\ntake = [{ column = \"id\", type = \"int64\" }]\nleave = [\"seen\"]\n\
                           where = \"seen >= date '2020-01-01'\"";
    const RESULT: &str = "name = \"result\"\n\
                          take = [{ column = \"patient_id\", type = \"int64\" }, { column = \"code\", type = \"text\" }]\n\
                          where = \"exists in patient (patient_id = id)\"";
    const UNIT: &str = "name = \"unit\"\ntake = [{ column = \"code\", type = \"text\" }]";

    #[test]
    fn few_patients_with_many_results_are_singled_out() {
        let many = (RESULT, 90_000, 4_000, Some(50));
        assert!(refused(&[(PATIENT, 3_000, 49, None), many]).unwrap().contains("patient singles out 49 patients"));
        // Also where the old system has no more of them.
        assert!(refused(&[(PATIENT, 12, 12, None), many]).is_some());
        assert_eq!(refused(&[(PATIENT, 3_000, 50, None), many]), None);
        assert_eq!(refused(&[(PATIENT, 3_000, 0, None), many]), None, "nobody is singled out");
    }

    #[test]
    fn many_rows_of_few_patients_are_few() {
        let chosen = RESULT.replace("exists in patient (patient_id = id)", "code = 'HIV'");
        let refused = |patients| refused(&[(&chosen, 90_000, 400, Some(patients)), (UNIT, 20, 20, None)]);
        assert!(refused(49).unwrap().contains("result singles out 49 patients"));
        assert_eq!(refused(50), None);
    }

    #[test]
    fn a_short_code_list_is_nobody() {
        let used = format!("{UNIT}\nwhere = \"code in ('g/L', 'mmol/L')\"");
        for unit in [(UNIT, 20, 20, None), (used.as_str(), 20, 2, None)] {
            assert_eq!(refused(&[(PATIENT, 3_000, 2_000, None), unit]), None);
        }
        // Where nothing is known to be a patient, everything may be.
        assert!(refused(&[(&used, 20, 2, None)]).is_some());
    }

    #[test]
    fn one_table_with_a_patients_column_makes_no_other_nobody() {
        let decoy =
            ("name = \"ward\"\ntake = [{ column = \"code\", type = \"text\" }]\nleave = [\"ipp\"]", 20, 20, None);
        let subject = "name = \"subject\"\ntake = [{ column = \"id\", type = \"int64\" }]\nwhere = \"id = 42\"";
        let visit = "name = \"visit\"\ntake = [{ column = \"subject\", type = \"int64\" }]\n\
                     where = \"exists in subject (subject = id)\"";
        assert!(refused(&[(subject, 3_000, 1, None), decoy]).unwrap().contains("subject singles out 1 patients"));
        assert!(refused(&[(subject, 3_000, 50, None), (visit, 9_000, 3, None), decoy]).unwrap().contains("visit"));
        assert_eq!(refused(&[(subject, 3_000, 50, None), (visit, 9_000, 90, None), decoy]), None);
        // A short one is nobody, unless what speaks of patients is reached through it.
        let speaking = visit.replace("where", "leave = [\"ipp\"]\nwhere");
        assert_eq!(refused(&[(subject, 900, 1, None), (visit, 9_000, 90, None), decoy]), None);
        assert!(refused(&[(subject, 900, 1, None), (&speaking, 9_000, 90, None), decoy]).unwrap().contains("subject"));
    }

    #[test]
    fn rows_that_follow_their_patients_single_out_nobody_unless_they_leave_some_out() {
        let patients = (PATIENT, 3_000, 2_000, None);
        assert_eq!(refused(&[patients, (RESULT, 30, 30, Some(30))]), None);
        assert!(refused(&[patients, (RESULT, 90_000, 30, Some(30))]).is_some());
    }

    #[test]
    fn a_report_about_another_scope_is_refused() {
        let scope = Scope::parse(TOML).unwrap();
        let other = Scope::parse(&TOML.replace("a = 1", "a = 2")).unwrap();
        assert_eq!(report(&scope, 500).check(&other).unwrap_err().code(), lexicon::Code(317));
    }

    #[test]
    fn a_column_that_is_declared_otherwise_is_named_and_a_table_outside_the_scope_is_not() {
        let scope = Scope::parse(TOML).unwrap();
        let column = |name: &str, declared: &str| SourceColumn {
            name: name.to_owned(),
            declared: declared.to_owned(),
            kind: None,
            nullable: true,
        };
        let table = |name: &str, columns| SourceTable {
            name: name.to_owned(),
            columns,
            primary_key: Vec::new(),
            references: Vec::new(),
            definition: None,
            rows: Some(3),
        };
        let before = [table("p", vec![column("a", "int"), column("b", "text")]), table("q", vec![column("c", "int")])];
        let report = Report { declared: declared(&scope, &before).unwrap(), ..report(&scope, 500) };
        let told = |change: fn(&mut [SourceTable; 2])| {
            let mut now = before.clone();
            change(&mut now);
            report.declared_otherwise(&scope, &now).unwrap().join("; ")
        };
        assert_eq!(told(|now| now[0].rows = None), "");
        assert_eq!(told(|now| now[0].columns[0].declared = "enum('HIV')".to_owned()), "table `p`: column `a`");
        assert_eq!(told(|now| now[0].columns[1].nullable = false), "table `p`: column `b`");
        assert_eq!(told(|now| now[0].columns.truncate(0)), "table `p`: columns `a`, `b`");
        let form = "table `p`: its keys, the order of its columns or what it asks for as a view";
        assert_eq!(told(|now| now[0].columns.reverse()), form);
        assert_eq!(told(|now| now[0].primary_key = vec!["a".to_owned()]), form);
        assert_eq!(told(|now| now[0].definition = Some(Digest::of(b"SELECT a, b FROM q"))), form);
        assert_eq!(told(|now| now[1].columns[0].declared = "text".to_owned()), "");
    }

    fn with_documents(others: &str, stays: BTreeMap<Unfit, u64>) -> (Scope, Report) {
        let part = format!(
            "[[documents]]\nname = \"reports\"\nfolder = \"/r\"\ntake = [\"pdf\"]\nothers = \"{others}\"\n\
             reason = \"the reports are shown to patients\"\n"
        );
        let scope = Scope::parse(&format!("{TOML}{part}")).unwrap();
        let kinds = BTreeMap::from([(DocumentKind::Pdf, DocumentCount { documents: 100, bytes: 5_000 })]);
        let line = ReportDocuments::new(&scope.documents()[0], kinds, stays);
        let report = Report { documents: vec![line], ..report(&scope, 500) };
        (scope, report)
    }

    #[test]
    fn a_report_on_documents_says_the_sentence_or_is_none() {
        let (scope, report) = with_documents("refuse", BTreeMap::new());
        report.check(&scope).unwrap();
        let silent = ReportDocuments { sentence: "Nothing of note.".to_owned(), ..report.documents[0].clone() };
        for documents in [vec![silent], Vec::new()] {
            let refused = Report { documents, ..report.clone() }.check(&scope).unwrap_err();
            assert_eq!(refused.code(), lexicon::Code(317));
        }
    }

    #[test]
    fn a_column_that_holds_documents_says_so_in_the_scope_and_the_report_says_the_sentence() {
        let toml = |holds: &str| {
            let take = format!("{{ column = \"a\", type = \"bytes\"{holds} }}");
            format!("[[table]]\nname = \"p\"\ntake = [{take}]\n")
        };
        let reported = |toml: &str| {
            let scope = Scope::parse(toml).unwrap();
            let mut inspector = crate::Inspector::new(&scope.tables()[0]);
            let values: Vec<&[u8]> = vec![b"%PDF-1.4", b"a text", b"%PDF-1.7"];
            let column: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::BinaryArray::from(values));
            let schema = scope.tables()[0].target_schema();
            inspector.look(&arrow_array::RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
            let line = ReportTable::new(&scope.tables()[0], 500, 500, inspector.finish());
            let report = report(&Scope::parse(TOML).unwrap(), 500);
            (Report { scope: scope.digest().unwrap(), tables: vec![line], ..report }, scope)
        };
        let (mut report, scope) = reported(&toml(", holds = [\"pdf\", \"txt\"], reason = \"signed reports\""));
        report.check(&scope).unwrap();
        let shown = report.tables[0].documents_lines();
        let kinds = ["a holds pdf: 2 documents, 16 bytes", "a holds txt: 1 documents, 6 bytes", DOCUMENTS_SENTENCE];
        assert_eq!(shown, kinds);
        report.tables[0].sentence = None;
        assert_eq!(report.check(&scope).unwrap_err().code(), lexicon::Code(317));
    }

    #[test]
    fn what_is_not_taken_is_refused_or_stays_and_is_counted() {
        let stays = BTreeMap::from([(Unfit::Kind, 2), (Unfit::Link, 1)]);
        let (scope, report) = with_documents("refuse", stays.clone());
        let refused = report.check(&scope).unwrap_err();
        assert_eq!(refused.code(), lexicon::Code(328));
        assert!(refused.to_string().contains("1 that are links, 2 of a kind that is not taken"), "{refused}");
        let (scope, report) = with_documents("leave", stays);
        report.check(&scope).unwrap();
    }

    #[test]
    fn documents_beyond_two_percent_in_number_or_in_bytes_are_refused_by_kind() {
        let (_, report) = with_documents("refuse", BTreeMap::new());
        let holds = |kind, documents, bytes| {
            let found = BTreeMap::from([(kind, DocumentCount { documents, bytes })]);
            report.holds_documents("reports", &found).map_err(|trouble| trouble.code().0)
        };
        assert_eq!(holds(DocumentKind::Pdf, 102, 5_100), Ok(()));
        assert_eq!(holds(DocumentKind::Pdf, 103, 5_000), Err(330));
        assert_eq!(holds(DocumentKind::Pdf, 100, 5_101), Err(330));
        assert_eq!(holds(DocumentKind::Png, 100, 5_000), Err(330));
    }

    #[test]
    fn two_percent_either_way_is_the_end() {
        let scope = Scope::parse(TOML).unwrap();
        let report = report(&scope, 500);
        report.holds("p", 510).unwrap();
        report.holds("p", 490).unwrap();
        assert_eq!(report.holds("p", 511).unwrap_err().code(), lexicon::Code(324));
        assert_eq!(report.holds("p", 489).unwrap_err().code(), lexicon::Code(324));
    }
}
