//! The way to the true server, in the hands of somebody who answers in its place when it suits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use drill::World;
use futures::future::BoxFuture;
use lexicon::{Digest, MigrationId, Result};
use people::seal_to;
use procedure::{Act, Proof};
use wire::{Answer, FactsQuery, Https, Method, Outgoing, SubmitAct, Submitted, Transport, path};

use super::story::{Story, body_of};

type Instead = Box<dyn Fn(&Outgoing) -> Option<Answer> + Send + Sync>;
type After = Box<dyn Fn(&Outgoing, Answer) -> Answer + Send + Sync>;

/// A server with the true one's keys and address.
pub(crate) struct Hostile {
    honest: Https,
    instead: Instead,
    after: After,
    asked: Mutex<Vec<Outgoing>>,
}

impl Hostile {
    /// Answers some requests by itself.
    pub(crate) fn answering(
        world: &World,
        instead: impl Fn(&Outgoing) -> Option<Answer> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::made(world, Box::new(instead), Box::new(|_, answer| answer))
    }

    /// Changes what the true server answers.
    pub(crate) fn changing(
        world: &World,
        after: impl Fn(&Outgoing, Answer) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::made(world, Box::new(|_| None), Box::new(after))
    }

    /// Tells a story, and takes every act as the next fact of it.
    pub(crate) fn telling(world: &World, story: Story) -> Arc<Self> {
        Self::telling_in_turn(world, vec![story])
    }

    /// As [`Self::telling`], where each question for facts is answered with the next story, the last one for ever.
    pub(crate) fn telling_in_turn(world: &World, stories: Vec<Story>) -> Arc<Self> {
        Self::answering(world, tell(stories))
    }

    /// As [`Self::telling`], and changes what the true server answers to everything else.
    pub(crate) fn telling_and_changing(
        world: &World,
        story: Story,
        after: impl Fn(&Outgoing, Answer) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::made(world, Box::new(tell(vec![story])), Box::new(after))
    }

    fn made(world: &World, instead: Instead, after: After) -> Arc<Self> {
        let honest = Https::new(&world.card).unwrap();
        Arc::new(Self { honest, instead, after, asked: Mutex::default() })
    }

    /// The acts that it was sent, as they were signed.
    pub(crate) fn proofs(&self, migration: MigrationId) -> Vec<Proof> {
        let (asked, acts) = (self.asked.lock().unwrap(), path::acts(migration));
        let sent = asked.iter().filter(|outgoing| outgoing.method == Method::Post && outgoing.path == acts);
        sent.map(|outgoing| serde_json::from_slice::<SubmitAct>(&outgoing.body).unwrap().proof).collect()
    }

    /// What those acts are called.
    pub(crate) fn acts(&self, migration: MigrationId) -> Vec<&'static str> {
        self.proofs(migration).iter().map(|proof| body_of(proof).body.name()).collect()
    }

    /// The documents that came with those acts.
    pub(crate) fn documents(&self, migration: MigrationId) -> BTreeMap<Digest, Vec<u8>> {
        let (asked, acts) = (self.asked.lock().unwrap(), path::acts(migration));
        let sent = asked.iter().filter(|outgoing| outgoing.method == Method::Post && outgoing.path == acts);
        let sent = sent.flat_map(|outgoing| serde_json::from_slice::<SubmitAct>(&outgoing.body).unwrap().documents);
        sent.map(|(digest, document)| (digest, STANDARD.decode(document).unwrap())).collect()
    }

    /// The parcels that it was sent, with their paths.
    pub(crate) fn parcels(&self) -> Vec<(String, Bytes)> {
        let asked = self.asked.lock().unwrap();
        let stored = asked.iter().filter(|outgoing| outgoing.method == Method::Put);
        stored.map(|outgoing| (outgoing.path.clone(), outgoing.body.clone())).collect()
    }
}

impl Transport for Hostile {
    fn carry(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(outgoing.clone());
            match (self.instead)(&outgoing) {
                Some(answer) => Ok(answer),
                None => Ok((self.after)(&outgoing, self.honest.carry(outgoing.clone()).await?)),
            }
        })
    }
}

fn tell(stories: Vec<Story>) -> impl Fn(&Outgoing) -> Option<Answer> + Send + Sync + 'static {
    let id = stories.first().unwrap().state.id;
    let (stories, documents) = (Mutex::new(VecDeque::from(stories)), Mutex::new(BTreeMap::new()));
    move |outgoing: &Outgoing| {
        let (mut stories, mut documents) = (stories.lock().unwrap(), documents.lock().unwrap());
        if outgoing.path == path::facts(id) && outgoing.method == Method::Post {
            // Who lies does not let itself be convicted.
            return Some(json(&BTreeMap::from([("done", true)])));
        }
        if outgoing.path == path::facts(id) {
            let answer = json(&stories.front().unwrap().served(query(outgoing)));
            if stories.len() > 1 {
                stories.pop_front();
            }
            return Some(answer);
        }
        if outgoing.path != path::acts(id) {
            return documents.get(&outgoing.path).map(|document: &Vec<u8>| bytes(document.clone()));
        }
        let sent: SubmitAct = serde_json::from_slice(&outgoing.body).unwrap();
        for (digest, document) in &sent.documents {
            documents.insert(path::document(id, *digest), STANDARD.decode(document).unwrap());
        }
        let begun = if let Act::Begin { key, .. } = body_of(&sent.proof).body { Some(key) } else { None };
        let share = begun.map(|key| STANDARD.encode(seal_to(&[key], &[7; 32]).unwrap()));
        Some(json(&Submitted { entry: stories.front_mut().unwrap().take(sent.proof), share }))
    }
}

fn query(outgoing: &Outgoing) -> FactsQuery {
    let number = |name: &str| {
        let mut parts = outgoing.query.split('&').filter_map(|part| part.split_once('='));
        parts.find(|(found, _)| *found == name).unwrap().1.parse().unwrap()
    };
    FactsQuery { from: number("from"), size: number("size") }
}

/// An answer that says this.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Answer {
    bytes(serde_json::to_vec(value).unwrap())
}

/// An answer of these bytes.
pub(crate) fn bytes(body: impl Into<Bytes>) -> Answer {
    Answer { status: 200, body: body.into() }
}
