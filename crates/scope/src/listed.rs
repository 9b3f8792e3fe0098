//! Which documents rows in scope name: how a `where` reaches a folder of documents.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use arrow_array::cast::AsArray;
use lexicon::Result;
use serde::{Deserialize, Serialize};

use crate::{Scope, ScopedBatch, trouble};

/// The column that names documents: of each row in scope one, by its way from the part's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// A table of this scope.
    pub table: String,
    /// A column of it that is taken as text, by its name in the source.
    pub column: String,
}

/// Names that rows in scope gave: 8 bytes and their place in a set for each, the names themselves not among them. Another
/// name passes for one of a million of these once in 10,000,000,000,000 times.
#[derive(Default)]
pub struct Listed {
    hasher: RandomState,
    names: HashSet<u64>,
}

impl Listed {
    /// How many different names there are.
    pub fn names(&self) -> u64 {
        u64::try_from(self.names.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn holds(&self, name: &str) -> bool {
        self.names.contains(&self.hasher.hash_one(name))
    }

    fn take(&mut self, name: &str) {
        // Old systems of the other family write their own way.
        let name = name.replace('\\', "/");
        let name = name.strip_prefix("./").unwrap_or(&name);
        if !name.is_empty() {
            self.names.insert(self.hasher.hash_one(name));
        }
    }
}

impl Scope {
    /// Takes the names that admitted rows of the part's listing table give.
    ///
    /// # Errors
    /// A refusal when there is no such part; a fault when the rows are not of its listing table.
    pub fn list(&self, part: &str, rows: &ScopedBatch, listed: &mut Listed) -> Result<()> {
        let part = self.documents_called(part)?;
        let Some(listing) = &part.listed else { return Ok(()) };
        let take = self.known(&listing.table)?.taken(&listing.column);
        let names = take.and_then(|take| rows.batch().column_by_name(&take.target)?.as_string_opt::<i32>());
        let names = names.ok_or_else(|| trouble::batch_shape(&listing.table, &listing.column, "it names documents"))?;
        names.iter().flatten().for_each(|name| listed.take(name));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow_array::{RecordBatch, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use lexicon::Code;

    use super::*;
    use crate::{FoundDocument, Rows, Tally, Unfit};

    const TOML: &str = r#"
        [[table]]
        name = "report"
        take = [{ column = "file", as = "document", type = "text", trim = "end" }]
        leave = ["patient"]

        [[documents]]
        name = "reports"
        folder = "/r"
        take = ["pdf"]
        listed = { table = "report", column = "file" }
        reason = "the new system shows the reports of patients in scope"
    "#;

    #[test]
    fn a_document_that_no_row_in_scope_names_stays_whatever_it_is() {
        let scope = Scope::parse(TOML).unwrap();
        let schema = Schema::new(vec![Field::new("file", DataType::Utf8, true)]);
        let files = StringArray::from(vec![Some("2019/a.pdf  "), None, Some(r"2019\b.pdf"), Some("./c.pdf")]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(files)]).unwrap();
        let rows = scope.admit("report", &batch, Rows::AlreadyFiltered, &mut Tally::default()).unwrap();
        let mut listed = Listed::default();
        scope.list("reports", &rows, &mut listed).unwrap();
        assert_eq!(listed.names(), 3);
        let admitted = |name: &str, listed: Option<&Listed>| {
            let (bytes, content) = (8, Box::new(Cursor::new(b"%PDF-1.7".to_vec())));
            let found = FoundDocument { name: name.to_owned(), bytes, content, still: Box::new(|| true) };
            scope.admit_document("reports", listed, found).unwrap().err()
        };
        for name in ["2019/a.pdf", "2019/b.pdf", "c.pdf"] {
            assert_eq!(admitted(name, Some(&listed)), None, "{name}");
            assert_eq!(admitted(name, None), Some(Unfit::Unlisted), "without a list nothing is on it");
        }
        assert_eq!(admitted("2019/d.pdf", Some(&listed)), Some(Unfit::Unlisted));
    }

    #[test]
    fn a_listing_leads_to_a_text_column_that_is_taken() {
        let refused = |from: &str, to: &str| Scope::parse(&TOML.replace(from, to)).unwrap_err().code();
        assert_eq!(refused("table = \"report\", column", "table = \"reported\", column"), Code(327));
        assert_eq!(refused("column = \"file\" }\n        reason", "column = \"patient\" }\n        reason"), Code(327));
        assert_eq!(refused("type = \"text\", trim = \"end\"", "type = \"int64\""), Code(327));
    }
}
