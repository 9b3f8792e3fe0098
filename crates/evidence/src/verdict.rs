use std::collections::BTreeSet;

use lexicon::{Digest, MigrationId, Result, spoken};
use people::{PayloadType, Root, RootId};
use procedure::{Act, Stage};
use serde::Serialize;

use crate::certificate::{Completeness, DestructionCertificate, compose, describe, named_documents};
use crate::story::{Story, facts, organisation};
use crate::trouble::{forbidden_document, wrong_certificate, wrong_document, wrong_words};
use crate::{Attestation, CertifiedConsignment, Pack, Statement, Trust, markdown, stamp, statements, wording};

/// A party whose root the reader did not bring along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unpinned {
    /// Its name, as the pack gives it.
    pub organisation: String,
    /// Its root.
    pub root: RootId,
    /// The six words to be compared by telephone.
    pub words: String,
}

/// What a pack shows, once everything in it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each answers one question that a reader asks of a pack")]
pub struct Verdict {
    /// Of which migration.
    pub migration: MigrationId,
    /// Whether it is a demonstration.
    pub demonstration: bool,
    /// Whether every party's root was one that the reader had pinned. If not, the pack is consistent and no more.
    pub established: bool,
    /// Whose roots were not.
    pub unpinned: Vec<Unpinned>,
    /// Whether the server's key was one that the reader knew.
    pub server_pinned: bool,
    /// Where the migration stands after the last fact in the pack.
    pub stage: Stage,
    /// How many facts.
    pub facts: u64,
    /// Leaves in the journal under the checkpoint.
    pub journal_size: u64,
    /// What is shown, and who says it.
    pub statements: Vec<Statement>,
    /// Whether the certificate of destruction is there with every statement that belongs to it.
    pub certificate_complete: bool,
    /// What is missing, one sentence each.
    pub missing: Vec<String>,
    /// What a person should look at, one sentence each; nothing here makes the pack false.
    pub warnings: Vec<String>,
}

/// Checks a pack against the roots that the reader pinned; none: the pack's own roots are taken, and the verdict says
/// that identities are not established.
///
/// # Errors
/// An alarm when anything in it was changed, removed, added or put in another order, or says other than the facts.
pub fn verify(pack: &Pack, trust: &[Root]) -> Result<Verdict> {
    verify_against(pack, &Trust::from(trust))
}

/// As [`verify`], with the server that the reader knows.
///
/// # Errors
/// As [`verify`]; also an alarm when the pack is another server's.
pub fn verify_against(pack: &Pack, trust: &Trust) -> Result<Verdict> {
    let shown = Shown::of(pack, trust)?;
    let mut verdict = shown.verdict();
    stamp::is_of_the_certificate(pack)?;
    if !pack.told.is_empty() {
        verdict.warnings.extend(check_words(pack)?);
    }
    Ok(verdict)
}

/// The roots that the pack's migration is between, so that a person can compare their six words before pinning them.
///
/// # Errors
/// As [`verify`].
pub fn trust_roots(pack: &Pack) -> Result<Vec<Root>> {
    let story = Story::replay(pack, &Trust::default())?;
    let parties = story.migration().parties.iter();
    Ok(parties.filter_map(|party| story.roster.root(&party.root).cloned()).collect())
}

/// A story with its certificate, both checked.
pub(crate) struct Shown<'a> {
    pub(crate) story: Story<'a>,
    pub(crate) certificate: Option<(Digest, DestructionCertificate)>,
    pub(crate) completeness: Completeness,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(pack: &'a Pack, trust: &Trust) -> Result<Self> {
        let story = Story::replay(pack, trust)?;
        check_documents(&story)?;
        let mut warnings = Vec::new();
        let certificate = check_certificate(&story, &mut warnings)?;
        let none = || Completeness {
            complete: false,
            title: "none".to_owned(),
            missing: vec!["the certificate of destruction: the server's part is not certified yet".to_owned()],
        };
        let completeness =
            certificate.as_ref().map_or_else(none, |(_, certificate)| describe(certificate, &story.ledger));
        warnings.extend(compromised(&story));
        warnings.extend(renamed(&story, trust));
        Ok(Self { story, certificate, completeness, warnings })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let migration = self.story.migration();
        let unpinned = self.story.unpinned.iter().map(|root| Unpinned {
            organisation: organisation(migration, root),
            root: *root,
            words: spoken(root),
        });
        let mut missing = self.completeness.missing.clone();
        missing.extend(missing_documents(&self.story));
        Verdict {
            migration: migration.id,
            demonstration: self.story.pack.card.demonstration,
            established: self.story.unpinned.is_empty(),
            unpinned: unpinned.collect(),
            server_pinned: self.story.server_pinned,
            stage: migration.stage,
            facts: migration.facts,
            journal_size: self.story.checkpoint.size,
            statements: statements::all(self),
            certificate_complete: self.completeness.complete,
            missing,
            warnings: self.warnings.clone(),
        }
    }
}

