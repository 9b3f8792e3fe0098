use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use journal::Receipt;
use lexicon::{Code, ConsignmentId, Digest, Fault, Result, Retry, ShelfId, Trouble};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::{Erased, Keeps, Left, ParcelAddress, Shelf, address_of, id_in, not_there, other_bytes, parcels, path_of};
use crate::disk::{fault, make_folder, sync_folder};

/// A shelf in a local folder: `consignment/attempt/parcel` and its id, each made durable before it is named.
pub struct DiskShelf {
    root: PathBuf,
    store: LocalFileSystem,
}

impl DiskShelf {
    /// Opens the shelf in `folder`, making it when it is not there.
    ///
    /// # Errors
    /// A fault of the disk.
    pub fn open(folder: &FilePath) -> Result<Self> {
        make_folder(folder)?;
        let root = folder.canonicalize().map_err(|error| fault("resolve the shelf's folder", &error))?;
        let store = LocalFileSystem::new_with_prefix(&root).map_err(|error| trouble("open its folder", &error))?;
        Ok(Self { root, store: store.with_fsync(true).with_automatic_cleanup(false) })
    }

    async fn put_once(&self, address: ParcelAddress, bytes: Bytes) -> Result<()> {
        let path = path_of(address);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&path, bytes.clone().into(), options).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. }) if Digest::of(&self.fetch(address).await?) == Digest::of(&bytes) => Ok(()),
            Err(Error::AlreadyExists { .. }) => Err(other_bytes(address.parcel).into()),
            Err(error) => Err(trouble("put a parcel", &error).into()),
        }
    }

    async fn fetch(&self, address: ParcelAddress) -> Result<Bytes> {
        let found = match self.store.get(&path_of(address)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Err(not_there(address.parcel).into()),
            Err(error) => return Err(trouble("read a parcel", &error).into()),
        };
        found.bytes().await.map_err(|error| trouble("read a parcel", &error).into())
    }

    async fn listing(&self, consignment: ConsignmentId) -> Result<Vec<(ParcelAddress, u64)>> {
        let under = Path::from(consignment.to_string());
        let found = self.store.list(Some(&under)).try_collect::<Vec<_>>().await;
        let found = found.map_err(|error| trouble("list parcels", &error))?;
        parcels(consignment, found.iter().map(|object| (object.location.as_ref(), object.size)))
    }

    async fn cut(&self, consignment: ConsignmentId) -> Result<u64> {
        let (root, folder) = (self.root.clone(), self.root.join(consignment.to_string()));
        tokio::task::spawn_blocking(move || files_below(&folder, &|path| parcel_at(&root, path).is_none()))
            .await
            .map_err(|_| Fault::new(Code(715), Retry::Now, "a look at a shelf was cut short"))?
    }

    async fn clear(&self, consignment: ConsignmentId) -> Result<Erased> {
        let (root, folder) = (self.root.clone(), self.root.join(consignment.to_string()));
        // Not by the object store's own delete: it hides cut uploads from its listing, and does not sync folders.
        let (erased, unfinished) = tokio::task::spawn_blocking(move || {
            let erased = remove_all(&root, &folder)?;
            Ok::<_, Trouble>((erased, files_below(&folder, &|_| true)?))
        })
        .await
        .map_err(|_| Fault::new(Code(715), Retry::Now, "the erasure of a shelf was cut short"))??;
        let objects = u64::try_from(self.listing(consignment).await?.len()).unwrap_or(u64::MAX);
        let left = Left { objects, versions: 0, unfinished };
        if left != Left::default() {
            let message =
                format!("{} files of consignment {consignment} are left after erasing", unfinished.max(objects));
            return Err(Fault::new(Code(715), Retry::Now, message).into());
        }
        Ok(Erased { left, ..erased })
    }
}

