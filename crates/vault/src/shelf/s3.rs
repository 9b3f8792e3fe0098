//! A shelf in a bucket of an S3 object store. The bucket is one server's alone.
//!
//! **A parcel never changes** because of what is looked at before it is written, and not because the store would refuse:
//! some stores overwrite whatever is said to them. Two requests of this process for one address do not run at once. Who
//! else has the access key can put other bytes there, as on a disk; whoever opens a parcel compares it with the signed
//! manifest and raises an alarm.
//!
//! **What was erased** may linger as an older version, a deletion's marker or a cut upload: all are listed and deleted.
//! What the store lets nobody delete is named.

mod bucket;
mod erase;
mod place;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use journal::Receipt;
use lexicon::{Alarm, Code, ConsignmentId, Digest, Fault, Refusal, Result, Retry, ShelfId, Trouble, limits};
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
};

use self::bucket::{Bucket, Upload};
use self::said::Said;
use super::{Erased, Keeps, ParcelAddress, Shelf, id_in, not_there, other_bytes, parcels, path_of};

pub use place::{BucketPlace, Credentials, Patience};

#[cfg(feature = "parsers")]
pub(crate) fn bucket_answer(status: u16, body: &str) -> (usize, Trouble) {
    (bucket::lines(body), Said::status(status, body).trouble("list"))
}

/// 8 MiB: above the 5 MiB that stores want of every part but the last; a parcel of 64 MiB has eight.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// How many parts of a parcel, or deletions, are under way at once.
const AT_ONCE: usize = 4;
/// As many as the office takes requests at once: of more cut uploads than that one is forgotten, and begun anew.
const CUTS_MAX: usize = 64;

/// Under which name an object carries the SHA-256 of its bytes.
const DIGEST: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("sha256"));

/// A shelf in a bucket: objects called `consignment/attempt/parcel`, and its id.
pub struct S3Shelf {
    store: AmazonS3,
    bucket: Bucket,
    /// Uploads that broke off, and may be gone on with by whoever puts the same bytes again.
    cuts: Mutex<BTreeMap<ParcelAddress, Cut>>,
    /// Addresses at which something is being put.
    busy: Mutex<BTreeSet<ParcelAddress>>,
}

/// A multipart upload that broke off.
struct Cut {
    digest: Digest,
    upload: String,
    parts: BTreeMap<usize, PartId>,
}

impl S3Shelf {
    /// A shelf there. Nothing is contacted yet.
    ///
    /// # Errors
    /// A refusal when the place cannot be one, or a certificate is none.
    pub fn open(place: BucketPlace) -> Result<Self> {
        let (store, bucket) = place.open()?;
        Ok(Self { store, bucket, cuts: Mutex::default(), busy: Mutex::default() })
    }

    async fn look(&self) -> Result<Keeps> {
        let doing = "ask its bucket what it keeps";
        let versioned = self.bucket.is_versioned().await.map_err(|said| said.trouble(doing))?;
        if self.bucket.is_locked().await.map_err(|said| said.trouble(doing))? {
            let why = "the bucket of the shelf locks objects: what is put there might not be deleted in time";
            let remedy = "Make a bucket without object lock, and name it in the server's settings.";
            return Err(Refusal::new(Code(730), why, remedy).into());
        }
        Ok(if versioned { Keeps::Versions } else { Keeps::Nothing })
    }

    async fn put_once(&self, address: ParcelAddress, bytes: Bytes) -> Result<()> {
        let _busy = Busy::at(&self.busy, address)?;
        let digest = Digest::of(&bytes);
        match self.digest_at(address).await? {
            Some(there) if there == digest => {
                self.cuts().remove(&address);
                return Ok(());
            }
            Some(_) => return Err(other_bytes(address.parcel).into()),
            None => {}
        }
        if bytes.len() > PART_BYTES {
            return self.put_parts(address, &bytes, digest).await;
        }
        let options = PutOptions { attributes: described(digest), ..PutOptions::default() };
        self.store.put_opts(&path_of(address), bytes.into(), options).await.map_err(|error| put_failed(&error))?;
        Ok(())
    }

