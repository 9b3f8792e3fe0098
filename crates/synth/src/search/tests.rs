use std::io::{Cursor, Read, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::needles::hex;
use super::*;

/// Beyond ASCII, and with both base64 alphabets' own symbols in it.
const ACCENTED: &str = "Hélène Ûÿ~~~ÿ?>ûœuvre";
const ACCENTED_LATIN: &str = "Hélène Ûÿ~~~ÿ?>ûuvre";
const PLAIN: &str = "kQ7wZr2mXb9TnYc4HsLd";

fn needles() -> Needles {
    Needles::new([("plain", PLAIN), ("accented", ACCENTED), ("latin", ACCENTED_LATIN)]).unwrap()
}

fn look(bytes: &[u8]) -> Report {
    reader(&needles(), Path::new("bytes"), &mut Cursor::new(bytes)).unwrap()
}

/// What the search said of `bytes` between other bytes.
fn between(bytes: &[u8]) -> Report {
    look(&[&b"front \x00\xff 1"[..], bytes, b"\x00 behind"].concat())
}

fn hit(report: &Report, label: &str, encoding: Encoding) -> u64 {
    report.hits.iter().filter(|hit| hit.label == label && hit.encoding == encoding).map(|hit| hit.count).sum()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(entries: &[(&str, &[u8], zip::CompressionMethod)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, method) in entries {
        let options = zip::write::SimpleFileOptions::default().compression_method(*method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Bytes that compress neither away nor not at all, from a seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut dice = crate::dice::Dice::new(seed, "noise", 0);
    (0..length).map(|_| u8::try_from(dice.below(256)).unwrap()).collect()
}

fn words(length: usize) -> Vec<u8> {
    let mut dice = crate::dice::Dice::new(3, "words", 0);
    let mut out = Vec::new();
    while out.len() < length {
        out.extend(crate::names::street(&mut dice).into_bytes());
        out.push(b'\n');
    }
    out
}

/// Gives one byte at a time, so that every border falls everywhere.
struct Drop<'a>(&'a [u8]);

impl Read for Drop<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let (Some(first), rest) = (self.0.first(), self.0.get(1..).unwrap_or_default()) else { return Ok(0) };
        out[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

#[test]
fn each_encoding_is_found_and_named() {
    for (label, value) in [("plain", PLAIN), ("accented", ACCENTED)] {
        assert_eq!(hit(&between(value.as_bytes()), label, Encoding::Utf8), 1);
        let wide: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(hit(&between(&wide), label, Encoding::Utf16), 1);
        assert_eq!(hit(&between(hex(value.as_bytes()).as_bytes()), label, Encoding::Hex), 1);
        assert_eq!(hit(&between(hex(value.as_bytes()).to_uppercase().as_bytes()), label, Encoding::Hex), 1);
    }
    let big: Vec<u8> = PLAIN.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(hit(&between(&big), "plain", Encoding::Utf16), 1);
}

#[test]
fn a_name_in_latin_1_is_found_bare_in_hexadecimal_and_in_base64() {
    let latin: Vec<u8> = ACCENTED_LATIN.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    assert_eq!(hit(&between(&latin), "latin", Encoding::Latin1), 1);
    assert_eq!(hit(&between(hex(&latin).as_bytes()), "latin", Encoding::Hex), 1);
    assert_eq!(hit(&between(STANDARD.encode(&latin).as_bytes()), "latin", Encoding::Base64), 1);
}

#[test]
fn base64_is_found_at_every_alignment_and_in_both_alphabets() {
    for (label, value) in [("plain", PLAIN), ("accented", ACCENTED)] {
        for before in ["", "a", "ab", "abc", "Zürich"] {
            for after in ["", "y", "yz", "xyz"] {
                let text = [before, value, after].concat();
                let (standard, url) = (STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text));
                assert_eq!(hit(&between(standard.as_bytes()), label, Encoding::Base64), 1, "{before}|{after}");
                assert_eq!(hit(&between(url.as_bytes()), label, Encoding::Base64), 1, "{before}|{after}");
                if label == "accented" && before.is_empty() {
                    assert_ne!(standard.trim_end_matches('='), url, "the value was to tell the alphabets apart");
                }
            }
        }
    }
}

#[test]
fn line_breaks_do_not_hide_base64_and_hexadecimal() {
    for broken in [STANDARD.encode([PLAIN, PLAIN].concat()), hex(PLAIN.as_bytes())] {
        for width in 1..30 {
            let lines: Vec<String> =
                broken.as_bytes().chunks(width).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
            assert!(look(lines.join("\r\n").as_bytes()).found() >= 1, "{width}");
        }
    }
}

#[test]
fn each_kind_of_wrapping_is_opened_and_named() {
    let text = [&words(3_000)[..], PLAIN.as_bytes(), b" end"].concat();
    let deflated = zip::CompressionMethod::Deflated;
    let cases = [
        ("gzip", gzip(&text)),
        ("zlib", zlib(&text, 1)),
        ("zlib", zlib(&text, 6)),
        ("zlib", zlib(&text, 9)),
        ("zstd", zstd::encode_all(&text[..], 3).unwrap()),
        ("zip", zip(&[("first.txt", b"nothing", deflated), ("second.txt", &text, deflated)])),
        ("gzip > zip", gzip(&zip(&[("a", &text, deflated)]))),
        ("zip > zstd > gzip", zip(&[("a", &zstd::encode_all(&gzip(&text)[..], 3).unwrap(), deflated)])),
        ("gzip", zip(&[("stored.gz", &gzip(&text), zip::CompressionMethod::Stored)])),
    ];
    for (within, bytes) in cases {
        assert!(!bytes.windows(PLAIN.len()).any(|window| window == PLAIN.as_bytes()), "{within} was to hide the value");
        for (place, surrounded) in
            [("alone", bytes.clone()), ("inside", [&noise(5_000, 1)[..], &bytes, &noise(5_000, 2)].concat())]
        {
            let report = look(&surrounded);
            // More than once where a wrapping stores what it cannot compress: the inner one then shows outside as well.
            assert!(
                report.hits.iter().any(|hit| hit.within == within && hit.count == 1),
                "{within} {place}: {report:?}"
            );
            assert!(report.missed.is_empty(), "{within} {place}: {:?}", report.missed);
        }
    }
}

#[test]
fn gzip_headers_with_every_optional_field_are_read() {
    let mut encoder = flate2::GzBuilder::new()
        .filename("a name")
        .comment("a comment")
        .extra(vec![7; 900])
        .write(Vec::new(), flate2::Compression::best());
    encoder.write_all(&[&words(500)[..], PLAIN.as_bytes()].concat()).unwrap();
    let bytes = encoder.finish().unwrap();
    assert_eq!(hit(&look(&bytes), "plain", Encoding::Utf8), 1);
    let members = [gzip(b"another member"), bytes].concat();
    assert_eq!(hit(&look(&members), "plain", Encoding::Utf8), 1);
}

#[test]
fn no_border_between_two_pieces_hides_anything() {
    let text = [&words(400)[..], PLAIN.as_bytes(), b" end"].concat();
    let deflated = zip::CompressionMethod::Deflated;
    let inside = zip(&[("a", &zstd::encode_all(&text[..], 3).unwrap(), deflated)]);
    let wide: Vec<u8> = PLAIN.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let all = [gzip(&text), inside, zlib(&text, 6), wide, STANDARD.encode(PLAIN).into_bytes(), text].concat();
    let whole = look(&all);
    let dropped = reader(&needles(), Path::new("bytes"), &mut Drop(&all)).unwrap();
    assert_eq!(whole, dropped);
    let within: std::collections::BTreeSet<&str> = whole.hits.iter().map(|hit| hit.within.as_str()).collect();
    assert!(within.is_superset(&["", "gzip", "zip > zstd", "zlib"].into()), "{within:?}");
    assert_eq!(whole.hits.iter().filter(|hit| hit.within.is_empty()).count(), 3);
}

#[test]
fn a_value_across_the_border_of_two_chunks_of_a_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for shift in 0..PLAIN.len() {
        // 256 KiB is what is read at a time.
        let bytes = [&noise(256 * 1024 - shift, 9)[..], PLAIN.as_bytes(), &noise(100, 4)].concat();
        put(&folder.path().join(format!("{shift:02}")), &bytes);
    }
    let report = files(&needles(), &[folder.path()]).unwrap();
    assert_eq!((report.files, report.found()), (20, 20));
}

#[test]
fn a_stream_of_many_pieces_is_searched_to_its_last_byte() {
    let text = [&words(3_000_000)[..], PLAIN.as_bytes()].concat();
    for bytes in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap(), zlib(&text, 6)] {
        let report = look(&bytes);
        assert_eq!(report.found(), 1);
        assert!(report.decoded_bytes >= u64::try_from(text.len()).unwrap());
    }
}

#[test]
fn what_came_out_before_a_break_is_searched_and_the_break_is_reported() {
    let text = [PLAIN.as_bytes(), &words(200_000)[..]].concat();
    for bytes in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
        let report = look(bytes.get(..bytes.len() / 2).unwrap());
        assert!(report.missed[0].why.contains("ends in the middle"), "{:?}", report.missed);
    }
    for mut spoilt in [zlib(&text, 6), zstd::encode_all(&text[..], 3).unwrap()] {
        let middle = spoilt.len() / 2;
        spoilt[middle..middle + 64].fill(0xff);
        let report = look(&spoilt);
        assert!(report.missed[0].why.contains("cannot be decoded"), "{:?}", report.missed);
    }
    // The value is the first thing in it.
    for bytes in [gzip(&text), zlib(&text, 6)] {
        assert_eq!(look(bytes.get(..bytes.len() / 2).unwrap()).found(), 1);
    }
}

