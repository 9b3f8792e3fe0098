//! The order to load in: a table after those that its foreign keys point to.

use std::collections::BTreeSet;

use lexicon::Result;

use crate::trouble;

/// One table and the tables that must be there before it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) after: BTreeSet<String>,
}

/// The names in waves, each in the first wave that comes after all of its `after`; names outside the list and a table's
/// own name do not count. Tables of one wave keep the scope's order.
pub(crate) fn waves(mut nodes: Vec<Node>) -> Result<Vec<Vec<String>>> {
    let known: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
    for node in &mut nodes {
        node.after.retain(|name| known.contains(name) && *name != node.name);
    }
    let (mut waves, mut done) = (Vec::new(), BTreeSet::new());
    while !nodes.is_empty() {
        let (ready, waiting): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.after.is_subset(&done));
        if ready.is_empty() {
            return Err(trouble::circle(&waiting.into_iter().map(|node| node.name).collect::<Vec<_>>()));
        }
        let wave: Vec<String> = ready.into_iter().map(|node| node.name).collect();
        done.extend(wave.iter().cloned());
        waves.push(wave);
        nodes = waiting;
    }
    Ok(waves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, after: &[&str]) -> Node {
        Node { name: name.to_owned(), after: after.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn a_table_comes_in_a_later_wave_than_those_it_points_to() {
        let nodes = vec![
            node("result", &["specimen", "staff"]),
            node("specimen", &["patient"]),
            node("test_type", &["elsewhere"]),
            node("patient", &["patient"]),
            node("price", &["test_type"]),
        ];
        let expected = [vec!["test_type", "patient"], vec!["specimen", "price"], vec!["result"]];
        assert_eq!(waves(nodes).unwrap(), expected);
    }

    #[test]
    fn a_circle_is_refused_by_its_tables() {
        let refused = waves(vec![node("free", &[]), node("a", &["b"]), node("b", &["a"])]).unwrap_err();
        assert!(refused.to_string().contains("a, b") && !refused.to_string().contains("free"));
    }
}