/// Documents are what their digests say, and a plan names each.
fn check_documents(story: &Story<'_>) -> Result<()> {
    let shares = facts(&story.ledger, |act| if let Act::HandOver { share, .. } = act { Some(*share) } else { None });
    let named = named_documents(&story.ledger);
    for (digest, bytes) in &story.pack.documents {
        // A copy of the sealed laboratory share in a file that is handed around would outlive its destruction.
        if shares.iter().any(|(_, share)| share == digest) {
            return Err(forbidden_document(&format!("{} is a sealed laboratory share", digest.short())));
        }
        if Digest::of(bytes) != *digest {
            return Err(wrong_document(&format!("its bytes do not have the digest {}", digest.short())));
        }
        if named.iter().all(|(name, _)| name != digest) {
            return Err(wrong_document(&format!("no plan names {}", digest.short())));
        }
    }
    Ok(())
}

fn missing_documents(story: &Story<'_>) -> Vec<String> {
    let Some((_, plan, _)) = &story.migration().plan else { return Vec::new() };
    let wanted = [(plan.scope, "scope"), (plan.report, "scope report")];
    let absent = wanted.iter().filter(|(digest, _)| !story.pack.documents.contains_key(digest));
    absent
        .map(|(digest, what)| format!("the {what} {} that the plan names is not in the pack", digest.short()))
        .collect()
}

/// The certificate is the one that the facts name, and says what anybody would write from the facts before it.
fn check_certificate(
    story: &Story<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<(Digest, DestructionCertificate)>> {
    let (named, envelope) = match (story.migration().certificate, &story.pack.certificate) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(wrong_certificate("no fact names the one in the pack")),
        (Some(named), None) => {
            return Err(wrong_certificate(&format!("the facts name {} and it is not in the pack", named.short())));
        }
        (Some(named), Some(envelope)) => (named, envelope),
    };
    if envelope.digest()? != named {
        return Err(wrong_certificate(&format!("the facts name {}, and the pack holds another", named.short())));
    }
    let attestation: Attestation = envelope.open(PayloadType::InToto, &story.pack.card.key)?;
    let certificate = attestation.predicate.clone();
    // Only statements and revocations can stand between that fact and the one that names the certificate.
    let before = story.certified.as_ref();
    let before = before.ok_or_else(|| wrong_certificate("it takes a fact into account that is not in the pack"))?;
    let mut expected = compose(before, &story.pack.card, certificate.issued_at)?;
    if certificate.version != wording::VERSION {
        warnings.push(format!(
            "The certificate is worded by version {} and these statements by version {}: its facts were compared, its \
             sentences were not.",
            certificate.version,
            wording::VERSION
        ));
        take_words(&mut expected, &certificate);
    }
    if Attestation::of(certificate.clone()) != attestation {
        return Err(wrong_certificate("its form, or the things that it names as its subjects"));
    }
    if let Some(part) = difference(&expected, &certificate) {
        return Err(wrong_certificate(part));
    }
    // The facts may say it too: they are the server's word.
    if !certificate.consignments.iter().all(CertifiedConsignment::accounts_for_all) {
        return Err(wrong_certificate("less was deleted than its inventory has"));
    }
    let finished = facts(&story.ledger, |act| if let Act::Finish { .. } = act { Some(()) } else { None });
    let until = finished.first().map(|(recorded, ())| recorded.fact.at);
    if certificate.issued_at < before.migration().last_at || until.is_some_and(|until| certificate.issued_at > until) {
        return Err(wrong_certificate("its time is not between the facts that it stands between"));
    }
    Ok(Some((named, certificate)))
}

