//! What `lazaret demo` says of itself, compared with the files that it leaves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lexicon::{Code, ConsignmentId, Digest, MigrationId, SystemClock, SystemEntropy, canonical};
use people::Passphrase;
use procedure::{Act, ActBody, Manifest, Part, ProbeResult, Proof};
use registry::Registry;
use serde_json::Value;
use synth::search::{self, Needles};
use synth::{Made, Place, Sentinel};
use vault::{LocalRing, Secret};
use zeroize::Zeroizing;

use crate::ground::{Ground, document, rows_in};

#[test]
fn the_demonstration_is_what_its_report_says() {
    let ground = Ground::new();

    let output = ground.demo(&["--once", "--json", "--quiet", "--patients", "150", "--seed", "3"]).output().unwrap();

    let report = document(&output);
    assert!(output.status.success() && report.get("failed").is_none(), "{report}");
    let acts = evidence(&ground, &report);
    let mut made = synth::laboratory(&ground.dir.with_file_name("again.sqlite"), 3, 150, &mut |_| {}).unwrap();
    rows(&ground, &report, &made);
    made.sentinels.extend(documents(&ground, &report));
    sentinels(&ground, &report, &made);
    copies(&ground, &report, &acts);
}

/// The pack holds with the two roots and the card alone, and the certificate beside it is the one in it. What was signed.
fn evidence(ground: &Ground, report: &Value) -> Vec<ActBody> {
    let pack = evidence::read(&std::fs::read(file(report, "evidence")).unwrap()).unwrap();
    let server = Some(serde_json::from_slice(&std::fs::read(ground.path("server/card.json")).unwrap()).unwrap());
    let trust = evidence::Trust { roots: ["laboratory", "vendor"].map(|name| ground.root(name)).to_vec(), server };
    let verdict = serde_json::to_value(evidence::verify_against(&pack, &trust).unwrap()).unwrap();

    for holds in ["established", "server_pinned", "certificate_complete", "demonstration"] {
        assert_eq!(verdict[holds], true, "{holds}: {verdict}");
    }
    assert_eq!((&verdict["migration"], &verdict["stage"]), (&report["migration"], &report["stage"]));
    assert_eq!(verdict["stage"], "destroyed");
    let certificate = canonical(pack.certificate.as_ref().unwrap()).unwrap();
    assert_eq!(std::fs::read(file(report, "certificate")).unwrap(), certificate);
    let proofs = pack.entries.iter().map(|placed| &placed.entry.proof);
    let signed = proofs.filter_map(|proof| if let Proof::Signed(envelope) = proof { Some(envelope) } else { None });
    signed.map(|envelope| serde_json::from_slice(&envelope.bytes().unwrap()).unwrap()).collect()
}