    async fn put_parts(&self, address: ParcelAddress, bytes: &Bytes, digest: Digest) -> Result<()> {
        let mut cut = self.begin(address, digest).await?;
        let mut sent = self.send(address, &mut cut, bytes).await;
        // A request that was cut can come to the store later than the one that sent its part again, and takes that part's
        // place. No other part would mend it: the upload is given up for another.
        if sent.as_ref().is_err_and(|error| Said::of(error).is_other_part()) {
            cut = self.begin(address, digest).await?;
            sent = self.send(address, &mut cut, bytes).await;
        }
        match sent {
            Ok(()) => Ok(()),
            // The upload is gone: it was completed and the answer did not come, or somebody gave it up.
            Err(Error::NotFound { .. }) if self.digest_at(address).await? == Some(digest) => Ok(()),
            Err(error) if Said::of(&error).is_missing() => Err(Said::Cut.trouble("put a parcel")),
            Err(error) => {
                let mut cuts = self.cuts();
                if cuts.len() >= CUTS_MAX {
                    cuts.pop_first();
                }
                cuts.insert(address, cut);
                Err(put_failed(&error))
            }
        }
    }

    /// Goes on with an upload of the same bytes that broke off and that the store still has, or begins one. Every other
    /// of that parcel is given up.
    async fn begin(&self, address: ParcelAddress, digest: Digest) -> Result<Cut> {
        let path = path_of(address);
        let left = self.bucket.uploads(path.as_ref()).await.map_err(|said| said.trouble("list cut uploads"))?;
        let left: Vec<_> = left.into_iter().filter(|upload| upload.key == path.as_ref()).collect();
        let goes_on = |cut: &Cut| cut.digest == digest && left.iter().any(|upload| upload.upload_id == cut.upload);
        let kept = self.cuts().remove(&address).filter(goes_on);
        let is_kept = |upload: &&Upload| kept.as_ref().is_some_and(|cut| cut.upload == upload.upload_id);
        for upload in left.iter().filter(|upload| !is_kept(upload)) {
            self.bucket.abort(upload).await.map_err(|said| said.trouble("give a cut upload up"))?;
        }
        if let Some(cut) = kept {
            return Ok(cut);
        }
        let options = PutMultipartOptions { attributes: described(digest), ..PutMultipartOptions::default() };
        let upload = self.store.create_multipart_opts(&path, options).await.map_err(|error| put_failed(&error))?;
        Ok(Cut { digest, upload, parts: BTreeMap::new() })
    }

