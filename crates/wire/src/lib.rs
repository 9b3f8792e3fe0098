//! What crosses the door: routes, requests, answers, and the client that knows its server by a pinned certificate.

mod api;
mod client;
mod keeper;
mod transport;

pub use api::*;
pub use client::Client;
pub use keeper::Keeper;
pub use transport::{Answer, Https, Method, Outgoing, Transport};
