//! The feature of `seal` by which rows leave in clear, for the stories' tests, is turned on by nobody else. What nobody
//! names is in no program: features reach a build only by what a Cargo.toml says or a command line.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::Finding;
use super::arrows::{list, text};

const ROOM: &str = "seal";
const FEATURE: &str = "unsealed";

/// Whose tests may turn it on. Nobody uses that room, which the arrows see to.
const STORIES: &str = "drill";

/// Every line of a Cargo.toml that turns the feature on and must not, from the output of `cargo metadata`.
pub(super) fn findings(metadata: &Value, root: &Path) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for package in list(metadata, "packages")? {
        let (name, manifest) = (text(package, "name")?, Path::new(text(package, "manifest_path")?));
        // What the room is called here: a Cargo.toml may give it another name.
        let mut called = vec![ROOM];
        for used in list(package, "dependencies")?.iter().filter(|used| used.get("name") == Some(&ROOM.into())) {
            called.extend(used.get("rename").and_then(Value::as_str));
            let turns_on = list(used, "features")?.iter().any(|feature| feature == FEATURE);
            let of_the_stories = name == STORIES && used.get("kind") == Some(&"dev".into());
            if turns_on && !of_the_stories {
                found.push(finding(root, manifest, name));
            }
        }
        let features = package.get("features").and_then(Value::as_object).into_iter().flatten();
        let implied = features.filter_map(|(_, implied)| implied.as_array()).flatten().filter_map(Value::as_str);
        // `seal/unsealed` and `seal?/unsealed`, and in the room itself the plain name.
        let is_it = |implied: &str| match implied.split_once('/') {
            Some((of, feature)) => called.contains(&of.trim_end_matches('?')) && feature == FEATURE,
            None => name == ROOM && implied == FEATURE,
        };
        if implied.filter(|implied| is_it(implied)).count() > 0 {
            found.push(finding(root, manifest, name));
        }
    }
    Ok(found)
}

fn finding(root: &Path, manifest: &Path, name: &str) -> Finding {
    let lines = std::fs::read_to_string(manifest).unwrap_or_default();
    let line = lines.lines().position(|line| line.contains(&format!("\"{FEATURE}\"")) || line.contains("/unsealed"));
    let file = manifest.strip_prefix(root).unwrap_or(manifest);
    let sentence =
        format!("`{name}` turns on `{ROOM}/{FEATURE}`, by which rows leave in clear; only {STORIES}'s tests may");
    Finding::new(file, line.map_or(1, |line| line.saturating_add(1)), sentence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One crate that uses `seal` so, also under another name, with these features of its own.
    fn count(name: &str, features: &[&str], kind: Option<&str>, own: &Value) -> usize {
        let used = json!({ "name": "seal", "rename": "shut", "kind": kind, "features": features });
        let package = json!({ "name": name, "manifest_path": "x/Cargo.toml", "dependencies": [used], "features": own });
        findings(&json!({ "packages": [package] }), Path::new("")).unwrap().len()
    }

    #[test]
    fn only_the_stories_tests_may_turn_it_on() {
        let none = json!({});
        assert_eq!(count("drill", &["unsealed"], Some("dev"), &none), 0);
        assert_eq!(count("drill", &["unsealed"], None, &none), 1);
        assert_eq!(count("lazaret", &["unsealed"], Some("dev"), &none), 1);
        assert_eq!(count("passage", &["unsealed"], None, &none), 1);
        assert_eq!(count("passage", &[], None, &none), 0);
    }

    #[test]
    fn a_feature_that_turns_it_on_is_found_too() {
        assert_eq!(count("passage", &[], None, &json!({ "practice": ["seal/unsealed"] })), 1);
        assert_eq!(count("lazaret", &[], None, &json!({ "default": ["seal?/unsealed"] })), 1);
        assert_eq!(count("passage", &[], None, &json!({ "practice": ["shut/unsealed"] })), 1, "by another name");
        assert_eq!(count("passage", &[], None, &json!({ "practice": ["other/unsealed"] })), 0);
        assert_eq!(count("seal", &[], None, &json!({ "default": ["unsealed"], "unsealed": [] })), 1);
        assert_eq!(count("seal", &[], None, &json!({ "unsealed": [] })), 0);
    }
}
