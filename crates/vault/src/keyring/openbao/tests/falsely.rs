//! A service that says what it should not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// An answer to a request line, of which it is the n-th.
type Script = fn(&str, usize) -> (u16, &'static str);

const KEY: &str =
    r#"{"request_id":"r-1","data":{"type":"aes256-gcm96","exportable":false,"allow_plaintext_backup":false}}"#;
const HIDDEN: &str =
    r#"{"data":{"type":"aes256-gcm96","exportable":false,"allow_plaintext_backup":false,"soft_deleted":true}}"#;
const SEALED: &str = r#"{"data":{"ciphertext":"vault:v1:AAAA"}}"#;
const ABSENT: &str = r#"{"errors":[]}"#;
const NOT_FOUND: &str = r#"{"errors":["encryption key not found"]}"#;

fn serve(stream: TcpStream, script: Script, count: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    let (mut asked, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut asked).unwrap();
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some((name, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            assert!(!name.is_empty());
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked = asked.trim_end().trim_end_matches(" HTTP/1.1");
    let (status, body) = if asked.contains("sys/health") {
        (200, r#"{"cluster_id":"c"}"#)
    } else {
        script(asked, count.fetch_add(1, Ordering::SeqCst))
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    reader.into_inner().write_all(format!("{head}{body}").as_bytes()).unwrap();
}

/// A false service, and a place that names it.
fn falsely(script: Script) -> (Ground, Transit) {
    let ground = Ground::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    write(&ground.path("token"), b"s.token");
    let transit = Transit::new(place(address, &ground.path("token"))).unwrap();
    std::thread::spawn(move || {
        let count = AtomicUsize::new(0);
        listener.incoming().flatten().for_each(|stream| serve(stream, script, &count));
    });
    (ground, transit)
}

/// What a true one would have answered to the steps of a destruction.
fn truly(asked: &str, n: usize) -> (u16, &'static str) {
    match asked.split('/').next().map(str::trim) {
        Some("GET") if n == 0 => (200, KEY),
        Some("GET") => (404, ABSENT),
        Some("DELETE") => (204, ""),
        _ if asked.contains("/encrypt/") => (200, SEALED),
        _ if asked.contains("/decrypt/") => (400, NOT_FOUND),
        _ => (200, KEY),
    }
}

#[test]
fn the_false_service_can_speak_truly() {
    let (_ground, transit) = falsely(truly);
    let said = transit.kill(DYING).unwrap();
    assert_eq!(said.len(), 5);
    assert_eq!(said[0].request.as_deref(), Some("r-1"));
}

#[test]
fn a_key_that_is_still_there_after_its_deletion_is_an_alarm() {
    let scripts: [Script; 3] = [
        |asked, n| if asked.starts_with("GET") { (200, KEY) } else { truly(asked, n) },
        |asked, n| if asked.starts_with("GET") && n > 0 { (200, HIDDEN) } else { truly(asked, n) },
        |asked, n| {
            if asked.contains("/decrypt/") { (200, r#"{"data":{"plaintext":"cHJvYmU="}}"#) } else { truly(asked, n) }
        },
    ];
    for (script, how) in scripts.into_iter().zip(["it still has it", "it only hid it", "it still opens with it"]) {
        let (_ground, transit) = falsely(script);
        let trouble = transit.kill(DYING).unwrap_err();
        assert!(matches!(&trouble, lexicon::Trouble::Alarm(alarm) if alarm.code == Code(725)), "{trouble}");
        assert!(trouble.to_string().contains(how), "{trouble}");
    }
}

#[test]
fn a_key_that_another_server_wrote_back_is_deleted_again() {
    let (_ground, transit) =
        falsely(|asked, n| if asked.starts_with("GET") && n > 0 && n < 6 { (200, KEY) } else { truly(asked, n) });
    let said = transit.kill(DYING).unwrap();
    assert_eq!(said.iter().filter(|said| said.asked == "DELETE the key").count(), 2);
}

#[test]
fn only_the_services_own_word_is_a_key_that_is_not_there() {
    let scripts: [Script; 4] = [
        |_, _| (404, "<html>not here</html>"),
        |_, _| (404, ""),
        |_, _| (404, r#"{"errors":["no handler for route \"transit/keys/x\""]}"#),
        |_, _| (404, r#"{"request_id":"r-2"}"#),
    ];
    for script in scripts {
        let (_ground, transit) = falsely(script);
        assert_eq!(code(transit.holds(DYING)), 727);
        assert_eq!(code(transit.kill(DYING)), 727);
        assert_eq!(code(transit.held()), 727);
    }
}

#[test]
fn a_refusal_to_open_for_another_reason_is_no_proof() {
    let (_ground, transit) = falsely(|asked, n| {
        if asked.contains("/decrypt/") {
            (400, r#"{"errors":["invalid ciphertext: no prefix"]}"#)
        } else {
            truly(asked, n)
        }
    });
    assert_eq!(code(transit.kill(DYING)), 723);
}

#[test]
fn an_answer_without_an_end_is_not_taken_whole() {
    let (_ground, transit) = falsely(|_, _| (200, Box::leak("x".repeat(5 * 1024 * 1024).into_boxed_str())));
    assert_eq!(code(transit.holds(DYING)), 720);
}
