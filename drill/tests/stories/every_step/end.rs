//! What a destruction came to, and what two of them must say alike.

use drill::{Party, World, write_file};
use evidence::{Attestation, CertifiedConsignment, DestructionCertificate, Effect};
use lexicon::{Digest, Timestamp, canonical};
use office::Office;
use people::PayloadType;
use procedure::{Act, Destroyed, KeyAct, Ledger, Proof};

use crate::stories::by_command::{run, text};

pub(super) struct End {
    pub(super) step: i64,
    certificate: DestructionCertificate,
    proofs: Vec<Proof>,
    wrapped: Digest,
    /// When the server ran: as it died, and as it was started again.
    ran: [Timestamp; 2],
}

impl End {
    /// The evidence, once the program has verified it.
    pub(super) async fn of(
        (world, office): (&World, &Office),
        (before, wrapped): (&Ledger, &[u8]),
        ran: [Timestamp; 2],
        step: i64,
    ) -> Self {
        let asks = before.recorded().iter().find_map(|recorded| recorded.fact.by.person()).unwrap();
        let zip = office.evidence(asks, before.migration().id).await.unwrap();
        let path = world.path(&format!("evidence {step}.zip"));
        write_file(&path, &zip);
        let [card, laboratory, vendor] =
            ["card.json", "laboratory.json", "vendor.json"].map(|name| world.path(&format!("{step} {name}")));
        write_file(&card, &canonical(&world.card).unwrap());
        for (path, party) in [(&laboratory, Party::Laboratory), (&vendor, Party::Vendor)] {
            write_file(path, &canonical(&world.organisation(party).root()).unwrap());
        }
        let trust = ["--trust", text(&laboratory), "--trust", text(&vendor), "--server", text(&card)];
        let (status, said, complained) = run(&[&["evidence", "verify", text(&path)][..], &trust].concat()).await;
        assert_eq!(
            (status, said.pointer("/verdict/stage")),
            (0, Some(&"destroyed".into())),
            "step {step}: {complained}"
        );

        let pack = evidence::read(&zip).unwrap();
        let attestation: Attestation = pack.certificate.unwrap().open(PayloadType::InToto, &world.card.key).unwrap();
        let proofs = pack.entries.into_iter().map(|placed| placed.entry.proof).collect();
        Self { step, certificate: attestation.predicate, proofs, wrapped: Digest::of(wrapped), ran }
    }

    fn round(&self) -> &CertifiedConsignment {
        let [round] = self.certificate.consignments.as_slice() else { unreachable!("one consignment") };
        round
    }

    pub(super) fn key(&self) -> &KeyAct {
        &self.round().key
    }

    /// The same certificate and the same facts, but for times that are true of each and the sentence that says them, what
    /// names facts by their digests, the digest of the share as it was wrapped for each, and the answers about the key, which
    /// are for the story to compare.
    pub(super) fn says_the_same_as(&self, whole: &Self) {
        let (step, round, other) = (self.step, self.round(), whole.round());
        assert_eq!(round.effect, Effect::of(Some(round.key.at), other.effect.last_lease, 0), "step {step}");
        assert_eq!(self.certificate.effective, round.effect.at, "step {step}");
        assert_eq!(round.probes.share_refused, Some(self.wrapped), "step {step}");
        for at in [round.key.begun_at, round.key.at, self.certificate.issued_at] {
            assert!(self.ran.contains(&at), "step {step}: {at}");
        }
        assert!(round.key.begun_at <= round.key.at && round.key.at <= self.certificate.issued_at, "step {step}");
        assert!(!round.key.said.is_empty(), "step {step}: the place of the key answered nothing");
        let [words, others] = [round, other].map(|round| round.wording.last().unwrap());
        assert!(words.starts_with("It is in effect from "), "step {step}: {words}");

        let mut told = self.certificate.clone();
        let of = &whole.certificate;
        (told.id, told.facts.digest) = (of.id, of.facts.digest);
        (told.effective, told.issued_at) = (of.effective, of.issued_at);
        let consignment = told.consignments.first_mut().unwrap();
        consignment.effect = other.effect;
        consignment.wording.last_mut().unwrap().clone_from(others);
        consignment.key = alike(&round.key, &other.key);
        consignment.probes.share_refused = other.probes.share_refused;
        assert_eq!(told, *of, "step {step}");

        assert_eq!(self.proofs.len(), whole.proofs.len(), "step {step}");
        for (proof, other) in self.proofs.iter().zip(&whole.proofs) {
            match (proof, other) {
                (
                    Proof::Server(Act::Destroyed { consignment, evidence }),
                    Proof::Server(Act::Destroyed { consignment: of, evidence: other }),
                ) => {
                    let key = alike(&evidence.key, &other.key);
                    let evidence = Destroyed { key, share_shown: other.share_shown, ..evidence.clone() };
                    assert_eq!((consignment, &evidence), (of, other), "step {step}");
                }
                (Proof::Server(Act::Finish { .. }), Proof::Server(Act::Finish { .. })) => {}
                (proof, other) => assert_eq!(proof, other, "step {step}"),
            }
        }
    }
}

/// A key act with another's times and answers.
fn alike(key: &KeyAct, other: &KeyAct) -> KeyAct {
    KeyAct { begun_at: other.begun_at, at: other.at, said: other.said.clone(), ..key.clone() }
}
