//! The plan that the vendor's engineer writes.

use lexicon::{Code, Digest, Fault, Result, Retry, Timestamp};
use serde_json::{Map, Value, json};

use super::cast::{CONTROLLER, LABORATORY, VENDOR};

/// The contract that the instruction points to. Only its digest travels.
pub(super) const CONTRACT: &str = "DEMONSTRATION. A contract between two organisations that do not exist.\n";

/// What the two systems call themselves, and the digests of their tables and columns, as `scope check` told them.
pub(super) struct Systems {
    pub(super) source: (String, String),
    pub(super) target: (String, String),
    /// The new system's folder for documents.
    pub(super) documents: String,
}

/// The plan as a file that lies in `papers/`.
pub(super) fn file(systems: &Systems, deadline: Timestamp) -> Result<String> {
    let clauses: Map<String, Value> = ["a", "b", "c", "d", "e", "f", "g", "h"]
        .into_iter()
        .zip(1..)
        .map(|(item, article)| (item.to_owned(), json!({ "place": format!("art. 4.{article}") })))
        .collect();
    let plan = json!({
        "scope": "../old/scope.toml",
        "report": "report.json",
        "extracting": ["operator.certificate"],
        "loading": ["recipient.certificate"],
        "source": { "identity": systems.source.0, "schema": systems.source.1, "live": false },
        "target": [{
            "kinds": ["full", "delta"],
            "identity": systems.target.0,
            "schema": systems.target.1,
            "documents": systems.documents,
        }],
        "allowed": [{ "kind": "full", "count_max": 2, "hours_max": 240 }],
        "instruction": {
            "purpose": "DEMONSTRATION: move synthetic records to a new system",
            "nature": "Extraction, sealed carriage, loading, comparison, destruction",
            "duration": "Until sign-off, 30 days at most",
            "data": ["identity of patients", "requests", "results", "reports"],
            "persons": ["patients", "prescribers"],
            "sub_processors": ["none"],
            "recipients": [format!("{}, migration team", VENDOR.name)],
            "deadline": deadline,
            "ending": "delete",
            "no_other_channel": true,
            "dpia": { "reference": "DEMONSTRATION-1" },
            "controller": { "name": LABORATORY.name, "contact": "dpo@halles.example" },
            "processor": { "name": VENDOR.name, "contact": "dpo@biolog.example" },
            "contract": { "digest": Digest::of(CONTRACT.as_bytes()), "signatory": CONTROLLER.name },
            "clauses": clauses,
        },
    });
    let text = toml::to_string(&plan)
        .map_err(|error| Fault::new(Code(1088), Retry::Never, format!("the plan cannot be written: {error}")))?;
    Ok(format!("# DEMONSTRATION: synthetic records only.\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_toml_whatever_the_systems_are_called() {
        let systems = Systems {
            source: (r#"sqlite:C:\old "system""#.to_owned(), "00".repeat(32)),
            target: ("sqlite:new".to_owned(), "11".repeat(32)),
            documents: "folder:/new".to_owned(),
        };
        let plan: toml::Table = file(&systems, Timestamp::UNIX_EPOCH).unwrap().parse().unwrap();
        assert_eq!(plan["source"]["identity"].as_str(), Some(systems.source.0.as_str()));
        assert_eq!(plan["instruction"]["clauses"].as_table().unwrap().len(), 8);
    }
}
