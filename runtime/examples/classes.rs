//! Prints the class of every picture of a file of CIFAR-10 records, one a line, as the firmware examples do.
//!
//! ```text
//! cargo run --release -p resi8 --example classes -- model.r8 records.bin
//! ```

use std::error::Error;

use resi8::{AlignedBuf, Buffers, Isa, Model, Plan, Session, top_k};

/// A label, then planes of red, green and blue.
const RECORD_LEN: usize = 1 + 3 * PLANE_LEN;
const PLANE_LEN: usize = 32 * 32;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, records] = arguments.as_slice() else {
        return Err("usage: classes model.r8 records.bin".into());
    };
    let (file, records) = (std::fs::read(model)?, std::fs::read(records)?);
    let plan = Plan::new(Model::parse(&file)?, Isa::best())?;
    let mut arena = AlignedBuf::new(plan.arena_len())?;
    let mut packed = AlignedBuf::new(plan.packed_len())?;
    let mut session = Session::new(plan, Buffers { arena: arena.as_mut(), packed: packed.as_mut() })?;
    for record in records.as_chunks::<RECORD_LEN>().0 {
        let planes = &record[1..];
        let pixels: Vec<u8> = (0..PLANE_LEN)
            .flat_map(|pixel| [planes[pixel], planes[PLANE_LEN + pixel], planes[2 * PLANE_LEN + pixel]])
            .collect();
        let mut best = [(0, 0)];
        top_k(session.classify(&pixels)?, &mut best);
        println!("class {}", best[0].0);
    }
    Ok(())
}
