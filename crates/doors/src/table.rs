use axum::http::Method;
use wire::path;

/// What a caller must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nothing; what is behind it says nothing of anybody.
    Open,
    /// A certificate of an admitted root, in a request signed with the certified key.
    Presented,
    /// A signed request of a device with a good certificate.
    Device,
    /// As [`Lock::Device`], of an organisation that is a party to the migration. To others it does not exist.
    Party,
}

/// Every door there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table says what each is for")]
pub enum Door {
    Health,
    OpenApi,
    Present,
    People,
    Revoke,
    Migrations,
    Submit,
    Facts,
    ShowFact,
    Document,
    Evidence,
    ListParcels,
    StoreParcel,
    FetchParcel,
}

/// One line of the locked-door table.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Which door.
    pub door: Door,
    /// `GET`, `POST` or `PUT`.
    pub verb: &'static str,
    /// With its parameters in braces.
    pub path: &'static str,
    /// What a caller must show.
    pub lock: Lock,
    /// What it is for.
    pub says: &'static str,
    /// Schema names of what goes in and comes out, for the OpenAPI document.
    pub body: (&'static str, &'static str),
}

impl Line {
    /// The method.
    pub fn method(&self) -> Method {
        match self.verb {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            _ => Method::GET,
        }
    }
}

/// The locked-door table.
#[rustfmt::skip]
pub const DOORS: &[Line] = &[
    Line { door: Door::Health,      verb: "GET",  path: path::HEALTH,      lock: Lock::Open,      body: ("", "Health"),          says: "Whether the server answers; nothing else." },
    Line { door: Door::OpenApi,     verb: "GET",  path: path::OPENAPI,     lock: Lock::Open,      body: ("", "OpenApi"),         says: "This document." },
    Line { door: Door::Present,     verb: "POST", path: path::PEOPLE,      lock: Lock::Presented, body: ("PresentCertificate", "Done"), says: "A device presents its certificate." },
    Line { door: Door::People,      verb: "GET",  path: path::PEOPLE,      lock: Lock::Device,    body: ("", "People"),          says: "Roots, certificates and revocations, to be verified against pinned roots." },
    Line { door: Door::Revoke,      verb: "POST", path: path::REVOCATIONS, lock: Lock::Device,    body: ("Envelope", "Done"),    says: "Hands in a revocation that a root signed." },
    Line { door: Door::Migrations,  verb: "GET",  path: path::MIGRATIONS,  lock: Lock::Device,    body: ("", "MigrationLines"),  says: "The migrations of the caller's organisation." },
    Line { door: Door::Submit,      verb: "POST", path: path::ACTS,        lock: Lock::Party,     body: ("SubmitAct", "Submitted"), says: "Submits a signed act; the answer is the server's receipt. An opening creates the migration." },
    Line { door: Door::Facts,       verb: "GET",  path: path::FACTS,       lock: Lock::Party,     body: ("", "Facts"),           says: "Facts from a number on, with consistency and inclusion proofs." },
    Line { door: Door::ShowFact,    verb: "POST", path: path::FACTS,       lock: Lock::Party,     body: ("Envelope", "Done"),    says: "Shows a fact that the server signed: one that it does not have proves that it was put back." },
    Line { door: Door::Document,    verb: "GET",  path: path::DOCUMENT,    lock: Lock::Party,     body: ("", "Bytes"),           says: "A document that an act names by digest." },
    Line { door: Door::Evidence,    verb: "GET",  path: path::EVIDENCE,    lock: Lock::Party,     body: ("", "Bytes"),           says: "The evidence pack, a zip file." },
    Line { door: Door::ListParcels, verb: "GET",  path: path::PARCELS,     lock: Lock::Party,     body: ("", "ParcelLines"),     says: "The parcels of a consignment, for the devices that seal or open them." },
    Line { door: Door::StoreParcel, verb: "PUT",  path: path::PARCEL,      lock: Lock::Party,     body: ("Bytes", "ParcelLine"), says: "Stores one sealed parcel under a running lease." },
    Line { door: Door::FetchParcel, verb: "GET",  path: path::PARCEL,      lock: Lock::Party,     body: ("", "Bytes"),           says: "Fetches one sealed parcel." },
];
