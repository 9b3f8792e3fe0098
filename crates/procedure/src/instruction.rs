use lexicon::{Code, Digest, Refusal, Timestamp};
use serde::{Deserialize, Serialize};

/// One of the two who contract.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Registered name.
    pub name: String,
    /// Where it can be reached.
    pub contact: String,
}

/// One item of GDPR art. 28(3) and where the contract says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// Article and paragraph of the contract.
    pub place: String,
}

/// GDPR art. 28(3)(a) to (h).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clauses {
    /// Only on documented instructions.
    pub a: Clause,
    /// Confidentiality of the persons.
    pub b: Clause,
    /// Security (art. 32).
    pub c: Clause,
    /// Sub-processors.
    pub d: Clause,
    /// Help with the rights of persons.
    pub e: Clause,
    /// Help with arts. 32 to 36.
    pub f: Clause,
    /// Delete or return at the end.
    pub g: Clause,
    /// Information and audits.
    pub h: Clause,
}

/// The contract that holds the clauses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contract {
    /// SHA-256 of the signed document.
    pub digest: Option<Digest>,
    /// Who signed for the controller.
    pub signatory: String,
}

/// The data-protection impact assessment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dpia {
    /// Its reference.
    Reference(String),
    /// Why none is needed.
    Exempt(String),
}

/// What happens to the processor's copies at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// They are destroyed.
    Delete,
    /// They go back, then they are destroyed.
    Return,
}

/// The controller's documented instruction (GDPR art. 28(3)): nothing is approved until every item is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Instruction {
    /// The laboratory.
    pub controller: Party,
    /// The vendor.
    pub processor: Party,
    /// Why the data are processed.
    pub purpose: String,
    /// What is done with them.
    pub nature: String,
    /// For how long, in the contract's words.
    pub duration: String,
    /// Kinds of data.
    pub data: Vec<String>,
    /// Categories of persons.
    pub persons: Vec<String>,
    /// Art. 28(3)(a) to (h).
    pub clauses: Clauses,
    /// Where those stand.
    pub contract: Contract,
    /// Reference or reasoned exemption.
    pub dpia: Option<Dpia>,
    /// Sub-processors; an empty list is said by `["none"]`.
    pub sub_processors: Vec<String>,
    /// Who receives the data.
    pub recipients: Vec<String>,
    /// When everything is destroyed at the latest.
    pub deadline: Option<Timestamp>,
    /// Delete or return.
    pub ending: Option<Ending>,
    /// "The data take no other channel."
    pub no_other_channel: bool,
}

impl Instruction {
    /// Whether every item is recorded.
    ///
    /// # Errors
    /// A refusal that names the first missing item and its article.
    pub fn check(&self) -> Result<(), Refusal> {
        let clauses = &self.clauses;
        let contract = self.contract.digest.is_some() && said(&self.contract.signatory);
        let dpia = match &self.dpia {
            Some(Dpia::Reference(text) | Dpia::Exempt(text)) => said(text),
            None => false,
        };
        let items: [(&str, &str, bool); 22] = [
            ("the controller", "28(3)", said(&self.controller.name) && said(&self.controller.contact)),
            ("the processor", "28(3)", said(&self.processor.name) && said(&self.processor.contact)),
            ("the purpose", "28(3)", said(&self.purpose)),
            ("the nature of the processing", "28(3)", said(&self.nature)),
            ("the duration", "28(3)", said(&self.duration)),
            ("the kinds of data", "28(3)", listed(&self.data)),
            ("the categories of persons", "28(3)", listed(&self.persons)),
            ("documented instructions", "28(3)(a)", said(&clauses.a.place)),
            ("confidentiality", "28(3)(b)", said(&clauses.b.place)),
            ("security", "28(3)(c)", said(&clauses.c.place)),
            ("sub-processors in the contract", "28(3)(d)", said(&clauses.d.place)),
            ("the rights of persons", "28(3)(e)", said(&clauses.e.place)),
            ("assistance", "28(3)(f)", said(&clauses.f.place)),
            ("deletion or return in the contract", "28(3)(g)", said(&clauses.g.place)),
            ("audits", "28(3)(h)", said(&clauses.h.place)),
            ("the contract's digest and signatory", "28(9)", contract),
            ("the impact assessment or why none is needed", "35", dpia),
            ("the sub-processors", "28(2)", listed(&self.sub_processors)),
            ("the recipients", "30(1)(d)", listed(&self.recipients)),
            ("the deadline", "5(1)(e)", self.deadline.is_some()),
            ("delete or return", "28(3)(g)", self.ending.is_some()),
            ("that the data take no other channel", "32", self.no_other_channel),
        ];
        match items.iter().find(|(_, _, present)| !present) {
            None => Ok(()),
            Some((item, article, _)) => Err(Refusal::new(
                Code(201),
                format!("the instruction does not record {item} (GDPR art. {article})"),
                "Record it with its place in the contract and propose the plan again.",
            )),
        }
    }
}

fn said(text: &str) -> bool {
    !text.trim().is_empty()
}

fn listed(items: &[String]) -> bool {
    items.iter().any(|item| said(item)) && items.iter().all(|item| said(item))
}
