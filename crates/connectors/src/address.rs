//! Where a laboratory system is: one line of text, without its password once it has been read.

use std::fmt;
use std::path::{Path, PathBuf};

use lexicon::Result;
use zeroize::Zeroize;

use crate::trouble;

/// A database account's password. Zeroed when dropped; never printed.
#[derive(Clone)]
pub struct Credential(String);

impl Credential {
    /// Takes a password as it was read from a file or a prompt, without the line's end.
    pub fn new(mut password: String) -> Self {
        let kept = password.trim_end_matches(['\r', '\n']).to_owned();
        password.zeroize();
        Self(kept)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Which family of systems an address names.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Csv(PathBuf),
    MariaDb(Server),
    Postgres(Server),
    Sqlite(PathBuf),
}

/// How the line to a server is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// In clear: on the same machine, or because the address says `tls=off`.
    Clear,
    /// TLS with a verified certificate, of the machine's roots or of one authority's PEM file.
    Tls { authority: Option<PathBuf> },
}

/// One database of one server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) scheme: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) credential: Option<Credential>,
    pub(crate) line: Line,
}

impl Server {
    /// `scheme://host:port/database`, without account or password.
    pub(crate) fn identity(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{}://{host}:{}/{}", self.scheme, self.port, self.database)
    }
}

impl Address {
    /// Reads an address; `credential` goes before a password inside it.
    pub(crate) fn parse(text: &str, credential: Option<Credential>) -> Result<Self> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| trouble::address("it has no scheme"))?;
        match scheme {
            "csv" => Ok(Self::Csv(path(rest)?)),
            "sqlite" => Ok(Self::Sqlite(path(rest)?)),
            "mysql" | "mariadb" => Ok(Self::MariaDb(server("mariadb", 3306, rest, credential)?)),
            "postgres" | "postgresql" => Ok(Self::Postgres(server("postgres", 5432, rest, credential)?)),
            _ => Err(trouble::address("its scheme is unknown")),
        }
    }
}

fn path(rest: &str) -> Result<PathBuf> {
    // `sqlite:///x` and `sqlite:/x` are the same absolute path.
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() {
        return Err(trouble::address("it names no path"));
    }
    let path = std::path::absolute(path).map_err(|_| trouble::address("its path cannot be made absolute"))?;
    Ok(plain(&canonical(&path).unwrap_or(path)))
}

/// One name for one place: plan and agents compare it as text, from whatever folder their commands are given. What is not
/// there yet is named by its folder.
fn canonical(path: &Path) -> Option<PathBuf> {
    let of_folder = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(of_folder)
}