#[test]
fn zlib_that_breaks_at_the_beginning_of_zlib_that_is_met_by_chance_is_chance_too() {
    let broken = [&b"\x78\x9c"[..], &[0xff; 64]].concat();
    for (inner, outer, missed) in
        [(&broken[..], &b""[..], 1), (&broken, b"before", 0), (b"\x28\xb5\x2f\xfd\xff", b"before", 1)]
    {
        let report = look(&[outer, &zlib(inner, 6)].concat());
        assert_eq!(report.missed.len(), missed, "{report:?}");
    }
    let third = [&b"before"[..], &zlib(&zlib(&broken, 6), 6)].concat();
    assert!(look(&third).is_clean(), "chance inside chance inside chance");
}

#[test]
fn names_of_files_and_folders_are_searched_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(format!("export {PLAIN}"))).unwrap();
    put(&folder.path().join(format!("export {PLAIN}")).join("clean.txt"), b"nothing");
    let report = files(&needles(), &[folder.path()]).unwrap();
    assert_eq!((report.found(), report.hits[0].within.as_str()), (1, "name"));
}

#[test]
fn what_cannot_be_opened_is_reported_and_the_search_is_not_clean() {
    for (bytes, name) in [
        (&b"\xfd7zXZ\x00\x00\x04"[..], "xz"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z"),
        (b"BZh91AY&SY\x00\x00", "bzip2"),
        (b"\x04\x22\x4d\x18\x64\x40", "lz4"),
    ] {
        let report = look(bytes);
        assert!(!report.is_clean() && report.missed[0].why.starts_with(name), "{:?}", report.missed);
    }
    let mut locked = zip(&[("secret.txt", PLAIN.as_bytes(), zip::CompressionMethod::Deflated)]);
    locked[6] |= 1;
    assert!(look(&locked).missed.iter().any(|missed| missed.why.contains("password")));
    let mut deep = PLAIN.as_bytes().to_vec();
    for _ in 0..10 {
        deep = gzip(&deep);
    }
    assert!(look(&deep).missed.iter().any(|missed| missed.why.contains("more than 8 times")));
}

#[test]
fn a_stream_that_unwraps_without_end_is_given_up_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.gz");
    put(&path, &gzip(&vec![0; 40_000_000]));
    let limits = Limits { decoded_bytes_max: 1_000_000, ..Limits::default() };
    let report = files_within(&needles(), &[&path], limits).unwrap();
    assert!(report.missed[0].why.contains("limit") && report.decoded_bytes < 1_100_000, "{report:?}");
}

