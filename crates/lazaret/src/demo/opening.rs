//! Before anything moves: the systems, the server, the people, the plan.

use std::sync::Arc;

use lexicon::{Result, hours_after};
use serde_json::Value;
use synth::{Made, MadeReports};

use super::Wish;
use super::cast::{
    APPROVER, CONTROLLER, ENGINEER, LABORATORY, OPERATOR, Organisation, PEOPLE, Person, RECIPIENT, VENDOR,
};
use super::child::{Commands, field, text};
use super::figures::{bytes, count, hex, of};
use super::ground::{DOCUMENTS, NEW, OLD, REPORTS, RING, SCOPE, SERVER, unusable};
use super::plan::{self, Systems};
use super::serving::Serving;
use crate::cli::Context;
use crate::files;

/// Reports in the old system's folder: some hundred, as small as such reports are, and one above a megabyte.
const REPORTS_MADE: u64 = 300;

/// Makes the old system with its reports, and the empty new one; what was planted in both is in the first.
pub(super) async fn systems(commands: &Arc<Commands>, wish: &Wish) -> Result<Made> {
    commands.tell.stage("The old system and the new one");
    let [old, new, folder] = [OLD, NEW, REPORTS].map(|name| commands.ground.path(name));
    let (seed, patients) = (wish.seed, wish.patients);
    let started = std::time::Instant::now();
    let made = blocking(move || {
        let mut made = synth::laboratory(&old, seed, patients, &mut |_| {})?;
        synth::new_system(&new)?;
        let reports = synth::reports(&folder, seed, REPORTS_MADE)?;
        made.sentinels.extend_from_slice(&reports.sentinels);
        Ok((made, reports))
    })
    .await?;
    let (made, reports): (Made, MadeReports) = made;
    let seconds = started.elapsed().as_secs_f64();
    // As the operator's machine calls it: a temporary folder may have two names.
    let folder = commands.ground.path(REPORTS);
    let folder = folder.canonicalize().map_err(|error| unusable(&folder, &error))?;
    let scope = [synth::scope_toml(), synth::reports_toml(&folder)].concat();
    files::write_new(&commands.ground.path(SCOPE), scope.as_bytes())?;
    let size = std::fs::metadata(commands.ground.path(OLD)).map_or(0, |metadata| metadata.len());
    let rows = |table| count(made.rows(table).all);
    commands.tell.happened(&format!(
        "{} patients, {} requests, {} results drawn from seed {seed}: {} in {seconds:.1} s. Nobody in it exists.",
        rows("patient"),
        rows("request"),
        rows("result"),
        bytes(size)
    ));
    commands.tell.happened(&format!(
        "{} reports as PDF beside it, {}, and {} that no scope should take.",
        count(reports.documents),
        bytes(reports.bytes),
        of(reports.stay, "file")
    ));
    commands.tell.happened(&format!(
        "{} sentinels stand in it: values that are nowhere else on earth. The new system is empty.",
        count(u64::try_from(made.sentinels.len()).unwrap_or(u64::MAX))
    ));
    Ok(made)
}

/// One passphrase for everybody who has a key. In files, because no person is there to type them.
pub(super) fn secrets(context: &Context, commands: &Commands) -> Result<()> {
    let people = PEOPLE.iter().flat_map(|(organisation, people)| {
        std::iter::once(organisation.folder).chain(people.iter().map(|person| person.role))
    });
    for name in std::iter::once("server").chain(people) {
        let secret = hex(&context.entropy.bytes::<24>()?);
        files::write_new(&commands.ground.path("secrets").join(name), secret.as_bytes())?;
    }
    Ok(())
}

