//! One document: what tells its kind, how it may be called, and the only way to one that can be sealed.

use std::fmt;
use std::io::{self, Cursor, Read};

use lexicon::{Hasher, Result, Trouble};
use serde::{Deserialize, Serialize};

use crate::documents::IndexLine;
use crate::{Listed, Scope, trouble};

/// How much of a document's beginning tells its kind; that far a text is looked at.
pub const HEAD_BYTES: usize = 1024;

/// 255 bytes: what file systems give a name.
const PART_BYTES_MAX: usize = 255;
/// 1,024 bytes and 32 folders: a way that every system can still open behind a folder of its own.
const NAME_BYTES_MAX: usize = 1024;
const FOLDERS_MAX: usize = 32;

/// What our own files in a target's folder begin with.
pub const OWN_FILES: &str = ".lazaret-";

/// A kind of document: told by the end of the name **and** by the content, never by one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DocumentKind {
    /// Portable Document Format.
    Pdf,
    /// Portable Network Graphics.
    Png,
    /// JPEG.
    Jpeg,
    /// Tagged Image File Format.
    Tiff,
    /// DICOM, part 10.
    Dicom,
    /// Rich Text Format.
    Rtf,
    /// Text without control characters, in any character set that keeps ASCII.
    Txt,
}

impl DocumentKind {
    /// Every one.
    pub const ALL: [Self; 7] = [Self::Pdf, Self::Png, Self::Jpeg, Self::Tiff, Self::Dicom, Self::Rtf, Self::Txt];

    /// As the scope file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Tiff => "tiff",
            Self::Dicom => "dicom",
            Self::Rtf => "rtf",
            Self::Txt => "txt",
        }
    }

    /// The kind that the scope file calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What name and content agree on. Says nothing about what else such a file may hold.
    pub fn of(name: &str, head: &[u8]) -> Option<Self> {
        let kind = Self::by_ending(name)?;
        (Self::by_content(head) == Some(kind)).then_some(kind)
    }

    fn by_ending(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "pdf" => Some(Self::Pdf),
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "tif" | "tiff" => Some(Self::Tiff),
            "dcm" | "dicom" => Some(Self::Dicom),
            "rtf" => Some(Self::Rtf),
            "txt" => Some(Self::Txt),
            _ => None,
        }
    }

    /// What the content alone says, as far as its first [`HEAD_BYTES`]: a column of files has no endings.
    pub fn of_content(bytes: &[u8]) -> Option<Self> {
        Self::by_content(bytes.get(..HEAD_BYTES).unwrap_or(bytes))
    }

    /// A page or a picture, by what it begins with; never text.
    pub(crate) fn of_page(bytes: &[u8]) -> Option<Self> {
        let begins = match bytes {
            [b'%', ..] => Some((&b"%PDF-"[..], Self::Pdf)),
            [0x89, ..] => Some((&b"\x89PNG\r\n\x1a\n"[..], Self::Png)),
            [0xff, ..] => Some((&b"\xff\xd8\xff"[..], Self::Jpeg)),
            [b'I', ..] => Some((&b"II*\0"[..], Self::Tiff)),
            [b'M', ..] => Some((&b"MM\0*"[..], Self::Tiff)),
            [b'{', ..] => Some((&b"{\\rtf"[..], Self::Rtf)),
            _ => None,
        };
        match begins {
            Some((begins, kind)) if bytes.starts_with(begins) => Some(kind),
            _ => (bytes.get(128..132) == Some(b"DICM")).then_some(Self::Dicom),
        }
    }

    fn by_content(head: &[u8]) -> Option<Self> {
        if let Some(kind) = Self::of_page(head) {
            return Some(kind);
        }
        let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | b' '..=b'~' | 0x80..);
        (!head.is_empty() && head.iter().all(is_text)).then_some(Self::Txt)
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a file in a folder of documents does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// Its name is not UTF-8, too long, holds a control character or a backslash, or is one of ours.
    Name,
    /// It is a link. Links are never followed.
    Link,
    /// It is neither file nor folder.
    Special,
    /// It holds nothing.
    Empty,
    /// Its kind is not taken, or not known.
    Kind,
    /// Its name says one kind and its content another.
    Disagrees,
    /// No row in scope names it.
    Unlisted,
}

impl Unfit {
    /// As people read it, behind a number.
    pub fn words(self) -> &'static str {
        match self {
            Self::Name => "with a name that cannot be carried",
            Self::Link => "that are links",
            Self::Special => "that are neither file nor folder",
            Self::Empty => "without content",
            Self::Kind => "of a kind that is not taken",
            Self::Disagrees => "whose ending and content disagree",
            Self::Unlisted => "that no row in scope names",
        }
    }
}

/// A document's name: the way to it from the part's folder, with `/` between folders. None of them leads out of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentName(String);

