//! The pack as a zip file that any tool opens, and the way back within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read, Write};

use lexicon::{Digest, Result, canonical};
use people::{Envelope, PublicKey, RootId};
use procedure::{Act, Ledger};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::People;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::layout::{self, Member};
use crate::trouble::{no_pack, too_large, unwritten};
use crate::verdict::Shown;
use crate::{Noted, Pack, Trust, markdown};

/// 64 MiB: four manifests of the largest size that an act may have, not compressed at all; the usual pack has some
/// hundred kilobytes.
pub const PACK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// 256 MiB: what a machine may be asked to hold for a file that somebody sent. Text of digests shrinks by about two,
/// the rest by ten.
pub const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Thirteen members and two documents for each plan; nobody amends a plan five hundred times.
const MEMBERS_MAX: usize = 1024;

const CARD: &str = "server.json";
const PEOPLE: &str = "people.json";
const ENTRIES: &str = "entries.jsonl";
const INCLUSION: &str = "inclusion.json";
const NOTES: &str = "notes.json";
const CHECKPOINT: &str = "checkpoint.txt";
const CERTIFICATE: &str = "certificate.json";
const STAMP: &str = "certificate.tsr";
const DOCUMENTS: &str = "documents/";

/// Writes a pack as a zip file: the same bytes for the same pack. It is verified first, with the roots that it holds,
/// so that nobody hands out what does not hold; of the people it keeps those whom the entries need.
///
/// # Errors
/// As [`crate::verify`]; a refusal when it is beyond the bounds that [`read`] keeps.
pub fn write(pack: &Pack) -> Result<Vec<u8>> {
    let people = needed(&Shown::of(pack, &Trust::default())?);
    let kept = Pack { people, told: BTreeMap::new(), ..pack.clone() };
    let told = markdown::told(&Shown::of(&kept, &Trust::default())?)?;
    let mut members = Vec::new();
    for name in markdown::TOLD {
        members.extend(told.get(name).map(|bytes| (name.to_owned(), bytes.clone())));
    }
    members.push((CARD.to_owned(), canonical(&kept.card)?));
    members.push((PEOPLE.to_owned(), canonical(&kept.people)?));
    members.push((ENTRIES.to_owned(), lines(&kept)?));
    members.push((INCLUSION.to_owned(), canonical(&kept.inclusion)?));
    members.push((CHECKPOINT.to_owned(), kept.checkpoint.clone().into_bytes()));
    if !kept.notes.is_empty() {
        members.push((NOTES.to_owned(), canonical(&kept.notes)?));
    }
    if let Some(certificate) = &kept.certificate {
        members.push((CERTIFICATE.to_owned(), canonical(certificate)?));
    }
    members.extend(kept.stamp.iter().map(|stamp| (STAMP.to_owned(), stamp.clone())));
    members.extend(kept.documents.iter().map(|(digest, bytes)| (format!("{DOCUMENTS}{digest}"), bytes.clone())));
    let bytes = members.iter().map(|(_, bytes)| bytes.len()).fold(0, usize::saturating_add);
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > UNPACKED_BYTES_MAX) || members.len() > MEMBERS_MAX {
        return Err(too_large(&format!("it would have {} members and {bytes} bytes", members.len())));
    }
    let zip = pack_up(&members).map_err(|error| unwritten(&error.to_string()))?;
    if zip.len() > PACK_BYTES_MAX {
        return Err(too_large(&format!("it would have {} bytes", zip.len())));
    }
    Ok(zip)
}

