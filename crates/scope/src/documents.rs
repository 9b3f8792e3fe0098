//! A part of a scope that is a folder of documents: files that move as they are, because nothing can look into them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{BinaryArray, RecordBatch, StringArray, UInt64Array};
use lexicon::{Digest, Result};
use serde::{Deserialize, Serialize};

use crate::document::{CarriedDocument, DocumentKind, DocumentName, Unfit};
use crate::{Kind, Listing, ScopedBatch, TableScope, Take, trouble};

/// What everybody who approves documents is told: it stands in the report that is signed, in the preview, and nowhere in
/// other words.
pub const DOCUMENTS_SENTENCE: &str =
    "A PDF cannot be filtered inside: every page of every document of these kinds moves.";

/// The columns of a part's index.
const NAME: &str = "name";
const KIND: &str = "kind";
const BYTES: &str = "bytes";
const DIGEST: &str = "sha256";

/// One folder of documents: which kinds move, and what becomes of the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentsScope {
    /// What the part is called; no table is called so.
    pub name: String,
    /// Where they are: an absolute path on the machine that extracts.
    pub folder: String,
    /// The folder's name in the target's folder for documents; the part's name when the file gives none.
    #[serde(default)]
    pub target: String,
    /// The kinds that move.
    #[serde(default)]
    pub take: Vec<DocumentKind>,
    /// What becomes of everything else in the folder.
    #[serde(default)]
    pub others: Others,
    /// The rows that name the documents which move; every document of a taken kind when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Listing>,
    /// Why whole documents have to move; always asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What becomes of files that are no document of a taken kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// The run stops: nothing stays unnoticed.
    #[default]
    Refuse,
    /// They stay, and are counted.
    Leave,
}

/// What an index says of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexLine {
    /// Its name: the way to it from the part's folder.
    pub name: String,
    /// What name and content agree on; nothing where they do not.
    pub kind: Option<DocumentKind>,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of it.
    pub digest: Digest,
}

impl DocumentsScope {
    pub(crate) fn fill_names(&mut self) {
        if self.target.is_empty() {
            self.target.clone_from(&self.name);
        }
    }

    /// Whether files that stay stop the run. What no row names is not among them: it is other patients'.
    pub fn refuses(&self, stays: &BTreeMap<Unfit, u64>) -> bool {
        let unfit = stays.iter().any(|(unfit, count)| *unfit != Unfit::Unlisted && *count > 0);
        self.others == Others::Refuse && unfit
    }

    /// The part as a table of what it holds: a row for each document, found by its name. It is sealed beside the
    /// documents, fingerprinted, and read again from the target like any table.
    pub fn index(&self) -> TableScope {
        let columns = [(NAME, Kind::Text), (KIND, Kind::Text), (BYTES, Kind::UInt64), (DIGEST, Kind::Bytes)];
        TableScope {
            name: self.name.clone(),
            target: self.target.clone(),
            key: vec![NAME.to_owned()],
            take: columns.into_iter().map(|(column, kind)| Take::plain(column, kind)).collect(),
            leave: Vec::new(),
            filter: None,
            reason: None,
        }
    }

