//! Any bytes: an error or a model that runs. Never a panic, and never long work on a short file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resi8::format::sections::CHECKSUM_START;
use resi8::format::write::seal;
use resi8::{AlignedBuf, Buffers, Isa, Model, Plan, Session};

/// Larger models are only parsed: a file may ask for gigabytes of arena, which is the caller's to give.
const MAX_ARENA: usize = 1 << 20;
const MAX_MACS: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    fit_length_and_checksum(&mut file);
    let Ok(model) = Model::parse(&file) else { return };
    for isa in Isa::available() {
        let Ok(plan) = Plan::new(model, isa) else { continue };
        if plan.arena_len() > MAX_ARENA || plan.packed_len() > MAX_ARENA || model.macs() > MAX_MACS {
            continue;
        }
        let [mut arena, mut packed] =
            [plan.arena_len(), plan.packed_len()].map(|len| AlignedBuf::new(len).expect("a small buffer"));
        let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
        let mut session = Session::new(plan, buffers).expect("the buffers have the lengths asked for");
        session.set_self_test_input();
        session.run().expect("a checked model runs");
    }
});

/// Without this the fuzzer would have to guess a CRC-32 to get past the header.
fn fit_length_and_checksum(file: &mut [u8]) {
    let length = u32::try_from(file.len()).unwrap_or(u32::MAX);
    if file.len() >= CHECKSUM_START {
        file[12..16].copy_from_slice(&length.to_le_bytes());
        seal(file);
    }
}
