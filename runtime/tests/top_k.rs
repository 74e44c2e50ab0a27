//! The best classes against a full sort.

mod common;

use common::Random;
use resi8::top_k;

#[test]
fn equals_a_stable_sort() {
    let mut random = Random::new(4);
    for _ in 0..2_000 {
        let logits: Vec<i32> = (0..random.size(0, 20)).map(|_| i32::from(random.i8() / 16)).collect();
        let mut expected: Vec<(usize, i32)> = logits.iter().copied().enumerate().collect();
        expected.sort_by_key(|&(_, logit)| std::cmp::Reverse(logit));
        for k in 0..25 {
            let mut best = vec![(usize::MAX, 0); k];
            assert_eq!(top_k(&logits, &mut best), &expected[..k.min(logits.len())]);
        }
    }
}
