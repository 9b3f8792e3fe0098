//! What persons, roots and the server sign: envelopes, and what may stand in one that a good key signed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use desk::enrol::{Invitation, Request};
use lexicon::{Digest, PersonId, Timestamp, canonical, hours_after};
use people::request::{self, Claim, Headers};
use people::{Envelope, PayloadType, Person, Role, Roster, Signature, SigningKey};
use procedure::{Act, ActBody, Decided, Entry, FactBody, LastFact, Ledger, Proof};

use crate::cast::{CAST, Member, ORIGIN, Who, start};
use crate::promises::said_plainly;
use crate::stories::{STORIES, Story, known_act, known_after, roster};

const TYPES: [PayloadType; 7] = [
    PayloadType::Certificate,
    PayloadType::Revocation,
    PayloadType::Invitation,
    PayloadType::Request,
    PayloadType::Act,
    PayloadType::Statement,
    PayloadType::Fact,
];

/// `payload` as it stands, signed: an envelope of the DSSE specification, made without the room that reads it.
fn signed(payload_type: PayloadType, payload: &[u8], keyid: Digest, key: &SigningKey) -> Envelope {
    let kind = serde_json::to_value(payload_type).unwrap();
    let kind = kind.as_str().unwrap();
    let mut covered = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    covered.extend(payload);
    let sig = STANDARD.encode(key.sign(&covered));
    Envelope { payload_type, payload: STANDARD.encode(payload), signatures: vec![Signature { keyid, sig }] }
}

/// Nobody but the key's holder says anything under it.
pub(crate) fn envelope(bytes: &[u8]) {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) else { return };
    let again: Envelope = serde_json::from_slice(&canonical(&envelope).unwrap()).unwrap();
    assert_eq!(again, envelope, "an envelope means another one");
    for trouble in [envelope.keyid().err(), envelope.digest().err()].into_iter().flatten() {
        said_plainly(&trouble);
    }
    let known = known_envelopes();
    for key in [CAST.laboratory.public(), CAST.vendor.public(), CAST.server.public()] {
        for payload_type in TYPES {
            match envelope.verified(payload_type, &key) {
                Ok(_) => {
                    assert!(
                        known.iter().any(|known| says_the_same(known, &envelope)),
                        "an envelope that nobody signed"
                    );
                }
                Err(trouble) => said_plainly(&trouble),
            }
        }
    }
}

/// The key's name is a hint and not signed (DSSE, protocol 1.0.2): whoever uses it says what it must be.
fn says_the_same(one: &Envelope, other: &Envelope) -> bool {
    let sig = |envelope: &Envelope| envelope.signatures.first().map(|signature| signature.sig.clone());
    (one.payload_type, &one.payload, sig(one)) == (other.payload_type, &other.payload, sig(other))
        && other.signatures.len() == 1
}

fn known_envelopes() -> &'static [Envelope] {
    static KNOWN: LazyLock<Vec<Envelope>> = LazyLock::new(|| {
        let mut known = CAST.certificates();
        known.push(CAST.revocation(Who::Bystander, start(), start()));
        let facts = STORIES.iter().flat_map(Story::steps).map(|(_, entry)| entry.fact.clone());
        known.extend(facts);
        known
    });
    &KNOWN
}

pub(crate) fn envelope_seeds() -> Vec<Vec<u8>> {
    known_envelopes().iter().take(9).map(|envelope| canonical(envelope).unwrap()).collect()
}

/// What a pinned root may certify, when it signs these bytes.
pub(crate) fn certificate(bytes: &[u8]) {
    let root = &CAST.laboratory;
    let mut roster = Roster::default();
    CAST.roots().into_iter().for_each(|root| roster.trust(root));
    roster.admit(&CAST.member(Who::Controller).certificate).unwrap();
    let envelope = signed(PayloadType::Certificate, bytes, root.public().digest(), root);
    match roster.admit(&envelope) {
        Ok(digest) => {
            let admitted = roster.certificate(&digest).unwrap();
            assert_eq!(canonical(admitted).unwrap(), bytes, "a second spelling");
            assert_eq!(admitted.root, root.public().digest(), "a root speaks for another");
            assert!(!people::is_generic_name(&admitted.person.name), "a function is certified");
        }
        Err(trouble) => said_plainly(&trouble),
    }
    let envelope = signed(PayloadType::Revocation, bytes, root.public().digest(), root);
    match roster.revocation(&envelope) {
        Ok((_, revocation)) => assert_eq!(canonical(&revocation).unwrap(), bytes, "a second spelling"),
        Err(trouble) => said_plainly(&trouble),
    }
}

