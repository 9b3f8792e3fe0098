//! `lazaret unlock`.

use clap::Args;
use lexicon::Result;

use super::Context;
use crate::output::Done;

/// Hold this device's key in memory for a while.
#[derive(Args)]
pub(crate) struct Unlock {
    /// For how many minutes; a working day at most
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=720))]
    minutes: u64,
}

/// What the holder of the key does without asking, and what it does not.
#[cfg(unix)]
const WILL: &str = "It signs by itself: requests to the server, statements, and the acts that carry out what was \
decided or stop everything (offer, begin, failed, close, hand-over, done, part-destroyed, freeze).\n\
It does not sign: open, propose, approve, extend, thaw, cancel, sign-off, consignment open, release, \
accept-difference, abandon, revoke. Those ask for the passphrase each time.\n\
Shares and opening keys stay locked: extracting, loading and destroying ask for the passphrase too.\n\
Every minute it destroys what has passed its deadline; that needs no passphrase.";

impl Unlock {
    #[cfg(unix)]
    pub(crate) async fn run(self, context: &Context) -> Result<Done> {
        use std::sync::Arc;
        use std::time::Duration;

        use desk::{Home, KeyHolder, unlocked};
        use serde_json::json;

        use crate::{output, server};

        let home = Home::open(&context.home_folder()?)?;
        let passphrase = context.passphrase("this device")?;
        let holder =
            KeyHolder::unlock(&home, &passphrase).inspect_err(|_| super::overdue::before_a_refusal(context))?;
        drop(passphrase);
        let (_, certificate, _) = home.certificate()?;
        let held = unlocked::Unlocked::connect(&home)?.is_some();
        if !context.global.quiet && !held {
            output::error_line(&format!(
                "The key of {} on {} is unlocked for {} minutes, or until Ctrl-C.\n{WILL}",
                certificate.person.name, certificate.device.name, self.minutes
            ));
        }
        let stop = async {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(self.minutes.saturating_mul(60))) => {}
                () = server::interrupted() => {}
            }
        };
        let mut minutes = tokio::time::interval(Duration::from_mins(1));
        let beat = async || {
            minutes.tick().await;
            Some(())
        };
        let told = |looked: Result<desk::Overdue>| match looked {
            Ok(overdue) => super::overdue::tell(&overdue),
            Err(trouble) => output::error_line(&trouble.to_string()),
        };
        tokio::select! {
            served = unlocked::serve(&home, holder, stop) => served?,
            () = desk::watch(&home, Arc::clone(&context.clock), beat, told) => {}
        }
        Ok(Done::new("The key is locked again.", json!({ "locked": true, "person": certificate.person })))
    }

    #[cfg(not(unix))]
    pub(crate) async fn run(self, _: &Context) -> Result<Done> {
        Err(lexicon::Refusal::new(
            lexicon::Code(1044),
            format!("a key cannot be held for {} minutes on this system", self.minutes),
            "Give the passphrase to each command, or --passphrase-file FILE where nobody is there.",
        )
        .into())
    }
}