impl DocumentName {
    /// The name, if it can be carried exactly and leads nowhere else.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |part: &str| {
            let plain = !part.chars().any(|letter| letter.is_control() || letter == '\\');
            let own = part.starts_with(OWN_FILES) || matches!(part, "" | "." | "..");
            plain && !own && part.len() <= PART_BYTES_MAX
        };
        let carried = text.len() <= NAME_BYTES_MAX && text.split('/').count() <= FOLDERS_MAX;
        (carried && text.split('/').all(fits)).then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A document as a source found it, before anybody looked at it.
pub struct FoundDocument {
    /// Its name.
    pub name: String,
    /// How long it is said to be.
    pub bytes: u64,
    /// Its bytes, from the first on.
    pub content: Box<dyn Read + Send>,
    /// Whether it is still the file that was found, when its bytes have been read.
    pub still: Box<dyn Fn() -> bool + Send>,
}

/// A document that the scope lets go, to be read once. Only [`Scope::admit_document`] makes one, and nothing else can be
/// sealed as one.
///
/// ```compile_fail
/// fn smuggle(content: Box<dyn std::io::Read + Send>) -> scope::ScopedDocument {
///     scope::ScopedDocument { content }
/// }
/// ```
pub struct ScopedDocument {
    part: String,
    name: DocumentName,
    kind: DocumentKind,
    bytes: u64,
    read: u64,
    head: Cursor<Vec<u8>>,
    content: Box<dyn Read + Send>,
    still: Box<dyn Fn() -> bool + Send>,
    hasher: Hasher,
}

/// A document that was read to its end as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedDocument(IndexLine);

impl CarriedDocument {
    /// What an index says of it.
    pub fn line(&self) -> &IndexLine {
        &self.0
    }
}

impl Scope {
    /// Admits a document: its name can be carried, a row in scope names it where the part has a listing, its kind is taken,
    /// and name and content agree on it. What does not pass is told and not read any further.
    ///
    /// # Errors
    /// A refusal when there is no such part; a fault when it cannot be read.
    pub fn admit_document(
        &self,
        part: &str,
        listed: Option<&Listed>,
        found: FoundDocument,
    ) -> Result<Result<ScopedDocument, Unfit>> {
        let FoundDocument { name, bytes, mut content, still } = found;
        let part = self.documents_called(part)?;
        let Some(name) = DocumentName::parse(&name) else { return Ok(Err(Unfit::Name)) };
        if part.listed.is_some() && !listed.is_some_and(|listed| listed.holds(name.as_str())) {
            return Ok(Err(Unfit::Unlisted));
        }
        if bytes == 0 {
            return Ok(Err(Unfit::Empty));
        }
        let taken = |kind: DocumentKind| part.take.contains(&kind);
        if !DocumentKind::by_ending(name.as_str()).is_some_and(taken) {
            return Ok(Err(Unfit::Kind));
        }
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let beginning = bytes.min(u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX));
        let read = content.by_ref().take(beginning).read_to_end(&mut head);
        read.map_err(|error| unread(&part.name, error))?;
        let Some(kind) = DocumentKind::of(name.as_str(), &head) else { return Ok(Err(Unfit::Disagrees)) };
        Ok(Ok(ScopedDocument {
            part: part.name.clone(),
            name,
            kind,
            bytes,
            read: 0,
            head: Cursor::new(head),
            content,
            still,
            hasher: Hasher::default(),
        }))
    }
}

impl ScopedDocument {
    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Its kind.
    pub fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// How long it is.
    pub fn length(&self) -> u64 {
        self.bytes
    }

    /// Bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.bytes.saturating_sub(self.read)
    }

    /// Ends the reading: the document was read to its end, and it is the one that was found.
    ///
    /// # Errors
    /// A refusal when it grew or changed meanwhile; a fault when its end cannot be read.
    pub fn finish(mut self) -> Result<CarriedDocument> {
        if self.left() > 0 {
            return Err(trouble::document_changed(&self.part, "was not read to its end"));
        }
        let mut more = Vec::new();
        let end = self.content.by_ref().take(1).read_to_end(&mut more);
        end.map_err(|error| unread(&self.part, error))?;
        if !more.is_empty() {
            return Err(trouble::document_changed(&self.part, "grew"));
        }
        if !(self.still)() {
            return Err(trouble::document_changed(&self.part, "was written to or exchanged"));
        }
        let (name, kind) = (self.name.into_text(), Some(self.kind));
        Ok(CarriedDocument(IndexLine { name, kind, bytes: self.bytes, digest: self.hasher.finish() }))
    }
}

impl Read for ScopedDocument {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left()).unwrap_or(usize::MAX).min(into.len());
        let Some(into) = into.get_mut(..room).filter(|into| !into.is_empty()) else { return Ok(0) };
        let read = match self.head.read(into)? {
            0 => self.content.read(into),
            read => Ok(read),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(io::Error::other(unread(&self.part, error))),
        };
        if read == 0 {
            return Err(io::Error::other(trouble::document_changed(&self.part, "became shorter")));
        }
        self.hasher.update(into.get(..read).unwrap_or_default());
        self.read = self.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// The trouble that a reader said, or else that it cannot be read.
