//! The server's settings: flag, then environment, then `DATA/lazaret.toml`, then default. Unknown keys are refused.

use std::path::{Path, PathBuf};

use lexicon::{Code, Refusal, Result, limits};
use serde::Deserialize;

use crate::cli::Place;
use crate::files;
use crate::ring::{self, RingSettings};
use crate::shelf::{self, BucketSettings};

/// What a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ring: Option<PathBuf>,
    listen: Option<String>,
    sweep_seconds: Option<u64>,
    deadline_days_max: Option<i64>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    shelf: Option<BucketSettings>,
    key_ring: Option<RingSettings>,
    #[serde(default)]
    danger: Danger,
}

/// What a server may be told to accept. It notes each in its journal.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Danger {
    #[serde(default)]
    clear_swap: bool,
}

/// Where a configured certificate and its key lie, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// The certificate, then the chain that it comes with.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What is in force.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// The data folder.
    pub data: PathBuf,
    /// The key ring's folder.
    pub ring: PathBuf,
    /// Address and port.
    pub listen: String,
    /// How often deadlines are looked at.
    pub sweep_seconds: u64,
    /// How many days ahead a deadline may lie.
    pub deadline_days_max: i64,
    /// The certificate to show; the server's own where none is configured.
    pub tls: Option<TlsFiles>,
    /// The bucket of the shelf; a folder of the data folder where none is configured.
    pub shelf: Option<BucketSettings>,
    /// Where the ring's keys lie; in files of its folder where nothing is configured.
    pub key_ring: Option<RingSettings>,
    /// Whether the machine's memory may go to swap in clear.
    pub clear_swap: bool,
    /// Where each value came from: a flag, the environment, the file, or the default.
    origins: [(&'static str, String); 10],
}

/// Whether a value that was given came by its flag or by its environment variable.
pub(crate) fn given<V: AsRef<std::ffi::OsStr>>(value: Option<V>, variable: &str) -> String {
    let same = value.is_some_and(|value| std::env::var_os(variable).is_some_and(|set| set == value.as_ref()));
    if same { format!("environment {variable}") } else { "flag".to_owned() }
}

/// What a file may set.
const KEYS: [&str; 6] = ["ring", "listen", "sweep_seconds", "deadline_days_max", "tls_certificate", "tls_key"];
/// And in tables of their own.
const SHELF: [&str; 5] = shelf::KEYS;
const KEY_RING: [&str; 9] = ring::KEYS;
const DANGER: [&str; 1] = ["clear_swap"];
const LISTEN: &str = "127.0.0.1:8443";
const SWEEP_SECONDS: u64 = 5;

impl ServerSettings {
    /// For a server that is being made: there is no file yet.
    pub(crate) fn from_flags(place: &Place) -> Result<Self> {
        Self::layered(place, File::default())
    }

    /// For a server that exists.
    pub(crate) fn load(place: &Place) -> Result<Self> {
        names_files(place, &File::default())?;
        let path = place.data.join("lazaret.toml");
        let text = files::text(&path)?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let number = before.matches('\n').count();
            let why = what_is_wrong(text.lines().nth(number).unwrap_or_default());
            Refusal::new(
                Code(1040),
                format!("{} cannot be used: line {}: {why}", path.display(), number.saturating_add(1)),
                "Mend that line; the manual's chapter on operating a server lists the known keys.",
            )
        })?;
        Self::layered(place, file)
    }

    fn layered(place: &Place, file: File) -> Result<Self> {
        names_files(place, &file)?;
        let (ring, listen) = (place.ring.as_ref(), place.listen.as_deref());
        let below = |in_file: bool| if in_file { "file" } else { "default" }.to_owned();
        let ring_from = if ring.is_some() { given(ring, "LAZARET_RING") } else { below(file.ring.is_some()) };
        let listen_from = if listen.is_some() { given(listen, "LAZARET_LISTEN") } else { below(file.listen.is_some()) };
        let flag_or = |flag: bool, in_file: bool| if flag { "flag".to_owned() } else { below(in_file) };
        let origins = [
            ("data", given(Some(&place.data), "LAZARET_DATA")),
            ("ring", ring_from),
            ("listen", listen_from),
            ("sweep_seconds", below(file.sweep_seconds.is_some())),
            ("deadline_days_max", below(file.deadline_days_max.is_some())),
            ("tls_certificate", flag_or(place.tls_certificate.is_some(), file.tls_certificate.is_some())),
            ("tls_key", flag_or(place.tls_key.is_some(), file.tls_key.is_some())),
            ("shelf", below(file.shelf.is_some())),
            ("key_ring", below(file.key_ring.is_some())),
            ("danger.clear_swap", below(file.danger.clear_swap)),
        ];
        let ring = ring.cloned().or(file.ring).ok_or_else(|| {
            Refusal::new(
                Code(1041),
                "no folder for the key ring is named",
                "Give --ring DIR, outside the data folder and outside every backup.",
            )
        })?;
        Ok(Self {
            data: place.data.clone(),
            ring: absolute(ring),
            listen: listen.map(str::to_owned).or(file.listen).unwrap_or_else(|| LISTEN.to_owned()),
            sweep_seconds: swept(file.sweep_seconds.unwrap_or(SWEEP_SECONDS))?,
            deadline_days_max: farthest(file.deadline_days_max.unwrap_or(limits::DEADLINE_DAYS_DEFAULT))?,
            shelf: file.shelf,
            key_ring: file.key_ring,
            clear_swap: file.danger.clear_swap,
            tls: both(place.tls_certificate.clone().or(file.tls_certificate), place.tls_key.clone().or(file.tls_key))?,
            origins,
        })
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, key: &str) -> String {
        self.origins.iter().find(|(of, _)| *of == key).map_or_else(String::new, |(_, origin)| origin.clone())
    }

    /// As the file of a new server says it.
    pub(crate) fn to_toml(&self) -> String {
        let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
        let tls = self.tls.as_ref().map_or_else(String::new, |tls| {
            let [certificate, key] = [&tls.certificate, &tls.key].map(|path| text(&path.to_string_lossy()));
            format!("tls_certificate = {certificate}\ntls_key = {key}\n")
        });
        format!(
            "# The key ring lies outside this folder and outside every backup.\nring = {}\nlisten = {}\nsweep_seconds = {}\ndeadline_days_max = {}\n{tls}",
            text(&self.ring.to_string_lossy()),
            text(&self.listen),
            self.sweep_seconds,
            self.deadline_days_max
        )
    }
}

