use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use super::*;

/// A server of its own, unsealed, with the engine and the policy that the manual asks for.
struct Bao {
    ground: Ground,
    child: Option<Child>,
    program: String,
    address: String,
    unseal: String,
}

fn bao(test: &str) -> Option<Bao> {
    let Ok(program) = std::env::var("LAZARET_TEST_BAO") else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("skipped: {test} (LAZARET_TEST_BAO is not set)\n"),
        )
        .unwrap();
        return None;
    };
    let ports = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [port, cluster] = ports.map(|listener| listener.local_addr().unwrap().port());
    let address = format!("http://127.0.0.1:{port}");
    let mut bao = Bao { ground: Ground::new(), child: None, program, address, unseal: String::new() };
    let storage = bao.ground.path("storage");
    std::fs::create_dir(&storage).unwrap();
    let settings = format!(
        "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n  performance_multiplier = 1\n}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n}}\n\
         api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"http://127.0.0.1:{cluster}\"\n",
        storage.display()
    );
    write(&bao.ground.path("bao.hcl"), settings.as_bytes());
    write(&bao.ground.path("root"), b"none yet");
    bao.start();
    bao.found();
    Some(bao)
}

impl Bao {
    fn start(&mut self) {
        let mut server = Command::new(&self.program);
        server.arg("server").arg("-config").arg(self.ground.path("bao.hcl"));
        server.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.child = Some(child);
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("server started")));
        // What else it tells goes nowhere, and its pipe is never full.
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// As a power cut would.
    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks as whoever administers it, with patience: a server that is being made has the machine to share.
    fn root(&self) -> Client {
        let place = place(self.address.clone(), &self.ground.path("root"));
        Client::patient(place, std::time::Duration::from_mins(2)).unwrap()
    }

    fn admin(&self, verb: Verb, path: &str, body: &Value) -> Value {
        let client = self.root();
        let answer = client.ask(verb, path, Some(body)).unwrap();
        assert!(matches!(answer.status, 200 | 204), "{path}: {} {:?}", answer.status, answer.errors());
        if answer.status == 204 { Value::Null } else { answer.parsed().unwrap() }
    }

    fn found(&mut self) {
        let made = self.admin(Verb::Post, "sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 }));
        made["keys_base64"][0].as_str().unwrap().clone_into(&mut self.unseal);
        write(&self.ground.path("root"), made["root_token"].as_str().unwrap().as_bytes());
        self.unseal();
        self.admin(Verb::Post, "sys/mounts/transit", &json!({ "type": "transit" }));
        // What the manual asks for, and no more.
        let manual = include_str!("../../../../../../docs/manual/src/server.md");
        let policy = manual.split_once("```hcl\n").unwrap().1.split_once("```").unwrap().0;
        self.admin(Verb::Post, "sys/policies/acl/lazaret", &json!({ "policy": policy }));
        let token = self.admin(Verb::Post, "auth/token/create", &json!({ "policies": ["lazaret"], "no_parent": true }));
        write(&self.ground.path("token"), token["auth"]["client_token"].as_str().unwrap().as_bytes());
    }

    fn unseal(&self) {
        self.admin(Verb::Post, "sys/unseal", &json!({ "key": self.unseal }));
        let client = self.root();
        // One node elects itself before it answers.
        while !client.ask(Verb::Get, "sys/health", None).is_ok_and(|answer| answer.status == 200) {
            std::thread::yield_now();
        }
    }

    fn seal(&self) {
        self.admin(Verb::Post, "sys/seal", &json!({}));
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
        self.unseal();
    }

    /// Puts a copy of the storage back, as somebody does who restores a snapshot.
    fn restore(&mut self, snapshot: &str) {
        self.stop();
        let storage = self.ground.path("storage");
        std::fs::remove_dir_all(&storage).unwrap();
        copy(&self.ground.path(snapshot), &storage);
        self.start();
        self.unseal();
    }

    fn place(&self) -> OpenBaoPlace {
        place(self.address.clone(), &self.ground.path("token"))
    }

    fn kind(&self) -> Kind {
        Kind::OpenBao(self.place())
    }

    fn ring(&self) -> Arc<dyn KeyRing> {
        self.ground.open(&self.kind())
    }
}

fn name(id: ConsignmentId) -> String {
    Names::new(WORD, '-', &SERVER).of(id)
}

