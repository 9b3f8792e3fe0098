//! With a real OpenBao, whose program the environment names: each test has a server of its own on loopback, over a folder
//! of its own, so that it can be stopped, sealed and put back. What a real one does not do by itself, a false one does.

mod falsely;
mod real;

use std::path::Path;

use super::*;
use crate::keyring::kit::{DYING, Ground, Kind, LIVING, SERVER, code, copy, keeps_its_word, receipt, write};
use crate::keyring::{KeyRing, KeyState};

fn place(address: String, token_file: &Path) -> OpenBaoPlace {
    OpenBaoPlace {
        address,
        mount: "transit".to_owned(),
        token_file: token_file.to_owned(),
        ca_file: None,
        server: SERVER,
    }
}

#[test]
fn an_address_that_would_show_the_token_or_says_too_much_is_refused() {
    let of = |address: &str| Transit::new(place(address.to_owned(), Path::new("token"))).map(drop);
    for address in ["https://bao.example:8200", "http://127.0.0.1:8200", "http://[::1]:8200/", "http://localhost"] {
        of(address).unwrap();
    }
    for address in [
        "http://bao.example:8200",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
        "bao.example",
        "https://me:secret@bao.example",
        "https://bao.example/v1",
        "https://bao.example?token=secret",
    ] {
        let refused = of(address).unwrap_err();
        assert_eq!(refused.code(), Code(726), "{address}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    for mount in ["", "/", "a//b", "../sys", "transit?x", "tran sit"] {
        let place = OpenBaoPlace { mount: mount.to_owned(), ..place("https://b".to_owned(), Path::new("t")) };
        assert_eq!(code(Transit::new(place)), 726, "{mount}");
    }
    let place =
        OpenBaoPlace { mount: "teams/one/transit/".to_owned(), ..place("https://b".to_owned(), Path::new("t")) };
    assert_eq!(Transit::new(place).unwrap().mount, "teams/one/transit");
}

#[test]
fn a_service_that_is_away_is_a_fault_and_the_ring_opens_and_says_so() {
    let ground = Ground::new();
    let nobody = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let token = ground.path("token");
    let kind = Kind::OpenBao(place(address, &token));
    let ring = ground.store_ring(&kind);
    assert_eq!(ring.trouble().map(lexicon::Trouble::code), Some(Code(728)), "no token is asked about first");
    write(&token, b"s.token\n");
    assert_eq!(code(ring.create(DYING)), 720);
    assert_eq!(code(ring.encrypt(DYING, b"", b"")), 720);
    assert_eq!(code(ring.destroy(DYING, &receipt())), 720);
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);
    assert_eq!(code(ring.create(DYING)), 707);
}

#[test]
fn every_flaw_of_a_key_is_told_and_none_hides_another() {
    let of = |flags: &[&str]| {
        let mut key = json!({ "type": KIND, "exportable": false, "allow_plaintext_backup": false });
        for flag in flags {
            key[*flag] = true.into();
        }
        serde_json::from_value::<Described>(key).unwrap().flaws()
    };
    assert!(of(&[]).is_empty());
    let flaws = [
        ("soft_deleted", Flaw::Hidden),
        ("exportable", Flaw::Exportable),
        ("allow_plaintext_backup", Flaw::ClearBackup),
        ("imported_key", Flaw::Imported),
        ("derived", Flaw::AnotherKind),
    ];
    for (flag, flaw) in flaws {
        assert_eq!(of(&[flag]), [flaw], "{flag}");
    }
    assert_eq!(of(&flaws.map(|(flag, _)| flag)), flaws.map(|(_, flaw)| flaw));
}