/// A secret may stand in a line by mistake: nothing of it is told but the name of a setting, or what may be meant as one.
fn what_is_wrong(line: &str) -> String {
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    if KEYS.iter().chain(&SHELF).chain(&KEY_RING).chain(&DANGER).any(|known| *known == key) {
        return format!("`{key}` does not take this value, or stands twice");
    }
    let name = (1..=32).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let key = if name { format!("`{key}` is no setting") } else { "it sets nothing that is known".to_owned() };
    let [keys, shelf, ring, danger] = [&KEYS[..], &SHELF, &KEY_RING, &DANGER].map(|keys| keys.join("`, `"));
    format!("{key}; there are `{keys}`, in `[shelf]` `{shelf}`, in `[key_ring]` `{ring}`, and in `[danger]` `{danger}`")
}

/// Paths and addresses are shown in errors: what was pasted in their place, and may be the key itself, is not.
fn names_files(place: &Place, file: &File) -> Result<()> {
    let values = [
        ("data", Some(place.data.as_path())),
        ("ring", place.ring.as_deref()),
        ("ring", file.ring.as_deref()),
        ("listen", place.listen.as_deref().map(Path::new)),
        ("listen", file.listen.as_deref().map(Path::new)),
        ("tls_certificate", place.tls_certificate.as_deref()),
        ("tls_certificate", file.tls_certificate.as_deref()),
        ("tls_key", place.tls_key.as_deref()),
        ("tls_key", file.tls_key.as_deref()),
    ];
    let of_shelf = file.shelf.iter().flat_map(BucketSettings::values);
    let of_ring = file.key_ring.iter().flat_map(RingSettings::values);
    let pasted = values.into_iter().chain(of_shelf).chain(of_ring).find(|(_, value)| value.is_some_and(is_pasted));
    let Some((key, _)) = pasted else { return Ok(()) };
    let why = format!("the setting `{key}` holds a text or a key, or looks so, where one line names a place");
    let remedy = "Name the file that holds the text; one that is not there yet and looks like a key is written with `./` in it. A key that was pasted here may be in a history or a backup: have a new one certified.";
    Err(Refusal::new(Code(1058), why, remedy).into())
}

