//! What happens at every door: the body is bounded, the signature verified, the verb called, trouble said in one form.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use lexicon::{Code, Digest, MigrationId, Refusal, Result, Retry, Trouble, limits};
use office::{Office, ParcelAddress};
use people::{Signer, request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::{Door, openapi};

/// 256 KiB: a certificate or a revocation, many times over.
const SMALL_BODY_BYTES_MAX: usize = 256 * 1024;

/// The office, with as many seats as there may be requests in it at a time: each takes a thread that may wait.
#[derive(Clone)]
pub(crate) struct Counter {
    pub(crate) office: Arc<Office>,
    pub(crate) seats: Arc<Semaphore>,
}

impl Counter {
    /// Does something in the office, off the threads that accept and read.
    async fn serve<T: Send + 'static>(&self, verb: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let seat = Arc::clone(&self.seats).acquire_owned().await;
        // The seat is left when the verb has ended, also if nobody waits for its answer any more.
        office::aside(async move {
            let done = verb.await;
            drop(seat);
            done
        })
        .await
    }
}

/// One request at one door.
pub(crate) async fn enter(counter: Counter, door: Door, request: Request) -> Response {
    match answer(&counter, door, request).await {
        Ok(response) => response,
        Err(trouble) => {
            let status = status(&trouble);
            tracing::info!(door = ?door, status = status.as_u16(), code = %trouble.code(), "Request not served.");
            (status, json(&trouble)).into_response()
        }
    }
}

async fn answer(counter: &Counter, door: Door, request: Request) -> Result<Response> {
    if door == Door::Health {
        return Ok(json(&BTreeMap::from([("answers", true)])));
    }
    if door == Door::OpenApi {
        return Ok(json(&openapi()));
    }
    let (mut call, body) = Call::knock(request).await?;
    let office = Arc::clone(&counter.office);
    if door == Door::Present {
        // The key to verify with is in the body; it is small.
        call.take_in(body, door).await?;
        let presented: wire::PresentCertificate = call.parsed()?;
        let verb = async move { office.present(&call.signed(), &call.headers, &presented.certificate).await };
        counter.serve(verb).await?;
        return Ok(done());
    }
    // Who asks is known before a byte of the body is read: strangers cannot fill this machine's memory.
    let known = async move {
        let signer = office.identify(&call.signed(), &call.headers).await?;
        Ok((office, call, signer))
    };
    let (office, mut call, signer) = counter.serve(known).await?;
    call.take_in(body, door).await?;
    let verb = async move {
        let response = serve(&office, door, &call, &signer).await?;
        tracing::info!(door = ?door, person = %signer.person(), "Request served.");
        Ok(response)
    };
    counter.serve(verb).await
}

async fn serve(office: &Office, door: Door, call: &Call, signer: &Signer) -> Result<Response> {
    match door {
        Door::Health | Door::OpenApi | Door::Present => Ok(done()),
        Door::People => Ok(json(&office.people(signer).await?)),
        Door::Revoke => {
            office.revoke(&call.parsed()?).await?;
            Ok(done())
        }
        Door::Migrations => Ok(json(&office.migrations(signer).await)),
        Door::Submit => Ok(json(&office.submit(signer, call.migration()?, call.parsed()?).await?)),
        Door::Facts => Ok(json(&office.facts(signer, call.migration()?, call.facts_query()?).await?)),
        Door::ShowFact => {
            office.show_fact(signer, call.migration()?, &call.parsed()?).await?;
            Ok(done())
        }
        Door::Document => Ok(raw(office.document(signer, call.migration()?, call.parameter("digest")?).await?.into())),
        Door::Evidence => Ok(raw(office.evidence(signer, call.migration()?).await?.into())),
        Door::ListParcels => {
            Ok(json(&office.list_parcels(signer, call.migration()?, call.parameter("consignment")?).await?))
        }
        Door::StoreParcel => {
            let line = office.store_parcel(signer, call.migration()?, call.address()?, call.body()).await?;
            Ok(json(&line))
        }
        Door::FetchParcel => Ok(raw(office.fetch_parcel(signer, call.migration()?, call.address()?).await?)),
    }
}

