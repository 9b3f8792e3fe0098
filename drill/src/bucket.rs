//! The bucket of the stories: the one that `cargo xtask test` made in Garage.

use std::path::PathBuf;

use vault::{BucketPlace, Credentials, Patience, S3Shelf};

use crate::World;

/// Where Garage's bucket is, and the folder in which Garage keeps it; none where there is no Garage.
pub fn garage() -> Option<(BucketPlace, PathBuf)> {
    let [url, data] = ["LAZARET_TEST_GARAGE", "LAZARET_TEST_GARAGE_DATA"].map(|name| std::env::var(name).ok());
    let (url, data) = (url?, data?);
    let (user, rest) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let ((id, secret), (host, bucket)) = (user.split_once(':').unwrap(), rest.split_once('/').unwrap());
    let place = BucketPlace {
        endpoint: format!("http://{host}"),
        region: "garage".to_owned(),
        bucket: bucket.to_owned(),
        authorities: None,
        credentials: Credentials { id: id.to_owned(), secret: secret.to_owned() },
        patience: Patience::default(),
    };
    Some((place, data.into()))
}

impl World {
    /// A shelf in Garage's bucket, and the folder in which Garage keeps it, which is searched too when the world ends;
    /// none where there is no Garage.
    pub fn garage(&self) -> Option<(S3Shelf, PathBuf)> {
        let (place, data) = garage()?;
        self.bucket(&data);
        Some((S3Shelf::open(place).unwrap(), data))
    }
}
