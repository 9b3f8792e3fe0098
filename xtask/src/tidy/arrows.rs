//! Who may use whom. The arrows are those of ARCHITECTURE.md; that the server cannot open a parcel is a fact of them.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

/// Which rooms a room may name in its Cargo.toml, tests included; everybody may name `lexicon`.
const ARROWS: [(&str, &[&str]); 16] = [
    ("lexicon", &[]),
    ("people", &[]),
    ("journal", &[]),
    ("scope", &[]),
    ("synth", &[]),
    ("procedure", &["people"]),
    ("wire", &["people", "procedure", "journal"]),
    ("desk", &["people", "procedure", "journal", "wire"]),
    ("connectors", &["scope"]),
    ("seal", &["scope", "people"]),
    ("passage", &["procedure", "people", "journal", "wire", "desk", "scope", "seal", "connectors"]),
    ("vault", &["journal"]),
    ("registry", &["procedure", "people", "journal", "wire"]),
    ("evidence", &["procedure", "people", "journal", "wire"]),
    ("office", &["procedure", "people", "journal", "vault", "registry", "evidence", "wire"]),
    ("doors", &["office", "wire", "people"]),
];

/// The binary, the stories and the fuzz targets put everything together.
const COMPOSERS: [&str; 3] = ["lazaret", "drill", "fuzz"];

/// Named by nobody.
const LEAVES: [&str; 3] = ["drill", "fuzz", "xtask"];

/// The server's rooms, and what none of them may reach over any number of arrows: whatever could open a parcel.
const SERVER: [&str; 4] = ["doors", "office", "registry", "vault"];
const OUT_OF_REACH: [&str; 4] = ["seal", "scope", "connectors", "parquet"];

/// Every arrow that is not allowed, from the output of `cargo metadata`.
pub(super) fn findings(metadata: &Value, root: &Path) -> Result<Vec<Finding>> {
    let graph = Graph::read(metadata)?;
    let mut found = Vec::new();
    for room in graph.rooms.values() {
        let allowed = allowed(&room.name);
        for used in &room.uses {
            let sentence = match &allowed {
                None if room.name == "xtask" => {
                    format!("xtask uses `{used}`, but it must build before every room does")
                }
                None => format!("`{}` has no row in the table of arrows in xtask/src/tidy/arrows.rs", room.name),
                Some(_) if LEAVES.contains(&used.as_str()) => format!("nobody uses `{used}`, not even `{}`", room.name),
                Some(allowed) if allowed.contains(&used.as_str()) || used == "lexicon" => continue,
                Some(_) if COMPOSERS.contains(&room.name.as_str()) => continue,
                Some(_) => format!("`{}` must not use `{used}`: no arrow leads there", room.name),
            };
            found.push(room.finding(root, used, sentence));
        }
    }
    for server in SERVER {
        for (chain, first) in graph.reach_out(server) {
            let sentence = format!("the server must not be able to open a parcel, but {chain}");
            if let Some(room) = graph.rooms.values().find(|room| room.name == server) {
                found.push(room.finding(root, &first, sentence));
            }
        }
    }
    Ok(found)
}

fn allowed(room: &str) -> Option<&'static [&'static str]> {
    if COMPOSERS.contains(&room) {
        return Some(&[]);
    }
    ARROWS.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed)
}

/// One crate of the workspace.
struct Room {
    name: String,
    manifest: PathBuf,
    /// The crates of the workspace that it names, for whatever purpose.
    uses: Vec<String>,
}

impl Room {
    fn finding(&self, root: &Path, used: &str, sentence: String) -> Finding {
        let text = std::fs::read_to_string(&self.manifest).unwrap_or_default();
        let line = text.lines().position(|line| line.split(['.', ' ', '=']).next() == Some(used));
        let file = self.manifest.strip_prefix(root).unwrap_or(&self.manifest);
        Finding::new(file, line.map_or(1, |line| line.saturating_add(1)), sentence)
    }
}

/// The resolved tree: workspace crates, and which package each package is built from.
struct Graph {
    rooms: BTreeMap<String, Room>,
    names: BTreeMap<String, String>,
    /// Package id to the ids that stand in its build; what only its tests use is left out.
    builds: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Result<Self> {
        let members: Vec<&str> = list(metadata, "workspace_members")?.iter().filter_map(Value::as_str).collect();
        let (mut rooms, mut names) = (BTreeMap::new(), BTreeMap::new());
        for package in list(metadata, "packages")? {
            let (id, name) = (text(package, "id")?, text(package, "name")?);
            names.insert(id.to_owned(), name.to_owned());
            if members.contains(&id) {
                let in_the_workspace =
                    list(package, "dependencies")?.iter().filter(|used| used.get("path").is_some_and(Value::is_string));
                let uses = in_the_workspace.map(|used| text(used, "name").map(str::to_owned)).collect::<Result<_>>()?;
                let manifest = PathBuf::from(text(package, "manifest_path")?);
                rooms.insert(id.to_owned(), Room { name: name.to_owned(), manifest, uses });
            }
        }
        let mut builds = BTreeMap::new();
        for node in list(metadata.get("resolve").context("cargo metadata has no tree")?, "nodes")? {
            let mut built_from = Vec::new();
            for used in list(node, "deps")? {
                let only_tests = list(used, "dep_kinds")?.iter().all(|kind| kind.get("kind") == Some(&"dev".into()));
                if !only_tests {
                    built_from.push(text(used, "pkg")?.to_owned());
                }
            }
            builds.insert(text(node, "id")?.to_owned(), built_from);
        }
        Ok(Self { rooms, names, builds })
    }

