//! libFuzzer over the target that `LAZARET_FUZZ_TARGET` names; without one, says which there are. Its seeds are written
//! to the folder `LAZARET_FUZZ_SEEDS`. An input that panics, or takes more memory than its target may, ends the
//! process.

#![no_main]

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use cap::Cap;
use fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

static TARGET: OnceLock<&'static Target> = OnceLock::new();

/// What the last panic said. A panic that the parser itself catches is not printed.
static SAID: Mutex<String> = Mutex::new(String::new());

fuzz_target!(init: begin(), |bytes: &[u8]| try_one(bytes));

fn begin() {
    let name = std::env::var("LAZARET_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = fuzz::named(&name) else {
        for target in TARGETS {
            println!("{} {}", target.name, target.bytes_max);
        }
        std::process::exit(if name.is_empty() { 0 } else { 2 });
    };
    // In place of libFuzzer's own, which ends the process at a panic that is caught as well.
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut said) = SAID.lock() {
            *said = panic.to_string();
        }
    }));
    let seeds = (target.seeds)();
    if let Ok(folder) = std::env::var("LAZARET_FUZZ_SEEDS") {
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(Path::new(&folder).join(number.to_string()), seed).expect("the seeds cannot be written");
        }
    }
    // What is made once is made now, and does not count as one input's memory. A seed that fails is met again as an
    // input.
    for seed in &seeds {
        drop(catch_unwind(|| (target.run)(seed)));
    }
    TARGET.set(target).ok();
}

fn try_one(bytes: &[u8]) {
    let Some(target) = TARGET.get() else { return };
    // Whoever asks for more is refused by the allocator, and Rust ends the process.
    HEAP.set_limit(HEAP.allocated().saturating_add(target.memory_max)).ok();
    let run = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    HEAP.set_limit(usize::MAX).ok();
    if run.is_err() {
        eprintln!("{}: {}", target.name, SAID.lock().map(|said| said.clone()).unwrap_or_default());
        std::process::abort();
    }
}
