//! A server with a TLS certificate that its operator configured: what it starts with, and what devices make of a change.

use std::net::TcpListener;

use lexicon::Digest;
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use serde_json::Value;

use crate::ground::{Ground, Running, write_file};

/// Status: a rule says no.
const REFUSED: i32 = 3;
/// Status: something is not as it was signed.
const MISMATCH: i32 = 5;

/// A server's folder, and one person's device that is enrolled at it.
struct Scene {
    ground: Ground,
    card: Value,
}

fn done((status, said): (i32, Value)) -> Value {
    assert_eq!(status, 0, "{said}");
    said
}

/// The status, and the code of what was refused.
fn code((status, said): (i32, Value)) -> (i32, u64) {
    (status, said["error"]["code"].as_u64().unwrap_or_default())
}

/// Puts a new certificate and key where the server's settings look for them; back with its fingerprint.
fn certify(ground: &Ground, until: i32) -> String {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(["lazaret.example".to_owned()]).unwrap();
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    let made = CertifiedKey { cert: parameters.self_signed(&key).unwrap(), signing_key: key };
    put(ground, "tls/certificate.pem", &made.cert.pem());
    put(ground, "tls/key.pem", &made.signing_key.serialize_pem());
    close(ground, 0o600);
    Digest::of(made.cert.der()).to_string()
}

fn put(ground: &Ground, name: &str, text: &str) {
    // It may be there from before.
    drop(std::fs::remove_file(ground.path(name)));
    write_file(&ground.path(name), text.as_bytes());
}

