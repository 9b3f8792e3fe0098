use std::sync::Arc;

use journal::Receipt;
use lexicon::{Alarm, Code, ConsignmentId, Fault, Result, Retry, Trouble};
use serde::{Deserialize, Serialize};

use crate::keyring::{KeyRing, KeyState, RingEvidence};
use crate::shelf::{Erased, Shelf};

/// What came of the shelf once the key was gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShelfErasure {
    /// Nothing is listed under the consignment any more.
    Empty(Erased),
    /// Dead parcels are left; erase again.
    Left(Trouble),
}

/// The server's part of one destruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// What the key ring says.
    pub ring: RingEvidence,
    /// What the shelf says.
    pub shelf: ShelfErasure,
}

/// Destroys the server's part of one consignment: first the ring key, then the parcels, so that a crash in between
/// leaves only parcels that no longer open. A shelf that fails never holds back the evidence about the key.
///
/// Idempotent: call it again after a fault or a crash.
///
/// # Errors
/// A fault or an alarm of the key ring. Trouble with the shelf is in [`Erasure::shelf`].
pub async fn erase(
    ring: Arc<dyn KeyRing>,
    shelf: &dyn Shelf,
    consignment: ConsignmentId,
    seen: &Receipt,
) -> Result<Erasure> {
    let receipt = seen.clone();
    let evidence = tokio::task::spawn_blocking(move || destroyed(ring.as_ref(), consignment, &receipt))
        .await
        .map_err(|_| Fault::new(Code(701), Retry::Now, "the destruction of a ring key was cut short"))??;
    let left = shelf.erase(consignment, seen).await;
    Ok(Erasure { ring: evidence, shelf: left.map_or_else(ShelfErasure::Left, ShelfErasure::Empty) })
}

/// Destroys and then asks the ring again: its word at destruction is not enough.
fn destroyed(ring: &dyn KeyRing, consignment: ConsignmentId, seen: &Receipt) -> Result<RingEvidence> {
    let evidence = ring.destroy(consignment, seen)?;
    let state = ring.attest(consignment)?;
    if state != (KeyState::Destroyed { at: evidence.destroyed_at }) {
        return Err(Alarm::new(
            Code(716),
            format!("the ring says that the key of consignment {consignment} is destroyed and attests otherwise"),
        )
        .into());
    }
    if ring.encrypt(consignment, b"probe", b"probe").is_ok() {
        return Err(
            Alarm::new(Code(716), format!("the destroyed ring key of consignment {consignment} still seals")).into()
        );
    }
    Ok(evidence)
}

#[cfg(test)]
mod tests;
