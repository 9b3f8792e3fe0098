//! What `object_store` does not ask of a bucket: whether it keeps versions or locks objects, every version and cut upload
//! in it, and to delete one; and its listing, of which that crate takes any page at all for an empty one. Nothing here
//! writes an object.

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Patience;
use super::said::Said;

/// 8 MiB: a page of a thousand lines of about a kilobyte, eight times over.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// As many as a store gives at once by itself.
pub(super) const PAGE_LINES: u16 = 1_000;
/// A million lines: a consignment has 100,000 parcels at most, and each may have ten versions and markers.
const PAGES_MAX: usize = 1_000;

type Outcome<T> = std::result::Result<T, Said>;

pub(super) struct Bucket {
    pub(super) client: HttpClient,
    pub(super) credential: AwsCredential,
    pub(super) region: String,
    /// Of the bucket itself, without a slash at its end.
    pub(super) url: String,
    pub(super) patience: Patience,
    /// How many lines of a listing are asked for at once.
    pub(super) page_lines: u16,
}

/// One version of an object, or the mark that it was deleted; or an object of a store that knows no versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) id: Option<String>,
    pub(super) bytes: u64,
    pub(super) is_latest: bool,
    pub(super) is_marker: bool,
}

/// A multipart upload that was neither completed nor aborted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) upload_id: String,
}

/// An object that the store lists.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) size: u64,
}

/// Why a version may not be deleted.
pub(super) struct Hold {
    /// As the store writes it; none for a hold without an end.
    pub(super) until: Option<String>,
}

impl Bucket {
    /// Whether it keeps older versions, or once did.
    pub(super) async fn is_versioned(&self) -> Outcome<bool> {
        let answer = self.ask("GET", "", &[("versioning", "")]).await;
        if matches!(&answer, Err(said) if said.is_unknown()) {
            return Ok(false);
        }
        let versioning: Versioning = parsed(&answer?.1)?;
        Ok(versioning.status.is_some_and(|status| matches!(status.as_str(), "Enabled" | "Suspended")))
    }

    /// Whether it is one in which objects can be locked against deletion.
    pub(super) async fn is_locked(&self) -> Outcome<bool> {
        let answer = self.ask("GET", "", &[("object-lock", "")]).await;
        if matches!(&answer, Err(said) if said.is_unknown() || said.is_missing()) {
            return Ok(false);
        }
        let lock: ObjectLock = parsed(&answer?.1)?;
        Ok(lock.object_lock_enabled == "Enabled")
    }

    /// Every version and marker below a prefix; none when the store does not list versions.
    pub(super) async fn versions(&self, prefix: &str) -> Outcome<Option<Vec<Version>>> {
        let (mut found, mut after, mut version) = (Vec::new(), String::new(), String::new());
        for _ in 0..PAGES_MAX {
            let from = [("key-marker", after.as_str()), ("version-id-marker", &version)];
            let lines = self.page_lines.to_string();
            let answer = self.ask("GET", "", &page("versions", prefix, ("max-keys", &lines), from)).await;
            if matches!(&answer, Err(said) if said.is_unknown()) {
                return Ok(None);
            }
            let page: VersionPage = parsed(&answer?.1)?;
            // Some stores pass over the question and list objects.
            if !page.contents.is_empty() {
                return Ok(None);
            }
            found.extend(page.version.into_iter().map(|line| line.version(false)));
            found.extend(page.delete_marker.into_iter().map(|line| line.version(true)));
            if !page.is_truncated {
                return Ok(Some(found));
            }
            (after, version) = (page.next_key_marker, page.next_version_id_marker);
        }
        Err(Said::Odd)
    }

    /// Every object below a prefix, as the store lists it.
    pub(super) async fn objects(&self, prefix: &str) -> Outcome<Vec<Object>> {
        let (mut found, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let lines = self.page_lines.to_string();
            let query = [("list-type", "2"), ("prefix", prefix), ("max-keys", &lines), ("continuation-token", &after)];
            let query: Vec<_> = query.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let page: ObjectPage = parsed(&self.ask("GET", "", &query).await?.1)?;
            found.extend(page.contents);
            if !page.is_truncated {
                return Ok(found);
            }
            after = page.next_continuation_token;
        }
        Err(Said::Odd)
    }

    /// Every cut upload below a prefix.
    pub(super) async fn uploads(&self, prefix: &str) -> Outcome<Vec<Upload>> {
        let (mut found, mut after, mut upload) = (Vec::new(), String::new(), String::new());
        for _ in 0..PAGES_MAX {
            let from = [("key-marker", after.as_str()), ("upload-id-marker", &upload)];
            let lines = self.page_lines.to_string();
            let answer = self.ask("GET", "", &page("uploads", prefix, ("max-uploads", &lines), from)).await?;
            let page: UploadPage = parsed(&answer.1)?;
            found.extend(page.upload);
            if !page.is_truncated {
                return Ok(found);
            }
            (after, upload) = (page.next_key_marker, page.next_upload_id_marker);
        }
        Err(Said::Odd)
    }

    /// Deletes one version; without one, the object, of which a bucket with versions then keeps a marker. What is not
    /// there is deleted.
    pub(super) async fn delete(&self, key: &str, version: Option<&str>) -> Outcome<()> {
        let query: Vec<_> = version.map(|version| ("versionId", version)).into_iter().collect();
        self.gone(key, &query).await
    }

    /// Gives a cut upload up, with its parts.
    pub(super) async fn abort(&self, upload: &Upload) -> Outcome<()> {
        self.gone(&upload.key, &[("uploadId", &upload.upload_id)]).await
    }