/// Makes the server and the two organisations, admits them, and starts it.
pub(super) async fn server(commands: &Arc<Commands>) -> Result<Serving> {
    commands.tell.stage("The server");
    let listen = free_address()?;
    commands.server(&["init", "--data", SERVER, "--ring", RING, "--listen", &listen, "--demonstration"]).await?;
    for organisation in [LABORATORY, VENDOR] {
        let made = commands
            .organisation(
                &organisation,
                &["organisation", "create", "--name", organisation.name, "--folder", organisation.folder],
            )
            .await?;
        let words = text(&made, "words")?.to_owned();
        commands.tell.happened(&format!("{} makes its root key. By telephone: {words}", organisation.name));
        commands.server(&["trust", &public(organisation), "--data", SERVER, "--words", &words]).await?;
    }
    let serving = Serving::start(commands).await?;
    commands.tell.happened(&format!(
        "It listens at https://{listen}, on this machine only, and is a demonstration for ever. It has its data in \
         {SERVER}/ and its key ring in {RING}/."
    ));
    Ok(serving)
}

/// A port that nobody uses: the system names one, and it is given back at once for the server to take.
fn free_address() -> Result<String> {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(bound.map_err(|error| unusable(std::path::Path::new("127.0.0.1"), &error))?.to_string())
}

/// The public half of an organisation's root.
pub(super) fn public(organisation: Organisation) -> String {
    format!("{}/organisation.json", organisation.folder)
}

/// Five persons enrol, each with a key made on their own device, and pin the other organisation's root.
pub(super) async fn people(commands: &Commands) -> Result<()> {
    commands.tell.stage("Five persons, five devices");
    let [laboratory, vendor] = PEOPLE;
    tokio::try_join!(organisation(commands, laboratory, VENDOR), organisation(commands, vendor, LABORATORY))?;
    for (organisation, people) in PEOPLE {
        for person in people {
            commands.tell.happened(&format!("{:11} {}, certified by {}", person.role, person.name, organisation.name));
        }
    }
    commands
        .tell
        .proved("each organisation's root signs its own persons; the server lists certificates and cannot make one");
    Ok(())
}

async fn organisation(
    commands: &Commands,
    (own, people): (Organisation, &[Person]),
    other: Organisation,
) -> Result<()> {
    let words = [words(commands, own)?, words(commands, other)?];
    for person in people {
        enrol(commands, person, &words).await?;
    }
    Ok(())
}

/// The six words of a root, as its organisation reads them out.
fn words(commands: &Commands, organisation: Organisation) -> Result<String> {
    let root: people::Root = files::json(&commands.ground.path(&public(organisation)))?;
    Ok(lexicon::spoken(&root.id()))
}

async fn enrol(commands: &Commands, person: &Person, [own, other]: &[String; 2]) -> Result<()> {
    let (organisation, role) = (person.of, person.role);
    let paper = |kind: &str| format!("papers/{role}.{kind}");
    let [invitation, request, certificate] = ["invitation", "request", "certificate"].map(paper);
    let (folder, device) = (organisation.folder, format!("{role}-laptop"));
    let card = format!("{SERVER}/card.json");
    let invite = ["person", "invite", "--folder", folder, "--name", person.name, "--role", role, "--server", &card];
    commands.organisation(&organisation, &[&invite[..], &["--out", &invitation]].concat()).await?;
    let enrol =
        ["person", "enrol", "--invitation", &invitation, "--words", own, "--device", &device, "--out", &request];
    commands.person(person, &enrol).await?;
    let certify = ["person", "certify", "--folder", folder, "--request", &request, "--invitation", &invitation];
    commands.organisation(&organisation, &[&certify[..], &["--out", &certificate]].concat()).await?;
    commands.person(person, &["person", "enrol", "--certificate", &certificate]).await?;
    let stranger = if organisation.folder == LABORATORY.folder { VENDOR } else { LABORATORY };
    commands.person(person, &["trust", &public(stranger), "--words", other]).await?;
    Ok(())
}

/// What two persons approved.
pub(super) struct Approved {
    pub(super) migration: String,
    pub(super) plan: String,
    /// What the scope check counted in the old system.
    pub(super) counted: Vec<scope::ReportTable>,
    /// What it counted in its folder of reports.
    pub(super) documents: Vec<scope::ReportDocuments>,
}

