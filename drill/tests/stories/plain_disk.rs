//! Finding 2 of the decision: personal data lay unencrypted on the server. Here the whole server, taken live, opens
//! nothing, and no party's folder holds a value of a patient in any form.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::{Array, StringArray};
use drill::{Name, Round, Systems, World, files_below, write_file};
use futures::TryStreamExt;
use lexicon::Digest;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use scope::{Scope, ScopedBatch};
use seal::Share;
use synth::search::{self, Needles};
use synth::{Place, Sentinel};

/// Seeds that no other story uses, so that what is found is of these laboratories.
const SEEDS: [u64; 2] = [2_021, 2_022];

/// Everything that all rooms log at their most talkative, from now on, in one file.
fn logged() -> PathBuf {
    static LOG: OnceLock<PathBuf> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drill.log");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).unwrap();
        let everything = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
        everything.with_writer(Arc::new(file)).with_ansi(false).init();
        path
    });
    log.clone()
}

fn needles<'a>(sentinels: impl IntoIterator<Item = &'a Sentinel>) -> Needles {
    let labelled = sentinels.into_iter().map(|sentinel| (label(sentinel), &sentinel.value));
    Needles::new(labelled).unwrap()
}

fn label(sentinel: &Sentinel) -> String {
    format!("{}:{:?}", sentinel.label(), sentinel.place)
}

/// Everything in the world's folder besides the two laboratory systems: server, ring, five homes, two roots, the pack.
fn besides_the_systems(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().path());
    let is_system = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("old.sqlite") || name.starts_with("new.sqlite")
    };
    entries.filter(|path| !is_system(path)).collect()
}

/// What lies beside the world in the folder of temporary files and was not there before.
fn temporary_files(world: &World, before: &[PathBuf]) -> Vec<PathBuf> {
    let own = world.path("").components().as_path().to_owned();
    all_temporary().into_iter().filter(|path| !before.contains(path) && *path != own).collect()
}