#[test]
fn noise_and_near_misses_are_clean() {
    let report = look(&noise(3_000_000, 7));
    assert!(report.is_clean(), "{report:?}");
    let near = &PLAIN[..PLAIN.len() - 1];
    let all = [near, "\n", &hex(near.as_bytes()), " ", &STANDARD.encode(near)].concat();
    assert!(look(all.as_bytes()).is_clean());
}

#[test]
fn a_search_for_nothing_of_nothing_or_of_little_is_refused() {
    assert_eq!(Needles::new::<&str, &str>([]).err().unwrap().code().0, 1104);
    assert_eq!(Needles::new([("short", "1234567")]).err().unwrap().code().0, 1105);
    assert_eq!(files(&needles(), &["/nowhere/at/all"]).err().unwrap().code().0, 1108);
}

#[test]
fn the_report_never_shows_a_value() {
    let report = between(PLAIN.as_bytes());
    assert!(report.found() == 1 && !format!("{report:?}").contains(PLAIN));
}

#[test]
#[cfg(unix)]
fn links_are_read_as_text_and_sockets_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(format!("/nowhere/{PLAIN}"), folder.path().join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let report = files(&needles(), &[folder.path()]).unwrap();
    assert_eq!((report.hits[0].within.as_str(), report.missed.len()), ("link", 1));
}

#[expect(clippy::disallowed_methods, reason = "tests lay out what the search then looks at")]
fn put(path: &PathBuf, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