    async fn gone(&self, key: &str, query: &[(&str, &str)]) -> Outcome<()> {
        match self.ask("DELETE", key, query).await {
            Err(said) if !said.is_missing() => Err(said),
            _ => Ok(()),
        }
    }

    /// What holds a version, if anything does.
    pub(super) async fn hold(&self, key: &str, version: &str) -> Outcome<Option<Hold>> {
        let (response, _) = self.ask("HEAD", key, &[("versionId", version)]).await?;
        let said = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        let until = said("x-amz-object-lock-retain-until-date");
        let is_held = said("x-amz-object-lock-legal-hold").is_some_and(|hold| hold == "ON");
        Ok(match until {
            _ if is_held => Some(Hold { until: None }),
            Some(until) => Some(Hold { until: Some(until) }),
            None => None,
        })
    }

    /// Asks until there is an answer that will not change in a moment.
    async fn ask(&self, method: &str, key: &str, query: &[(&str, &str)]) -> Outcome<(HttpResponse, String)> {
        let mut pause = self.patience.pause;
        for _ in 0..self.patience.again {
            match self.ask_once(method, key, query).await {
                Err(said) if said.may_pass() => {}
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        self.ask_once(method, key, query).await
    }

    async fn ask_once(&self, method: &str, key: &str, query: &[(&str, &str)]) -> Outcome<(HttpResponse, String)> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method.parse().map_err(|_| Said::Odd)?;
        *request.uri_mut() = self.address(key, query).parse().map_err(|_| Said::Odd)?;
        let authorizer = AwsAuthorizer::new(&self.credential, "s3", &self.region);
        authorizer.try_authorize(&mut request, None).map_err(|_| Said::Odd)?;
        let response = self.client.execute(request).await.map_err(|error| Said::line(&error))?;
        let (parts, body) = response.into_parts();
        let add = |mut read: BytesMut, more: Bytes| async move {
            read.extend_from_slice(&more);
            if read.len() > ANSWER_BYTES_MAX { Err(Said::Odd) } else { Ok(read) }
        };
        let bounded = body.bytes_stream().map_err(|error| Said::line(&error)).try_fold(BytesMut::new(), add);
        let body = String::from_utf8(bounded.await?.to_vec()).map_err(|_| Said::Odd)?;
        let response = HttpResponse::from_parts(parts, Bytes::new().into());
        if response.status().is_success() {
            Ok((response, body))
        } else {
            Err(Said::status(response.status().as_u16(), &body))
        }
    }

    fn address(&self, key: &str, query: &[(&str, &str)]) -> String {
        let (mut address, mut mark) = (self.url.clone(), '?');
        if !key.is_empty() {
            address.push('/');
            encode(key, true, &mut address);
        }
        for (name, value) in query {
            address.push(mark);
            encode(name, false, &mut address);
            address.push('=');
            encode(value, false, &mut address);
            mark = '&';
        }
        address
    }
}

/// What a page of a listing is asked for by; a marker that is empty is none.
fn page<'a>(
    what: &'a str,
    prefix: &'a str,
    lines: (&'a str, &'a str),
    from: [(&'a str, &'a str); 2],
) -> Vec<(&'a str, &'a str)> {
    let from = from.into_iter().filter(|(_, marker)| !marker.is_empty());
    [(what, ""), ("prefix", prefix), lines].into_iter().chain(from).collect()
}

/// Everything but what stands for itself in every part of an address, as the signature wants it.
fn encode(text: &str, keeps_slashes: bool, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keeps_slashes && byte == b'/') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for half in [byte >> 4, byte & 15] {
                into.extend(char::from_digit(u32::from(half), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

fn parsed<T: DeserializeOwned>(body: &str) -> Outcome<T> {
    quick_xml::de::from_str(body).map_err(|_| Said::Odd)
}

/// How many lines the body of an answer has, whatever was asked for.
#[cfg(feature = "parsers")]
pub(super) fn lines(body: &str) -> usize {
    let versions = parsed::<VersionPage>(body).map_or(0, |page| {
        page.version.len().saturating_add(page.delete_marker.len()).saturating_add(page.contents.len())
    });
    let objects = parsed::<ObjectPage>(body).map_or(0, |page| page.contents.len());
    let uploads = parsed::<UploadPage>(body).map_or(0, |page| page.upload.len());
    let words = usize::from(parsed::<Versioning>(body).is_ok() || parsed::<ObjectLock>(body).is_ok());
    versions.saturating_add(objects).saturating_add(uploads).saturating_add(words)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioning {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectLock {
    object_lock_enabled: String,
}

// Every listing says whether it goes on: a page of something else says nothing of it, and is no empty listing.

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionPage {
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_version_id_marker: String,
    #[serde(default)]
    version: Vec<VersionLine>,
    #[serde(default)]
    delete_marker: Vec<VersionLine>,
    #[serde(default)]
    contents: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectPage {
    is_truncated: bool,
    #[serde(default)]
    next_continuation_token: String,
    #[serde(default)]
    contents: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UploadPage {
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
    #[serde(default)]
    upload: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionLine {
    key: String,
    version_id: String,
    is_latest: bool,
    #[serde(default)]
    size: u64,
}

impl VersionLine {
    fn version(self, is_marker: bool) -> Version {
        let Self { key, version_id, is_latest, size } = self;
        Version { key, id: Some(version_id), bytes: size, is_latest, is_marker }
    }
}