fn all_temporary() -> Vec<PathBuf> {
    std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

async fn whole_passage(world: &World, systems: &Systems) -> Round {
    let round = world.closed(systems).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    assert!(world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap().reconciliation.equal());
    let desk = world.desk(Name::Controller);
    let pack = desk.client().evidence(desk.keeper(), round.plan.migration).await.unwrap();
    write_file(&world.path("evidence.zip"), &pack);
    round
}

#[tokio::test(flavor = "multi_thread")]
async fn no_partys_folder_holds_a_value_of_a_patient_in_any_form() {
    let (log, before) = (logged(), all_temporary());
    let world = World::start().await;
    let systems = world.systems_of(SEEDS[0], 300);
    let planted = &systems.made.sentinels;
    for place in [Place::LeftColumn, Place::LeftRow, Place::Moves] {
        assert!(planted.iter().any(|sentinel| sentinel.place == place), "nothing is planted in {place:?}");
    }

    whole_passage(&world, &systems).await;
    let all = needles(planted);
    let parties = search::files(&all, &besides_the_systems(&world)).unwrap();
    let logs = search::files(&all, &[log]).unwrap();
    let temporary: Vec<_> = temporary_files(&world, &before);
    // Other stories come and go there: what vanished meanwhile is theirs, and so is an NIR, which several may issue.
    let ours = needles(planted.iter().filter(|sentinel| sentinel.column != "nir"));
    let temporary: Vec<_> =
        temporary.iter().filter_map(|path| search::files(&ours, &[path]).ok()).flat_map(|seen| seen.hits).collect();
    let stays = needles(planted.iter().filter(|sentinel| sentinel.place != Place::Moves));
    let new = search::files(&stays, &[&systems.new]).unwrap();

    assert!(parties.is_clean(), "{:?} {:?}", parties.hits, parties.missed);
    assert!(parties.files > 40 && parties.bytes > 100_000, "{parties:?}");
    assert!(logs.is_clean() && logs.bytes > 1_000, "{logs:?}");
    assert!(temporary.is_empty(), "{temporary:?}");
    assert!(new.is_clean(), "{:?}", new.hits);
    // The controls: the same search finds everything where it is, and the same rows without the sealing.
    let old = search::files(&all, &[&systems.old]).unwrap();
    missed_nothing(&old, planted.iter());
    practised(&world, &systems).await;
}

/// The batches that the passage seals, written without sealing: every value of theirs must be seen in each form.
async fn practised(world: &World, systems: &Systems) {
    let folder = world.path("practice");
    std::fs::create_dir(&folder).unwrap();
    let scope = Scope::parse(&synth::scope_toml()).unwrap();
    let snapshot = systems.source.begin(false).await.unwrap();
    let mut words = String::new();
    for table in scope.tables() {
        let batches: Vec<ScopedBatch> = snapshot.read(&scope, &table.name).try_collect().await.unwrap();
        for (form, compression) in
            [("plain", Compression::UNCOMPRESSED), ("zstd", Compression::ZSTD(ZstdLevel::default()))]
        {
            let properties = WriterProperties::builder().set_compression(compression).build();
            let mut writer = ArrowWriter::try_new(Vec::new(), table.target_schema(), Some(properties)).unwrap();
            for batch in &batches {
                writer.write(batch.batch()).unwrap();
            }
            write_file(&folder.join(format!("{form} {}", table.name)), &writer.into_inner().unwrap());
        }
        let columns = batches.iter().flat_map(|batch| batch.batch().columns());
        let texts = columns.filter_map(|column| column.as_any().downcast_ref::<StringArray>());
        texts.flat_map(|column| column.iter().flatten()).for_each(|word| {
            words.push_str(word);
            words.push_str("; ");
        });
    }
    let moves = || systems.made.sentinels.iter().filter(|sentinel| sentinel.place == Place::Moves);
    let needles = needles(moves());
    for form in ["plain", "zstd"] {
        let files: Vec<PathBuf> =
            scope.tables().iter().map(|table| folder.join(format!("{form} {}", table.name))).collect();
        missed_nothing(&search::files(&needles, &files).unwrap(), moves());
    }
    for (form, bytes) in spelled(&words) {
        write_file(&folder.join(form), &bytes);
        missed_nothing(&search::files(&needles, &[folder.join(form)]).unwrap(), moves());
    }
}

/// A text in the other spellings that a leak can have.
fn spelled(text: &str) -> [(&'static str, Vec<u8>); 4] {
    use base64::Engine;
    let latin1 = text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect();
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
    let base64 = base64::engine::general_purpose::STANDARD.encode(text);
    [("latin-1", latin1), ("utf-16le", wide), ("hex", hex.into_bytes()), ("base64", base64.into_bytes())]
}

/// As many values of each kind as were planted were seen.
fn missed_nothing<'a>(report: &search::Report, planted: impl Iterator<Item = &'a Sentinel>) {
    let mut owed = std::collections::BTreeMap::<String, u64>::new();
    for sentinel in planted {
        let count = owed.entry(label(sentinel)).or_default();
        *count = count.saturating_add(1);
    }
    assert!(!owed.is_empty());
    for (label, count) in owed {
        let seen: u64 = report.hits.iter().filter(|hit| hit.label == label).map(|hit| hit.count).sum();
        assert!(seen >= count, "the control: {seen} of {count} values of {label} were seen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_server_with_its_ring_and_its_secrets_opens_nothing_without_the_laboratorys_share() {
    let mut world = World::start().await;
    let systems = world.systems_of(SEEDS[1], 120);
    let round = whole_passage(&world, &systems).await;
    let salt = world.opened(&round).await;
    world.stop().await;
    let server = world.server_folder();
    assert!(round.manifest.parcels.len() >= 4);

    // Whoever has all of it has the strongroom share. The manifest says so.
    let strongroom = world.strongroom_share(&server, &world.ring_folder(), &round).unwrap().unwrap();
    assert_eq!(strongroom.digest(), round.manifest.strongroom_share);
    let files = files_below(&[&server, &world.ring_folder()]).into_iter().map(|path| std::fs::read(path).unwrap());
    let haystacks: Vec<Vec<u8>> = files.chain(world.server_secrets()).collect();
    let found = round.shares_within(haystacks.iter().map(Vec::as_slice));

    assert!(found.is_empty(), "a share stands in the clear on the server");
    let mut candidates: Vec<Share> = vec![Share::take(&[0; 32]).unwrap(), Share::take(strongroom.expose()).unwrap()];
    candidates.push(Share::take(&round.manifest.laboratory_share.0).unwrap());
    candidates.extend(world.server_secrets().iter().filter_map(|secret| Share::take(secret).ok()));
    candidates.extend(words_of(&haystacks).map(|word| Share::take(&word.0).unwrap()));
    assert!(candidates.len() > 50, "{}", candidates.len());
    for candidate in &candidates {
        assert_eq!(round.opened_by(&server, salt, (candidate, &strongroom)), 0);
    }
    // The control: with the laboratory's share every parcel opens, so that it was the share which was missing.
    let laboratory = world.laboratory_share(&world.home(Name::Operator), &round).unwrap();
    assert_eq!(round.opened_by(&server, salt, (&laboratory, &strongroom)), round.manifest.parcels.len() + 1);
    assert_eq!(round.opened_by(&server, salt, (&strongroom, &laboratory)), 0);
    assert_eq!(round.shares_within([laboratory.expose().as_slice()]).len(), 1);
}

/// Everything that the server calls by 64 hexadecimal digits: digests, keys, nonces.
fn words_of(haystacks: &[Vec<u8>]) -> impl Iterator<Item = Digest> {
    let texts = haystacks.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut words: Vec<Digest> = texts
        .flat_map(|text| {
            let pieces = text.split(|letter: char| !letter.is_ascii_hexdigit()).filter(|piece| piece.len() == 64);
            pieces.filter_map(|piece| piece.parse().ok()).collect::<Vec<Digest>>()
        })
        .collect();
    words.sort_unstable_by_key(|word| word.0);
    words.dedup();
    words.truncate(400);
    words.into_iter()
}
