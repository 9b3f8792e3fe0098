//! What became of a destroyed consignment's parcels: those that went, those that were not where they had been stored, and
//! those that could not be deleted yet.

use std::collections::BTreeSet;

use lexicon::{Alarm, Code, ConsignmentId, Fault, ParcelId, Result, Retry, ShelfId, Trouble};
use procedure::{Absent, Lingering};
use registry::Look;
use vault::{Erased, ParcelAddress, Receipt};
use wire::ParcelLine;

use crate::Office;
use crate::destroy::counted;

/// Stored parcels by attempt and name.
type Names = BTreeSet<(u32, ParcelId)>;

impl Office {
    /// Looks which of the stored parcels are there, then deletes all: what was not there, and what the shelf says.
    pub(crate) async fn empty_shelf(
        &self,
        (consignment, stored): (ConsignmentId, &[ParcelLine]),
        receipt: &Receipt,
    ) -> Result<(Option<Absent>, Erased)> {
        let look = self.unseen(consignment, stored).await?;
        let erased = self.shelf.erase(consignment, receipt).await?;
        // What it removed it removed from this shelf, or the next try looks anew.
        if self.shelf_id().await? != look.shelf {
            let what = "the shelf was exchanged while parcels were deleted from it";
            return Err(Fault::new(Code(848), Retry::Later, what).into());
        }
        let absent = absent((consignment, stored), &look.absent, &erased);
        if let Some(Absent { parcels, .. }) = absent {
            let of = stored.len();
            let alarm = Alarm::new(
                Code(846),
                format!(
                    "of consignment {consignment} {parcels} of {of} stored parcels were not on the shelf as they were stored when it was to be emptied: where they are is not known; nothing opens them"
                ),
            );
            tracing::error!("{alarm}.");
            self.note(alarm.to_string())?;
        }
        Ok((absent, erased))
    }

    /// What the first look at this shelf, before anything on it was deleted, did not see: it was put in another's place, or
    /// somebody took parcels away.
    async fn unseen(&self, consignment: ConsignmentId, stored: &[ParcelLine]) -> Result<Look> {
        let here = self.shelf_id().await?;
        // What was seen on another shelf lies there still.
        let is_of_this = |look: &Look| look.shelf == here;
        if let Some(look) = self.registry.absent(consignment)?.filter(is_of_this) {
            return Ok(look);
        }
        let in_memory = self.state.lock().await.unseen.get(&consignment).cloned();
        let look = match in_memory.filter(is_of_this) {
            Some(look) => look,
            None => Look { shelf: here, absent: self.look(consignment, stored).await? },
        };
        // Deleting makes the space that keeping it may need. Only an end of this process loses it then.
        if let Err(trouble) = self.registry.keep_absent(consignment, &look) {
            tracing::error!(code = %trouble.code(), "Which parcels were there could not be kept: {trouble}.");
            self.state.lock().await.unseen.insert(consignment, look.clone());
        }
        Ok(look)
    }

    /// Which shelf this is; one that had no id has one from now on.
    pub(crate) async fn shelf_id(&self) -> Result<ShelfId> {
        self.shelf.id(ShelfId::draw(self.entropy.as_ref())?).await
    }

    async fn look(&self, consignment: ConsignmentId, stored: &[ParcelLine]) -> Result<Names> {
        let seen: BTreeSet<(ParcelAddress, u64)> = match self.shelf.list(consignment).await {
            Ok(listed) => listed.into_iter().collect(),
            // Something lies there that is no parcel, and hides what else does: what is deleted says it.
            Err(Trouble::Alarm(alarm)) => {
                tracing::error!("{alarm}.");
                BTreeSet::new()
            }
            Err(trouble) => return Err(trouble),
        };
        let unseen = stored.iter().filter(|line| !seen.contains(&place(consignment, line)));
        Ok(unseen.map(|line| (line.attempt, line.parcel)).collect())
    }

    /// Parcels that could not all be deleted yet are in the journal once, and in the log at every beat.
    pub(crate) async fn tell_left(&self, consignment: ConsignmentId, trouble: &Trouble) -> Result<()> {
        let text =
            format!("consignment {consignment}: its key is destroyed, its parcels are not deleted yet: {trouble}");
        if self.state.lock().await.left.insert(consignment, text.clone()).is_none() {
            self.note(text)?;
        }
        Err(Fault::new(Code(840), Retry::Later, "parcels whose key is destroyed could not all be deleted yet").into())
    }
}

/// What was stored, was not seen in its size, and is not among what was deleted or lingers after all: older versions of it, or
/// what something strange hid. That other parcels lay there says nothing of it.
fn absent((consignment, stored): (ConsignmentId, &[ParcelLine]), unseen: &Names, erased: &Erased) -> Option<Absent> {
    let lingers: Names = erased.lingering.iter().map(|kept| (kept.attempt, kept.parcel)).collect();
    let absent = stored.iter().filter(|line| {
        let name = (line.attempt, line.parcel);
        unseen.contains(&name) && !lingers.contains(&name) && !erased.found.contains(&place(consignment, line))
    });
    let (parcels, bytes) = absent
        .fold((0_u64, 0_u64), |(parcels, bytes), line| (parcels.saturating_add(1), bytes.saturating_add(line.bytes)));
    (parcels > 0).then_some(Absent { parcels, bytes })
}

/// Where a stored parcel lies, and in which size.
fn place(consignment: ConsignmentId, line: &ParcelLine) -> (ParcelAddress, u64) {
    (ParcelAddress { consignment, attempt: line.attempt, parcel: line.parcel }, line.bytes)
}

/// How many parcels of how many bytes went, of what was stored.
pub(crate) fn deleted(stored: &[ParcelLine], absent: Option<Absent>, lingering: &[Lingering]) -> (u64, u64) {
    let bytes = stored.iter().map(|line| line.bytes).fold(0, u64::saturating_add);
    let kept = lingering.iter().map(|kept| kept.bytes).fold(0, u64::saturating_add);
    let absent = absent.unwrap_or(Absent { parcels: 0, bytes: 0 });
    let parcels = counted(stored.len()).saturating_sub(absent.parcels).saturating_sub(counted(lingering.len()));
    (parcels, bytes.saturating_sub(kept).saturating_sub(absent.bytes))
}