fn lines(pack: &Pack) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for placed in &pack.entries {
        lines.extend(canonical(placed)?);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// No times, no owners, no comments: whoever packs the same things gets the same bytes.
fn pack_up(members: &[(String, Vec<u8>)]) -> zip::result::ZipResult<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(name.as_str(), options)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The people whom a story needs: parties' roots, certificates that acted, that a plan's devices have or that were
/// taken back, and the revocations of those.
fn needed(shown: &Shown<'_>) -> People {
    let story = &shown.story;
    let mut roots: BTreeSet<RootId> = story.migration().parties.iter().map(|party| party.root).collect();
    let mut certificates: BTreeSet<Digest> = markdown::acting(shown).into_iter().collect();
    let devices = devices(&story.ledger);
    for (digest, _) in story.roster.envelopes() {
        if story.roster.certificate(digest).is_some_and(|certificate| devices.contains(&certificate.device.key)) {
            certificates.insert(*digest);
        }
    }
    for recorded in story.ledger.recorded() {
        if let Act::Revoke { root, certificate, .. } = &recorded.fact.act {
            roots.insert(*root);
            certificates.insert(*certificate);
        }
    }
    let theirs = |digest: &Digest| story.roster.certificate(digest).map(|certificate| certificate.root);
    roots.extend(certificates.iter().filter_map(theirs));
    let people = &story.pack.people;
    let of = |envelope: &&Envelope| envelope.digest().is_ok_and(|digest| certificates.contains(&digest));
    let taken_back = |envelope: &&Envelope| {
        story.roster.revocation(envelope).is_ok_and(|(_, revocation)| certificates.contains(&revocation.certificate))
    };
    People {
        roots: people.roots.iter().filter(|root| roots.contains(&root.id())).cloned().collect(),
        certificates: people.certificates.iter().filter(of).cloned().collect(),
        revocations: people.revocations.iter().filter(taken_back).cloned().collect(),
    }
}

/// The devices that any plan names.
fn devices(ledger: &Ledger) -> BTreeSet<PublicKey> {
    let plans = crate::story::facts(ledger, |act| if let Act::Propose { plan } = act { Some(plan) } else { None });
    plans.into_iter().flat_map(|(_, plan)| plan.extracting.iter().chain(&plan.loading).copied()).collect()
}

/// Takes a zip file apart, within [`PACK_BYTES_MAX`] and [`UNPACKED_BYTES_MAX`] whatever it claims. Nothing in it is
/// believed yet: [`crate::verify`] comes next.
///
/// # Errors
/// A refusal when it is cut, damaged, too large, or holds anything but the members of a pack.
pub fn read(zip: &[u8]) -> Result<Pack> {
    if zip.len() > PACK_BYTES_MAX {
        return Err(too_large(&format!("the file has {} bytes", zip.len())));
    }
    let mut members = unpack(zip)?;
    let mut take = |name: &str| members.remove(name).ok_or_else(|| no_pack(&format!("{name} is missing")));
    let card: wire::ServerCard = parse(CARD, &take(CARD)?)?;
    let people = parse(PEOPLE, &take(PEOPLE)?)?;
    let entries = parse_lines(&take(ENTRIES)?)?;
    let inclusion = parse(INCLUSION, &take(INCLUSION)?)?;
    let checkpoint = String::from_utf8(take(CHECKPOINT)?).map_err(|_| no_pack("its checkpoint is no text"))?;
    let notes: Vec<Noted> = members.remove(NOTES).map(|bytes| parse(NOTES, &bytes)).transpose()?.unwrap_or_default();
    let certificate = members.remove(CERTIFICATE).map(|bytes| parse(CERTIFICATE, &bytes)).transpose()?;
    let stamp = members.remove(STAMP);
    let mut told = BTreeMap::new();
    for name in markdown::TOLD {
        told.extend(members.remove(name).map(|bytes| (name.to_owned(), bytes)));
    }
    let about = told.get(markdown::ABOUT).ok_or_else(|| no_pack("it does not say what it is"))?;
    let about: markdown::About = parse(markdown::ABOUT, about)?;
    let mut documents = BTreeMap::new();
    for (name, bytes) in members {
        let digest = name.strip_prefix(DOCUMENTS).and_then(|name| name.parse::<Digest>().ok());
        let digest = digest.ok_or_else(|| no_pack("it holds a member that is none of a pack's"))?;
        documents.insert(digest, bytes);
    }
    let migration = about.migration;
    Ok(Pack { card, migration, entries, people, checkpoint, inclusion, notes, documents, certificate, stamp, told })
}

/// All members by name, unpacked.
fn unpack(zip: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let damaged = |_| no_pack("it is cut or damaged");
    let mut archive = ZipArchive::new(Cursor::new(zip)).map_err(damaged)?;
    if archive.len() > MEMBERS_MAX || archive.offset() != 0 || !archive.comment().is_empty() {
        return Err(no_pack("it has too many members, a comment, or bytes before it"));
    }
    let directory_start = archive.central_directory_start();
    let mut left = UNPACKED_BYTES_MAX;
    let (mut members, mut places) = (BTreeMap::new(), Vec::new());
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(damaged)?;
        let name = file.name().map_err(damaged)?.into_owned();
        let method = file.compression();
        if !matches!(method, CompressionMethod::Deflated | CompressionMethod::Stored) || file.encrypted() {
            return Err(no_pack("a member is packed in a way that no pack is"));
        }
        places.push((name.clone(), file.header_start(), file.central_header_start(), file.compressed_size()));
        // What the header claims is not believed: the reader stops one byte after what is left.
        let mut bytes = Vec::new();
        let read = file.by_ref().take(left.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|_| no_pack("a member is cut or damaged"))?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        left = left.checked_sub(size).ok_or_else(|| too_large("it unpacks to more than any pack"))?;
        members.insert(name, bytes);
    }
    let places: Vec<Member<'_>> = places
        .iter()
        .map(|(name, header_start, central_start, compressed)| Member {
            name,
            header_start: *header_start,
            central_start: *central_start,
            compressed: *compressed,
        })
        .collect();
    layout::check(zip, directory_start, &places)?;
    Ok(members)
}

/// A member in the one spelling that [`write`] gives it: nothing hides between the lines.
fn parse<T: DeserializeOwned + Serialize>(name: &str, bytes: &[u8]) -> Result<T> {
    let value: T =
        serde_json::from_slice(bytes).map_err(|_| no_pack(&format!("{name} does not say what it should")))?;
    if canonical(&value)? != bytes {
        return Err(no_pack(&format!("{name} is not in canonical form")));
    }
    Ok(value)
}

fn parse_lines<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<Vec<T>> {
    let lines = bytes.strip_suffix(b"\n").ok_or_else(|| no_pack("its last entry is cut"))?;
    lines.split(|byte| *byte == b'\n').map(|line| parse(ENTRIES, line)).collect()
}
