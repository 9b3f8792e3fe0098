//! One server for one data folder: two would each believe that theirs is the order of facts.

use std::fs::{File, OpenOptions};
use std::path::Path;

use lexicon::{Code, Fault, Refusal, Result, Retry};

use crate::Registry;

impl Registry {
    /// As [`Self::open`], and no other process does so as long as this lives. A file beside the registry is locked; the
    /// system lets it go with the process, however that ends.
    ///
    /// # Errors
    /// As [`Self::open`]; a refusal when another process has it.
    pub fn open_alone(path: &Path) -> Result<Self> {
        let held = hold(&path.with_extension("lock"))?;
        Ok(Self { _held: Some(held), ..Self::open(path)? })
    }
}

fn hold(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(|error| {
        Fault::new(Code(760), Retry::Later, format!("the data folder's lock cannot be opened: {}", error.kind()))
    })?;
    file.try_lock().map_err(|_| {
        Refusal::new(
            Code(759),
            "another server has this data folder",
            "Stop the other one first, whichever key ring it has: one server for one data folder.",
        )
    })?;
    Ok(file)
}