/// Who may read the key.
fn close(ground: &Ground, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(ground.path("tls/key.pem"), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (ground, mode);
}

impl Scene {
    /// A server with a certificate of ours, and a controller of the laboratory.
    fn set() -> Self {
        let ground = Ground::new();
        for folder in ["secrets", "tls", "papers"] {
            std::fs::create_dir_all(ground.path(folder)).unwrap();
        }
        for who in ["server", "laboratory", "controller"] {
            write_file(&ground.path(&format!("secrets/{who}")), b"a passphrase of the test");
        }
        let fingerprint = certify(&ground, 2999);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let tls = ["--tls-certificate", "tls/certificate.pem", "--tls-key", "tls/key.pem"];
        let init = ["init", "--data", "server", "--ring", "ring", "--listen", &free];
        let card = done(ground.organisation("server", &[&init[..], &tls].concat()))["card"].clone();
        assert_eq!(card["fingerprint"], fingerprint, "the card names another than the configured certificate");
        let create = ["organisation", "create", "--name", "Laboratoire des Abers", "--folder", "laboratory"];
        let words = done(ground.organisation("laboratory", &create))["words"].as_str().unwrap().to_owned();
        let trust = ["trust", "laboratory/organisation.json", "--data", "server", "--words", &words];
        done(ground.organisation("server", &trust));
        let scene = Self { ground, card };
        let serving = scene.serve();
        scene.enrol(&words);
        drop(serving);
        scene
    }

    fn enrol(&self, words: &str) {
        let (ground, invitation) = (&self.ground, "papers/invitation");
        let invite = ["person", "invite", "--folder", "laboratory", "--name", "Claire Le Goff", "--role", "controller"];
        let more = ["--server", "server/card.json", "--out", invitation];
        done(ground.organisation("laboratory", &[&invite[..], &more].concat()));
        let enrol = ["person", "enrol", "--invitation", invitation, "--words", words, "--out", "papers/request"];
        done(ground.person("controller", &enrol));
        let certify = ["person", "certify", "--folder", "laboratory", "--request", "papers/request"];
        let more = ["--invitation", invitation, "--out", "papers/certificate"];
        done(ground.organisation("laboratory", &[&certify[..], &more].concat()));
        done(ground.person("controller", &["person", "enrol", "--certificate", "papers/certificate"]));
    }

    fn serve(&self) -> Running {
        self.ground.serve_until("Serving ")
    }

    /// What starting the server says, when it must not start.
    fn refused(&self, more: &[&str]) -> (i32, u64) {
        code(self.ground.organisation("server", &[&["serve", "--data", "server"], more].concat()))
    }

    /// The notes in the server's journal.
    fn notes(&self) -> Vec<String> {
        let verified = done(self.ground.organisation("server", &["journal", "verify", "--data", "server"]));
        let notes = verified["notes"].as_array().unwrap().iter();
        notes.map(|note| note["text"].as_str().unwrap().to_owned()).collect()
    }

    /// The device asks the server whether anything waits.
    fn asks(&self) -> (i32, Value) {
        self.ground.person("controller", &["next"])
    }
}

#[test]
fn a_changed_certificate_is_an_alarm_until_the_servers_key_vouches_for_it() {
    let scene = Scene::set();
    let ground = &scene.ground;
    let serving = scene.serve();
    done(scene.asks());
    drop(serving);

    let renew = |out| ground.organisation("server", &["card", "renew", "--data", "server", "--out", out]);
    assert_eq!(code(renew("papers/card")), (REFUSED, 1059), "every device has the card that names it already");
    let renewed = certify(ground, 2999);
    assert_eq!(scene.refused(&[]), (REFUSED, 1039));
    let card = done(renew("papers/card"))["card"].clone();
    // A paper that was lost is written again, the same: nothing in it is newer.
    let again = done(renew("papers/again"));
    assert_eq!((&again["card"], &again["changed"]), (&card, &Value::from(false)));
    let papers = ["card", "again"].map(|name| std::fs::read(ground.path(&format!("papers/{name}"))).unwrap());
    assert_eq!(papers[0], papers[1]);
    assert_eq!((&card["fingerprint"], &card["key"]), (&Value::from(renewed.clone()), &scene.card["key"]));
    assert_eq!(scene.notes(), Vec::<String>::new());
    drop(scene.serve());
    let _serving = scene.serve();
    let notes = scene.notes();
    let [note] = notes.as_slice() else { panic!("a renewal is noted once: {notes:?}") };
    assert!(note.contains(&renewed) && note.contains(&card["serial"].to_string()), "{note}");
    let (status, said) = scene.asks();
    assert_eq!((status, said["error"]["code"].as_u64()), (MISMATCH, Some(1202)), "{said}");
    assert!(said.to_string().contains("lazaret trust FILE --card"), "it does not say what to do: {said}");
    // What anybody could write is no word of the server.
    put(ground, "papers/unsigned", &card.to_string());
    assert_ne!(ground.person("controller", &["trust", "papers/unsigned", "--card"]).0, 0);
    assert_eq!(code(scene.asks()).1, 1202);

    done(ground.person("controller", &["trust", "papers/card", "--card"]));
    done(scene.asks());
}

#[test]
fn a_certificate_that_cannot_be_served_stops_the_start_and_nothing_is_served_instead() {
    let scene = Scene::set();
    let ground = &scene.ground;
    let says = |expected: u64| assert_eq!(scene.refused(&[]), (REFUSED, expected));
    let kept =
        ["certificate", "key"].map(|name| std::fs::read_to_string(ground.path(&format!("tls/{name}.pem"))).unwrap());

    #[cfg(unix)]
    for mode in [0o644, 0o602] {
        close(ground, mode);
        says(1049);
    }
    put(ground, "tls/key.pem", &KeyPair::generate().unwrap().serialize_pem());
    close(ground, 0o600);
    says(857);
    certify(ground, 2021);
    says(858);
    put(ground, "tls/certificate.pem", "no certificate");
    says(855);
    std::fs::remove_file(ground.path("tls/certificate.pem")).unwrap();
    says(1001);

    let settings = std::fs::read_to_string(ground.path("server/lazaret.toml")).unwrap();
    let half: Vec<&str> = settings.lines().filter(|line| !line.starts_with("tls_key")).collect();
    put(ground, "server/lazaret.toml", &half.join("\n"));
    says(1048);
    put(ground, "server/lazaret.toml", &settings);
    put(ground, "tls/certificate.pem", &kept[0]);
    put(ground, "tls/key.pem", &kept[1]);
    close(ground, 0o640);
    let _serving = scene.serve();
    done(scene.asks());
}

#[test]
fn a_card_never_takes_the_servers_own_certificate_by_omission() {
    let scene = Scene::set();
    let ground = &scene.ground;
    // As a service that gets the certificate by flags only.
    let settings = std::fs::read_to_string(ground.path("server/lazaret.toml")).unwrap();
    let bare: Vec<&str> = settings.lines().filter(|line| !line.starts_with("tls_")).collect();
    put(ground, "server/lazaret.toml", &bare.join("\n"));
    let flags = ["--tls-certificate", "tls/certificate.pem", "--tls-key", "tls/key.pem"];
    let renew = |out: &str, more: &[&str]| {
        let renew = ["card", "renew", "--data", "server", "--out", out];
        ground.organisation("server", &[&renew[..], more].concat())
    };

    let renewed = certify(ground, 2999);
    assert_eq!(scene.refused(&flags), (REFUSED, 1039));
    assert_eq!(code(renew("papers/card", &[])), (REFUSED, 1059));
    assert!(!ground.path("papers/card").exists(), "a paper was signed for what was refused");
    assert_eq!(scene.refused(&flags), (REFUSED, 1039));
    let card = done(renew("papers/card", &flags))["card"].clone();
    assert_eq!(card["fingerprint"], renewed);
    // Its own is named when it is asked for, with a larger serial also where the clock stood far ahead before.
    let ahead = 9_999_999_999_u64;
    put(ground, "server/card.json", &card.to_string().replace(&card["serial"].to_string(), &ahead.to_string()));
    let own = done(renew("papers/own", &["--own"]))["card"].clone();
    assert_eq!(own["serial"], ahead + 1);
    done(ground.person("controller", &["trust", "papers/own", "--card"]));
    assert_eq!(code(ground.person("controller", &["trust", "papers/card", "--card"])), (REFUSED, 1255));
    let _serving = scene.serve();
    done(scene.asks());
}

#[test]
fn the_settings_say_which_certificate_is_configured_and_by_what() {
    let scene = Scene::set();
    let show = |more: &[&str]| {
        let shown = ["config", "show", "--origin", "--data", "server"];
        done(scene.ground.organisation("server", &[&shown[..], more].concat()))["tls_certificate"].clone()
    };
    let path = |name: &str| Value::from(scene.ground.path(name).display().to_string());
    assert_eq!(show(&[])["value"], path("tls/certificate.pem"));
    assert_eq!(show(&[])["origin"], "file");
    let flag = show(&["--tls-certificate", "other.pem"]);
    assert_eq!((&flag["value"], &flag["origin"]), (&path("other.pem"), &Value::from("flag")));
}
