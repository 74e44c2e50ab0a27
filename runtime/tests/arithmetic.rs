//! The worked vectors of `docs/arithmetic.md`, read from that page, and properties of the rounding rule.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the vectors fit their types"
)]

mod common;

use common::{Random, naive};
use resi8::arith::{Multiplier, requantize, rescale, skip_term};

/// The lines of one block of vectors: operands and result.
fn vectors(block: &str) -> Vec<(Vec<i64>, i64)> {
    let page = include_str!("../../docs/arithmetic.md");
    let (_, rest) = page.split_once(&format!("```vectors {block}\n")).expect("the page has the block");
    let (lines, _) = rest.split_once("```").expect("the block ends");
    let parse = |line: &str| {
        let (operands, result) = line.split_once('=').expect("a line has a result");
        let operands = operands.split_whitespace().map(|number| number.parse().unwrap()).collect();
        (operands, result.trim().parse().unwrap())
    };
    let vectors: Vec<_> = lines.lines().map(parse).collect();
    assert!(vectors.len() > 10, "{block} has only {} vectors", vectors.len());
    vectors
}

#[test]
fn rescale_vectors() {
    for (v, expected) in vectors("rescale") {
        let multiplier = Multiplier { mantissa: v[1] as i32, shift: v[2] as u8 };
        assert_eq!(i64::from(rescale(v[0] as i32, multiplier)), expected, "{v:?}");
    }
}

#[test]
fn requantize_vectors() {
    for (v, expected) in vectors("requantize") {
        let multiplier = Multiplier { mantissa: v[1] as i32, shift: v[2] as u8 };
        let found = requantize(v[0] as i32, multiplier, v[3] as i8, v[4] as i8, v[5] as i8);
        assert_eq!(i64::from(found), expected, "{v:?}");
    }
}

#[test]
fn skip_vectors() {
    for (v, expected) in vectors("skip") {
        assert_eq!(i64::from(skip_term(v[0] as i8, v[1] as i8, v[2] as i32, v[3] as u8)), expected, "{v:?}");
    }
}

#[test]
fn rescale_is_the_rounded_quotient_and_its_two_step_form() {
    let mut random = Random::new(1);
    for _ in 0..2_000_000 {
        let acc = random.range(-(1 << 30) + 1, (1 << 30) - 1) >> random.size(0, 29);
        let mantissa = random.range(1 << 30, i64::from(i32::MAX));
        let shift = random.size(2, 30) as u8;
        let found = i64::from(rescale(acc as i32, Multiplier { mantissa: mantissa as i32, shift }));
        assert_eq!(found, naive::rescale(acc, mantissa as i32, shift), "{acc} {mantissa} {shift}");
        let high = i32::try_from((acc * mantissa) >> 31).unwrap();
        let two_steps = high.checked_add(1 << (shift - 1)).unwrap() >> shift;
        assert_eq!(found, i64::from(two_steps), "{acc} {mantissa} {shift}");
    }
}

#[test]
fn multipliers_are_the_nearest_and_their_range_is_checked() {
    let from = Multiplier::from_real;
    assert_eq!(from(0.125), Some(Multiplier { mantissa: 1 << 30, shift: 2 }));
    assert_eq!(from(0.249_999_999_999), None, "it rounds to 1/4");
    for out_of_range in [0.25, 1.0, 0.0, -0.1, 2f64.powi(-32), f64::NAN, f64::INFINITY, 5e-324] {
        assert_eq!(from(out_of_range), None, "{out_of_range}");
    }
    assert_eq!(from(2f64.powi(-31)), Some(Multiplier { mantissa: 1 << 30, shift: 30 }));
    let mut random = Random::new(2);
    for _ in 0..100_000 {
        let value = random.range(1 << 40, 1 << 41) as f64 * 2f64.powi(-43 - random.size(0, 27) as i32);
        let Some(multiplier) = from(value) else { continue };
        assert!((multiplier.to_real() / value - 1.0).abs() <= 2f64.powi(-31), "{value}");
    }
}