/// Windows writes a canonical path as `\\?\C:\x`, which nobody types.
fn plain(path: &Path) -> PathBuf {
    let typed = path.to_str().and_then(|text| text.strip_prefix(r"\\?\")).filter(|text| !text.starts_with("UNC"));
    typed.filter(|_| cfg!(windows)).map_or_else(|| path.to_path_buf(), PathBuf::from)
}

fn server(scheme: &'static str, default_port: u16, rest: &str, credential: Option<Credential>) -> Result<Server> {
    let rest = rest.strip_prefix("//").ok_or_else(|| trouble::address("`//` and a host are missing"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (account, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (user, password) = account.split_once(':').map_or((account, None), |(user, word)| (user, Some(word)));
    let (host_port, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = match host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => host_port.split_once(':').map_or((host_port, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => default_port,
        Some(port) => port.parse().map_err(|_| trouble::address("its port is not a number"))?,
    };
    if host.is_empty() || database.is_empty() || user.is_empty() {
        return Err(trouble::address("user, host and database are all needed"));
    }
    let credential = match (credential, password) {
        (Some(credential), _) => Some(credential),
        (None, Some(password)) => Some(Credential::new(decoded(password)?)),
        (None, None) => None,
    };
    let line = line(host, query)?;
    Ok(Server {
        scheme,
        host: host.to_owned(),
        port,
        user: decoded(user)?,
        database: decoded(database)?,
        credential,
        line,
    })
}

/// `tls=off`, `tls=on` and `ca=/path`. Without a word, a line that leaves the machine is TLS and one that stays is not.
fn line(host: &str, query: &str) -> Result<Line> {
    let mut clear = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let mut authority = None;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("tls", "off")) => clear = true,
            Some(("tls", "on")) => clear = false,
            Some(("ca", file)) => {
                clear = false;
                authority = Some(PathBuf::from(decoded(file)?));
            }
            _ => return Err(trouble::address("only tls=on, tls=off and ca=FILE may follow the question mark")),
        }
    }
    Ok(if clear { Line::Clear } else { Line::Tls { authority } })
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String> {
    let wrong = || trouble::address("a percent sign is not followed by two hexadecimal digits");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next().ok_or_else(wrong)?, bytes.next().ok_or_else(wrong)?];
            let pair = std::str::from_utf8(&pair).map_err(|_| wrong())?;
            out.push(u8::from_str_radix(pair, 16).map_err(|_| wrong())?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| trouble::address("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> Server {
        match Address::parse(text, None).unwrap() {
            Address::Postgres(server) => server,
            other @ (Address::Csv(_) | Address::MariaDb(_) | Address::Sqlite(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_identity_never_shows_the_account() {
        let server = postgres("postgres://jean:s%40cret@db.example:5433/lis");
        assert_eq!(server.identity(), "postgres://db.example:5433/lis");
        assert_eq!(server.credential.as_ref().unwrap().expose(), "s@cret");
        assert!(!format!("{server:?}").contains("cret@") && !format!("{server:?}").contains("s@cret"));
    }

    #[test]
    fn a_line_that_leaves_the_machine_is_protected_unless_told_otherwise() {
        assert_eq!(postgres("postgres://a@127.0.0.1/b").line, Line::Clear);
        assert_eq!(postgres("postgres://a@[::1]:5/b").line, Line::Clear);
        assert_eq!(postgres("postgres://a@10.0.0.7/b").line, Line::Tls { authority: None });
        assert_eq!(postgres("postgres://a@10.0.0.7/b?tls=off").line, Line::Clear);
        let own = Line::Tls { authority: Some("/etc/ca.pem".into()) };
        assert_eq!(postgres("postgres://a@10.0.0.7/b?ca=/etc/ca.pem").line, own);
    }

    #[test]
    fn a_handed_in_password_goes_before_the_one_in_the_address() {
        let given = Some(Credential::new("other\n".to_owned()));
        let Address::MariaDb(server) = Address::parse("mysql://a:b@h/c", given).unwrap() else { panic!() };
        assert_eq!(server.credential.unwrap().expose(), "other");
        assert_eq!(server.port, 3306);
    }

    #[test]
    fn a_path_has_one_name_however_it_is_typed() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("lis")).unwrap();
        drop(std::fs::File::options().write(true).create_new(true).open(real.join("lis/old.db")).unwrap());
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(real.strip_prefix("/").unwrap_or(&real));
        for typed in [real.join("lis/old.db"), real.join("lis/../lis/./old.db"), relative.join("lis/old.db")] {
            let source = crate::connect_source(&format!("sqlite:{}", typed.display()), None).unwrap();
            assert_eq!(source.identity(), format!("sqlite:{}", real.join("lis/old.db").display()));
        }
        for (typed, named) in [("lis", "lis"), ("lis/..", ""), ("lis/../new", "new"), ("lis/new/", "lis/new")] {
            let source = crate::connect_source(&format!("csv:{}", relative.join(typed).display()), None).unwrap();
            let named = real.join(named);
            assert_eq!(source.identity(), format!("csv:{}", named.display()).trim_end_matches('/'), "{typed}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(real.join("lis/old.db"), real.join("today.db")).unwrap();
            let sink = crate::connect_sink(&format!("sqlite:{}", real.join("today.db").display()), None).unwrap();
            assert_eq!(sink.identity(), format!("sqlite:{}", real.join("lis/old.db").display()));
        }
    }

    /// What an old system's rows are loaded into, by its family: databases. A new family does not compile until it is said here.
    fn takes_rows(address: &Address) -> bool {
        match address {
            Address::Csv(_) => false,
            Address::MariaDb(_) | Address::Postgres(_) | Address::Sqlite(_) => true,
        }
    }

    #[test]
    fn no_address_leads_into_a_plain_file_of_rows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |scheme: &str, name: &str| format!("{scheme}:{}", folder.path().join(name).display());
        let servers = ["mysql", "mariadb", "postgres", "postgresql"].map(|scheme| format!("{scheme}://a@localhost/b"));
        for known in [at("csv", ""), at("sqlite", "new.db")].into_iter().chain(servers) {
            let takes = takes_rows(&Address::parse(&known, None).unwrap());
            assert_eq!(crate::connect_sink(&known, None).is_ok(), takes, "{known}");
        }
        for unknown in
            ["file", "folder", "text", "json", "ndjson", "parquet", "arrow", "xml", "sql", "ftp", "sftp", "https", "s3"]
        {
            assert!(crate::connect_sink(&at(unknown, "rows"), None).is_err(), "{unknown}");
        }

        // The one that is a file is a database with its tables already, or is left as it is.
        let text = "[[table]]\nname = \"t\"\nkey = [\"id\"]\ntake = [{ column = \"id\", type = \"int64\" }]\n";
        let scope = scope::Scope::parse(text).unwrap();
        let plain = folder.path().join("rows.csv");
        std::io::Write::write_all(&mut std::fs::File::create_new(&plain).unwrap(), b"id;name\n").unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for name in ["rows.csv", "nowhere.db"] {
            let sink = crate::connect_sink(&at("sqlite", name), None).unwrap();
            assert!(runtime.block_on(sink.prepare(&scope)).is_err(), "{name}");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!((left, std::fs::read(&plain).unwrap()), (vec!["rows.csv".into()], b"id;name\n".to_vec()));
    }

    #[test]
    fn an_address_that_cannot_be_read_is_refused_without_repeating_it() {
        for wrong in
            ["", "ftp://a@h/b", "postgres:a", "postgres://h/b", "mysql://a:sesame@h", "mysql://a@h:x/b", "csv:"]
        {
            let refused = Address::parse(wrong, None).unwrap_err();
            assert_eq!(refused.code(), lexicon::Code(401), "{wrong}");
            assert!(!refused.to_string().contains("sesame"));
        }
    }
}