/// What the report counts is what the same seed makes, and what lies in the new system.
fn rows(ground: &Ground, report: &Value, made: &Made) {
    let tables = report["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 4, "{report}");
    for table in tables {
        let name = table["name"].as_str().unwrap();
        let arrived = rows_in(&ground.path("new/new.sqlite"), &format!("import_{name}"));
        let rows = made.rows(name);
        assert!(rows.in_scope > 0, "{name}");
        assert_eq!((&table["rows_source"], &table["rows_in_scope"]), (&rows.all.into(), &rows.in_scope.into()));
        assert_eq!((&table["rows_sealed"], &table["rows_target"]), (&rows.in_scope.into(), &arrived.into()), "{name}");
    }
}

/// Every report of the same seed lies in the new system as it lies in the old one. What is planted in them.
fn documents(ground: &Ground, report: &Value) -> Vec<Sentinel> {
    let told = &report["documents"][0];
    let count = told["documents_in_scope"].as_u64().unwrap();
    let again = ground.dir.with_file_name("again");
    let made = synth::reports(&again, 3, count).unwrap();
    assert_eq!((count, &told["files_left"]), (made.documents, &made.stay.into()));
    assert_eq!((&told["documents_target"], &told["bytes_sealed"]), (&count.into(), &made.bytes.into()));
    let mut compared = Vec::new();
    for year in std::fs::read_dir(ground.path("new/documents/reports")).unwrap().map(|entry| entry.unwrap()) {
        if !year.path().is_dir() {
            continue;
        }
        for arrived in std::fs::read_dir(year.path()).unwrap().map(|entry| entry.unwrap()) {
            let same = again.join(year.file_name()).join(arrived.file_name());
            assert_eq!(std::fs::read(arrived.path()).unwrap(), std::fs::read(same).unwrap());
            compared.push(arrived.file_name());
        }
    }
    assert_eq!(u64::try_from(compared.len()).unwrap(), count);
    made.sentinels
}

/// No planted value is where it may not be; each is where it was planted.
fn sentinels(ground: &Ground, report: &Value, made: &Made) {
    let needles = Needles::of(&made.sentinels).unwrap();
    let old = search::files(&needles, &["old/old.sqlite", "old/reports"].map(|name| ground.path(name))).unwrap();
    let planted = u64::try_from(made.sentinels.len()).unwrap();
    assert!(old.found() >= planted && planted > 0, "the control: {} of {planted} found", old.found());
    let listed = std::fs::read_dir(&ground.dir).unwrap().map(|entry| entry.unwrap().path());
    let besides: Vec<PathBuf> = listed.filter(|path| !path.ends_with("old") && !path.ends_with("new")).collect();
    let outside = search::files(&needles, &besides).unwrap();
    assert!(outside.is_clean() && outside.files > 50, "{} files: {:?}", outside.files, outside.hits);
    let (moving, staying): (Vec<&Sentinel>, Vec<&Sentinel>) =
        made.sentinels.iter().partition(|sentinel| sentinel.place == Place::Moves);
    for (sentinels, expected) in [(moving, true), (staying, false)] {
        let needles = Needles::new(sentinels.iter().map(|sentinel| (sentinel.label(), &sentinel.value))).unwrap();
        let new = ["new/new.sqlite", "new/documents"].map(|name| ground.path(name));
        let found = search::files(&needles, &new).unwrap().found();
        assert_eq!(found > 0, expected, "{found} found in the new system");
    }
    assert_eq!(report["sentinel_hits"], 0);
    assert!(report["sentinel_control_hits"].as_u64().unwrap() >= planted);
}

/// The copied data gives the very share with the ring copied beside it, and none with the ring as it is now; the
/// recipient signed that a parcel opened before, and that none did afterwards.
fn copies(ground: &Ground, report: &Value, acts: &[ActBody]) {
    let manifest =
        acts.iter().find_map(|act| if let Act::Close { manifest } = &act.body { Some(manifest) } else { None });
    let manifest: &Manifest = manifest.unwrap();
    let migration: MigrationId = report["migration"].as_str().unwrap().parse().unwrap();
    let opened = |act: &ActBody| if let Act::Done { outcome, .. } = &act.body { Some(outcome.opened) } else { None };
    let failed = |act: &ActBody| {
        let Act::PartDestroyed { part: Part::Recipient, probe, .. } = &act.body else { return None };
        Some(*probe)
    };

    let before = share(ground, "copy-of-ring", (migration, manifest.consignment)).unwrap().unwrap();
    let after = share(ground, "ring", (migration, manifest.consignment)).unwrap_err();

    assert_eq!(Digest::of(&before), manifest.strongroom_share);
    assert_eq!(after.code(), Code(707), "{after}");
    assert_eq!(acts.iter().filter_map(opened).collect::<Vec<_>>(), [true, true]);
    assert_eq!(acts.iter().filter_map(failed).collect::<Vec<_>>(), [Some(ProbeResult::Failed)]);
    let claims = [
        ("parcel_readable_before_destruction", true),
        ("parcel_readable_after_destruction", false),
        ("copy_opened_with_ring_of_that_moment", true),
        ("copy_opened_with_todays_ring", false),
    ];
    for (claim, held) in claims {
        assert_eq!(report[claim], held, "{claim}");
    }
    nowhere(&ground.dir, &before);
}

fn share(
    ground: &Ground,
    ring: &str,
    (migration, consignment): (MigrationId, ConsignmentId),
) -> lexicon::Result<Option<Zeroizing<Vec<u8>>>> {
    let data = ground.path("copy-of-server");
    let passphrase = Passphrase::new(&std::fs::read_to_string(ground.path("secrets/server")).unwrap());
    let secrets = people::unlock(&std::fs::read(data.join("server.key")).unwrap(), &passphrase)?;
    let secrets: Value = serde_json::from_slice(&secrets).unwrap();
    let secret: Digest = secrets["ring"].as_str().unwrap().parse()?;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::new()));
    let ring = LocalRing::open(&ground.path(ring), Secret::new(secret.0.to_vec())?, &data, clock, entropy)?;
    let registry = Registry::open(&data.join("registry.sqlite"))?;
    office::strongroom_share(&registry, &ring, migration, consignment)
}

/// The share that went from memory to memory stands in no file, as it is or in hexadecimal digits.
fn nowhere(dir: &Path, share: &[u8]) {
    let digits = Digest(share.try_into().unwrap()).to_string();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let stands = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!stands(share) && !stands(digits.as_bytes()), "the strongroom share stands in {}", path.display());
    }
}

fn file(report: &Value, name: &str) -> PathBuf {
    PathBuf::from(report[name].as_str().unwrap())
}
