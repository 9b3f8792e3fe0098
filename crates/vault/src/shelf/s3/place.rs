//! Where a bucket is, and how it is spoken to.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use lexicon::{Code, Refusal, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::client::{HttpConnector, ReqwestConnector};
use object_store::{BackoffConfig, Certificate, ClientOptions, RetryConfig};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::bucket::{Bucket, PAGE_LINES};

/// Where a bucket is, and what opens it.
pub struct BucketPlace {
    /// `https://host` or `https://host:port`; `http://` on the loopback address only.
    pub endpoint: String,
    /// The store's region, as requests are signed for it.
    pub region: String,
    /// The bucket's name.
    pub bucket: String,
    /// Authorities in PEM, trusted instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// The access key.
    pub credentials: Credentials,
    /// How long the store is waited for.
    pub patience: Patience,
}

/// An access key of an object store. Never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Credentials {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// How long an object store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One request with its answer.
    pub request: Duration,
    /// How many times one that may succeed later is made again.
    pub again: usize,
    /// The wait before the first of those; each later one is longer.
    pub pause: Duration,
}

impl Default for Patience {
    /// A minute for each request, so 140 kB/s at the least for each part of 8 MiB, of which several share a line; and five
    /// tries within some six seconds of waiting. Whoever puts a parcel tries again by itself for longer than that.
    fn default() -> Self {
        Self { request: Duration::from_mins(1), again: 4, pause: Duration::from_millis(400) }
    }
}

impl BucketPlace {
    pub(super) fn open(self) -> Result<(AmazonS3, Bucket)> {
        let plain = self.check()?;
        let unusable = |_| refused("the authorities that are to certify the object store cannot be used");
        let mut options = ClientOptions::new()
            .with_allow_http(plain)
            .with_timeout(self.patience.request)
            .with_connect_timeout(self.patience.request.min(Duration::from_secs(5)));
        if let Some(pem) = &self.authorities {
            options = options.with_no_system_certificates(true);
            let authorities = Certificate::from_pem_bundle(pem).map_err(unusable)?;
            if authorities.is_empty() {
                return Err(refused("the authorities that are to certify the object store cannot be used").into());
            }
            for authority in authorities {
                options = options.with_root_certificate(authority);
            }
        }
        let Patience { request, again, pause } = self.patience;
        let backoff = BackoffConfig { init_backoff: pause, ..BackoffConfig::default() };
        let tries = u32::try_from(again).unwrap_or(u32::MAX).saturating_add(1);
        let retry = RetryConfig { backoff, max_retries: again, retry_timeout: request.saturating_mul(tries) };
        let builder = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_region(&self.region)
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.credentials.id)
            .with_secret_access_key(&self.credentials.secret)
            .with_client_options(options.clone())
            .with_retry(retry);
        // What is asked of the bucket itself is small: nobody waits longer for it.
        let small = options.with_timeout(request.min(Duration::from_secs(10)));
        let client = ReqwestConnector::default().connect(&small).map_err(unusable)?;
        let credential = AwsCredential {
            key_id: self.credentials.id.clone(),
            secret_key: self.credentials.secret.clone(),
            token: None,
        };
        let url = format!("{}/{}", self.endpoint.trim_end_matches('/'), self.bucket);
        let (region, patience, page_lines) = (self.region, self.patience, PAGE_LINES);
        let bucket = Bucket { client, credential, region, url, patience, page_lines };
        Ok((builder.build().map_err(unusable)?, bucket))
    }

    /// Whether it is spoken to without TLS. Nothing of a value that cannot be one is told: a secret may have been put there.
    fn check(&self) -> Result<bool, Refusal> {
        let (scheme, host) = self.endpoint.trim_end_matches('/').split_once("://").unwrap_or_default();
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if !matches!(scheme, "http" | "https") || host.is_empty() || !host.chars().all(is_host) {
            return Err(refused("the endpoint of the shelf is not `https://` and a host"));
        }
        if scheme == "http" && !is_loopback(host) {
            return Err(refused("the endpoint of the shelf is spoken to without TLS and is on another machine"));
        }
        let is_name = |name: &str, more: &str| {
            let right = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            (1..=63).contains(&name.len()) && name.chars().all(right)
        };
        if !is_name(&self.region, "-_") {
            return Err(refused("the region of the shelf is not a name"));
        }
        if self.bucket.len() < 3 || !is_name(&self.bucket, ".-") {
            return Err(refused("the bucket of the shelf is not a name"));
        }
        let is_key = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key(&self.credentials.id) || !is_key(&self.credentials.secret) {
            return Err(refused("the access key of the shelf is empty, or no text of one line"));
        }
        Ok(scheme == "http")
    }
}

fn refused(why: &str) -> Refusal {
    Refusal::new(
        Code(741),
        why,
        "Mend `[shelf]` in the server's settings; the manual's chapter on operating a server says how.",
    )
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