/// Checks the scope on both sides, then proposes a plan and has it approved.
pub(super) async fn plan(context: &Context, commands: &Commands) -> Result<Approved> {
    commands.tell.stage("Scope and plan");
    let (old, new) = (commands.ground.database(OLD), commands.ground.database(NEW));
    let report = "papers/report.json";
    let source =
        commands.person(&OPERATOR, &["scope", "check", "--source", &old, "--scope", SCOPE, "--out", report]).await?;
    let check = ["scope", "check", "--target", &new, "--documents", DOCUMENTS, "--scope", SCOPE];
    let target = commands.person(&RECIPIENT, &check).await?;
    let counted: Vec<scope::ReportTable> = field(&source, "tables")?;
    let documents: Vec<scope::ReportDocuments> = field(&source, "documents")?;
    scope_told(commands, &counted, &documents);
    let opened = commands
        .person(&ENGINEER, &["migration", "open", "--controller", &public(LABORATORY), "--processor", &public(VENDOR)])
        .await?;
    let migration = text(&opened, "migration")?.to_owned();
    let systems = Systems {
        source: system(&source, "source")?,
        target: system(&target, "target")?,
        documents: text(&target, "documents_folder")?.to_owned(),
    };
    let file = plan::file(&systems, hours_after(context.now(), 30 * 24))?;
    files::write_new(&commands.ground.path("papers/contract.txt"), plan::CONTRACT.as_bytes())?;
    files::write_new(&commands.ground.path("papers/plan.toml"), file.as_bytes())?;
    let proposed = commands.person(&ENGINEER, &["migration", "propose", "--plan", "papers/plan.toml"]).await?;
    let plan = text(&proposed, "plan")?.to_owned();
    for person in [APPROVER, CONTROLLER] {
        commands.person(&person, &["migration", "approve", "--yes", &plan]).await?;
    }
    commands.tell.happened(&format!("Migration {migration}, plan {}.", plan.get(..12).unwrap_or(&plan)));
    commands.tell.acted(&format!("{} proposes", ENGINEER.introduced()));
    commands.tell.acted(&format!("{} and {} approve", APPROVER.introduced(), CONTROLLER.introduced()));
    commands.tell.proved(
        "their signatures over the same bytes; nobody approves what they wrote, one of the two is the laboratory's",
    );
    Ok(Approved { migration, plan, counted, documents })
}

fn scope_told(commands: &Commands, counted: &[scope::ReportTable], documents: &[scope::ReportDocuments]) {
    for table in counted {
        commands.tell.happened(&format!(
            "{:12} {} of {}; {} pass and {} stay",
            table.name,
            count(table.rows_in_scope),
            of(table.rows_source, "row"),
            of(u64::try_from(table.columns_taken.len()).unwrap_or(0), "column"),
            count(u64::try_from(table.columns_left.len()).unwrap_or(0)),
        ));
    }
    for part in documents {
        let (kinds, stays) = (part.kinds.iter(), part.stays.values().copied().fold(0, u64::saturating_add));
        let kinds = kinds.map(|(kind, found)| format!("{} {kind}, {}", count(found.documents), bytes(found.bytes)));
        let kinds = kinds.collect::<Vec<_>>().join("; ");
        commands.tell.happened(&format!("{:12} {kinds}; {} stay. {}", part.name, of(stays, "file"), part.sentence));
    }
    commands.tell.acted(&format!("{} checks it against the old system", OPERATOR.introduced()));
    commands.tell.proved("the operator's signed report, counts only; the plan is bound to it");
}

fn system(said: &Value, name: &str) -> Result<(String, String)> {
    let said: Value = field(said, name)?;
    Ok((text(&said, "identity")?.to_owned(), text(&said, "schema")?.to_owned()))
}

/// Runs what would keep other things waiting beside them.
pub(super) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(run).await.map_err(|_| {
        lexicon::Fault::new(lexicon::Code(1082), lexicon::Retry::Never, "a part of the demonstration broke off")
    })?
}
