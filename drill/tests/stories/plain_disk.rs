//! Finding 2 of the decision: personal data lay unencrypted on the server. Here the whole server, taken live, opens
//! nothing, and no party's folder holds a value of a patient in any form.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use arrow_array::{Array, StringArray};
use drill::{Command, Name, Round, Systems, World, entropy, files_below, passphrase, write_file};
use lexicon::{Code, Digest};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use passage::{Errand, Quiet};
use seal::{Form, Share};
use synth::search::{self, Hit, Report};
use synth::{Place, Sentinel};

use super::sentinels::{label, missed_nothing, needles, spelled};

/// Seeds that no other story uses, so that what is found is of these laboratories.
const SEEDS: [u64; 4] = [2_021, 2_022, 2_023, 2_025];

/// Everything in the world's folder besides the two laboratory systems: server, ring, five homes, two roots, the pack.
fn besides_the_systems(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().path());
    let is_system = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("old.sqlite") || name.starts_with("new.sqlite")
    };
    entries.filter(|path| !is_system(path)).collect()
}

/// What was planted where it moves.
pub(super) fn moving(systems: &Systems) -> impl Iterator<Item = &Sentinel> {
    systems.made.sentinels.iter().filter(|sentinel| sentinel.place == Place::Moves)
}

/// What the search saw after a passage. Logs, temporary files and the rest it sees at the world's end.
struct Searched {
    /// Everything in the world's folder besides the two systems.
    parties: Report,
    /// The new system.
    new: Report,
}

impl Searched {
    fn after(world: &World, systems: &Systems) -> Self {
        let planted = &systems.made.sentinels;
        for place in [Place::LeftColumn, Place::LeftRow, Place::Moves] {
            assert!(planted.iter().any(|sentinel| sentinel.place == place), "nothing is planted in {place:?}");
        }
        let all = needles(planted);
        let parties = search::files(&all, &besides_the_systems(world)).unwrap();
        assert!(parties.missed.is_empty(), "{:?}", parties.missed);
        assert!(parties.files > 40 && parties.bytes > 100_000, "{parties:?}");
        let new = search::files(&all, &[systems.new.clone(), world.path("new.sqlite-documents")]).unwrap();
        // The control: the same search finds everything where it is.
        let old = [systems.old.clone(), world.path("old.sqlite-reports")];
        missed_nothing(&search::files(&all, &old).unwrap(), planted.iter());
        let moves: BTreeSet<String> = moving(systems).map(label).collect();
        let stays: Vec<&Hit> = new.hits.iter().filter(|hit| !moves.contains(&hit.label)).collect();
        assert!(stays.is_empty() && new.missed.is_empty(), "{stays:?} {:?}", new.missed);
        Self { parties, new }
    }
}

/// Reports beside the old system; what is planted in them counts as planted in it. The scope of both.
pub(super) fn with_reports(world: &World, systems: &mut Systems, seed: u64) -> String {
    let (made, _, scope) = world.reports(seed, 60);
    systems.made.sentinels.extend(made.sentinels);
    scope
}

async fn whole_passage(world: &World, systems: &Systems, scope: &str) -> Round {
    let round = world.closed_with(systems, scope).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    assert!(world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap().reconciliation.equal());
    export(world, &round).await;
    round
}