fn take_words(expected: &mut DestructionCertificate, from: &DestructionCertificate) {
    expected.version = from.version;
    expected.wording.clone_from(&from.wording);
    for (one, other) in expected.consignments.iter_mut().zip(&from.consignments) {
        one.wording.clone_from(&other.wording);
        one.ended.clone_from(&other.ended);
    }
}

/// The first part in which two certificates differ.
fn difference(one: &DestructionCertificate, other: &DestructionCertificate) -> Option<&'static str> {
    let parts = [
        (each(one, other, |one, other| one.inventory == other.inventory), "the inventory of a consignment"),
        (each(one, other, |one, other| one.key == other.key), "what became of a ring key"),
        (each(one, other, |one, other| one.effect == other.effect), "from when a destruction is in effect"),
        (one.consignments == other.consignments, "what was destroyed, or what that achieves"),
        (one.effective == other.effective, "from when all of it is in effect"),
        (one.persons == other.persons, "who did it"),
        (one.trigger == other.trigger, "why it was destroyed"),
        (one.facts == other.facts, "the facts that it takes into account"),
        (one.demonstration == other.demonstration, "whether it is a demonstration"),
        (one.controller == other.controller && one.processors == other.processors, "the parties"),
        (one.wording == other.wording, "its general words"),
        (one == other, "its plan, scope, instruction, level, id, journal or migration"),
    ];
    parts.iter().find(|(same, _)| !same).map(|(_, part)| *part)
}

/// Whether this holds for each pair of consignments that two certificates have.
fn each(
    one: &DestructionCertificate,
    other: &DestructionCertificate,
    same: impl Fn(&CertifiedConsignment, &CertifiedConsignment) -> bool,
) -> bool {
    one.consignments.iter().zip(&other.consignments).all(|(one, other)| same(one, other))
}

/// What the pack tells people must be what these facts say in these words.
fn check_words(pack: &Pack) -> Result<Option<String>> {
    let expected = markdown::told(&Shown::of(pack, &Trust::default())?)?;
    let about = pack.told.get(markdown::ABOUT).and_then(|bytes| serde_json::from_slice::<markdown::About>(bytes).ok());
    let about = about.ok_or_else(|| wrong_words(markdown::ABOUT))?;
    if about.words != wording::VERSION {
        return Ok(Some(
            "The pack's statements and picture were written by another version: read the statements given here, not \
             those in the file."
                .to_owned(),
        ));
    }
    let names: BTreeSet<&String> = expected.keys().chain(pack.told.keys()).collect();
    match names.into_iter().find(|name| expected.get(*name) != pack.told.get(*name)) {
        Some(name) => Err(wrong_words(name)),
        None => Ok(None),
    }
}

/// Acts by a certificate after the time since which its key may have been in other hands.
fn compromised(story: &Story<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for revocation in story.revocations() {
        let doubtful = story.ledger.recorded().iter().filter(|recorded| {
            let signed = recorded.fact.by.person().is_some_and(|signer| signer.certificate() == revocation.certificate);
            signed && recorded.fact.at >= revocation.compromised_since
        });
        let numbers: Vec<String> = doubtful.map(|recorded| recorded.fact.number.to_string()).collect();
        let name = story.roster.certificate(&revocation.certificate).map(|certificate| certificate.person.name.clone());
        if let (false, Some(name)) = (numbers.is_empty(), name) {
            let since = crate::story::when(revocation.compromised_since);
            found.push(format!(
                "The certificate of {name} was taken back as compromised since {since}; facts {} rest on it.",
                numbers.join(", ")
            ));
        }
    }
    found
}

/// Parties that call themselves otherwise than the pinned root does.
fn renamed(story: &Story<'_>, trust: &Trust) -> Vec<String> {
    let parties = story.migration().parties.iter();
    let pairs =
        parties.filter_map(|party| trust.roots.iter().find(|root| root.id() == party.root).map(|root| (party, root)));
    let other = pairs.filter(|(party, root)| party.organisation != root.organisation);
    other
        .map(|(party, root)| {
            format!("The pack calls '{}' what was pinned here as '{}'.", party.organisation, root.organisation)
        })
        .collect()
}
