//! How long one core takes to fingerprint a row of 15 columns.
//! `cargo run --release -p scope --example fingerprint_rate`.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use lexicon::Result;
use scope::{FingerprintKeys, Fingerprinter, Scope};

const ROWS: u32 = 65_536;
const ROUNDS: u32 = 16;

const RESULT: &str = r#"
[[table]]
name = "result"
key = ["result_id"]
take = [
  { column = "result_id", type = "int64" }, { column = "request_id", type = "int64" },
  { column = "patient_id", type = "int64" }, { column = "line", type = "int64" },
  { column = "code", type = "text" }, { column = "value", type = "decimal(12,4)" },
  { column = "value_text", type = "text" }, { column = "unit", type = "text" },
  { column = "low", type = "float64" }, { column = "high", type = "float64" },
  { column = "abnormal", type = "bool" }, { column = "status", type = "text" },
  { column = "sampled_on", type = "date" }, { column = "validated_at", type = "timestamp with time zone" },
  { column = "method", type = "text" },
]
"#;

fn main() -> Result<()> {
    let scope = Scope::parse(RESULT)?;
    let keys = FingerprintKeys::new([1; 32], [2; 32]);
    let Some(table) = scope.table("result") else { return Ok(()) };
    let batch = rows(table)?;
    for _ in 0..3 {
        let mut fingerprinter = Fingerprinter::new(&keys, table);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            fingerprinter.add(&batch)?;
        }
        let rows = f64::from(ROWS) * f64::from(ROUNDS);
        println!(
            "{:.3} us a row ({})",
            start.elapsed().as_secs_f64() * 1e6 / rows,
            fingerprinter.finish().root().short()
        );
    }
    Ok(())
}

fn rows(table: &scope::TableScope) -> Result<RecordBatch> {
    let whole = || 0..i64::from(ROWS);
    let numbers = |step: i64| -> ArrayRef { Arc::new(whole().map(|n| n.wrapping_mul(step)).collect::<Int64Array>()) };
    let texts = |of: &dyn Fn(i64) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(whole().map(of))) };
    let decimals = Decimal128Array::from_iter_values(whole().map(i128::from)).with_precision_and_scale(12, 4);
    let decimals = decimals.map_err(|_| lexicon::Refusal::new(lexicon::Code(0), "no decimals", "none"))?;
    let columns: Vec<ArrayRef> = vec![
        numbers(1),
        numbers(7),
        numbers(13),
        numbers(1),
        texts(&|n| format!("{}-{}", n % 90_000, n % 10)),
        Arc::new(decimals),
        texts(&|_| String::new()),
        texts(&|_| "mmol/L".to_owned()),
        Arc::new((0..ROWS).map(|n| Some(f64::from(n) / 8.0)).collect::<Float64Array>()),
        Arc::new((0..ROWS).map(|n| (n % 5 > 0).then(|| f64::from(n) / 4.0)).collect::<Float64Array>()),
        Arc::new((0..ROWS).map(|n| Some(n % 9 == 0)).collect::<BooleanArray>()),
        texts(&|_| "validated".to_owned()),
        Arc::new(whole().map(|n| i32::try_from(n).ok()).collect::<Date32Array>()),
        Arc::new(whole().map(|n| n.checked_mul(1_000_003)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        texts(&|n| if n % 3 == 0 { "enzymatic".to_owned() } else { "immunoassay".to_owned() }),
    ];
    RecordBatch::try_new(table.target_schema(), columns)
        .map_err(|_| lexicon::Refusal::new(lexicon::Code(0), "no batch", "none").into())
}