/// 20 characters: an Ed25519 key in PKCS#8 begins with 21 that are always the same and hold no slash, and those of other
/// kinds are longer.
const BASE64_RUN_MIN: usize = 20;

/// Lines, a PEM text, or the base64 of a key in one line: nothing but its characters, with a long stretch of capitals, small
/// letters and digits, and nothing is there.
fn is_pasted(value: &Path) -> bool {
    let (value, is_there) = (value.to_string_lossy(), value.exists());
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | ' ');
    let mixed = |run: &str| {
        let has = |kind: fn(&char) -> bool| run.chars().any(|c| kind(&c));
        let all = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit);
        all && run.len() >= BASE64_RUN_MIN
    };
    value.contains(['\n', '\r'])
        || value.contains("-----BEGIN")
        || !is_there && value.chars().all(of_base64) && value.split(['/', '=', ' ']).any(mixed)
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A certificate is of no use without its key, and the server's own is not shown instead of one that was meant.
fn both(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>> {
    let missing = match (certificate, key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => {
            return Ok(Some(TlsFiles { certificate: absolute(certificate), key: absolute(key) }));
        }
        (Some(_), None) => "a TLS certificate is configured without its key",
        (None, Some(_)) => "a TLS key is configured without its certificate",
    };
    Err(Refusal::new(Code(1048), missing, "Set both tls_certificate and tls_key, or neither.").into())
}

/// Deadlines are looked at at least once a minute: nobody switches them off by looking rarely.
const SWEEP_SECONDS_MAX: u64 = 60;

fn swept(seconds: u64) -> Result<u64> {
    if (1..=SWEEP_SECONDS_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    let why = format!("sweep_seconds is {seconds}; deadlines are looked at every 1 to {SWEEP_SECONDS_MAX} seconds");
    Err(Refusal::new(Code(1042), why, "Set it to 60 or less, or leave it out.").into())
}

fn farthest(days: i64) -> Result<i64> {
    let max = limits::DEADLINE_DAYS_MAX;
    if (1..=max).contains(&days) {
        return Ok(days);
    }
    let why = format!("deadline_days_max is {days}; a deadline lies 1 to {max} days ahead");
    Err(Refusal::new(Code(1047), why, "Set it to 90 or less, or leave it out.").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "MIGHAgEAMBMGByqGSM49";
    /// An Ed25519 key in PKCS#8, of ASCII.
    const BARE: &str = "MC4CAQAwBQYDK2VwBCIEIG5vYm9keSBzaWducyB3aXRoIHRoaXMgb25lLCBldmVy";

    /// What is said of these settings, with this given as `--tls-key`.
    fn refused(settings: &str, key: Option<&str>) -> (Code, String) {
        let folder = tempfile::tempdir().unwrap();
        files::write(&folder.path().join("lazaret.toml"), settings.as_bytes()).unwrap();
        let (data, certificate) = (folder.path().to_path_buf(), key.map(|_| PathBuf::from("certificate.pem")));
        let (ring, tls_key) = (Some(folder.path().join("ring")), key.map(PathBuf::from));
        let trouble = ServerSettings::load(&Place { data, ring, listen: None, tls_certificate: certificate, tls_key });
        let trouble = trouble.unwrap_err();
        (trouble.code(), format!("{trouble} {trouble:?}"))
    }

    #[test]
    fn a_key_that_was_pasted_into_the_settings_is_not_told() {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
        let one_line = pem.replace('\n', " ");
        let certificate = "tls_certificate = 'certificate.pem'\n";
        for (settings, code) in [
            (format!("{certificate}tls_key = \"\"\"{pem}\"\"\"\n"), 1058),
            (format!("{certificate}tls_key = '{one_line}'\n"), 1058),
            (format!("ring = '{one_line}'\n"), 1058),
            (format!("listen = '{one_line}'\n"), 1058),
            (format!("{certificate}tls_key = \"{pem}\"\n"), 1040),
            (format!("{certificate}tls_key = {pem}\n"), 1040),
            (format!("{certificate}{pem}"), 1040),
            (format!("{SECRET}\n"), 1040),
            (format!("{SECRET}=\n"), 1040),
            (format!("{SECRET} = 'x'\n"), 1040),
            (format!("sweep_seconds = '{SECRET}'\n"), 1040),
            (format!("[shelf]\naccess_key = '{BARE}'\n"), 1058),
            (format!("[shelf]\nsecret = '{SECRET}'\n"), 1040),
            (format!("[key_ring]\npin_file = '{BARE}'\n"), 1058),
            (format!("[key_ring]\npin = '{SECRET}'\n"), 1040),
        ] {
            let (was, said) = refused(&settings, None);
            assert_eq!(was, Code(code), "{said}");
            assert!(!said.contains(SECRET) && !said.contains("BEGIN"), "{said}");
        }
        for flag in [pem, one_line, BARE.to_owned()] {
            let (was, said) = refused("", Some(&flag));
            assert_eq!(was, Code(1058));
            assert!(said.contains("`tls_key`") && !said.contains(SECRET) && !said.contains(BARE), "{said}");
        }
    }

    #[test]
    fn a_bare_key_is_no_path_and_what_people_call_folders_is_one() {
        for key in ["ring", "listen", "tls_certificate", "tls_key"] {
            let (was, said) = refused(&format!("{key} = '{BARE}'\n"), None);
            assert_eq!(was, Code(1058), "{said}");
            assert!(said.contains(&format!("`{key}`")) && !said.contains(BARE.get(..8).unwrap()), "{said}");
        }
        let raw = "kJ3x0nQ2b7Yw5Zt1VmC8sLr4PdUe6FhGaTyXiNoBq9E=";
        for pasted in [raw, &format!("MIIEpAIBAAKCAQEA{raw}"), &BARE.replace("BCIE", " BCIE ")] {
            assert!(is_pasted(Path::new(pasted)), "{pasted}");
        }
        let escaped = format!("./{BARE}");
        for path in [
            "/srv/lazaret/tls/key",
            "Laboratoire/LaboratoireDesAbersEtDuLeon/tls",
            "/srv/migration20261126/certificate2027",
            "/home/user/Mon Dossier/Migration 2026/cle",
            "C:\\Lazaret\\LaboratoireDesAbers2026Serveur\\key.pem",
            "[2001:db8::1]:8443",
            &escaped,
        ] {
            assert!(!is_pasted(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_misspelt_setting_and_one_of_another_kind_are_named() {
        assert!(refused("ring = 'r'\nsweep_secs = 1\n", None).1.contains("line 2: `sweep_secs` is no setting"));
        assert!(refused("sweep_seconds = 'often'\n", None).1.contains("line 1: `sweep_seconds` does not take"));
    }
}
