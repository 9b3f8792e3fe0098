use std::sync::Arc;

use journal::Receipt;
use lexicon::{Alarm, Code, ConsignmentId, Digest, Fault, Result, Retry, Trouble};
use serde::{Deserialize, Serialize};

use crate::keyring::{KeyRing, KeyState, RingEvidence};
use crate::shelf::{Erased, Shelf};

/// What came of the shelf once the key was gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShelfErasure {
    /// Nothing is listed under the consignment any more; what the store lets nobody delete is named.
    Empty(Erased),
    /// Dead parcels are left; erase again.
    Left(Trouble),
}

/// The strongroom share of a consignment as the server stored it, with what it is bound to: what a destroyed key must not
/// open any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Given when it was wrapped, and needed to unwrap it.
    pub aad: Vec<u8>,
    /// As [`KeyRing::encrypt`] made it.
    pub sealed: Vec<u8>,
}

/// The server's part of one destruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// What the key ring says.
    pub ring: RingEvidence,
    /// SHA-256 of the stored, wrapped share that ring and place were shown, and refused to open; none when there was none.
    pub share_shown: Option<Digest>,
    /// What the shelf says.
    pub shelf: ShelfErasure,
}

/// Destroys the server's part of one consignment: the ring key; then the probe, which asks the ring to seal
/// and shows it the stored share, and must be refused both; then the parcels. A crash in between leaves only parcels that no longer open, and no parcel goes
/// before the ring refused. A shelf that fails never holds back the evidence about the key.
///
/// Idempotent: call it again after a fault or a crash, with the stored share as long as there is one.
///
/// # Errors
/// A fault or an alarm of the key ring, and an alarm when it still opens the share: the parcels are then left alone.
/// Trouble with the shelf is in [`Erasure::shelf`].
pub async fn erase(
    ring: Arc<dyn KeyRing>,
    shelf: &dyn Shelf,
    (consignment, wrapped): (ConsignmentId, Option<Wrapped>),
    seen: &Receipt,
) -> Result<Erasure> {
    let (evidence, share_shown) = destroy_key(ring, (consignment, wrapped), seen).await?;
    let left = shelf.erase(consignment, seen).await;
    Ok(Erasure { ring: evidence, share_shown, shelf: left.map_or_else(ShelfErasure::Left, ShelfErasure::Empty) })
}

/// The first half of [`erase`], for whoever has many to do: the ring's evidence, and the digest of the stored share that it
/// was shown.
///
/// # Errors
/// As [`erase`].
pub async fn destroy_key(
    ring: Arc<dyn KeyRing>,
    (consignment, wrapped): (ConsignmentId, Option<Wrapped>),
    seen: &Receipt,
) -> Result<(RingEvidence, Option<Digest>)> {
    let (receipt, share_shown) = (seen.clone(), wrapped.as_ref().map(|wrapped| Digest::of(&wrapped.sealed)));
    let destroy = move || destroyed(ring.as_ref(), consignment, wrapped.as_ref(), &receipt);
    let evidence = tokio::task::spawn_blocking(destroy)
        .await
        .map_err(|_| Fault::new(Code(701), Retry::Now, "the destruction of a ring key was cut short"))??;
    Ok((evidence, share_shown))
}

/// Destroys and then asks the ring again: its word at destruction is not enough.
fn destroyed(
    ring: &dyn KeyRing,
    consignment: ConsignmentId,
    wrapped: Option<&Wrapped>,
    seen: &Receipt,
) -> Result<RingEvidence> {
    let evidence = ring.destroy(consignment, seen)?;
    let state = ring.attest(consignment)?;
    if !matches!(state, KeyState::Destroyed { at, .. } if at == evidence.destroyed_at) {
        return Err(Alarm::new(
            Code(716),
            format!("the ring says that the key of consignment {consignment} is destroyed and attests otherwise"),
        )
        .into());
    }
    let refused = |asked: Result<()>, still: &str| match asked {
        Err(Trouble::Refusal(refusal)) if refusal.code == Code(707) => Ok(()),
        // A ring that cannot be reached, or refuses for another reason, has not refused for want of the key.
        Err(trouble) => Err(trouble),
        Ok(()) => {
            let why = format!("the destroyed ring key of consignment {consignment} still {still}");
            Err(Trouble::from(Alarm::new(Code(716), why)))
        }
    };
    refused(ring.encrypt(consignment, b"probe", b"probe").map(drop), "seals")?;
    if let Some(Wrapped { aad, sealed }) = wrapped {
        refused(ring.decrypt(consignment, aad, sealed).map(drop), "opens its stored share")?;
        // That was the tombstone's word; this is the place of the key's.
        if ring.still_opens(consignment, aad, sealed)? {
            refused(Ok(()), "opens its stored share where it lay")?;
        }
    }
    Ok(evidence)
}

#[cfg(test)]
mod tests;
