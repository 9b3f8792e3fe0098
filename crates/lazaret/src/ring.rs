//! Where the server's ring keys lie: in files of the ring's folder, or in a token or a service that `[key_ring]` in the
//! settings names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lexicon::{Code, ConsignmentId, Digest, Refusal, Result, Trouble, limits};
use serde::Deserialize;
use vault::{KeyRing, LocalRing, OpenBaoPlace, Secret, StoreRing, TokenPlace};

use crate::cli::Context;

/// What `[key_ring]` may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RingSettings {
    kind: Option<String>,
    module: Option<PathBuf>,
    token: Option<String>,
    pin_file: Option<PathBuf>,
    address: Option<String>,
    mount: Option<String>,
    token_file: Option<PathBuf>,
    authority: Option<PathBuf>,
    snapshot_days: Option<u32>,
}

pub(crate) const KEYS: [&str; 9] =
    ["kind", "module", "token", "pin_file", "address", "mount", "token_file", "authority", "snapshot_days"];

/// Under these names a service manager hands over what opens a token, and what lets into a service.
const PIN: &str = "lazaret-ring-pin";
const TOKEN: &str = "lazaret-ring-token";

/// A ring that is open, and what was seen as it was opened.
pub(crate) struct Opened {
    pub ring: Arc<dyn KeyRing>,
    /// Destroyed keys that lay there again, and were destroyed again.
    pub returned: Vec<ConsignmentId>,
    /// Why its keys cannot be reached, if so.
    pub trouble: Option<Trouble>,
}

impl RingSettings {
    /// Each value by its name, for whoever looks whether a secret was put there.
    pub(crate) fn values(&self) -> [(&'static str, Option<&Path>); 8] {
        let [kind, token, address, mount] =
            [&self.kind, &self.token, &self.address, &self.mount].map(|value| value.as_deref().map(Path::new));
        [
            ("kind", kind),
            ("module", self.module.as_deref()),
            ("token", token),
            ("pin_file", self.pin_file.as_deref()),
            ("address", address),
            ("mount", mount),
            ("token_file", self.token_file.as_deref()),
            ("authority", self.authority.as_deref()),
        ]
    }

    /// As `lazaret config show` says it.
    pub(crate) fn shown(&self) -> String {
        let or_missing = |value: &Option<String>| value.clone().unwrap_or_else(|| "(missing)".to_owned());
        let kind = match self.kind.as_deref() {
            None | Some("local") => "local".to_owned(),
            Some("pkcs11") => format!("pkcs11, token {}", or_missing(&self.token)),
            Some("openbao") => format!("openbao, at {}", or_missing(&self.address)),
            Some(other) => other.to_owned(),
        };
        let snapshots = self.snapshot_days.filter(|days| *days > 0);
        snapshots.map_or(kind.clone(), |days| format!("{kind}, snapshots kept for {days} days"))
    }

    fn token_place(&self, server: Digest) -> Result<TokenPlace> {
        Ok(TokenPlace {
            module: named(self.module.as_ref(), "module")?,
            token: named(self.token.as_ref(), "token")?,
            pin_file: handed(self.pin_file.as_ref(), PIN, "pin_file")?,
            server,
        })
    }

    fn openbao_place(&self, server: Digest) -> Result<OpenBaoPlace> {
        Ok(OpenBaoPlace {
            address: named(self.address.as_ref(), "address")?,
            mount: self.mount.clone().unwrap_or_else(|| "transit".to_owned()),
            token_file: handed(self.token_file.as_ref(), TOKEN, "token_file")?,
            ca_file: self.authority.clone(),
            server,
        })
    }
}

/// For how many days snapshots of what the keys lie in are kept, as the settings declare; none when they say nothing.
pub(crate) fn snapshot_days(settings: Option<&RingSettings>) -> Result<u32> {
    let days = settings.and_then(|settings| settings.snapshot_days).unwrap_or(0);
    if days <= limits::SNAPSHOT_DAYS_MAX {
        return Ok(days);
    }
    let why = format!(
        "snapshot_days is {days}; snapshots of ring keys are kept for {} days at most",
        limits::SNAPSHOT_DAYS_MAX
    );
    let remedy = "Have none, or have them deleted earlier: until the last is gone, no destruction is in effect.";
    Err(Refusal::new(Code(1064), why, remedy).into())
}

fn named<T: Clone>(value: Option<&T>, key: &str) -> Result<T> {
    value.cloned().ok_or_else(|| missing(format!("`[key_ring]` in the settings does not say `{key}`")))
}

/// The file that is named, or the one that the service manager hands over; in no case an argument, which every user of
/// the machine can read.
fn handed(file: Option<&PathBuf>, credential: &str, key: &str) -> Result<PathBuf> {
    let handed = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(credential));
    let file = file.cloned().or_else(|| handed.filter(|file| file.exists()));
    file.ok_or_else(|| {
        missing(format!("`[key_ring]` in the settings does not say `{key}`, and there is no credential {credential}"))
    })
}