pub(crate) fn certificate_seeds() -> Vec<Vec<u8>> {
    let member = CAST.member(Who::Operator);
    let taken_back = people::Revocation {
        root: CAST.laboratory.public().digest(),
        certificate: CAST.member(Who::Controller).digest,
        compromised_since: start(),
        at: start(),
    };
    vec![member.certificate.bytes().unwrap(), canonical(&taken_back).unwrap()]
}

/// What a person is handed before they know anybody: whoever made it signed it, with a key of their own.
pub(crate) fn invitation(bytes: &[u8]) {
    let root = &CAST.laboratory;
    match Invitation::open(&signed(PayloadType::Invitation, bytes, root.public().digest(), root)) {
        Ok(invitation) => assert_eq!(canonical(&invitation).unwrap(), bytes, "a second spelling"),
        Err(trouble) => said_plainly(&trouble),
    }
    let device = &CAST.member(Who::Operator).key;
    match Request::open(&signed(PayloadType::Request, bytes, device.public().digest(), device)) {
        Ok(request) => assert_eq!(canonical(&request).unwrap(), bytes, "a second spelling"),
        Err(trouble) => said_plainly(&trouble),
    }
}

pub(crate) fn invitation_seeds() -> Vec<Vec<u8>> {
    let invitation = Invitation {
        purpose: Invitation::PURPOSE.to_owned(),
        nonce: Digest::of(b"nonce"),
        person: Person { id: PersonId([4; 16]), name: "Yann Kerbrat".to_owned() },
        roles: BTreeSet::from([Role::Operator]),
        root: CAST.roots().remove(0),
        server: CAST.card(false),
        expires: hours_after(start(), 24),
    };
    let request = Request {
        purpose: Request::PURPOSE.to_owned(),
        invitation: Digest::of(b"invitation"),
        key: CAST.member(Who::Operator).key.public(),
        device: "Yann's machine".to_owned(),
    };
    vec![canonical(&invitation).unwrap(), canonical(&request).unwrap()]
}

/// Whatever a certified person signs, at the place in the story that they name: decided or refused, and what is decided
/// can be recorded and read again.
pub(crate) fn act(bytes: &[u8]) {
    for member in may_have_signed(bytes) {
        let envelope = signed(PayloadType::Act, bytes, member.digest, &member.key);
        let body: ActBody = match envelope.open(PayloadType::Act, &member.key.public()) {
            Ok(body) => body,
            Err(trouble) => return said_plainly(&trouble),
        };
        assert_eq!(canonical(&body).unwrap(), bytes, "a second spelling");
        let ledger = known_after(body.last);
        let (proof, share) = (Proof::Signed(envelope), Some(Digest::of(b"strongroom share")));
        match ledger.decided(&proof, roster(), body.at, share) {
            Ok(decided) => recorded(ledger, proof, &decided, body.at),
            Err(trouble) => said_plainly(&trouble),
        }
    }
}

/// Whose certificate the bytes name, and one whose they perhaps do not.
fn may_have_signed(bytes: &[u8]) -> impl Iterator<Item = &'static Member> {
    let named = |member: &&Member| {
        let digest = member.digest.to_string();
        bytes.windows(digest.len()).any(|part| part == digest.as_bytes())
    };
    let signs = [Who::Operator, Who::Engineer, Who::Approver, Who::Recipient].map(|who| CAST.member(who));
    [CAST.member(Who::Controller)].into_iter().chain(signs.into_iter().find(named))
}

fn recorded(ledger: &Ledger, proof: Proof, decided: &Decided, at: Timestamp) {
    let body = procedure::prepare(ledger, &proof, decided).unwrap();
    let fact = procedure::sign_fact(&body, &CAST.server).unwrap();
    let (mut further, entry) = (ledger.clone(), Entry { proof, fact });
    further.admit(&entry, roster(), Some(at)).unwrap();
    assert_eq!(further.migration(), &decided.next, "a replay comes to another end than the decision");
}