async fn export(world: &World, round: &Round) {
    let desk = world.desk(Name::Controller);
    let pack = desk.client().evidence(desk.keeper(), round.plan.migration).await.unwrap();
    write_file(&world.path("evidence.zip"), &pack);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_partys_folder_holds_a_value_of_a_patient_in_any_form() {
    let world = World::start().await;
    let mut systems = world.systems_of(SEEDS[0], 300);
    let scope = with_reports(&world, &mut systems, SEEDS[0]);

    whole_passage(&world, &systems, &scope).await;
    let searched = Searched::after(&world, &systems);

    assert!(searched.parties.is_clean(), "{:?}", searched.parties.hits);
    // The control: what moves is found in the new system, by the search that finds nothing there of what stays.
    missed_nothing(&searched.new, moving(&systems));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sealing_and_compression_the_same_search_finds_every_value_that_moves_and_none_that_stays() {
    let world = World::start().await;
    let mut systems = world.systems_of(SEEDS[2], 300);
    let scope = with_reports(&world, &mut systems, SEEDS[2]);

    let round = passage_in_clear(&world, &systems, &scope).await;
    let searched = Searched::after(&world, &systems);

    missed_nothing(&searched.parties, moving(&systems));
    let labels: BTreeSet<String> = moving(&systems).map(label).collect();
    let stays: Vec<&Hit> = searched.parties.hits.iter().filter(|hit| !labels.contains(&hit.label)).collect();
    assert!(stays.is_empty(), "the scope let pass what stays: {stays:?}");
    // Where they are: in parcels, on the shelf and where the recipient keeps one for its probe.
    let places = [world.server_folder().join("shelf"), world.home(Name::Recipient)];
    let elsewhere: Vec<&Hit> =
        searched.parties.hits.iter().filter(|hit| !places.iter().any(|place| hit.file.starts_with(place))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    practised(&world, &round, &systems);
    // What the story left on purpose; the rest is searched at its end.
    for folder in ["server", "homes", "practice"] {
        world.system(folder);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_story_leaves_anywhere_makes_it_red_at_its_end() {
    let world = World::start().await;
    let systems = world.systems_of(SEEDS[3], 60);
    let reports = world.reports(SEEDS[3], 10).0.sentinels;
    let column = |column: &str| systems.made.sentinels.iter().chain(&reports).find(|planted| planted.column == column);
    let [family, named, told] = ["family_name", "name", "content"].map(|name| &column(name).unwrap().value);
    let nothing = world.left_in_clear();
    assert!(nothing.is_clean() && nothing.bytes > 10_000, "{nothing:?}");
    world.bucket(&world.system("bucket"));
    std::fs::create_dir(world.path("bucket")).unwrap();

    let beside = drill::folder();
    // Gone whatever becomes of this story.
    let core = tempfile::Builder::new().prefix("core.").tempfile_in(std::env::current_dir().unwrap()).unwrap();
    let temporary = tempfile::NamedTempFile::new().unwrap();
    let row = |file: &Path| {
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch(&format!("CREATE TABLE noted (text); INSERT INTO noted VALUES ('{family}')")).unwrap();
        connection
    };
    let open = row(&world.server_folder().join("noted.sqlite"));
    write_file(&world.home(Name::Operator).join("draft"), told.as_bytes());
    write_file(&world.path(&format!("server/{named}.pdf")), b"a name");
    write_file(&world.path("bucket/object"), family.as_bytes());
    // What begins as zlib does and is none: a file that was not searched, and in a bucket the middle of an object.
    let block = world.path("server/block");
    write_file(&block, b"\x78\x9c\xff\xff\xff\xff");
    write_file(&world.path("bucket/block"), b"\x78\x9c\xff\xff\xff\xff");
    write_file(&beside.path().join("another story's"), family.as_bytes());
    core.as_file().write_all(family.as_bytes()).unwrap();
    temporary.as_file().write_all(family.as_bytes()).unwrap();
    writeln!(OpenOptions::new().append(true).open(drill::log()).unwrap(), "{family}").unwrap();
    // A process that is given them, and says one on each of its streams.
    let said = Command::new("sh").args(["-c", "echo \"$0\"; echo \"error: $1\" >&2", family, told]).output().unwrap();
    assert!(said.status.success());

    let left = world.left_in_clear();
    let places: BTreeSet<&Path> = left.hits.iter().map(|hit| hit.file.as_path()).collect();
    let mut expected =
        ["server/noted.sqlite-wal", &format!("server/{named}.pdf"), "bucket/object"].map(|at| world.path(at)).to_vec();
    expected.push(world.home(Name::Operator).join("draft"));
    expected.extend([core.path(), temporary.path(), drill::log(), drill::said()].map(Path::to_owned));
    assert_eq!(places, expected.iter().map(PathBuf::as_path).collect());
    let said = left.hits.iter().filter(|hit| hit.file == drill::said()).map(|hit| &hit.label);
    assert_eq!(said.collect::<BTreeSet<_>>().len(), 2, "one of the streams of a process was not searched");
    let missed: BTreeSet<&Path> = left.missed.iter().map(|missed| missed.file.as_path()).collect();
    assert_eq!(missed, [block.as_path()].into(), "{:?}", left.missed);

    drop(open);
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| drop(world))).unwrap_err();
    let said = ended.downcast_ref::<String>().unwrap();
    assert!(said.starts_with("a story left values of patients in clear") && !said.contains(family), "{said}");
}

/// As [`World::closed_with`], by the same rooms, with nothing encrypted and nothing compressed.
pub(super) async fn closed_in_clear(world: &World, systems: &Systems, scope: &str) -> Round {
    let plan = world.approved(scope, systems.source.as_ref(), systems.sink.as_ref()).await;
    let (migration, consignment, secret) = (plan.migration, world.consign(&plan).await, passphrase());
    let desk = world.desk(Name::Operator);
    let errand = Errand { desk: &desk, passphrase: &secret, migration, consignment, progress: &Quiet };
    let manifest = passage::extract_as(&errand, systems.source.as_ref(), entropy(), Form::Unsealed).await.unwrap();
    Round { plan, consignment, manifest }
}

/// As [`whole_passage`], with a consignment in clear; nobody loads that.
async fn passage_in_clear(world: &World, systems: &Systems, scope: &str) -> Round {
    let round = closed_in_clear(world, systems, scope).await;
    world.release(&round.plan, round.consignment).await.unwrap();
    let refused = world.load(&round.plan, round.consignment, systems.sink.as_ref()).await.unwrap_err();
    assert_eq!(refused.code(), Code(504), "{refused}");
    export(world, &round).await;
    round
}

/// The texts of those parcels in every other spelling, and their rows compressed: seen in each.
fn practised(world: &World, round: &Round, systems: &Systems) {
    let folder = world.path("practice");
    std::fs::create_dir(&folder).unwrap();
    let mut words = String::new();
    for (name, bytes, line) in round.parcels(&world.server_folder()) {
        if round.manifest.documents.iter().any(|part| part.parcels.contains(line)) {
            words.push_str(&String::from_utf8_lossy(&bytes));
            write_file(&folder.join(format!("as it is {}", line.parcel)), &bytes);
            continue;
        }
        let rows = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema().clone(), Some(properties)).unwrap();
        for batch in rows.build().unwrap() {
            let batch = batch.unwrap();
            writer.write(&batch).unwrap();
            let texts = batch.columns().iter().filter_map(|column| column.as_any().downcast_ref::<StringArray>());
            texts.flat_map(|column| column.iter().flatten()).for_each(|word| words.extend([word, "; "]));
        }
        write_file(&folder.join(format!("zstd {} {}", name.table, line.parcel)), &writer.into_inner().unwrap());
    }
    let needles = needles(moving(systems));
    missed_nothing(&search::files(&needles, &[&folder]).unwrap(), moving(systems));
    for (form, bytes) in spelled(&words) {
        write_file(&folder.join(form), &bytes);
        missed_nothing(&search::files(&needles, &[folder.join(form)]).unwrap(), moving(systems));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_server_with_its_ring_and_its_secrets_opens_nothing_without_the_laboratorys_share() {
    let mut world = World::start().await;
    let systems = world.systems_of(SEEDS[1], 120);
    let round = whole_passage(&world, &systems, &world.reports(SEEDS[1], 60).2).await;
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
    assert_eq!(round.opened_by(&server, salt, (&laboratory, &strongroom)), round.manifest.sealed().count() + 1);
    assert_eq!(round.opened_by(&server, salt, (&strongroom, &laboratory)), 0);
    assert_eq!(round.shares_within([laboratory.expose()]).len(), 1);
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