fn missing(why: String) -> Trouble {
    let remedy = "Complete it as the manual's chapter on operating a server shows.";
    Refusal::new(Code(1098), why, remedy).into()
}

/// The ring of these settings, in its folder, with the keys of the server whose public key has this digest. A token or a
/// service that is away is told, and no reason not to open.
pub(crate) fn open(
    context: &Context,
    (folder, data): (&Path, &Path),
    settings: Option<&RingSettings>,
    (secret, server): (Secret, Digest),
) -> Result<Opened> {
    let clock = Arc::clone(&context.clock);
    let settings = settings.cloned().unwrap_or_default();
    let ring = match settings.kind.as_deref() {
        None | Some("local") => {
            let ring = LocalRing::open(folder, secret, data, clock, Arc::clone(&context.entropy))?;
            let returned = ring.returned().to_vec();
            return Ok(Opened { ring: Arc::new(ring), returned, trouble: None });
        }
        Some("pkcs11") => {
            StoreRing::over_token(folder, data, settings.token_place(server)?, clock, Arc::clone(&context.entropy))?
        }
        Some("openbao") => StoreRing::over_openbao(folder, data, settings.openbao_place(server)?, clock)?,
        Some(other) => {
            let why = format!("there is no kind of key ring called {other:?}");
            return Err(Refusal::new(Code(1099), why, "Say local, pkcs11 or openbao.").into());
        }
    };
    let (returned, trouble) = (ring.returned().to_vec(), ring.trouble().cloned());
    Ok(Opened { ring: Arc::new(ring), returned, trouble })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Digest = Digest([1; 32]);

    fn of(text: &str) -> RingSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_a_kind_of_ring_needs_is_asked_for_by_name() {
        let token = of("kind = 'pkcs11'\nmodule = '/m.so'\ntoken = 'ring'\npin_file = '/pin'");
        assert_eq!(token.token_place(SERVER).unwrap().token, "ring");
        let service = of("kind = 'openbao'\naddress = 'https://bao'\ntoken_file = '/token'");
        assert_eq!(service.openbao_place(SERVER).unwrap().mount, "transit");
        for (text, key) in [
            ("module = '/m.so'\ntoken = 'ring'", "pin_file"),
            ("module = '/m.so'\npin_file = '/pin'", "`token`"),
            ("token = 'ring'\npin_file = '/pin'", "module"),
        ] {
            let refused = of(text).token_place(SERVER).unwrap_err();
            assert!(refused.code() == Code(1098) && refused.to_string().contains(key), "{refused}");
        }
        assert_eq!(of("token_file = '/t'").openbao_place(SERVER).unwrap_err().code(), Code(1098));
        assert_eq!(of("address = 'https://bao'").openbao_place(SERVER).unwrap_err().code(), Code(1098));
    }

    #[test]
    fn snapshots_are_declared_for_a_year_at_most_and_none_where_nothing_is_said() {
        let days = |text: &str| snapshot_days(Some(&of(text)));
        assert_eq!((snapshot_days(None).unwrap(), days("kind = 'local'").unwrap()), (0, 0));
        assert_eq!(days("snapshot_days = 366").unwrap(), 366);
        assert_eq!(days("snapshot_days = 367").unwrap_err().code(), Code(1064));
        assert_eq!(of("snapshot_days = 14").shown(), "local, snapshots kept for 14 days");
    }

    #[test]
    fn every_setting_is_known_by_name_where_it_is_looked_at() {
        assert_eq!(RingSettings::default().values().map(|(key, _)| key), KEYS[..8]);
    }
}
