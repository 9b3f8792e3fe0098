use std::collections::BTreeMap;

use lexicon::Digest;

use crate::{Reconciliation, Step, TableOutcome};

/// Which tables and folders had reached the target whole, with the F of each: what the reports of a round say together. A
/// later difference of such a table did not come about in loading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived(BTreeMap<String, Digest>);

impl Arrived {
    /// Takes the next report of the round in. A load may have put rows there itself: what was seen before it counts no
    /// more.
    pub fn see(&mut self, step: Step, report: &Reconciliation) {
        if step == Step::Load {
            self.0.clear();
        }
        let whole = report.compared().filter(|table| table.as_fetched());
        self.0.extend(whole.map(|table| (table.name.clone(), table.fetched)));
    }

    /// Which link broke, if one did, in the report that was taken in last.
    pub fn broken(&self, table: &TableOutcome) -> Option<&'static str> {
        let loaded = table.as_sealed() && self.0.get(&table.name) == Some(&table.fetched);
        table.broken().map(|link| if loaded { "in the target since it was loaded" } else { link })
    }
}
