//! Fields of a file, read as the column's kind.

use super::records::Field;
use crate::columns::{Cells, ODD_SPELLING, ODD_UTF8, Odd};

/// Reads one field. An empty field is NULL; in quotes it is an empty text, and NULL where the kind is not text.
pub(super) fn put(cells: &mut Cells, field: Field<'_>) -> Result<(), Odd> {
    let is_text = matches!(cells, Cells::Text(_) | Cells::Bytes(_));
    if field.bytes.is_empty() && !(field.quoted && is_text) {
        cells.null();
        return Ok(());
    }
    if let Cells::Bytes(to) = cells {
        to.append_value(field.bytes);
        return Ok(());
    }
    let text = std::str::from_utf8(field.bytes).map_err(|_| ODD_UTF8)?;
    // Nobody knows what wrote the file: zeros before a number may be an identifier's own.
    let integer = matches!(cells, Cells::Int64(_) | Cells::UInt64(_));
    let decimal = matches!(cells, Cells::Decimal(..));
    if (integer && !scope::is_integer(text)) || (decimal && !scope::is_decimal(text)) {
        return Err(ODD_SPELLING);
    }
    cells.read(text)
}
