use std::collections::BTreeSet;

use lexicon::limits::SINGLE_OUT_PATIENTS;
use lexicon::{Digest, Result, Timestamp, digest_of};
use serde::{Deserialize, Serialize};

use crate::{Scope, TableFindings, TableScope, rules, trouble};

/// What a check of a scope against its source found: counts only. The approval binds its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The scope that was checked.
    pub scope: Digest,
    /// The source that it was checked against: scheme, host and database.
    pub source: String,
    /// The digest of the source's tables and columns.
    pub schema: Digest,
    /// When.
    pub at: Timestamp,
    /// By table, in the order of the scope.
    pub tables: Vec<ReportTable>,
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
            findings,
        }
    }
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
    /// A refusal when it is a report about another scope, or when a predicate singles out fewer than 50 rows of a
    /// larger table without a written reason.
    pub fn check(&self, scope: &Scope) -> Result<()> {
        let reported: BTreeSet<&str> = self.tables.iter().map(|line| line.name.as_str()).collect();
        let scoped: BTreeSet<&str> = scope.tables().iter().map(|table| table.name.as_str()).collect();
        if self.scope != scope.digest()? || reported != scoped {
            return Err(trouble::not_ready("the report is about another scope"));
        }
        for line in &self.tables {
            let table = scope.known(&line.name)?;
            let singles_out = table.filter.is_some()
                && line.rows_in_scope < SINGLE_OUT_PATIENTS
                && line.rows_in_scope < line.rows_source;
            if singles_out && !rules::given(table.reason.as_ref()) {
                return Err(trouble::singled_out(&line.name, line.rows_in_scope));
            }
        }
        Ok(())
    }

    /// Whether a table has, give or take 2 %, the rows in scope that the report counted.
    ///
    /// # Errors
    /// A refusal when it has not, or when the report does not name it.
    pub fn holds(&self, table: &str, rows_in_scope: u64) -> Result<()> {
        let line = self.tables.iter().find(|line| line.name == table).ok_or_else(|| trouble::no_table(table))?;
        let (found, expected) = (u128::from(rows_in_scope), u128::from(line.rows_in_scope));
        // 2 % of u64::MAX times 50 fits a u128.
        if found.abs_diff(expected).saturating_mul(50) > expected {
            return Err(trouble::outside_report(table, line.rows_in_scope, rows_in_scope));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "[[table]]\nname = \"p\"\ntake = [{ column = \"a\", type = \"int64\" }]\nwhere = \"a = 1\"\n";

    fn report(scope: &Scope, rows_in_scope: u64) -> Report {
        let line = ReportTable::new(scope.table("p").unwrap(), 1000, rows_in_scope, TableFindings::default());
        {
            let (source, schema) = ("sqlite:/old".to_owned(), Digest::of(b"schema"));
            Report { scope: scope.digest().unwrap(), source, schema, at: Timestamp::UNIX_EPOCH, tables: vec![line] }
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

    #[test]
    fn a_report_about_another_scope_is_refused() {
        let scope = Scope::parse(TOML).unwrap();
        let other = Scope::parse(&TOML.replace("a = 1", "a = 2")).unwrap();
        assert_eq!(report(&scope, 500).check(&other).unwrap_err().code(), lexicon::Code(317));
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