fn key(id: ConsignmentId) -> String {
    format!("transit/keys/{}", name(id))
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_ring_over_openbao_keeps_its_word() {
    let Some(bao) = bao("a_ring_over_openbao_keeps_its_word") else { return };
    keeps_its_word(&bao.kind());
}

#[test]
fn a_key_is_made_so_that_it_stays_and_cannot_be_deleted_by_mistake() {
    let Some(bao) = bao("a_key_is_made_so_that_it_stays_and_cannot_be_deleted_by_mistake") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    let told = bao.admin(Verb::Get, &key(DYING), &json!({}));
    for (flag, value) in [
        ("type", json!("aes256-gcm96")),
        ("exportable", json!(false)),
        ("allow_plaintext_backup", json!(false)),
        ("deletion_allowed", json!(false)),
        ("soft_deleted", json!(false)),
    ] {
        assert_eq!(told["data"][flag], value, "{flag}");
    }
    let client = bao.root();
    let refused = client.ask(Verb::Delete, &key(DYING), None).unwrap();
    assert_ne!(refused.status, 204, "not without deletion_allowed");
    let export = format!("transit/export/encryption-key/{}", name(DYING));
    assert_eq!(client.ask(Verb::Get, &export, None).unwrap().status, 400);
}

#[test]
fn the_evidence_is_what_the_service_answered() {
    let Some(bao) = bao("the_evidence_is_what_the_service_answered") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert_eq!((evidence.kind, evidence.could_leave), (Level::K2, false));
    let said: Vec<_> = evidence.said.iter().map(|said| (said.asked.as_str(), said.answered.as_str())).collect();
    assert_eq!(said.first(), Some(&("GET the key", "200")), "{said:?}");
    assert!(evidence.said.first().unwrap().request.is_some(), "with the service's own name for the request");
    assert!(said.contains(&("DELETE the key", "204")), "{said:?}");
    assert!(said.contains(&("GET the key", "404")), "{said:?}");
    let refused = ("POST decrypt of what the key sealed a moment before", "400, encryption key not found");
    assert_eq!(said.last(), Some(&refused));
    let words = evidence.words();
    assert!(words.starts_with("service, key deleted in it (OpenBao transit)"), "{words}");
    assert!(words.contains("DELETE the key: 204") && words.contains("(request "), "{words}");
}

#[test]
fn keys_that_can_leave_are_refused_whoever_made_them_so() {
    let Some(bao) = bao("keys_that_can_leave_are_refused_whoever_made_them_so") else { return };
    let ring = bao.ring();
    for flag in ["exportable", "allow_plaintext_backup"] {
        let id = if flag == "exportable" { DYING } else { LIVING };
        ring.create(id).unwrap();
        let wrapped = ring.encrypt(id, b"aad", b"share").unwrap();
        bao.admin(Verb::Post, &format!("{}/config", key(id)), &json!({ flag: true }));
        assert_eq!(code(ring.encrypt(id, b"aad", b"")), 724, "{flag}");
        assert_eq!(code(ring.decrypt(id, b"aad", &wrapped)), 724, "{flag}");
        assert_eq!(code(ring.create(id)), 724, "{flag}");
        let evidence = ring.destroy(id, &receipt()).unwrap();
        assert!(evidence.words().contains("what kind of key: can be "), "{}", evidence.words());
        assert!(evidence.could_leave, "{flag}");
    }
}

#[test]
fn a_soft_deleted_key_serves_nobody_and_is_no_proof_until_it_is_deleted() {
    let Some(bao) = bao("a_soft_deleted_key_serves_nobody_and_is_no_proof_until_it_is_deleted") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    bao.admin(Verb::Delete, &format!("{}/soft-delete", key(DYING)), &json!({}));
    assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 724);
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Alive, "it can be taken back");
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    assert!(evidence.words().contains("soft-deleted"), "{}", evidence.words());
    assert!(evidence.found && !evidence.could_leave, "it was hidden, and in its place");
    let client = bao.root();
    let restore = format!("{}/soft-delete-restore", key(DYING));
    client.ask(Verb::Post, &restore, Some(&json!({}))).unwrap();
    assert!(client.ask(Verb::Get, &key(DYING), None).unwrap().is_absent(), "nothing comes back");
}

#[test]
fn hiding_a_key_does_not_hide_that_it_could_leave() {
    let Some(bao) = bao("hiding_a_key_does_not_hide_that_it_could_leave") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    bao.admin(Verb::Post, &format!("{}/config", key(DYING)), &json!({ "exportable": true }));
    bao.admin(Verb::Delete, &format!("{}/soft-delete", key(DYING)), &json!({}));
    let evidence = ring.destroy(DYING, &receipt()).unwrap();
    let words = evidence.words();
    assert!(evidence.could_leave && words.contains("soft-deleted") && words.contains("can be exported"), "{words}");
}

#[test]
fn a_restarted_and_a_sealed_service_lose_nothing_and_a_sealed_one_is_said_to_be() {
    let Some(mut bao) = bao("a_restarted_and_a_sealed_service_lose_nothing") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    bao.restart();
    assert_eq!(ring.decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), b"share");
    bao.seal();
    assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 721);
    assert_eq!(code(ring.encrypt(DYING, b"aad", b"")), 721);
    for _ in 0..2 {
        assert_eq!(code(ring.destroy(DYING, &receipt())), 721);
        assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroying);
    }
    bao.stop();
    assert_eq!(code(ring.destroy(DYING, &receipt())), 720);
    drop(ring);
    let ring = bao.ground.store_ring(&bao.kind());
    assert_eq!(ring.trouble().map(lexicon::Trouble::code), Some(Code(720)));
    bao.start();
    assert_eq!(code(ring.destroy(DYING, &receipt())), 721, "a service starts sealed");
    bao.unseal();
    assert!(ring.destroy(DYING, &receipt()).unwrap().found);
}