    /// Rows of the index.
    ///
    /// # Errors
    /// A fault that would be a defect of ours.
    pub fn rows(&self, lines: &[IndexLine]) -> Result<RecordBatch> {
        let kinds = lines.iter().map(|line| line.kind.map(DocumentKind::name));
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(lines.iter().map(|line| &line.name))),
            Arc::new(kinds.collect::<StringArray>()),
            Arc::new(UInt64Array::from_iter_values(lines.iter().map(|line| line.bytes))),
            Arc::new(BinaryArray::from_iter_values(lines.iter().map(|line| line.digest.0))),
        ];
        RecordBatch::try_new(self.index().target_schema(), columns).map_err(|error| trouble::arrow("an index", &error))
    }

    /// Rows of the index that may be sealed: of documents that the scope let pass and that were read to their end.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn carried(&self, documents: &[CarriedDocument]) -> Result<ScopedBatch> {
        let lines: Vec<IndexLine> = documents.iter().map(|document| document.line().clone()).collect();
        Ok(ScopedBatch::of_documents(self.rows(&lines)?))
    }

    /// A row with a document's name alone: what its keyed digest is made of.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub fn named(&self, name: &str) -> Result<RecordBatch> {
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values([name])),
            Arc::new(StringArray::from(vec![None::<&str>])),
            Arc::new(UInt64Array::from(vec![None::<u64>])),
            Arc::new(BinaryArray::from(vec![None::<&[u8]>])),
        ];
        RecordBatch::try_new(self.index().target_schema(), columns).map_err(|error| trouble::arrow("an index", &error))
    }

    /// What rows of an opened index say. Whoever sealed them is not believed: a name that leads out of a folder, or a
    /// kind that is not taken, is no line.
    ///
    /// # Errors
    /// The alarm LZ-0331 when a row is no line of such an index.
    pub fn lines(&self, batch: &RecordBatch) -> Result<Vec<IndexLine>> {
        let column = |name: &str| batch.column_by_name(name);
        let columns = (
            column(NAME).and_then(|array| array.as_string_opt::<i32>()),
            column(KIND).and_then(|array| array.as_string_opt::<i32>()),
            column(BYTES).and_then(|array| array.as_primitive_opt::<UInt64Type>()),
            column(DIGEST).and_then(|array| array.as_binary_opt::<i32>()),
        );
        let forged = || trouble::index_forged(&self.name);
        let (Some(names), Some(kinds), Some(bytes), Some(digests)) = columns else { return Err(forged()) };
        let rows = names.iter().zip(kinds).zip(bytes.iter().zip(digests));
        let lines = rows.map(|((name, kind), (bytes, digest))| {
            let name = DocumentName::parse(name?)?;
            let kind = DocumentKind::named(kind?).filter(|kind| self.take.contains(kind))?;
            let bytes = bytes.filter(|bytes| *bytes > 0)?;
            let digest = Digest(digest?.try_into().ok()?);
            Some(IndexLine { name: name.into_text(), kind: Some(kind), bytes, digest })
        });
        lines.collect::<Option<Vec<_>>>().ok_or_else(forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    const TOML: &str = r#"
        [[table]]
        name = "patient"
        take = [{ column = "id", type = "int64" }]

        [[documents]]
        name = "reports"
        folder = "/srv/lis/reports"
        take = ["pdf", "png"]
        reason = "the new system shows the signed reports of ten years"
    "#;

    fn part() -> DocumentsScope {
        Scope::parse(TOML).unwrap().documents()[0].clone()
    }

    fn line(name: &str) -> IndexLine {
        IndexLine { name: name.to_owned(), kind: Some(DocumentKind::Pdf), bytes: 7, digest: Digest::of(b"x") }
    }

    #[test]
    fn an_index_gives_back_its_lines_and_refuses_what_would_lead_out_of_the_folder() {
        let part = part();
        let lines = vec![line("2019/compte rendu.pdf"), line("é.pdf")];
        assert_eq!(part.lines(&part.rows(&lines).unwrap()).unwrap(), lines);
        let forged = [
            line("../../etc/cron.d/x.pdf"),
            line("/etc/x.pdf"),
            line("a\nb.pdf"),
            IndexLine { kind: Some(DocumentKind::Txt), ..line("a.txt") },
            IndexLine { kind: None, ..line("a.pdf") },
            IndexLine { bytes: 0, ..line("a.pdf") },
        ];
        for forged in forged {
            let refused = part.lines(&part.rows(std::slice::from_ref(&forged)).unwrap()).unwrap_err();
            assert_eq!(refused.code(), lexicon::Code(331), "{forged:?}");
        }
    }

    #[test]
    fn documents_do_not_change_the_digest_of_a_scope_without_any_and_change_that_of_one_with_some() {
        let without = Scope::parse(TOML.split("[[documents]]").next().unwrap()).unwrap();
        assert!(!without.to_toml().unwrap().contains("documents"));
        let digest = |toml: &str| Scope::parse(toml).unwrap().digest().unwrap();
        assert_ne!(digest(TOML), without.digest().unwrap());
        assert_ne!(digest(TOML), digest(&TOML.replace("\"png\"", "\"jpeg\"")));
        let again = Scope::parse(&Scope::parse(TOML).unwrap().to_toml().unwrap()).unwrap();
        assert_eq!(again.documents()[0], part());
    }

    #[test]
    fn a_part_that_is_not_plain_is_refused() {
        let refused = |from: &str, to: &str| Scope::parse(&TOML.replace(from, to)).unwrap_err().code().0;
        assert_eq!(refused("/srv/lis/reports", "srv/lis/reports"), 327);
        assert_eq!(refused("/srv/lis/reports", "/srv/lis/../reports"), 327);
        assert_eq!(refused("\"reports\"", "\"a/b\""), 327);
        assert_eq!(refused("\"reports\"", "\".hidden\""), 327);
        assert_eq!(refused("\"pdf\", \"png\"", "\"pdf\", \"pdf\""), 304);
        assert_eq!(refused("\"reports\"", "\"patient\""), 304);
        assert_eq!(refused("\"pdf\", \"png\"", "\"exe\""), 301);
        assert_eq!(refused("the new system shows the signed reports of ten years", "ok"), 332);
        assert_eq!(refused("\"reports\"", "\"passwords\""), 327);
    }

    #[test]
    fn a_part_that_takes_no_kind_is_a_draft() {
        let draft = Scope::parse(&TOML.replace("\"pdf\", \"png\"", "")).unwrap();
        assert_eq!(draft.ready().unwrap_err().code(), lexicon::Code(317));
        Scope::parse(TOML).unwrap().ready().unwrap();
    }
}
