//! What `cargo xtask bench vault` measures of this room: the destruction of one consignment on a ring of files and a shelf
//! in a folder. `measure_destroy FOLDER MIB` makes both in FOLDER, where nothing must be, puts parcels of MIB in all on the
//! shelf, wraps a share, and destroys the consignment in the order of `vault::erase`. Another one lives beside it and must
//! do so afterwards. Prints one line of JSON: milliseconds that the key's destruction took, with the probe that shows the
//! ring what it wrapped, and of the whole; bytes and parcels that lay on the shelf.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command, and its output is read by another one")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lexicon::{
    Code, ConsignmentId, Digest, Entropy, Fault, ParcelId, Refusal, Result, Retry, SystemClock, SystemEntropy,
};
use vault::{DiskShelf, KeyRing, KeyState, LocalRing, ParcelAddress, Receipt, Secret, Shelf, Wrapped, destroy_key};

const MIB: usize = 1024 * 1024;
/// As agents send them.
const PARCEL_MIB: usize = 16;
const DYING: ConsignmentId = ConsignmentId([1; 16]);
const LIVING: ConsignmentId = ConsignmentId([2; 16]);

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words).await {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("measure_destroy: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[String]) -> Result<String> {
    let usage = || Refusal::new(Code(999), "this is not how destroying is measured", "measure_destroy FOLDER MIB");
    let [folder, mib] = words else { return Err(usage().into()) };
    let (folder, mib) = (Path::new(folder), mib.parse::<usize>().map_err(|_| usage())?);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let (data, secret) = (folder.join("data"), Secret::new(entropy.bytes::<32>()?.to_vec())?);
    let ring = LocalRing::open(&folder.join("ring"), secret, &data, Arc::new(SystemClock), entropy.clone())?;
    let (ring, shelf): (Arc<dyn KeyRing>, _) = (Arc::new(ring), DiskShelf::open(&data.join("shelf"))?);

    let aad = b"a share".to_vec();
    for consignment in [DYING, LIVING] {
        ring.create(consignment)?;
    }
    let wrapped = |consignment| ring.encrypt(consignment, &aad, &entropy.bytes::<32>()?);
    let (dying, living) = (wrapped(DYING)?, wrapped(LIVING)?);
    let parcels = fill(&shelf, mib, entropy.as_ref()).await?;

    let receipt = Receipt::of_committed(1, Digest([0; 32]));
    let share = Wrapped { aad: aad.clone(), sealed: dying };
    let began = Instant::now();
    let (_, shown) = destroy_key(Arc::clone(&ring), (DYING, Some(share)), &receipt).await?;
    let key = began.elapsed();
    let erased = shelf.erase(DYING, &receipt).await?;
    let whole = began.elapsed();

    let destroyed = matches!(ring.attest(DYING)?, KeyState::Destroyed { .. });
    let all_went = erased.objects == u64::try_from(parcels).unwrap_or(u64::MAX);
    if !(shown.is_some() && destroyed && all_went && ring.decrypt(LIVING, &aad, &living).is_ok()) {
        return Err(Fault::new(Code(999), Retry::Never, "not all was destroyed, or more than all").into());
    }
    let (key, whole) = (key.as_secs_f64() * 1000.0, whole.as_secs_f64() * 1000.0);
    let bytes = erased.bytes;
    Ok(format!(r#"{{"key_ms":{key:.3},"whole_ms":{whole:.3},"bytes":{bytes},"parcels":{parcels}}}"#))
}

/// So many MiB on the shelf; how many parcels they are. They are noise, as sealed bytes are.
async fn fill(shelf: &DiskShelf, mib: usize, entropy: &dyn Entropy) -> Result<usize> {
    let mut noise = vec![0; PARCEL_MIB.min(mib).saturating_mul(MIB)];
    entropy.fill(&mut noise)?;
    let (noise, parcels) = (Bytes::from(noise), mib.div_ceil(PARCEL_MIB));
    for _ in 0..parcels {
        let address = ParcelAddress { consignment: DYING, attempt: 1, parcel: ParcelId::draw(entropy)? };
        shelf.put(address, noise.clone()).await?;
    }
    Ok(parcels)
}