#[test]
fn a_token_that_may_not_is_said_to_be_one_and_a_renewed_file_is_taken() {
    let Some(bao) = bao("a_token_that_may_not_is_said_to_be_one_and_a_renewed_file_is_taken") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    let token = std::fs::read(bao.ground.path("token")).unwrap();
    write(&bao.ground.path("token"), b"s.wrong");
    let refused = ring.encrypt(DYING, b"", b"").unwrap_err();
    assert_eq!(refused.code(), Code(722));
    assert!(matches!(refused, lexicon::Trouble::Fault(_)), "it has refused nothing for want of a key");
    assert!(!refused.to_string().contains("s.wrong"));
    assert_eq!(code(ring.destroy(DYING, &receipt())), 722);
    write(&bao.ground.path("token"), &token);
    assert!(ring.destroy(DYING, &receipt()).unwrap().found);
}

#[test]
fn a_restored_snapshot_brings_a_key_back_and_it_is_an_alarm_and_destroyed_again() {
    let Some(mut bao) = bao("a_restored_snapshot_brings_a_key_back") else { return };
    let ring = bao.ring();
    ring.create(DYING).unwrap();
    let wrapped = ring.encrypt(DYING, b"aad", b"share").unwrap();
    bao.stop();
    copy(&bao.ground.path("storage"), &bao.ground.path("snapshot"));
    bao.restart();
    ring.destroy(DYING, &receipt()).unwrap();

    let late = lexicon::Timestamp::from_second(1_900_000_000).unwrap();
    let gone = KeyState::Destroyed { at: late, recorded: false };
    bao.ground.clock.set(late);
    bao.restore("snapshot");
    // The control: for a ring without the tombstone the key is there, and opens.
    let other = Ground::new();
    assert_eq!(other.open(&bao.kind()).decrypt(DYING, b"aad", &wrapped).unwrap().as_slice(), b"share");
    assert_eq!(code(ring.decrypt(DYING, b"aad", &wrapped)), 707);
    assert_eq!(code(ring.attest(DYING)), 709);
    assert_eq!(ring.attest(DYING).unwrap(), gone, "destroyed again by then");
    assert_eq!(code(other.open(&bao.kind()).decrypt(DYING, b"aad", &wrapped)), 705);

    bao.restore("snapshot");
    assert_eq!(code(ring.destroy(DYING, &receipt())), 709);
    let words = ring.destroy(DYING, &receipt()).unwrap().words();
    assert!(words.contains("it was there again") && words.contains("DELETE the key: 204"), "{words}");

    drop(ring);
    bao.restore("snapshot");
    let ring = bao.ground.store_ring(&bao.kind());
    assert_eq!((ring.returned(), ring.trouble()), ([DYING].as_slice(), None));
    // Though the clock stands, each destruction has a time of its own.
    let third = lexicon::Timestamp::from_millisecond(late.as_millisecond() + 2).unwrap();
    assert_eq!(ring.attest(DYING).unwrap(), KeyState::Destroyed { at: third, recorded: false });
}

#[test]
fn another_service_says_nothing_about_the_rings_keys() {
    let test = "another_service_says_nothing_about_the_rings_keys";
    let (Some(one), Some(other)) = (bao(test), bao(test)) else { return };
    let ring = one.ring();
    ring.create(DYING).unwrap();
    drop(ring);
    let ring = one.ground.store_ring(&other.kind());
    assert_eq!(ring.trouble().map(lexicon::Trouble::code), Some(Code(727)));
    assert_eq!(code(ring.destroy(DYING, &receipt())), 727, "its 404 is no proof");
    assert_eq!(code(ring.create(LIVING)), 727);
    drop(ring);
    assert!(one.ring().destroy(DYING, &receipt()).unwrap().found);
}

#[test]
fn an_engine_that_is_not_there_says_nothing_about_the_rings_keys() {
    let Some(bao) = bao("an_engine_that_is_not_there_says_nothing_about_the_rings_keys") else { return };
    let elsewhere = OpenBaoPlace { mount: "elsewhere".to_owned(), token_file: bao.ground.path("root"), ..bao.place() };
    let transit = Transit::new(elsewhere).unwrap();
    assert_eq!(code(transit.holds(DYING)), 727);
    assert_eq!(code(transit.held()), 727);
    assert_eq!(code(transit.kill(DYING)), 727);
}
