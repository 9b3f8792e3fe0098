//! What stands before a ring or a shelf changes a call or two, and passes the others on as they are.

/// These calls of `KeyRing` or `Shelf`, passed on to `self.inner`.
macro_rules! passes_on {
    (@create) => {
        fn create(&self, id: lexicon::ConsignmentId) -> lexicon::Result<()> {
            self.inner.create(id)
        }
    };
    (@encrypt) => {
        fn encrypt(&self, id: lexicon::ConsignmentId, aad: &[u8], plain: &[u8]) -> lexicon::Result<Vec<u8>> {
            self.inner.encrypt(id, aad, plain)
        }
    };
    (@decrypt) => {
        fn decrypt(
            &self,
            id: lexicon::ConsignmentId,
            aad: &[u8],
            sealed: &[u8],
        ) -> lexicon::Result<zeroize::Zeroizing<Vec<u8>>> {
            self.inner.decrypt(id, aad, sealed)
        }
    };
    (@destroy) => {
        fn destroy(&self, id: lexicon::ConsignmentId, seen: &vault::Receipt) -> lexicon::Result<vault::RingEvidence> {
            self.inner.destroy(id, seen)
        }
    };
    (@engrave) => {
        fn engrave(&self, id: lexicon::ConsignmentId, recorded: &vault::Receipt) -> lexicon::Result<()> {
            self.inner.engrave(id, recorded)
        }
    };
    (@attest) => {
        fn attest(&self, id: lexicon::ConsignmentId) -> lexicon::Result<vault::KeyState> {
            self.inner.attest(id)
        }
    };
    (@buried) => {
        fn buried(&self) -> lexicon::Result<Vec<lexicon::ConsignmentId>> {
            self.inner.buried()
        }
    };
    (@held) => {
        fn held(&self) -> lexicon::Result<Vec<lexicon::ConsignmentId>> {
            self.inner.held()
        }
    };
    (@still_opens) => {
        fn still_opens(&self, id: lexicon::ConsignmentId, aad: &[u8], sealed: &[u8]) -> lexicon::Result<bool> {
            self.inner.still_opens(id, aad, sealed)
        }
    };
    (@level) => {
        fn level(&self) -> vault::Level {
            self.inner.level()
        }
    };
    (@keeps) => {
        fn keeps(&self) -> futures::future::BoxFuture<'_, lexicon::Result<vault::Keeps>> {
            self.inner.keeps()
        }
    };
    (@id) => {
        fn id(&self, new: lexicon::ShelfId) -> futures::future::BoxFuture<'_, lexicon::Result<lexicon::ShelfId>> {
            self.inner.id(new)
        }
    };
    (@put) => {
        fn put(
            &self,
            address: vault::ParcelAddress,
            bytes: bytes::Bytes,
        ) -> futures::future::BoxFuture<'_, lexicon::Result<()>> {
            self.inner.put(address, bytes)
        }
    };
    (@read) => {
        fn read(
            &self,
            address: vault::ParcelAddress,
        ) -> futures::future::BoxFuture<'_, lexicon::Result<bytes::Bytes>> {
            self.inner.read(address)
        }
    };
    (@list) => {
        fn list(
            &self,
            consignment: lexicon::ConsignmentId,
        ) -> futures::future::BoxFuture<'_, lexicon::Result<Vec<(vault::ParcelAddress, u64)>>> {
            self.inner.list(consignment)
        }
    };
    (@unfinished) => {
        fn unfinished(
            &self,
            consignment: lexicon::ConsignmentId,
        ) -> futures::future::BoxFuture<'_, lexicon::Result<u64>> {
            self.inner.unfinished(consignment)
        }
    };
    (@erase) => {
        fn erase<'a>(
            &'a self,
            consignment: lexicon::ConsignmentId,
            seen: &'a vault::Receipt,
        ) -> futures::future::BoxFuture<'a, lexicon::Result<vault::Erased>> {
            self.inner.erase(consignment, seen)
        }
    };
    ($($call:ident)*) => {
        $(passes_on!(@$call);)*
    };
}
pub(super) use passes_on;
