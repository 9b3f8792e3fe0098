//! A server whose ring keys lie elsewhere, and one whose secrets an age identity opens.

use std::net::TcpListener;
use std::path::Path;

use people::OpeningKey;
use serde_json::Value;

use crate::ground::{Ground, write_file};

/// Status: a rule says no.
const REFUSED: i32 = 3;

/// The status, and the code of what was refused.
fn code((status, said): (i32, Value)) -> (i32, u64) {
    (status, said["error"]["code"].as_u64().unwrap_or_default())
}

fn close(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

fn ground() -> Ground {
    let ground = Ground::new();
    std::fs::create_dir_all(ground.path("secrets")).unwrap();
    for who in ["server", "laboratory"] {
        let path = ground.path(&format!("secrets/{who}"));
        write_file(&path, b"a passphrase of the test");
        close(&path, 0o600);
    }
    ground
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A server with settings of ours behind those that `init` wrote.
fn with_settings(ground: &Ground, settings: &str) {
    let path = ground.path("server/lazaret.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    let before = before.split("[key_ring]").next().unwrap();
    std::fs::remove_file(&path).unwrap();
    write_file(&path, format!("{before}{settings}").as_bytes());
}

#[test]
fn a_server_whose_key_store_is_away_serves_and_says_so() {
    let ground = ground();
    let free = free_address();
    let init = ["init", "--data", "server", "--ring", "ring", "--listen", &free];
    assert_eq!(ground.organisation("server", &init).0, 0);
    let serve = ["serve", "--data", "server"];

    with_settings(&ground, "[key_ring]\nkind = 'cloud'\n");
    assert_eq!(code(ground.organisation("server", &serve)), (REFUSED, 1099));
    with_settings(&ground, "[key_ring]\nkind = 'pkcs11'\nmodule = '/m.so'\ntoken = 'ring'\n");
    assert_eq!(code(ground.organisation("server", &serve)), (REFUSED, 1098));
    let pem = "-----BEGIN PRIVATE KEY-----";
    with_settings(&ground, &format!("[key_ring]\nkind = 'pkcs11'\npin_file = '{pem}'\n"));
    let (status, said) = ground.organisation("server", &serve);
    assert!(!said.to_string().contains("BEGIN"), "{said}");
    assert_eq!(code((status, said)), (REFUSED, 1058));

    let token = ground.path("secrets/token");
    write_file(&token, b"s.token");
    close(&token, 0o600);
    let nobody = free_address();
    let settings =
        format!("[key_ring]\nkind = 'openbao'\naddress = 'http://{nobody}'\ntoken_file = '{}'\n", token.display());
    with_settings(&ground, &settings);
    let shown = ground.organisation("server", &["config", "show", "--data", "server"]).1;
    assert_eq!(shown["key_ring"]["value"], format!("openbao, at http://{nobody}"));
    ground.serve_until("LZ-0720").kill();
    ground.serve_until("Serving ").kill();
}

#[test]
fn an_age_identity_opens_a_servers_secrets_in_a_passphrases_stead() {
    let ground = ground();
    for name in ["identity", "another"] {
        let path = ground.path(&format!("secrets/{name}"));
        write_file(&path, OpeningKey::draw().secret().as_bytes());
        close(&path, 0o600);
    }
    let free = free_address();
    let with = |identity: &str, arguments: &[&str]| {
        let identity = format!("secrets/{identity}");
        ground.organisation("laboratory", &[&["--identity-file", &identity], arguments].concat())
    };
    assert_eq!(with("identity", &["init", "--data", "server", "--ring", "ring", "--listen", &free]).0, 0);
    let create = ["organisation", "create", "--name", "Laboratoire des Abers", "--folder", "laboratory"];
    let words = ground.organisation("laboratory", &create).1["words"].as_str().unwrap().to_owned();
    let trust = ["trust", "laboratory/organisation.json", "--data", "server", "--words", &words];

    let (_, refused) = code(ground.organisation("server", &trust));
    assert_eq!(refused, 131, "the server's passphrase is of no use");
    assert_eq!(code(with("another", &trust)).1, 131);
    assert_eq!(code(with("server", &trust)).1, 135, "a passphrase is no identity");
    assert_eq!(with("identity", &trust).0, 0);
    #[cfg(unix)]
    {
        close(&ground.path("secrets/identity"), 0o604);
        assert_eq!(code(with("identity", &trust)), (REFUSED, 1023));
    }
}