/// A request: its head first, its body once its sender is known.
struct Call {
    method: String,
    path: String,
    query: String,
    parameters: BTreeMap<String, String>,
    headers: request::Headers,
    body: Bytes,
    digest: Digest,
}

impl Call {
    async fn knock(request: Request) -> Result<(Self, Body)> {
        let (mut parts, body) = request.into_parts();
        let parameters = <RawPathParams as axum::extract::FromRequestParts<()>>::from_request_parts(&mut parts, &())
            .await
            .map(|raw| raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
            .unwrap_or_default();
        let text =
            |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let headers = request::Headers {
            content_digest: text("content-digest"),
            signature_input: text("signature-input"),
            signature: text("signature"),
        };
        let digest = request::claimed_body(&headers)?;
        let call = Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            parameters,
            headers,
            digest,
            body: Bytes::new(),
        };
        Ok((call, body))
    }

    /// Reads the body, which must be the one that was signed.
    async fn take_in(&mut self, body: Body, door: Door) -> Result<()> {
        let limit = if door == Door::StoreParcel {
            limits::PARCEL_BYTES_MAX
        } else if door == Door::Submit {
            limits::ACT_BYTES_MAX.saturating_mul(2)
        } else {
            SMALL_BODY_BYTES_MAX
        };
        self.body = to_bytes(body, limit).await.map_err(|_| {
            Refusal::new(
                Code(851),
                "the body of this request is too large, or was cut",
                "Send it again, in smaller parts.",
            )
        })?;
        if Digest::of(&self.body) == self.digest { Ok(()) } else { Err(request::other_body().into()) }
    }

    fn signed(&self) -> request::Request<'_> {
        request::Request { method: &self.method, path: &self.path, query: &self.query, body: self.digest }
    }

    /// The body and its digest, once it was taken in.
    fn body(&self) -> (Bytes, Digest) {
        (self.body.clone(), self.digest)
    }

    fn parameter<T: std::str::FromStr<Err = Refusal>>(&self, name: &str) -> Result<T> {
        let value = self.parameters.get(name).map(String::as_str).unwrap_or_default();
        Ok(value.parse()?)
    }

    fn migration(&self) -> Result<MigrationId> {
        self.parameter("migration")
    }

    fn address(&self) -> Result<ParcelAddress> {
        let attempt =
            self.parameters.get("attempt").and_then(|text| text.parse().ok()).ok_or_else(|| unreadable("attempt"))?;
        Ok(ParcelAddress { consignment: self.parameter("consignment")?, attempt, parcel: self.parameter("parcel")? })
    }

    fn facts_query(&self) -> Result<wire::FactsQuery> {
        let number = |name: &str| {
            let pair = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.and_then(|text| text.parse().ok()).ok_or_else(|| unreadable(name))
        };
        Ok(wire::FactsQuery { from: number("from")?, size: number("size")? })
    }

    fn parsed<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|_| unreadable("body").into())
    }
}

fn unreadable(what: &str) -> Refusal {
    Refusal::new(
        Code(852),
        format!("the {what} of this request does not parse"),
        "Use the lazaret command of the server's version.",
    )
}

fn done() -> Response {
    json(&BTreeMap::from([("done", true)]))
}

fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn raw(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from(bytes)).into_response()
}

/// Refusals are 4xx, faults 503 or 500, alarms 403 for a caller whose signature does not hold and 500 otherwise.
fn status(trouble: &Trouble) -> StatusCode {
    match trouble {
        Trouble::Refusal(refusal) => match refusal.code.0 {
            111 | 120..=128 | 140 | 141 | 803 => StatusCode::UNAUTHORIZED,
            804 | 820 => StatusCode::NOT_FOUND,
            851 => StatusCode::PAYLOAD_TOO_LARGE,
            103 | 811 | 852 => StatusCode::BAD_REQUEST,
            _ => StatusCode::CONFLICT,
        },
        Trouble::Fault(fault) if fault.retry == Retry::Never => StatusCode::INTERNAL_SERVER_ERROR,
        Trouble::Fault(_) => StatusCode::SERVICE_UNAVAILABLE,
        Trouble::Alarm(alarm) if matches!(alarm.code.0, 112 | 142 | 805 | 812) => StatusCode::FORBIDDEN,
        Trouble::Alarm(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
