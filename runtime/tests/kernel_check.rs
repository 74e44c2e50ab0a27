//! Every microkernel of every instruction set that this CPU has, against a loop over the normative arithmetic, by
//! `==`, guard bytes included.
//!
//! `RESI8_EXPECT_ISAS`, a comma-separated list, names the instruction sets that must have been checked: one that is
//! not available then is a failure, not a skip. `RESI8_KERNEL_CASES` is the number of random convolutions, 20,000 unless
//! told otherwise (for emulators); the other functions get a tenth of that each.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test data is small"
)]

mod common;

use std::time::Instant;

use common::Values;
use common::kernels::{
    check_conv, check_elementwise, check_transformed, check_winograd, check_winograd_bound, finish,
};
use resi8::Isa;
use resi8::kernels::{ConvBlock, Direct, Kernels, Packing, Patches, Shape};

/// A table with packed weights and patches, `[run][value][channel]`, so that the packed path is checked on every machine.
static PACKED: Kernels = Kernels {
    direct: Direct {
        mr: 3,
        nr: 5,
        block_bytes: 500,
        block_columns: 4,
        packing: Some(Packing {
            weights_len: |shape| Some((shape.channels * shape.depth()).next_multiple_of(64)),
            pack_weights: |source, packed| {
                let (weights, rest) = packed.split_at_mut(source.weights.len());
                weights.copy_from_slice(source.weights);
                rest.fill(0);
                Some(())
            },
            patches_len: |shape, pixels, _| {
                Some((3 * shape.depth()).next_multiple_of(64) * pixels.div_ceil(3))
            },
            pack_patches: pack_patches_in_order,
            pack_row: None,
        }),
        conv: conv_packed,
    },
    ..resi8::kernels::portable::KERNELS
};

fn pack_patches_in_order(shape: &Shape, _: &[i8], patches: &Patches<'_>, panels: &mut [i8]) -> Option<()> {
    let panel_len = (3 * shape.depth()).next_multiple_of(64);
    for pixel in 0..patches.pixels {
        let panel = &mut panels[pixel / 3 * panel_len + pixel % 3 * shape.depth()..][..shape.depth()];
        for (run, panel) in panel.chunks_exact_mut(shape.run_len).enumerate() {
            panel.copy_from_slice(patches.run(pixel, run)?);
        }
    }
    Some(())
}

fn conv_packed(block: &ConvBlock<'_>, out: &mut [i8]) -> Option<()> {
    let depth = block.shape.depth();
    let panel_len = (3 * depth).next_multiple_of(64);
    let last = block.shape.channels.min(block.target.first_channel + 5);
    for pixel in 0..block.patches.pixels {
        let patch = &block.panels[pixel / 3 * panel_len + pixel % 3 * depth..][..depth];
        for channel in block.target.first_channel..last {
            let products = patch.iter().zip(&block.weights[channel * depth..]);
            let sum = products.map(|(&q, &w)| i64::from(q) * i64::from(w)).sum();
            finish(&block.target, pixel, channel, sum, out);
        }
    }
    Some(())
}

fn check_all(kernels: &Kernels, name: &str) {
    let start = Instant::now();
    let cases = std::env::var("RESI8_KERNEL_CASES").map_or(20_000, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        check_conv(kernels, name, seed);
    }
    if let Some(winograd) = &kernels.winograd {
        for seed in 0..cases / 10 {
            check_winograd(winograd, name, seed);
        }
        check_winograd_bound(winograd, name);
    }
    if let Some(transformed) = &kernels.transformed {
        for seed in 0..cases / 10 {
            check_transformed(transformed, name, seed);
        }
    }
    for seed in 0..cases / 10 {
        check_elementwise(kernels, name, seed);
    }
    println!("kernel_check: {name} ran");
    println!("  {cases} cases in {:.1} s", start.elapsed().as_secs_f64());
}

#[test]
fn every_available_isa() {
    let available: Vec<Isa> = Isa::available().collect();
    for isa in &available {
        check_all(Kernels::for_isa(*isa).unwrap(), isa.name());
    }
    for expected in
        std::env::var("RESI8_EXPECT_ISAS").unwrap_or_default().split(',').filter(|name| !name.is_empty())
    {
        let isa =
            Isa::from_name(expected).unwrap_or_else(|| panic!("no instruction set is called {expected}"));
        assert!(available.contains(&isa), "{expected} was expected and is not available here");
    }
}

#[test]
fn packed_weights() {
    check_all(&PACKED, "packed reference");
}

#[test]
fn whole_networks_with_packed_weights() {
    for seed in 0..20 {
        let content = common::network(seed, Values::Random);
        let file = content.to_bytes().unwrap();
        let plan = resi8::Plan::with_kernels(resi8::Model::parse(&file).unwrap(), &PACKED).unwrap();
        assert!(plan.packed_len() > 0);
        let input = common::input_of(&plan.model().input(), Values::Random, seed);
        assert!(common::run(&plan, &input, 0x33) == common::naive::run(&content, &input), "network {seed}");
    }
}
