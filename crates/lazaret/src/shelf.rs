//! Where the server's shelf is: a folder of its data folder, or a bucket that `[shelf]` in the settings names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lexicon::{Code, Refusal, Result};
use serde::Deserialize;
use vault::{BucketPlace, Credentials, DiskShelf, Patience, S3Shelf, Shelf};
use zeroize::Zeroizing;

use crate::files;

/// What `[shelf]` may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketSettings {
    endpoint: Option<String>,
    region: Option<String>,
    bucket: Option<String>,
    authorities: Option<PathBuf>,
    access_key: Option<PathBuf>,
}

pub(crate) const KEYS: [&str; 5] = ["endpoint", "region", "bucket", "authorities", "access_key"];

/// Under this name a service manager hands the access key over.
const CREDENTIAL: &str = "lazaret-s3";
const ID: &str = "LAZARET_S3_ACCESS_KEY_ID";
const SECRET: &str = "LAZARET_S3_SECRET_ACCESS_KEY";

impl BucketSettings {
    /// Each value by its name, for whoever looks whether a secret was put there.
    pub(crate) fn values(&self) -> [(&'static str, Option<&Path>); 5] {
        let [endpoint, region, bucket] =
            [&self.endpoint, &self.region, &self.bucket].map(|value| value.as_deref().map(Path::new));
        [
            ("endpoint", endpoint),
            ("region", region),
            ("bucket", bucket),
            ("authorities", self.authorities.as_deref()),
            ("access_key", self.access_key.as_deref()),
        ]
    }

    /// As `lazaret config show` says it.
    pub(crate) fn shown(&self) -> String {
        let [endpoint, bucket] = [&self.endpoint, &self.bucket].map(|value| value.as_deref().unwrap_or("(missing)"));
        format!("bucket {bucket} at {endpoint}")
    }

    fn place(&self) -> Result<BucketPlace> {
        let named = |value: &Option<String>, key: &str| {
            value.clone().ok_or_else(|| {
                let why = format!("`[shelf]` in the settings does not say `{key}`");
                Refusal::new(
                    Code(1092),
                    why,
                    "Name endpoint, region and bucket, or take `[shelf]` out for a shelf in the data folder.",
                )
            })
        };
        Ok(BucketPlace {
            endpoint: named(&self.endpoint, "endpoint")?,
            region: named(&self.region, "region")?,
            bucket: named(&self.bucket, "bucket")?,
            authorities: self.authorities.as_deref().map(files::read).transpose()?,
            credentials: self.credentials()?,
            patience: Patience::default(),
        })
    }

    /// From the file that is named, from the service manager, or from the environment; in no case from an argument, which
    /// every user of the machine can read.
    fn credentials(&self) -> Result<Credentials> {
        let handed = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(CREDENTIAL));
        if let Some(file) = self.access_key.clone().or_else(|| handed.filter(|file| file.exists())) {
            return from_file(&file);
        }
        if let (Ok(id), Ok(secret)) = (std::env::var(ID), std::env::var(SECRET)) {
            return Ok(Credentials { id, secret });
        }
        let why = "there is no access key for the object store of the shelf";
        let remedy = "Name its file as `access_key` in `[shelf]`, or hand it over as the credential lazaret-s3.";
        Err(Refusal::new(Code(1093), why, remedy).into())
    }
}

fn from_file(file: &Path) -> Result<Credentials> {
    if let Some(mode) = files::open_to_everybody(file) {
        let why = format!("the access key {} can be used by everybody on this machine (mode {mode:o})", file.display());
        let remedy = "Close it with `chmod o= FILE`, and make a new access key if somebody may have read it.";
        return Err(Refusal::new(Code(1094), why, remedy).into());
    }
    let text = Zeroizing::new(files::text(file)?);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if let (Some(id), Some(secret), None) = (lines.next(), lines.next(), lines.next()) {
        return Ok(Credentials { id: id.to_owned(), secret: secret.to_owned() });
    }
    let why = format!("the file {} does not hold an access key", file.display());
    Err(Refusal::new(Code(1095), why, "Write its id on the first line and its secret on the second, and no more.")
        .into())
}

/// The shelf of these settings. A bucket is not contacted yet.
pub(crate) fn open(data: &Path, bucket: Option<&BucketSettings>) -> Result<Arc<dyn Shelf>> {
    Ok(match bucket {
        Some(bucket) => Arc::new(S3Shelf::open(bucket.place()?)?),
        None => Arc::new(DiskShelf::open(&data.join("shelf"))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET_TEXT: &str = "wJalrXUtnFEMIbPxRfiCYzEXAMPLEKEY";

    fn settings(folder: &Path, access_key: &str) -> BucketSettings {
        let file = folder.join("access-key");
        files::write(&file, access_key.as_bytes()).unwrap();
        close(&file, 0o600);
        BucketSettings {
            endpoint: Some("https://store.example".to_owned()),
            region: Some("eu-west-3".to_owned()),
            bucket: Some("shelf".to_owned()),
            authorities: None,
            access_key: Some(file),
        }
    }

    fn close(file: &Path, mode: u32) {
        #[cfg(unix)]
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        #[cfg(not(unix))]
        let _ = (file, mode);
    }

    fn refused(settings: &BucketSettings, folder: &Path) -> Code {
        let Err(refused) = open(folder, Some(settings)).map(drop) else { panic!("the shelf was opened") };
        assert!(!format!("{refused} {refused:?}").contains(SECRET_TEXT), "{refused}");
        refused.code()
    }

    #[test]
    fn an_access_key_comes_from_a_file_that_is_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let right = settings(folder.path(), &format!("GK0123\n{SECRET_TEXT}\n"));
        open(folder.path(), Some(&right)).map(drop).unwrap();
        assert_eq!(right.place().unwrap().credentials.secret, SECRET_TEXT);
        #[cfg(unix)]
        {
            close(right.access_key.as_deref().unwrap(), 0o604);
            assert_eq!(refused(&right, folder.path()), Code(1094));
        }
        for wrong in [SECRET_TEXT.to_owned(), format!("GK0123\n{SECRET_TEXT}\nmore"), String::new()] {
            assert_eq!(refused(&settings(folder.path(), &wrong), folder.path()), Code(1095));
        }
        let missing = BucketSettings { bucket: None, ..right };
        assert_eq!(refused(&missing, folder.path()), Code(1092));
    }
}
