//! Records of a separated file: RFC 4180, strictly. A reader of our own, because whether an empty field stood in
//! quotes is the only thing that tells an empty text from NULL.

use std::io::BufRead;

use lexicon::Result;

use crate::trouble;

/// 64 MiB: a record that does not end before is a quote that was never closed.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;
const SEPARATORS: [u8; 4] = *b",;\t|";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One field as it stood in the file, its quotes taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) quoted: bool,
}

/// The records of one file, one after the other.
pub(super) struct Records<R> {
    name: String,
    file: R,
    separator: u8,
    /// How many fields every record has; zero before the header is read.
    width: usize,
    number: u64,
    bytes: Vec<u8>,
    /// The end of each field in `bytes`, and whether it stood in quotes.
    ends: Vec<(usize, bool)>,
}

/// Where the reader stands in a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end, or the first half of a quote that is meant.
    QuoteSeen,
}

impl<R: BufRead> Records<R> {
    /// `name` is the table's, for errors.
    pub(super) fn new(name: &str, file: R) -> Self {
        let name = name.to_owned();
        Self { name, file, separator: b',', width: 0, number: 0, bytes: Vec::new(), ends: Vec::new() }
    }

    /// The names of the columns: reads the first record, and finds out what separates fields.
    pub(super) fn header(&mut self) -> Result<Vec<String>> {
        let read_failed = |_| trouble::unreachable(&format!("file `{}`", self.name), "a read failed");
        let first = self.file.fill_buf().map_err(read_failed)?;
        let marked = first.starts_with(BYTE_ORDER_MARK);
        let line: Vec<u8> = first.iter().take_while(|byte| **byte != b'\n').copied().collect();
        if marked {
            self.file.consume(BYTE_ORDER_MARK.len());
        }
        // The last of equals wins in max_by_key, so the comma is tried last.
        let cuts = |separator: &&u8| line.split(|byte| byte == *separator).count();
        self.separator = SEPARATORS.iter().rev().max_by_key(cuts).copied().unwrap_or(b',');
        if !self.record()? {
            return Err(trouble::file(&self.name, "it is empty: not even column names"));
        }
        self.width = self.ends.len();
        (0..self.width)
            .map(|place| {
                let name = std::str::from_utf8(self.field(place).bytes);
                name.map(str::to_owned).map_err(|_| trouble::file(&self.name, "a column's name is not UTF-8"))
            })
            .collect()
    }

    /// Goes to the next record; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        if !self.record()? {
            return Ok(false);
        }
        if self.ends.len() == self.width {
            return Ok(true);
        }
        Err(self.wrong("it has another number of fields than the first line"))
    }

    /// A field of the current record; an empty one beyond its end.
    pub(super) fn field(&self, place: usize) -> Field<'_> {
        let start = match place.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).map_or(self.bytes.len(), |(end, _)| *end),
        };
        let (end, quoted) = self.ends.get(place).copied().unwrap_or((start, false));
        Field { bytes: self.bytes.get(start..end).unwrap_or_default(), quoted }
    }

    fn wrong(&self, why: &str) -> lexicon::Trouble {
        trouble::file(&self.name, &format!("record {}: {why}", self.number))
    }

    /// Reads one record into `bytes` and `ends`; false if there is none.
    fn record(&mut self) -> Result<bool> {
        self.bytes.clear();
        self.ends.clear();
        self.number = self.number.saturating_add(1);
        let (mut place, mut quoted, mut any) = (Place::Start, false, false);
        loop {
            let piece = self
                .file
                .fill_buf()
                .map_err(|_| trouble::unreachable(&format!("file `{}`", self.name), "a read failed"))?;
            if piece.is_empty() {
                return self.end_of_file(place, quoted, any);
            }
            any = true;
            let (mut used, mut ended) = (0_usize, false);
            for byte in piece.iter().copied() {
                used = used.saturating_add(1);
                match (place, byte) {
                    (Place::Quoted, b'"') => place = Place::QuoteSeen,
                    (Place::Quoted, _) => self.bytes.push(byte),
                    (Place::Start, b'"') => (place, quoted) = (Place::Quoted, true),
                    (Place::QuoteSeen, b'"') => {
                        self.bytes.push(b'"');
                        place = Place::Quoted;
                    }
                    (_, b'\n') => ended = true,
                    (_, byte) if byte == self.separator => {
                        self.ends.push((self.bytes.len(), quoted));
                        (place, quoted) = (Place::Start, false);
                    }
                    // The carriage return of a line's end; anything else after a closed quote is not RFC 4180.
                    (Place::QuoteSeen, b'\r') => {}
                    (Place::QuoteSeen, _) => return Err(self.wrong("text follows a closing quote")),
                    (Place::Start | Place::Plain, _) => {
                        self.bytes.push(byte);
                        place = Place::Plain;
                    }
                }
                if ended || self.bytes.len() > RECORD_BYTES_MAX {
                    break;
                }
            }
            self.file.consume(used);
            if ended {
                self.end_of_line(place, quoted);
                return Ok(true);
            }
            if self.bytes.len() > RECORD_BYTES_MAX {
                return Err(self.wrong(
                    "it does not end within 64 MiB: a quote is open, or the row is larger than a parcel carries",
                ));
            }
        }
    }

    fn end_of_line(&mut self, place: Place, quoted: bool) {
        if place == Place::Plain && self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        self.ends.push((self.bytes.len(), quoted));
    }

    /// The last record may lack its line's end; a quote may not lack its other half.
    fn end_of_file(&mut self, place: Place, quoted: bool, any: bool) -> Result<bool> {
        if place == Place::Quoted {
            return Err(self.wrong("a quote is never closed"));
        }
        if any {
            self.end_of_line(place, quoted);
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Vec<(String, bool)>>> {
        // A buffer of three bytes cuts everywhere.
        let mut records = Records::new("t", std::io::BufReader::with_capacity(3, text.as_bytes()));
        records.separator = b',';
        records.width = 2;
        let mut found = Vec::new();
        while records.advance()? {
            let field = |place| {
                let field = records.field(place);
                (String::from_utf8(field.bytes.to_vec()).unwrap(), field.quoted)
            };
            found.push((0..2).map(field).collect());
        }
        Ok(found)
    }

    #[test]
    fn quotes_tell_an_empty_text_from_nothing() {
        let found = all("a,\"\"\r\n\"b \"\"c\"\"\n\",\r\n").unwrap();
        assert_eq!(found[0], [("a".to_owned(), false), (String::new(), true)]);
        assert_eq!(found[1], [("b \"c\"\n".to_owned(), true), (String::new(), false)]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_file_may_end_without_a_line_end_and_not_inside_quotes() {
        assert_eq!(all("a,b").unwrap().len(), 1);
        assert_eq!(all("a,\"b\"").unwrap()[0][1], ("b".to_owned(), true));
        for wrong in ["a,\"b", "a,\"b\"c\n", "a\n", "a,b,c\n", "a,b\n\nc,d\n"] {
            assert_eq!(all(wrong).unwrap_err().code(), lexicon::Code(415), "{wrong:?}");
        }
    }

    #[test]
    fn the_separator_is_what_cuts_the_first_line_most() {
        for (text, names) in [
            ("a;b,c;d\n", vec!["a", "b,c", "d"]),
            ("\u{feff}id\tname\n", vec!["id", "name"]),
            ("alone\n", vec!["alone"]),
            ("a,b", vec!["a", "b"]),
        ] {
            assert_eq!(Records::new("t", text.as_bytes()).header().unwrap(), names);
        }
        assert!(Records::new("t", "".as_bytes()).header().is_err());
    }
}
