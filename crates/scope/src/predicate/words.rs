//! The words of the language and how names are written in it.

use std::fmt;

/// Words that a bare name cannot be.
const RESERVED: [&str; 12] =
    ["and", "or", "not", "in", "is", "null", "exists", "true", "false", "date", "time", "timestamp"];

pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

pub(crate) fn is_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

pub(crate) fn is_inner(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// A name, between quotation marks when it is not a plain word.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.chars().next().is_some_and(is_start) && self.0.chars().all(is_inner) && !is_reserved(self.0);
        if plain { f.write_str(self.0) } else { write!(f, "\"{}\"", self.0.replace('"', "\"\"")) }
    }
}

/// Two names that an `exists` compares.
pub(crate) struct Pair<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl fmt::Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", Name(self.0), Name(self.1))
    }
}
