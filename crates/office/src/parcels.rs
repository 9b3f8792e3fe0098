//! Parcels in and out: sealed bytes, never looked into.

use bytes::Bytes;
use lexicon::{Code, ConsignmentId, Digest, MigrationId, Refusal, Result, limits};
use people::Signer;
use procedure::{Consignment, ConsignmentStage, Step};
use vault::{Keeps, ParcelAddress};
use wire::ParcelLine;

use crate::Office;

impl Office {
    /// Asks the shelf what it keeps of what is deleted: at start, and before anything is opened that is to be destroyed. It
    /// has its id then before a parcel lies there, and needs no space for it when it is emptied.
    ///
    /// # Errors
    /// A refusal when it would let nobody delete; a fault when it cannot be asked, or takes no id.
    pub async fn shelf_keeps(&self) -> Result<Keeps> {
        let keeps = self.shelf.keeps().await?;
        self.shelf_id().await?;
        Ok(keeps)
    }

    /// Stores one parcel of the attempt that runs: its bytes and their digest, which whoever took them in has compared.
    ///
    /// # Errors
    /// A refusal when the signer's device holds no lease to extract, or other bytes are stored under that name; a fault
    /// of the shelf.
    pub async fn store_parcel(
        &self,
        signer: &Signer,
        migration: MigrationId,
        address: ParcelAddress,
        (bytes, digest): (Bytes, Digest),
    ) -> Result<ParcelLine> {
        if bytes.len() > limits::PARCEL_BYTES_MAX {
            return Err(Refusal::new(Code(830), "this parcel is larger than 64 MiB", "Seal smaller parcels.").into());
        }
        {
            let state = self.state.lock().await;
            let ledger = state.party_ledger(migration, signer)?;
            state.changeable(migration)?;
            let consignment = known(ledger.migration().consignment(address.consignment))?;
            let leased = consignment.last_attempt().is_some_and(|attempt| {
                attempt.running
                    && attempt.step == Step::Extract
                    && attempt.number == address.attempt
                    && attempt.device == signer.device()
                    && self.clock.now() < attempt.lease
            });
            if !leased || !consignment.alive() || consignment.stage != ConsignmentStage::Open {
                return Err(no_lease().into());
            }
        }
        self.registry.takes_parcel(address.consignment, (address.attempt, address.parcel))?;
        let line = ParcelLine {
            attempt: address.attempt,
            parcel: address.parcel,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            digest,
        };
        let put = self.shelf.put(address, bytes).await;
        {
            let state = self.state.lock().await;
            let ledger = state.party_ledger(migration, signer)?;
            if known(ledger.migration().consignment(address.consignment))?.ending.is_none() {
                put?;
                self.registry.note_parcel(address.consignment, &line)?;
                return Ok(line);
            }
        }
        // It ended while the parcel was on its way: what came too late goes too, whole or cut, with all the others. Keys go
        // first; while the ring does not let them go, or another empties this shelf, the sweep will.
        if self.destroy_keys(migration).await.is_ok()
            && let Ok(_alone) = self.destroying.try_lock()
        {
            let stored = self.registry.parcels(address.consignment)?;
            self.empty_shelf((address.consignment, &stored), &self.registry.so_far()?).await?;
        }
        Err(no_lease().into())
    }

    /// Fetches one parcel for a device that loads, or that extracted it.
    ///
    /// # Errors
    /// A refusal when the device is neither, or the parcel is not there.
    pub async fn fetch_parcel(&self, signer: &Signer, migration: MigrationId, address: ParcelAddress) -> Result<Bytes> {
        self.may_read(signer, migration, address.consignment).await?;
        self.shelf.read(address).await
    }

    /// Lists the parcels of a consignment.
    ///
    /// # Errors
    /// As [`Self::fetch_parcel`].
    pub async fn list_parcels(
        &self,
        signer: &Signer,
        migration: MigrationId,
        consignment: ConsignmentId,
    ) -> Result<Vec<ParcelLine>> {
        self.may_read(signer, migration, consignment).await?;
        self.registry.parcels(consignment)
    }

    async fn may_read(&self, signer: &Signer, migration: MigrationId, id: ConsignmentId) -> Result<()> {
        let state = self.state.lock().await;
        let ledger = state.party_ledger(migration, signer)?;
        state.changeable(migration)?;
        let consignment = known(ledger.migration().consignment(id))?;
        let device = signer.device();
        let extracts = consignment.device == device && consignment.stage == ConsignmentStage::Open;
        let loads = consignment.released.as_ref().is_some_and(|released| {
            consignment.offers.iter().any(|offer| offer.device == device && released.offers.contains(&offer.digest))
        });
        if consignment.alive() && (extracts || loads) { Ok(()) } else { Err(no_lease().into()) }
    }
}

fn known(consignment: Option<&Consignment>) -> Result<&Consignment> {
    consignment.ok_or_else(|| no_lease().into())
}

fn no_lease() -> Refusal {
    Refusal::new(
        Code(831),
        "this device may not touch this parcel: it holds no lease to extract it and no release to load it",
        "See `lazaret next` for whose turn it is.",
    )
}
