//! The one door: HTTPS, TLS 1.3, every request signed by a person's device. No rules, no rows, no keys in this room.
//!
//! The routes are the [`DOORS`] table and nothing else: the router is made from it, the OpenAPI document is made from
//! it, and the drill tries every one of its lines with every kind of wrong caller. There is no listener without TLS.

mod enter;
mod openapi;
mod table;
mod tls;

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::routing::{MethodFilter, on};
use lexicon::{Code, Fault, Result, Retry};
use office::Office;
use tokio::sync::Semaphore;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::enter::Counter;

pub use openapi::openapi;
pub use table::{DOORS, Door, Line, Lock};
pub use tls::{Identity, make_identity};

/// 64 MiB over a line of 64 KiB a second are 1,024 s: a parcel over a slow line, with some time to answer.
const REQUEST_SECONDS_MAX: u64 = 1_200;

/// A request in the office holds one of tokio's 512 threads that may wait; the shelf and the ring need some too, so that
/// whoever holds the office's lock goes on. Others wait for a seat without a thread.
const SEATS: usize = 64;

/// The router, made from the table.
pub fn router(office: &Arc<Office>) -> Router {
    let mut router = Router::new();
    let counter = Counter { office: Arc::clone(office), seats: Arc::new(Semaphore::new(SEATS)) };
    for line in DOORS {
        let filter = MethodFilter::try_from(line.method()).unwrap_or(MethodFilter::GET);
        let (counter, door) = (counter.clone(), line.door);
        router = router.route(line.path, on(filter, move |request| enter::enter(counter, door, request)));
    }
    let header = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    router
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(REQUEST_SECONDS_MAX)))
        .layer(header("cache-control", "no-store"))
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("strict-transport-security", "max-age=31536000"))
}

/// Serves until `shut` is over, then lets running requests end for at most ten seconds.
///
/// # Errors
/// A fault when the listener fails or the identity cannot be used.
pub async fn serve(
    office: Arc<Office>,
    listener: TcpListener,
    identity: &Identity,
    shut: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let config = axum_server::tls_rustls::RustlsConfig::from_config(identity.config()?);
    let failed = |error: std::io::Error| {
        Fault::new(Code(850), Retry::Later, format!("the door cannot be kept open: {}", error.kind()))
    };
    listener.set_nonblocking(true).map_err(failed)?;
    let handle = axum_server::Handle::new();
    let ending = handle.clone();
    tokio::spawn(async move {
        shut.await;
        ending.graceful_shutdown(Some(Duration::from_secs(10)));
    });
    axum_server::from_tcp_rustls(listener, config)
        .map_err(failed)?
        .handle(handle)
        .serve(router(&office).into_make_service())
        .await
        .map_err(failed)?;
    Ok(())
}
