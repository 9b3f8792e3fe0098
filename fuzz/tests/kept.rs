//! The kept inputs of every target, and its seeds, through the same functions that `cargo xtask fuzz` calls.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, Target};

/// What `cargo xtask fuzz` keeps for each target at most.
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 1024 * 1024;

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn inputs(of: &str, target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(files) = fs::read_dir(folder(of).join(target.name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Whether the target keeps its promises; what breaks one is told by the panic itself.
fn holds(target: &Target, bytes: &[u8]) -> bool {
    std::panic::catch_unwind(|| (target.run)(bytes)).is_ok()
}

#[test]
fn every_seed_keeps_the_promises_of_its_parser() {
    let mut broken = BTreeSet::new();
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no real input", target.name);
        for seed in seeds {
            assert!(seed.len() <= target.bytes_max, "a seed of {} has {} bytes", target.name, seed.len());
            broken.extend((!holds(&target, &seed)).then_some(target.name));
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn every_act_is_told_in_a_story_that_seeds_are_taken_from() {
    assert_eq!(fuzz::untold(), [0; 0]);
}

#[test]
fn every_kept_input_keeps_the_promises_of_its_parser() {
    let mut broken = Vec::new();
    for target in TARGETS {
        let kept = inputs("corpus", &target).into_iter().chain(inputs("regressions", &target));
        broken.extend(kept.filter(|(_, bytes)| !holds(&target, bytes)).map(|(path, _)| path));
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn every_cut_of_a_seed_keeps_the_promises_of_its_parser() {
    let mut broken = BTreeSet::new();
    for target in TARGETS {
        for seed in (target.seeds)() {
            // Three cuts of each, and as many altered bytes.
            for place in (1..4).map(|part| seed.len() * part / 4) {
                let mut altered = seed.clone();
                if let Some(byte) = altered.get_mut(place) {
                    *byte ^= 1;
                }
                let both = holds(&target, &seed[..place]) && holds(&target, &altered);
                broken.extend((!both).then_some(target.name));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:?}");
}

#[test]
fn the_kept_inputs_are_bounded_and_each_folder_is_a_targets() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets of one name");
    for of in ["corpus", "regressions"] {
        for entry in fs::read_dir(folder(of)).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(names.contains(name.as_str()), "{of}/{name} is no target's");
        }
    }
    for target in TARGETS {
        let kept = inputs("corpus", &target);
        let bytes: usize = kept.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(
            kept.len() <= FILES_MAX && bytes <= BYTES_MAX,
            "{} keeps {} files, {bytes} bytes",
            target.name,
            kept.len()
        );
    }
}
