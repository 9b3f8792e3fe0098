//! What every parser promises of its errors.

use lexicon::Trouble;

/// 2,000 bytes: several sentences with names in them, never a text that was read.
const ERROR_BYTES_MAX: usize = 2000;

/// Whatever was wrong is said in one line of bounded length, without what would move a terminal's cursor.
pub(crate) fn said_plainly(trouble: &Trouble) {
    let said = match trouble {
        Trouble::Refusal(refusal) => format!("{refusal} {}", refusal.remedy),
        Trouble::Fault(_) | Trouble::Alarm(_) => trouble.to_string(),
    };
    assert!(said.len() <= ERROR_BYTES_MAX, "an error of {} bytes", said.len());
    assert!(!said.chars().any(char::is_control), "an error with control characters: {said:?}");
}

/// Nothing of these bytes stands in the error that looks like a value: eight or more letters and digits in one, both
/// kinds.
pub(crate) fn told_nothing(read: &[u8], trouble: &Trouble) {
    said_plainly(trouble);
    let said = format!("{trouble} {trouble:?}");
    if let Some(value) = values(read).find(|value| said.contains(*value)) {
        panic_with(&format!("an error tells a value that was read: {value} in {said}"));
    }
}

/// The runs of letters and digits that no sentence of ours has.
pub(crate) fn values(read: &[u8]) -> impl Iterator<Item = &str> {
    let text = read.split(|byte| !byte.is_ascii_alphanumeric()).filter_map(|run| std::str::from_utf8(run).ok());
    text.filter(|run| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        run.len() >= 8 && digits >= 2 && digits < run.len()
    })
}

#[expect(clippy::panic, reason = "this is how a target says that a promise is broken")]
fn panic_with(why: &str) {
    panic!("{why}");
}
