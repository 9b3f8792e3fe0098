//! The socket of an unlocked key: what is asked of the process that holds it, and what it says.

use std::sync::LazyLock;

use desk::{KeyHolder, is_binding, parsers};
use lexicon::{Digest, Trouble, canonical};
use people::request::{Claim, Headers, Request, verify_with};
use people::{Envelope, PayloadType, SigningKey};
use procedure::{ActBody, Proof};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cast::{CAST, Member, ORIGIN, Who, start};
use crate::promises::told_nothing;
use crate::stories::{STORIES, Story};

fn holding() -> &'static Member {
    CAST.member(Who::Operator)
}

static HOLDER: LazyLock<KeyHolder> = LazyLock::new(|| {
    let seed = Zeroizing::new(*holding().key.seed());
    KeyHolder::new(SigningKey::from_seed(seed).unwrap(), holding().digest)
});

/// What is asked, read without the room that answers it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    Who,
    Request { method: String, path: String, query: String, body: Digest, claimed: Claimed },
    Act(Box<ActBody>),
    Statement(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claimed {
    keyid: Digest,
    created: i64,
    nonce: Digest,
    origin: String,
}

/// What is said.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Certificate(Digest),
    Headers { content_digest: String, signature_input: String, signature: String },
    Signed(Envelope),
    Trouble(Trouble),
}

/// Whatever process of the device asks: the key signs what was asked and is nobody's decision, in one line.
pub(crate) fn question(bytes: &[u8]) {
    let line = parsers::answered(&HOLDER, bytes).unwrap();
    assert!(!line.contains(&b'\n'), "an answer of two lines");
    assert_eq!(parsers::reply(&line).unwrap(), line, "an answer means another one");
    let said: Said = serde_json::from_slice(&line).unwrap();
    if let Said::Trouble(trouble) = &said {
        return told_nothing(bytes, trouble);
    }
    let asked: Option<Asked> = serde_json::from_slice(bytes).ok();
    assert!(asked.is_some_and(|asked| is_answer(asked, said)), "an answer to what was not asked");
}

fn is_answer(asked: Asked, said: Said) -> bool {
    let (own, key) = (holding().digest, holding().key.public());
    match (asked, said) {
        (Asked::Who, Said::Certificate(certificate)) => certificate == own,
        (
            Asked::Request { method, path, query, body, claimed: Claimed { keyid, created, nonce, origin } },
            Said::Headers { content_digest, signature_input, signature },
        ) => {
            let request = Request { method: &method, path: &path, query: &query, body };
            let headers = Headers { content_digest, signature_input, signature };
            let claim = Claim { keyid, created, nonce, origin };
            keyid == own && verify_with(&request, &headers, &claim, &key).is_ok()
        }
        (Asked::Act(body), Said::Signed(envelope)) => {
            let signed = envelope.open::<ActBody>(PayloadType::Act, &key);
            !is_binding(&body.body) && body.certificate == own && signed.is_ok_and(|signed| signed == *body)
        }
        (Asked::Statement(statement), Said::Signed(envelope)) => {
            let signed = envelope.verified(PayloadType::Statement, &key);
            signed.is_ok_and(|signed| signed == canonical(&statement).unwrap())
        }
        _ => false,
    }
}

pub(crate) fn question_seeds() -> Vec<Vec<u8>> {
    let request = |keyid: Digest| {
        let claimed = json!({
            "keyid": keyid, "created": start().as_second(), "nonce": Digest::of(b"n"), "origin": ORIGIN,
        });
        json!({ "request": {
            "method": "POST", "path": "/v1/acts", "query": "a=b", "body": Digest::of(b"body"), "claimed": claimed,
        } })
    };
    let asked = [
        json!("who"),
        request(holding().digest),
        request(CAST.member(Who::Engineer).digest),
        json!({ "statement": { "rows": 3, "share": 0.25, "said": "value4711x" } }),
        json!({ "secret": "value4711x" }),
    ];
    // What others signed in the story is asked of this key, too.
    let acts = STORIES.first().into_iter().flat_map(Story::steps).filter_map(|(_, entry)| match &entry.proof {
        Proof::Signed(envelope) => Some(envelope.bytes().unwrap()),
        Proof::Revocation(_) | Proof::Deadline(_) | Proof::Server(_) => None,
    });
    let acts = acts.map(|act| [br#"{"act":"#, act.as_slice(), b"}\n"].concat());
    asked.iter().map(|asked| canonical(asked).unwrap()).chain(acts).collect()
}

/// Whatever process answers at that place.
pub(crate) fn reply(bytes: &[u8]) {
    match parsers::reply(bytes) {
        Ok(written) => {
            assert_eq!(parsers::reply(&written).unwrap(), written, "an answer means another one");
        }
        Err(trouble) => told_nothing(bytes, &trouble),
    }
}

/// One of each kind, as the holder writes them.
pub(crate) fn reply_seeds() -> Vec<Vec<u8>> {
    let asked = question_seeds().into_iter().take(5);
    let mut said: Vec<Vec<u8>> = asked.map(|asked| parsers::answered(&HOLDER, &asked).unwrap()).collect();
    said.push(br#"{"signed":{"payload":"value4711x"}}"#.to_vec());
    said
}
