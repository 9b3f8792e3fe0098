//! The requests themselves: each on a connection and a thread of its own. A ring is asked rarely, by code that waits, and
//! often from within a runtime that must not be waited in.

use std::time::Duration;

use lexicon::{Code, Fault, Refusal, Result, Retry, Trouble};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::OpenBaoPlace;
use crate::keyring::Said;
use crate::keyring::store::credential;

/// The office waits meanwhile: a service that takes longer is away, and asked again at the next beat.
const WHOLE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// 4 MiB: a list of 65,536 keys' names of 48 characters.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An answer with a share in it is much shorter, so that the place that takes it in does not move, and leaves no copy.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// 4 KiB: a wrapped share and what it is bound to, twice over.
const BODY_BYTES: usize = 4 * 1024;

/// The status and three reasons: the service gives one, and whatever more it gave would stand in every certificate.
const REASONS_MAX: usize = 4;

#[derive(Clone, Copy)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

pub(super) struct Client {
    place: OpenBaoPlace,
    client: reqwest::Client,
}

/// What came back, of a service that is up and lets us in.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
}

/// What a request carries.
pub(super) trait Body {
    /// As JSON.
    fn written(&self) -> Zeroizing<Vec<u8>>;
}

impl<T: Serialize> Body for T {
    fn written(&self) -> Zeroizing<Vec<u8>> {
        // Large enough for every request here: no piece is left behind by a buffer that grew.
        let mut text = Zeroizing::new(Vec::with_capacity(BODY_BYTES));
        if serde_json::to_writer(&mut *text, self).is_err() {
            text.clear();
        }
        text
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    request_id: Option<String>,
}

impl Answer {
    #[cfg(feature = "parsers")]
    pub(super) fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, body: Zeroizing::new(body) }
    }

    pub(super) fn parsed<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|_| unexpected("answer in its own form", self))
    }

    /// Whether the service itself says that there is no such thing: not found, without a reason. With a reason it is the
    /// engine that is not there, and without the service's form it was somebody else who answered.
    pub(super) fn is_absent(&self) -> bool {
        let errors = serde_json::from_slice::<Errors>(&self.body).ok();
        self.status == 404 && errors.is_some_and(|found| found.errors.is_empty())
    }

    /// What the service gave as reasons; texts of its own, without anything that it was given but names of keys.
    pub(super) fn errors(&self) -> Vec<String> {
        serde_json::from_slice::<Errors>(&self.body).map(|found| found.errors).unwrap_or_default()
    }

    /// For the evidence.
    pub(super) fn said(&self, asked: &str) -> Said {
        let named = serde_json::from_slice::<Named>(&self.body).ok().and_then(|named| named.request_id);
        let reasons = self.errors();
        let answered = [self.status.to_string()].into_iter().chain(reasons.iter().map(|reason| plain(reason)));
        let answered = answered.take(REASONS_MAX).collect::<Vec<_>>().join(", ");
        Said { asked: asked.to_owned(), answered, request: named.map(|named| plain(&named)) }
    }
}

/// One line, of printable characters and bounded.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect()
}

pub(super) fn unexpected(what: &str, answer: &Answer) -> Trouble {
    let Said { answered, .. } = answer.said(what);
    Fault::new(Code(723), Retry::Later, format!("OpenBao did not {what}: {answered}")).into()
}

impl Client {
    pub(super) fn new(place: OpenBaoPlace) -> Result<Self> {
        Self::patient(place, WHOLE)
    }

    /// As [`Self::new`], with another time for a request and its answer.
    pub(super) fn patient(place: OpenBaoPlace, whole: Duration) -> Result<Self> {
        let wrong = |why: &str| {
            let remedy = "Write it like https://bao.example:8200; http is for 127.0.0.1 only.";
            Refusal::new(Code(726), format!("the address of OpenBao cannot be used: {why}"), remedy)
        };
        let address = Url::parse(&place.address).map_err(|_| wrong("it is none"))?;
        let bare = address.path() == "/" && address.query().is_none() && address.fragment().is_none();
        let nobody = address.username().is_empty() && address.password().is_none();
        let secret = match address.scheme() {
            "https" => true,
            "http" if matches!(address.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")) => false,
            _ => return Err(wrong("a token would go over the network in clear").into()),
        };
        if !bare || !nobody {
            return Err(wrong("there is more in it than a host and a port").into());
        }
        let builder = reqwest::Client::builder()
            .https_only(secret)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT)
            .timeout(whole);
        let builder = match &place.ca_file {
            None => builder,
            Some(file) => {
                let unread = |why: &str| wrong(&format!("the certificates of its authority {why}"));
                let pem = std::fs::read(file).map_err(|_| unread("cannot be read"))?;
                let found = Certificate::from_pem_bundle(&pem).map_err(|_| unread("are not PEM"))?;
                builder.tls_certs_only(found)
            }
        };
        let client = builder.build().map_err(|_| wrong("no HTTPS client can be set up"))?;
        Ok(Self { place, client })
    }

    /// Asks, with `path` under `/v1/`.
    ///
    /// # Errors
    /// A fault when it cannot be reached, is sealed, or does not let this server in. Any other status is an answer.
    pub(super) fn ask(&self, verb: Verb, path: &str, body: Option<&dyn Body>) -> Result<Answer> {
        let token = credential(&self.place.token_file, "token")?;
        let not_a_token =
            || Trouble::from(Fault::new(Code(728), Retry::Later, "the file with the key store's token holds no token"));
        let mut token = HeaderValue::from_str(&token).map_err(|_| not_a_token())?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("X-Vault-Token", token);
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        let method = match verb {
            Verb::Get => reqwest::Method::GET,
            Verb::Post => reqwest::Method::POST,
            Verb::Delete => reqwest::Method::DELETE,
        };
        let url = format!("{}/v1/{path}", self.place.address.trim_end_matches('/'));
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            // Wiped with its last owner: it may hold a share.
            let text = bytes::Bytes::from_owner(body.written());
            request = request.header("Content-Type", "application/json").body(text);
        }
        let answer = std::thread::scope(|scope| scope.spawn(|| exchanged(request)).join())
            .unwrap_or_else(|_| Err("the request stopped".to_owned()))
            .map_err(|why| Fault::new(Code(720), Retry::Later, format!("OpenBao cannot be reached: {why}")))?;
        match answer.status {
            403 => Err(Fault::new(
                Code(722),
                Retry::Later,
                "OpenBao does not let this server in: its token is wrong, has ended, or may not do this",
            )
            .into()),
            503 => Err(Fault::new(
                Code(721),
                Retry::Later,
                "OpenBao is sealed: somebody who holds its unseal keys must open it",
            )
            .into()),
            _ => Ok(answer),
        }
    }
}

fn exchanged(request: reqwest::RequestBuilder) -> std::result::Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.kind().to_string())?;
    runtime.block_on(async {
        let mut response = request.send().await.map_err(|error| why(&error))?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX));
        while let Some(piece) = response.chunk().await.map_err(|error| why(&error))? {
            if body.len().saturating_add(piece.len()) > ANSWER_BYTES_MAX {
                return Err(format!("it answers with more than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, body })
    })
}

/// The innermost reason, which names no secret: an address, a name that is not found, a certificate.
fn why(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { plain(&innermost.to_string()) }
}
