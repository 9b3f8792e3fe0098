//! What the room promises, told through its door.

mod admission;
mod differences;
mod drafts;
mod samples;
mod transforms;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};

use crate::Kind;
use crate::value::Writer;

/// A batch of columns, each with its type and the texts of its values.
fn batch(columns: &[(&str, Kind, &[Option<&str>])]) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, kind, _)| Field::new(*name, kind.arrow(), true)).collect();
    let arrays = columns.iter().map(|(_, kind, values)| array(*kind, values)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn array(kind: Kind, values: &[Option<&str>]) -> ArrayRef {
    let mut writer = Writer::new(kind);
    for value in values {
        match value {
            Some(value) => writer.text(value).unwrap(),
            None => writer.null(),
        }
    }
    writer.finish()
}
