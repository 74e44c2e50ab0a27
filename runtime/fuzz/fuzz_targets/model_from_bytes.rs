//! Any bytes: an error or a model that runs, read as a whole or in parts. Never a panic, and never long work on a short file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use resi8::format::sections::CHECKSUM_START;
use resi8::format::write::seal;
use resi8::{AlignedBuf, Buffers, Isa, Model, ModelFile, Plan, Session};

/// Larger models are only parsed: a file may ask for gigabytes of arena, which is the caller's to give.
const MAX_ARENA: usize = 1 << 20;
const MAX_MACS: u64 = 1 << 24;

fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    fit_length_and_checksum(&mut file);
    let model = Model::parse(&file);
    for isa in Isa::available() {
        let mut source = Cursor::new(&file);
        let in_parts = match ModelFile::read(&mut source, isa) {
            Ok(in_parts) => in_parts,
            Err(error) => {
                let expected = model.expect_err("refused in parts");
                return assert_eq!(error.to_string(), expected.to_string());
            }
        };
        let Ok(plan) = Plan::new(in_parts.model(), isa) else { continue };
        if plan.arena_len() > MAX_ARENA || plan.packed_len() > MAX_ARENA || in_parts.model().macs() > MAX_MACS
        {
            continue;
        }
        let [mut arena, mut packed] =
            [plan.arena_len(), plan.packed_len()].map(|len| AlignedBuf::new(len).expect("a small buffer"));
        let buffers = Buffers { arena: arena.as_mut(), packed: packed.as_mut() };
        match Session::load(plan, buffers, &mut source) {
            Ok(mut session) => {
                assert!(model.is_ok(), "accepted in parts");
                session.set_self_test_input();
                session.run().expect("a checked model runs");
            }
            Err(error) => assert_eq!(error.to_string(), model.expect_err("refused in parts").to_string()),
        }
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