    /// Sends what is missing, and completes. What arrived stands in `cut` also when the rest did not.
    async fn send(&self, address: ParcelAddress, cut: &mut Cut, bytes: &Bytes) -> Result<(), Error> {
        let path = path_of(address);
        let upload = cut.upload.clone();
        let parts = (0..bytes.len()).step_by(PART_BYTES).enumerate();
        let missing: Vec<(usize, Bytes)> = parts
            .filter(|(index, _)| !cut.parts.contains_key(index))
            .map(|(index, from)| (index, bytes.slice(from..from.saturating_add(PART_BYTES).min(bytes.len()))))
            .collect();
        let sends = missing.into_iter().map(|(index, part)| {
            let (path, upload) = (&path, &upload);
            async move { self.store.put_part(path, upload, index, part.into()).await.map(|part| (index, part)) }
        });
        let mut sent = stream::iter(sends).buffer_unordered(AT_ONCE);
        let mut failed = None;
        // One that fails ends no other: what arrives now need not be sent again.
        while let Some(part) = sent.next().await {
            match part {
                Ok((index, part)) => _ = cut.parts.insert(index, part),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.store.complete_multipart(&path, &upload, cut.parts.values().cloned().collect()).await?;
        Ok(())
    }

    /// The digest of what lies at an address.
    async fn digest_at(&self, address: ParcelAddress) -> Result<Option<Digest>> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = match self.store.get_opts(&path_of(address), options).await {
            Ok(found) => found,
            Err(error) if Said::of(&error).is_missing() => return Ok(None),
            Err(error) => return Err(put_failed(&error)),
        };
        let told = found.attributes.get(&DIGEST).and_then(|digest| digest.as_ref().parse().ok());
        // Somebody else's object says nothing of its bytes.
        if told.is_some() { Ok(told) } else { Ok(Some(Digest::of(&self.fetch(address).await?))) }
    }

    async fn fetch(&self, address: ParcelAddress) -> Result<Bytes> {
        let trouble = |error: &Error| match Said::of(error) {
            said if said.is_missing() => Trouble::from(not_there(address.parcel)),
            said => said.trouble("read a parcel"),
        };
        let found = self.store.get(&path_of(address)).await.map_err(|error| trouble(&error))?;
        if found.meta.size > u64::try_from(limits::PARCEL_BYTES_MAX).unwrap_or(u64::MAX) {
            let why = format!("what lies on the shelf as parcel {} is larger than any parcel", address.parcel);
            return Err(Alarm::new(Code(738), why).into());
        }
        found.bytes().await.map_err(|error| trouble(&error))
    }

    async fn listed(&self, consignment: ConsignmentId) -> Result<Vec<(ParcelAddress, u64)>> {
        let listed = self.bucket.objects(&prefix_of(consignment)).await;
        let listed = listed.map_err(|said| said.trouble("list parcels"))?;
        parcels(consignment, listed.iter().map(|object| (object.key.as_str(), object.size)))
    }

    async fn begun(&self, consignment: ConsignmentId) -> Result<u64> {
        let uploads = self.bucket.uploads(&prefix_of(consignment)).await;
        let uploads = uploads.map_err(|said| said.trouble("list cut uploads"))?;
        Ok(u64::try_from(uploads.len()).unwrap_or(u64::MAX))
    }

    fn cuts(&self) -> MutexGuard<'_, BTreeMap<ParcelAddress, Cut>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for S3Shelf {
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        self.look().boxed()
    }

    fn id(&self, new: ShelfId) -> BoxFuture<'_, Result<ShelfId>> {
        id_in(&self.store, new, |error| Said::of(error).trouble("read or write its id")).boxed()
    }

    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.put_once(address, bytes).boxed()
    }

    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        self.fetch(address).boxed()
    }

    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        self.listed(consignment).boxed()
    }

    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        self.begun(consignment).boxed()
    }

    fn erase<'a>(&'a self, consignment: ConsignmentId, _seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        self.clear(consignment).boxed()
    }
}

/// An address at which something is being put, for as long as this lives.
struct Busy<'a> {
    all: &'a Mutex<BTreeSet<ParcelAddress>>,
    address: ParcelAddress,
}

impl<'a> Busy<'a> {
    fn at(all: &'a Mutex<BTreeSet<ParcelAddress>>, address: ParcelAddress) -> Result<Self> {
        if all.lock().unwrap_or_else(PoisonError::into_inner).insert(address) {
            return Ok(Self { all, address });
        }
        let why = format!("parcel {} is being put on the shelf by another request", address.parcel);
        Err(Fault::new(Code(737), Retry::Later, why).into())
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

/// With its slash: what is called so and more is another's.
fn prefix_of(consignment: ConsignmentId) -> String {
    format!("{consignment}/")
}

fn described(digest: Digest) -> Attributes {
    [(DIGEST, digest.to_string())].into_iter().collect()
}

fn put_failed(error: &Error) -> Trouble {
    Said::of(error).trouble("put a parcel")
}

#[cfg(test)]
mod tests;
