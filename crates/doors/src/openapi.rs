use serde_json::{Map, Value, json};

use crate::{DOORS, Line, Lock};

/// The OpenAPI 3.1 document of the door, made from the table: served, and committed as `docs/openapi.json`.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for line in DOORS {
        let entry = paths.entry(line.path).or_insert_with(|| json!({}));
        if let Some(methods) = entry.as_object_mut() {
            methods.insert(line.verb.to_lowercase(), operation(line));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lazaret",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The one door of a lazaret. The server can refuse, delay and destroy; it cannot read, forge or alter.",
            "license": { "name": "EUPL-1.2", "identifier": "EUPL-1.2" }
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "device": {
                    "type": "http",
                    "scheme": "signature",
                    "description": "RFC 9421 HTTP message signature, Ed25519, over @method, @path, @query and content-digest (RFC 9530), with created, nonce, keyid (digest of the certificate) and tag (journal origin). A nonce is accepted once, within 300 seconds."
                }
            },
            "schemas": schemas()
        }
    })
}

fn operation(line: &Line) -> Value {
    let (input, output) = line.body;
    let mut operation = json!({
        "operationId": format!("{:?}", line.door),
        "summary": line.says,
        "x-lock": format!("{:?}", line.lock),
        "parameters": parameters(line),
        "responses": {
            "200": { "description": "Done.", "content": content(output) },
            "default": { "description": "A refusal (4xx), a fault (5xx) or an alarm.", "content": content("Trouble") }
        }
    });
    if let Some(fields) = operation.as_object_mut() {
        if !input.is_empty() {
            fields.insert("requestBody".to_owned(), json!({ "required": true, "content": content(input) }));
        }
        if line.lock != Lock::Open {
            fields.insert("security".to_owned(), json!([{ "device": [] }]));
        }
    }
    operation
}

fn parameters(line: &Line) -> Vec<Value> {
    let parameter = |name: &str, place: &str, schema: Value| json!({ "name": name, "in": place, "required": true, "schema": schema });
    let mut all: Vec<Value> = line
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| match name {
            "attempt" => parameter(name, "path", json!({ "type": "integer", "minimum": 1 })),
            "digest" => parameter(name, "path", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
            _ => parameter(name, "path", json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })),
        })
        .collect();
    if line.door == crate::Door::Facts {
        all.push(parameter("from", "query", json!({ "type": "integer", "minimum": 1 })));
        all.push(parameter("size", "query", json!({ "type": "integer", "minimum": 0 })));
    }
    all
}

fn content(schema: &str) -> Value {
    if schema == "Bytes" {
        return json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } });
    }
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

fn schemas() -> Value {
    let object = |says: &str, required: &[&str]| json!({ "type": "object", "description": says, "required": required });
    let list = |of: &str| json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } });
    json!({
        "Health": object("The server answers.", &["answers"]),
        "OpenApi": object("An OpenAPI 3.1 document.", &["openapi", "paths"]),
        "Done": object("It is done.", &["done"]),
        "Envelope": object("A DSSE envelope with exactly one Ed25519 signature; its payload is RFC 8785 JSON in base64.", &["payloadType", "payload", "signatures"]),
        "PresentCertificate": object("A certificate as its root signed it.", &["certificate"]),
        "People": object("Roots, certificates and revocations as they were signed.", &["roots", "certificates", "revocations"]),
        "MigrationLine": object("One migration: id, number of facts, stage; in `says`, where there is something, what the server says of its own part.", &["migration", "facts", "stage"]),
        "MigrationLines": list("MigrationLine"),
        "SubmitAct": object("A signed act and, by digest, the documents that it names.", &["proof"]),
        "Submitted": object("The new entry with its place in the journal; after a begin also the strongroom share, sealed to the key that the act named.", &["entry"]),
        "Facts": object("Entries, the newest checkpoint (C2SP signed note), a consistency proof from the size asked about, and the inclusion proof of the last entry.", &["entries", "checkpoint", "consistency", "inclusion"]),
        "ParcelLine": object("One sealed parcel: attempt, name, bytes, SHA-256.", &["attempt", "parcel", "bytes", "digest"]),
        "ParcelLines": list("ParcelLine"),
        "Trouble": object("family (refusal, fault, alarm), stable code, message; a refusal also says what to do, a fault whether to try again.", &["family", "code", "message"])
    })
}
