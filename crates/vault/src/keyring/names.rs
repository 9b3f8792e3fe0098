//! What the keys of one server are called in a place that other servers may use too.

use lexicon::{ConsignmentId, Digest};

/// 64 bits: servers that share a place are a handful, and none of them chooses its own.
const SERVER_DIGITS: usize = 16;

/// The names of one server's keys: a word, which server, which consignment. What is called anything else is not its key,
/// whosever it is.
#[derive(Clone, Debug)]
pub(super) struct Names {
    server: String,
    before: String,
}

impl Names {
    pub(super) fn new(word: &str, gap: char, server: &Digest) -> Self {
        let server: String = server.to_string().chars().take(SERVER_DIGITS).collect();
        Self { before: format!("{word}{gap}{server}{gap}"), server }
    }

    /// What a consignment's key is called.
    pub(super) fn of(&self, id: ConsignmentId) -> String {
        format!("{}{id}", self.before)
    }

    /// Whose key is called so; none when it is not this server's.
    pub(super) fn consignment(&self, name: &str) -> Option<ConsignmentId> {
        name.strip_prefix(&self.before)?.parse().ok()
    }

    /// Which server, as its keys say it.
    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_by_the_server_that_made_it_and_by_nobody_else() {
        let id = ConsignmentId([0xab; 16]);
        let [one, other] = [1, 2].map(|server| Names::new("key", '-', &Digest([server; 32])));
        assert_eq!(one.of(id), "key-0101010101010101-abababababababababababababababab");
        assert_eq!((one.consignment(&one.of(id)), other.consignment(&one.of(id))), (Some(id), None));
        for name in [format!("key-{id}"), one.of(id).to_uppercase(), format!("{}0", one.of(id)), "key-".to_owned()] {
            assert_eq!(one.consignment(&name), None, "{name}");
        }
        assert_eq!(one.consignment(&one.of(id).replace("ab", "AB")), None, "not what it would be asked for by");
    }
}