    /// For each crate that `room` must not reach and does: the shortest chain in words, and its first arrow.
    fn reach_out(&self, room: &str) -> Vec<(String, String)> {
        let Some((start, _)) = self.rooms.iter().find(|(_, candidate)| candidate.name == room) else {
            return Vec::new();
        };
        let mut from: BTreeMap<&str, &str> = BTreeMap::from([(start.as_str(), "")]);
        let (mut queue, mut found) = (VecDeque::from([start.as_str()]), Vec::new());
        while let Some(id) = queue.pop_front() {
            let name = self.names.get(id).map_or("?", String::as_str);
            if OUT_OF_REACH.contains(&name) || name == "arrow" || name.starts_with("arrow-") {
                found.push(self.chain(&from, id));
                continue; // What stands behind it would only repeat the same finding.
            }
            for next in self.builds.get(id).into_iter().flatten() {
                if !from.contains_key(next.as_str()) {
                    from.insert(next, id);
                    queue.push_back(next);
                }
            }
        }
        found
    }

    fn chain(&self, from: &BTreeMap<&str, &str>, end: &str) -> (String, String) {
        let mut names = Vec::new();
        let mut id = end;
        while let Some(name) = self.names.get(id) {
            names.push(name.as_str());
            id = from.get(id).copied().unwrap_or_default();
        }
        names.reverse();
        (names.join(" uses "), names.get(1).copied().unwrap_or_default().to_owned())
    }
}

pub(super) fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).with_context(|| format!("cargo metadata has no list `{key}`"))
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("cargo metadata has no text `{key}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `cargo metadata` would say of a workspace with these arrows; an arrow of kind "dev" is of tests only.
    fn sentences(arrows: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        let mut names: Vec<&str> = arrows.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        names.sort_unstable();
        names.dedup();
        let is_ours = |name: &str| !name.contains('-') && name != "parquet";
        let of = |name: &str| arrows.iter().filter(|(from, ..)| *from == name).copied().collect::<Vec<_>>();
        let packages = names.iter().map(|name| {
            let uses = of(name).into_iter().map(|(_, to, kind)| {
                let path = is_ours(to).then_some(to);
                json!({ "name": to, "kind": kind, "path": path })
            });
            json!({ "id": name, "name": name, "manifest_path": format!("{name}/Cargo.toml"),
                "dependencies": uses.collect::<Vec<_>>() })
        });
        let nodes = names.iter().map(|name| {
            let deps = of(name).into_iter().map(|(_, to, kind)| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] }));
            json!({ "id": name, "deps": deps.collect::<Vec<_>>() })
        });
        let metadata = json!({
            "workspace_members": names.iter().filter(|name| is_ours(name)).collect::<Vec<_>>(),
            "packages": packages.collect::<Vec<_>>(),
            "resolve": { "nodes": nodes.collect::<Vec<_>>() },
        });
        findings(&metadata, Path::new("")).unwrap().into_iter().map(|found| found.to_string()).collect()
    }

    #[test]
    fn the_arrows_of_the_table_are_allowed() {
        let arrows: Vec<_> = ARROWS
            .iter()
            .flat_map(|(room, uses)| uses.iter().map(move |used| (*room, *used, None)))
            .chain(ARROWS.iter().skip(1).map(|(room, _)| (*room, "lexicon", None)))
            .chain(ARROWS.iter().flat_map(|(room, _)| [("lazaret", *room, None), ("drill", *room, None)]))
            .chain([("scope", "arrow-array", None), ("seal", "parquet", None)])
            .collect();
        assert_eq!(sentences(&arrows), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_against_the_table_is_found_even_in_tests() {
        let against = [("people", "procedure", None), ("scope", "people", Some("dev")), ("vault", "people", None)];
        for arrow in against {
            let expected =
                format!("{}/Cargo.toml:1: `{}` must not use `{}`: no arrow leads there", arrow.0, arrow.0, arrow.1);
            assert_eq!(sentences(&[arrow]), [expected]);
        }
    }

    #[test]
    fn nobody_may_use_the_stories_or_the_house_commands() {
        assert_eq!(sentences(&[("lazaret", "drill", None)]).len(), 1);
        assert_eq!(sentences(&[("drill", "xtask", None)]).len(), 1);
        assert_eq!(sentences(&[("xtask", "people", None)]).len(), 1);
    }

    #[test]
    fn a_room_without_a_row_in_the_table_is_found() {
        assert_eq!(sentences(&[("annex", "lexicon", None)]).len(), 1);
    }

    #[test]
    fn the_server_reaches_nothing_that_opens_a_parcel_over_any_number_of_arrows() {
        let found =
            sentences(&[("doors", "office", None), ("office", "zip-like", None), ("zip-like", "arrow-ipc", None)]);
        let chains = ["doors uses office uses zip-like uses arrow-ipc", "office uses zip-like uses arrow-ipc"];
        assert_eq!(found.len(), 2);
        for (line, chain) in found.iter().zip(chains) {
            assert!(line.ends_with(&format!("the server must not be able to open a parcel, but {chain}")), "{line}");
        }
        assert_eq!(sentences(&[("vault", "parquet", None)]).len(), 1);
        assert_eq!(sentences(&[("vault", "parquet", Some("dev"))]).len(), 0, "tests are not in the server");
    }
}
