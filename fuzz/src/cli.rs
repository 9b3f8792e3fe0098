//! What the program's own files are handed from its command line.

use std::path::PathBuf;
use std::sync::Arc;

use lexicon::{Clock, Entropy};

/// As the program's flags name it.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    pub(crate) ring: Option<PathBuf>,
    pub(crate) listen: Option<String>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
}

/// Handed in where a ring is opened, which no target does.
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}
