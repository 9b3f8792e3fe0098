//! The order to load in: a table after those that its foreign keys point to.

use std::collections::BTreeSet;

use lexicon::Result;

use crate::trouble;

/// One table and the tables that must be there before it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) after: BTreeSet<String>,
}

/// The names in an order where each comes after its `after`; names outside the list and a table's own name do not
/// count. Tables that do not depend on each other keep the scope's order.
pub(crate) fn order(mut nodes: Vec<Node>) -> Result<Vec<String>> {
    let known: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
    for node in &mut nodes {
        node.after.retain(|name| known.contains(name) && *name != node.name);
    }
    let mut done = Vec::with_capacity(nodes.len());
    while !nodes.is_empty() {
        let Some(next) = nodes.iter().position(|node| node.after.iter().all(|name| done.contains(name))) else {
            return Err(trouble::circle(&nodes.into_iter().map(|node| node.name).collect::<Vec<_>>()));
        };
        done.push(nodes.remove(next).name);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, after: &[&str]) -> Node {
        Node { name: name.to_owned(), after: after.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn a_table_comes_after_those_it_points_to() {
        let nodes =
            vec![node("result", &["specimen", "staff"]), node("specimen", &["patient"]), node("patient", &["patient"])];
        assert_eq!(order(nodes).unwrap(), ["patient", "specimen", "result"]);
    }

    #[test]
    fn a_circle_is_refused_by_its_tables() {
        let refused = order(vec![node("free", &[]), node("a", &["b"]), node("b", &["a"])]).unwrap_err();
        assert!(refused.to_string().contains("a, b") && !refused.to_string().contains("free"));
    }
}