fn unread(part: &str, error: io::Error) -> Trouble {
    error.downcast::<Trouble>().unwrap_or_else(|error| trouble::document_unread(part, error.kind()))
}

impl fmt::Debug for ScopedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopedDocument(..)")
    }
}

#[cfg(test)]
mod tests {
    use lexicon::{Code, Digest};

    use super::*;

    fn scope() -> Scope {
        let toml = "[[table]]\nname = \"p\"\ntake = [{ column = \"a\", type = \"int64\" }]\n\
                    [[documents]]\nname = \"reports\"\nfolder = \"/r\"\ntake = [\"pdf\", \"txt\", \"jpeg\"]\n\
                    reason = \"the reports are shown to patients\"\n";
        Scope::parse(toml).unwrap()
    }

    fn found(name: &str, content: &[u8]) -> FoundDocument {
        let bytes = u64::try_from(content.len()).unwrap();
        let content = Box::new(Cursor::new(content.to_vec()));
        FoundDocument { name: name.to_owned(), bytes, content, still: Box::new(|| true) }
    }

    fn admitted(found: FoundDocument) -> ScopedDocument {
        scope().admit_document("reports", None, found).unwrap().unwrap()
    }

    #[test]
    fn a_kind_is_taken_only_when_ending_and_content_agree() {
        let refused =
            |name: &str, content: &[u8]| scope().admit_document("reports", None, found(name, content)).unwrap().err();
        assert_eq!(refused("a/b.PDF", b"%PDF-1.7 ..."), None);
        assert_eq!(refused("b.txt", "r\u{e9}sultat\r\n".as_bytes()), None);
        assert_eq!(refused("b.jpg", b"\xff\xd8\xff\xe0"), None);
        assert_eq!(refused("a.pdf", b"MZ\x90\0"), Some(Unfit::Disagrees));
        assert_eq!(refused("a.txt", b"%PDF-1.7"), Some(Unfit::Disagrees));
        assert_eq!(refused("a.txt", b"a\0b"), Some(Unfit::Disagrees));
        assert_eq!(refused("a.png", b"\x89PNG\r\n\x1a\n"), Some(Unfit::Kind));
        assert_eq!(refused("a.exe", b"%PDF-1.7"), Some(Unfit::Kind));
        assert_eq!(refused("pdf", b"%PDF-1.7"), Some(Unfit::Kind));
        assert_eq!(refused("a.pdf", b""), Some(Unfit::Empty));
        let long = format!("{}.pdf", "x".repeat(252));
        for name in ["../a.pdf", "/a.pdf", "a//b.pdf", "a\n.pdf", "a\\b.pdf", ".lazaret-load/a.pdf", &long] {
            assert_eq!(refused(name, b"%PDF-1.7"), Some(Unfit::Name), "{name}");
        }
        assert_eq!(refused(&format!("{}a.pdf", "x/".repeat(31)), b"%PDF-1.7"), None);
        assert_eq!(refused(&format!("{}a.pdf", "x/".repeat(32)), b"%PDF-1.7"), Some(Unfit::Name));
        assert_eq!(scope().admit_document("others", None, found("a.pdf", b"%PDF-")).unwrap_err().code(), Code(333));
    }

    #[test]
    fn a_document_that_was_read_to_its_end_is_told_with_its_digest() {
        let content = [b"%PDF-1.7 ".as_slice(), &[7; 5000]].concat();
        let mut document = admitted(found("a.pdf", &content));
        let mut read = Vec::new();
        document.read_to_end(&mut read).unwrap();
        assert_eq!(read, content);
        let carried = document.finish().unwrap();
        assert_eq!((carried.line().bytes, carried.line().digest), (5009, Digest::of(&content)));
    }

    #[test]
    fn a_document_that_changes_while_it_is_read_is_not_carried() {
        let content = [b"%PDF-1.7 ".as_slice(), &[7; 5000]].concat();
        let read = |document: &mut ScopedDocument| document.read_to_end(&mut Vec::new());
        let shrunk = FoundDocument { bytes: 6000, ..found("a.pdf", &content) };
        let error = read(&mut admitted(shrunk)).unwrap_err().downcast::<Trouble>().unwrap();
        assert_eq!(error.code(), Code(329));
        let mut grew = admitted(FoundDocument { bytes: 4000, ..found("a.pdf", &content) });
        assert_eq!(read(&mut grew).unwrap(), 4000);
        assert_eq!(grew.finish().unwrap_err().code(), Code(329));
        let mut exchanged = admitted(FoundDocument { still: Box::new(|| false), ..found("a.pdf", &content) });
        read(&mut exchanged).unwrap();
        assert_eq!(exchanged.finish().unwrap_err().code(), Code(329));
        let unread = admitted(found("a.pdf", &content));
        assert_eq!(unread.finish().unwrap_err().code(), Code(329));
    }
}
