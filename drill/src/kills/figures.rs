use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::pair::Account;
use super::points::{Stride, Victim};

/// So many migrations that fail are enough to look at.
const FAILURES_MAX: usize = 5;

/// How it went.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The first seed.
    pub seed: u64,
    /// Migrations that were brought to their end.
    pub migrations: u32,
    /// Kills by step and by whose process.
    kills: BTreeMap<Stride, BTreeMap<Victim, u32>>,
    /// Kills in a load, by whose account it goes in.
    loads: BTreeMap<Account, u32>,
    /// Extractions that were killed when some parcels of a table were stored and not all.
    pub(super) between_parcels: u32,
    /// Points that came after their process had ended.
    pub missed: u32,
    /// Attempts that the journals show.
    pub attempts: u32,
    /// How long it took.
    pub seconds: f64,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

/// One migration that did not end as the undisturbed one.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Does it again, as far as a machine does; but for a round for the spared, which the words name.
    pub seed: u64,
    /// What was not as it should be.
    pub what: String,
}

impl Figures {
    pub(super) fn new(seed: u64) -> Self {
        let (kills, loads) = (BTreeMap::new(), BTreeMap::new());
        Self {
            seed,
            migrations: 0,
            kills,
            loads,
            between_parcels: 0,
            missed: 0,
            attempts: 0,
            seconds: 0.0,
            failures: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, (stride, account): (Stride, Account), victim: Victim) {
        let killed = self.kills.entry(stride).or_default().entry(victim).or_default();
        *killed = killed.saturating_add(1);
        if stride == Stride::Load {
            let killed = self.loads.entry(account).or_default();
            *killed = killed.saturating_add(1);
        }
    }

    fn of(&self, stride: Stride, victim: Victim) -> u32 {
        self.kills.get(&stride).and_then(|of| of.get(&victim)).copied().unwrap_or_default()
    }

    pub(super) fn spares(&self, stride: Stride, victim: Victim) -> bool {
        self.of(stride, victim) == 0
    }

    /// Whether a step is a load on a way on which nothing was killed yet.
    pub(super) fn spares_way(&self, stride: Stride, account: Account) -> bool {
        stride == Stride::Load && !self.loads.contains_key(&account)
    }

    /// Each step in which a process was never killed, and whose; or with whose account.
    pub fn spared(&self) -> Vec<String> {
        let all = Stride::ALL.into_iter().flat_map(|stride| Victim::ALL.map(|victim| (stride, victim)));
        let spared = all.filter(|(stride, victim)| self.spares(*stride, *victim));
        let spared = spared.map(|(stride, victim)| format!("{stride:?} of the {victim:?}"));
        let ways = Account::ALL.into_iter().filter(|account| self.spares_way(Stride::Load, *account));
        spared.chain(ways.map(|account| format!("Load with the account of the {account:?}"))).collect()
    }

    /// Whether more migrations would tell nothing: many have failed, or the last one did without being disturbed.
    pub(super) fn hopeless(&self, killed_in_the_last: bool) -> bool {
        !killed_in_the_last || self.failures.len() >= FAILURES_MAX
    }

    /// All kills.
    pub fn kills(&self) -> u32 {
        self.kills.values().flat_map(BTreeMap::values).sum()
    }

    /// One line.
    pub fn line(&self) -> String {
        let mut line = format!("{} kills in {} migrations", self.kills(), self.migrations);
        for stride in Stride::ALL {
            let (agent, server) = (self.of(stride, Victim::Agent), self.of(stride, Victim::Server));
            write!(line, ", {stride:?} {agent}+{server}").unwrap();
        }
        line.push_str(" (agent+server)");
        for (account, kills) in &self.loads {
            write!(line, ", {kills} in loads of the {account:?}").unwrap();
        }
        write!(line, ", {} between parcels of a table", self.between_parcels).unwrap();
        let (missed, attempts) = (self.missed, self.attempts);
        write!(line, "; {missed} came too late, {attempts} attempts in the journals").unwrap();
        write!(line, ", {} failures, {:.0} s", self.failures.len(), self.seconds).unwrap();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_failures_are_borne_and_none_that_nothing_was_killed_before() {
        let failure = Failure { seed: 1, what: "it panicked".to_owned() };
        let failed = |times| Figures { failures: vec![failure.clone(); times], ..Figures::new(1) };
        assert!(!failed(1).hopeless(true) && !failed(FAILURES_MAX - 1).hopeless(true));
        assert!(failed(1).hopeless(false) && failed(FAILURES_MAX).hopeless(true));
    }
}
