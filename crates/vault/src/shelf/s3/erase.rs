//! Emptying a consignment's part of a bucket, with everything that a bucket keeps of what was deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};
use lexicon::{Code, ConsignmentId, Fault, Result, Retry, Timestamp};

use super::bucket::{Object, Version};
use super::said::Said;
use super::{AT_ONCE, S3Shelf, prefix_of};
use crate::shelf::{Erased, Left, Lingering, ParcelAddress, address_of};

const DOING: &str = "delete parcels";

/// A version that the store lets nobody delete yet.
struct Held {
    version: Version,
    address: ParcelAddress,
    until: Option<Timestamp>,
}

impl S3Shelf {
    pub(super) async fn clear(&self, consignment: ConsignmentId) -> Result<Erased> {
        self.cuts().retain(|address, _| address.consignment != consignment);
        let prefix = prefix_of(consignment);
        let found = self.everything(&prefix).await?;
        let (markers, versions): (Vec<_>, Vec<_>) = found.into_iter().partition(|version| version.is_marker);
        let (held, erased) = self.delete_versions(versions).await?;
        let held_keys: BTreeSet<&str> = held.iter().map(|held| held.version.key.as_str()).collect();
        // A version that stays is kept out of the listing by a marker: one that is there, or a new one.
        let (covers, plain): (Vec<_>, Vec<_>) =
            markers.into_iter().partition(|marker| held_keys.contains(marker.key.as_str()));
        let plain =
            plain.into_iter().map(|marker| async move { self.bucket.delete(&marker.key, marker.id.as_deref()).await });
        stream::iter(plain).buffered(AT_ONCE).try_collect::<Vec<()>>().await.map_err(|said| said.trouble(DOING))?;
        let is_covered = |key: &str| covers.iter().any(|marker| marker.is_latest && marker.key == key);
        for key in held_keys.iter().filter(|key| !is_covered(key)) {
            self.bucket.delete(key, None).await.map_err(|said| said.trouble(DOING))?;
        }
        let uploads = self.bucket.uploads(&prefix).await.map_err(|said| said.trouble(DOING))?;
        for upload in &uploads {
            self.bucket.abort(upload).await.map_err(|said| said.trouble(DOING))?;
        }
        let left = self.look_again(consignment, &prefix, &held).await?;
        let aborted = u64::try_from(uploads.len()).unwrap_or(u64::MAX);
        Ok(Erased { unfinished: erased.unfinished.saturating_add(aborted), lingering: named(&held), left, ..erased })
    }

    /// Every version below a consignment; in a bucket that has none, every object.
    async fn everything(&self, prefix: &str) -> Result<Vec<Version>> {
        if let Some(versions) = self.bucket.versions(prefix).await.map_err(|said| said.trouble(DOING))? {
            return Ok(versions);
        }
        if self.bucket.is_versioned().await.map_err(|said| said.trouble(DOING))? {
            let why = "the bucket of the shelf keeps versions that its object store does not list";
            return Err(Fault::new(Code(739), Retry::Never, why).into());
        }
        let objects = self.bucket.objects(prefix).await.map_err(|said| said.trouble(DOING))?;
        let alone = |Object { key, size }| Version { key, id: None, bytes: size, is_latest: true, is_marker: false };
        Ok(objects.into_iter().map(alone).collect())
    }

    async fn delete_versions(&self, versions: Vec<Version>) -> Result<(Vec<Held>, Erased)> {
        let deletions = versions.into_iter().map(|version| self.delete_version(version));
        let outcomes = stream::iter(deletions).buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let (mut held, mut erased, mut parcels) = (Vec::new(), Erased::default(), BTreeSet::new());
        for outcome in outcomes {
            let version = match outcome {
                Outcome::Held(version) => {
                    held.push(version);
                    continue;
                }
                Outcome::Deleted(version) => version,
            };
            erased.bytes = erased.bytes.saturating_add(version.bytes);
            match address_of(&version.key) {
                Some(address) => {
                    parcels.insert(address);
                    erased.found.insert((address, version.bytes));
                }
                None => erased.unfinished = erased.unfinished.saturating_add(1),
            }
        }
        let kept: BTreeSet<ParcelAddress> = held.iter().map(|held| held.address).collect();
        let parcels = parcels.difference(&kept).count();
        Ok((held, Erased { objects: u64::try_from(parcels).unwrap_or(u64::MAX), ..erased }))
    }

    async fn delete_version(&self, version: Version) -> Result<Outcome> {
        let denied = match self.bucket.delete(&version.key, version.id.as_deref()).await {
            Ok(()) => return Ok(Outcome::Deleted(version)),
            Err(said) => said,
        };
        // It is named only if it is a parcel's, and if the store says itself what holds it.
        let (Some(id), Some(address)) = (&version.id, address_of(&version.key)) else {
            return Err(denied.trouble(DOING));
        };
        let hold = if denied.is_denial() { self.bucket.hold(&version.key, id).await } else { Ok(None) };
        let Some(hold) = hold.map_err(|said| said.trouble(DOING))? else { return Err(denied.trouble(DOING)) };
        let until = hold.until.map(|until| until.parse().map_err(|_| Said::Odd.trouble(DOING))).transpose()?;
        Ok(Outcome::Held(Held { version, address, until }))
    }

    /// Nothing is listed, and of what the store keeps unlisted only what it holds.
    async fn look_again(&self, consignment: ConsignmentId, prefix: &str, held: &[Held]) -> Result<Left> {
        let known = |version: &Version| {
            let is_held = held.iter().any(|held| held.version.key == version.key && held.version.id == version.id);
            is_held || version.is_marker && held.iter().any(|held| held.version.key == version.key)
        };
        let counted = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let kept = self.everything(prefix).await?.iter().filter(|version| !known(version)).count();
        let cut = self.bucket.uploads(prefix).await.map_err(|said| said.trouble(DOING))?.len();
        let listed = self.bucket.objects(prefix).await.map_err(|said| said.trouble(DOING))?.len();
        let left = Left { objects: counted(listed), versions: counted(kept), unfinished: counted(cut) };
        if left == Left::default() {
            return Ok(left);
        }
        let left = listed.saturating_add(kept).saturating_add(cut);
        let why = format!("{left} objects of consignment {consignment} are left in the bucket after erasing");
        Err(Fault::new(Code(740), Retry::Now, why).into())
    }
}

enum Outcome {
    Deleted(Version),
    Held(Held),
}

/// By parcel: until the last of its versions may go.
fn named(held: &[Held]) -> Vec<Lingering> {
    let mut named: BTreeMap<ParcelAddress, Lingering> = BTreeMap::new();
    for Held { version, address, until } in held {
        let new = Lingering { attempt: address.attempt, parcel: address.parcel, bytes: 0, until: *until };
        let line = named.entry(*address).or_insert(new);
        line.bytes = line.bytes.saturating_add(version.bytes);
        // One without an end outlasts every date.
        line.until = line.until.zip(*until).map(|(one, other)| one.max(other));
    }
    named.into_values().collect()
}