pub(crate) fn act_seeds() -> Vec<Vec<u8>> {
    let acts = STORIES.iter().flat_map(Story::steps).filter_map(|(_, entry)| match &entry.proof {
        Proof::Signed(envelope) => Some(envelope.bytes().unwrap()),
        Proof::Revocation(_) | Proof::Deadline(_) | Proof::Server(_) => None,
    });
    let mut acts: Vec<Vec<u8>> = acts.collect();
    // What ends a story early, at two places in it.
    let usual = STORIES.first().unwrap();
    for ledger in [usual.after(4), usual.after(7)] {
        let member = CAST.member(Who::Controller);
        for body in
            [Act::Cancel { reason: "the contract ended".to_owned() }, Act::Freeze { reason: "a doubt".to_owned() }]
        {
            let at = hours_after(ledger.migration().last_at, 1);
            let checkpoint = procedure::SeenCheckpoint { size: 0, root: journal::Tree::new().root() };
            acts.push(canonical(&body_of(body, ledger.last(), (checkpoint, member.digest, at))).unwrap());
        }
    }
    acts
}

fn body_of(
    body: Act,
    last: LastFact,
    (checkpoint, certificate, at): (procedure::SeenCheckpoint, Digest, Timestamp),
) -> ActBody {
    let migration = STORIES.first().unwrap().tale.ledger.migration().id;
    ActBody {
        purpose: ActBody::PURPOSE.to_owned(),
        origin: ORIGIN.to_owned(),
        migration,
        last,
        checkpoint,
        certificate,
        at,
        body,
    }
}

/// A server that signs whatever it likes, beside an act that it did not make: the replay takes nothing but what
/// follows.
pub(crate) fn fact(bytes: &[u8]) {
    let server = &CAST.server;
    let fact = signed(PayloadType::Fact, bytes, server.public().digest(), server);
    match fact.open::<FactBody>(PayloadType::Fact, &server.public()) {
        Ok(body) => {
            assert_eq!(canonical(&body).unwrap(), bytes, "a second spelling");
            let Some((ledger, entry)) = known_act(body.act, body.number) else { return };
            let mut further = ledger.clone();
            match further.admit(&Entry { proof: entry.proof.clone(), fact }, roster(), None) {
                Ok(()) => assert_eq!(further.recorded().len(), ledger.recorded().len().saturating_add(1)),
                Err(trouble) => {
                    said_plainly(&trouble);
                    assert_eq!(further.migration(), ledger.migration(), "a fact that was refused left something");
                }
            }
        }
        Err(trouble) => said_plainly(&trouble),
    }
}

pub(crate) fn fact_seeds() -> Vec<Vec<u8>> {
    STORIES.iter().flat_map(Story::steps).map(|(_, entry)| entry.fact.bytes().unwrap()).collect()
}

fn claimed() -> Claim {
    Claim {
        keyid: CAST.member(Who::Operator).digest,
        created: start().as_second(),
        nonce: Digest::of(b"n"),
        origin: ORIGIN.to_owned(),
    }
}

const ASKED: [&str; 3] = ["POST", "/v1/acts", "a=b"];

fn asked([method, path, query]: [&str; 3], body: Digest) -> request::Request<'_> {
    request::Request { method, path, query, body }
}

fn as_lines(headers: &Headers, asked: [&str; 3]) -> String {
    let Headers { content_digest, signature_input, signature } = headers;
    format!("{signature_input}\n{signature}\n{content_digest}\n{}\n", asked.join("\n"))
}

/// The three headers, method, path and query, one to a line.
pub(crate) fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (signature_input, signature, content_digest) = (line().to_owned(), line().to_owned(), line().to_owned());
    let headers = Headers { content_digest, signature_input, signature };
    let parts = [line(), line(), line()];
    let body = request::claimed_body(&headers).unwrap_or_else(|trouble| {
        said_plainly(&trouble);
        Digest::of(b"body")
    });
    let request = asked(parts, body);
    match request::claim(&headers.signature_input) {
        Ok(claim) => {
            let again = request::sign_with(&request, &claim, |_| Vec::new());
            assert_eq!(again.signature_input, headers.signature_input, "a second spelling");
            let device = &CAST.member(Who::Operator).key.public();
            if request::verify_with(&request, &headers, &claim, device).is_ok() {
                let known = request_seed();
                assert_eq!(as_lines(&headers, parts), known, "a request that nobody signed");
            }
        }
        Err(trouble) => said_plainly(&trouble),
    }
    if let Err(trouble) = request::verify(&request, &headers, ORIGIN, roster(), start()) {
        said_plainly(&trouble);
    }
}

fn request_seed() -> String {
    let request = asked(ASKED, Digest::of(b"body"));
    as_lines(&request::sign(&request, &claimed(), &CAST.member(Who::Operator).key), ASKED)
}

pub(crate) fn request_seeds() -> Vec<Vec<u8>> {
    vec![request_seed().into_bytes()]
}
