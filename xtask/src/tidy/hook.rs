//! Features that open a room further than its program needs are turned on by one other crate each: rows in clear for
//! the stories' tests, parsers by themselves for the fuzz targets. What nobody names is in no program: features reach a
//! build only by what a Cargo.toml says or a command line.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::Finding;
use super::arrows::{list, text};

/// A feature of a room, and who may turn it on.
struct Hook {
    room: &'static str,
    feature: &'static str,
    /// Nobody uses that crate, which the arrows see to.
    by: &'static str,
    /// For its tests only.
    dev: bool,
    what: &'static str,
}

const HOOKS: [Hook; 4] = [
    Hook { room: "seal", feature: "unsealed", by: "drill", dev: true, what: "rows leave in clear" },
    Hook { room: "connectors", feature: "parsers", by: "fuzz", dev: false, what: "rows come out unscoped" },
    Hook { room: "desk", feature: "parsers", by: "fuzz", dev: false, what: "its parsers stand open" },
    Hook { room: "vault", feature: "parsers", by: "fuzz", dev: false, what: "its parsers stand open" },
];

/// Every line of a Cargo.toml that turns such a feature on and must not, from the output of `cargo metadata`.
pub(super) fn findings(metadata: &Value, root: &Path) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for package in list(metadata, "packages")? {
        for hook in &HOOKS {
            let times = hook.turned_on(package)?;
            let (name, manifest) = (text(package, "name")?, Path::new(text(package, "manifest_path")?));
            found.extend((0..times).map(|_| hook.finding(root, manifest, name)));
        }
    }
    Ok(found)
}

impl Hook {
    /// In how many ways a crate turns it on that may not.
    fn turned_on(&self, package: &Value) -> Result<usize> {
        let name = text(package, "name")?;
        let mut times = 0_usize;
        // What the room is called here: a Cargo.toml may give it another name.
        let mut called = vec![self.room];
        for used in list(package, "dependencies")?.iter().filter(|used| used.get("name") == Some(&self.room.into())) {
            called.extend(used.get("rename").and_then(Value::as_str));
            let turns_on = list(used, "features")?.iter().any(|feature| feature == self.feature);
            let may = name == self.by && (!self.dev || used.get("kind") == Some(&"dev".into()));
            times = times.saturating_add(usize::from(turns_on && !may));
        }
        let features = package.get("features").and_then(Value::as_object).into_iter().flatten();
        let implied = features.filter_map(|(_, implied)| implied.as_array()).flatten().filter_map(Value::as_str);
        // `seal/unsealed` and `seal?/unsealed`, and in the room itself the plain name.
        let is_it = |implied: &str| match implied.split_once('/') {
            Some((of, feature)) => called.contains(&of.trim_end_matches('?')) && feature == self.feature,
            None => name == self.room && implied == self.feature,
        };
        Ok(times.saturating_add(usize::from(implied.filter(|implied| is_it(implied)).count() > 0)))
    }

    fn finding(&self, root: &Path, manifest: &Path, name: &str) -> Finding {
        let Self { room, feature, by, dev, what } = self;
        let lines = std::fs::read_to_string(manifest).unwrap_or_default();
        let (quoted, behind) = (format!("\"{feature}\""), format!("/{feature}"));
        let line = lines.lines().position(|line| line.contains(&quoted) || line.contains(&behind));
        let file = manifest.strip_prefix(root).unwrap_or(manifest);
        let who = if *dev { format!("{by}'s tests") } else { format!("`{by}`") };
        let sentence = format!("`{name}` turns on `{room}/{feature}`, by which {what}; only {who} may");
        Finding::new(file, line.map_or(1, |line| line.saturating_add(1)), sentence)
    }
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

    #[test]
    fn only_the_fuzz_targets_may_have_the_parsers_by_themselves() {
        let count = |name: &str, room: &str| {
            let used = json!({ "name": room, "kind": null, "features": ["parsers"] });
            let package = json!({ "name": name, "manifest_path": "x/Cargo.toml", "dependencies": [used] });
            findings(&json!({ "packages": [package] }), Path::new("")).unwrap().len()
        };
        for room in ["connectors", "desk", "vault"] {
            assert_eq!((count("fuzz", room), count("lazaret", room), count("passage", room)), (0, 1, 1), "{room}");
        }
    }
}