impl Shelf for DiskShelf {
    fn keeps(&self) -> BoxFuture<'_, Result<Keeps>> {
        async { Ok(Keeps::Nothing) }.boxed()
    }

    fn id(&self, new: ShelfId) -> BoxFuture<'_, Result<ShelfId>> {
        id_in(&self.store, new, |error| trouble("read or write its id", error).into()).boxed()
    }

    fn put(&self, address: ParcelAddress, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.put_once(address, bytes).boxed()
    }

    fn read(&self, address: ParcelAddress) -> BoxFuture<'_, Result<Bytes>> {
        self.fetch(address).boxed()
    }

    fn list(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<Vec<(ParcelAddress, u64)>>> {
        self.listing(consignment).boxed()
    }

    fn unfinished(&self, consignment: ConsignmentId) -> BoxFuture<'_, Result<u64>> {
        self.cut(consignment).boxed()
    }

    fn erase<'a>(&'a self, consignment: ConsignmentId, _seen: &'a Receipt) -> BoxFuture<'a, Result<Erased>> {
        self.clear(consignment).boxed()
    }
}

fn trouble(what: &str, error: &Error) -> Fault {
    // Of what the object store says only the kind: its text holds paths.
    let kind = if matches!(error, Error::PermissionDenied { .. }) {
        "permission denied"
    } else if is_full(error) {
        "the disk is full"
    } else {
        "the disk failed"
    };
    Fault::new(Code(715), Retry::Later, format!("the shelf failed to {what}: {kind}"))
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
    let this = error.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind()));
    this || error.source().is_some_and(is_full)
}

/// How many of these files lie below a folder: cut uploads, which the object store hides from its listing, too.
fn files_below(folder: &FilePath, these: &dyn Fn(&FilePath) -> bool) -> Result<u64> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(fault("list a shelf's folder", &error)),
    };
    let mut files = 0_u64;
    for entry in entries {
        let path = entry.map_err(|error| fault("list a shelf's folder", &error))?.path();
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        files = files.saturating_add(if is_folder { files_below(&path, these)? } else { u64::from(these(&path)) });
    }
    Ok(files)
}

/// Removes every file below `folder`, then the folders, inside out, and makes each removal durable.
fn remove_all(root: &FilePath, folder: &FilePath) -> Result<Erased> {
    let mut erased = Erased::default();
    if remove_below(root, folder, &mut erased)? {
        gone(fs::remove_dir(folder)).map_err(|error| fault("remove a shelf's folder", &error))?;
        sync_folder(root)?;
    }
    Ok(erased)
}

/// False when there is no such folder.
fn remove_below(root: &FilePath, folder: &FilePath, erased: &mut Erased) -> Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fault("list a shelf's folder", &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| fault("list a shelf's folder", &error))?;
        let path = entry.path();
        // Of the link, not of what it points to: a link in the shelf is removed, never followed.
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(fault("look at a parcel", &error)),
        };
        if found.is_dir() {
            remove_below(root, &path, erased)?;
            gone(fs::remove_dir(&path)).map_err(|error| fault("remove a shelf's folder", &error))?;
        } else {
            if !gone(fs::remove_file(&path)).map_err(|error| fault("remove a parcel", &error))? {
                continue;
            }
            if let Some(address) = parcel_at(root, &path) {
                erased.objects = erased.objects.saturating_add(1);
                erased.bytes = erased.bytes.saturating_add(found.len());
                erased.found.insert((address, found.len()));
            } else {
                erased.unfinished = erased.unfinished.saturating_add(1);
            }
        }
    }
    // Removed by somebody else, it is made durable in the folder above.
    sync_folder(folder).or_else(|trouble| if folder.exists() { Err(trouble) } else { Ok(()) })?;
    Ok(true)
}

/// Whether it was this call that removed it; who else erases the same did so otherwise.
fn gone(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// By its name on the shelf.
fn parcel_at(root: &FilePath, path: &FilePath) -> Option<ParcelAddress> {
    let name = path.strip_prefix(root).ok().and_then(FilePath::to_str)?;
    address_of(&name.replace(std::path::MAIN_SEPARATOR, "/"))
}

#[cfg(test)]
mod tests;
