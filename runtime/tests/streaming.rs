//! Layers that run together by rows compute what the formulas say, in every group and every place that the loader accepts.

mod common;

use common::{Builder, Random, Values, WindowSpec, input_of, naive, network, plans, run, streaming};
use resi8::Model;
use resi8::format::records::TensorRecord;
use resi8::format::write::Content;

/// How the tensors of groups lie.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Groups of 2, 3 and 4 layers.
    groups: [usize; 3],
    /// Outputs of groups that lie where a tensor lies that the group reads, and those of them that begin before it.
    over: usize,
    over_and_before: usize,
}

impl Seen {
    fn add(&mut self, content: &Content) {
        for group in streaming::groups(content) {
            self.groups[group.len() - 2] += 1;
            let output = &content.tensors[group.end];
            let end = |tensor: &TensorRecord| tensor.offset + streaming::bytes(tensor);
            let read = |tensor: &&TensorRecord| usize::from(tensor.last_use) >= group.start;
            for tensor in content.tensors[..=group.start].iter().filter(read) {
                let over = output.offset < end(tensor) && tensor.offset < end(output);
                self.over += usize::from(over);
                self.over_and_before += usize::from(over && output.offset < tensor.offset);
            }
        }
    }
}

#[test]
fn groups_compute_what_the_formulas_say() {
    let mut seen = Seen::default();
    for seed in (1..400).step_by(2) {
        let content = network(seed, Values::Random);
        seen.add(&content);
        let file = content.to_bytes().unwrap();
        let model = Model::parse(&file).unwrap();
        let input = input_of(&model.input(), Values::Random, seed);
        let expected = naive::run(&content, &input);
        for plan in plans(model) {
            assert_eq!(run(&plan, &input, 0xa5), expected, "network {seed}, {}", plan.kernels().isa);
        }
    }
    println!("{seen:?}");
    let Seen { groups, over, over_and_before } = seen;
    assert!(
        groups.iter().all(|&count| count > 10) && over > 10 && over_and_before > 10,
        "too few to prove anything"
    );
}

/// Rows with so many multiply-accumulates that they would be worth several threads, of which the first and the last see padding, more below than
/// above.
#[test]
fn groups_of_wide_rows() {
    let mut groups = 0;
    for seed in 0..6 {
        let mut b = Builder::new([7, 90, 3], Values::Random, seed);
        let window = WindowSpec { kernel: [5, 5], stride: [1, 1], pads: [1, 2, 3, 2] };
        let first = b.conv(0, 64, WindowSpec::SAME3, None);
        let second = b.conv(first, 64, window, None);
        let third = b.conv(second, 48, window, None);
        let mean = b.average_pool(third);
        b.dense(mean, 3);
        let mut content = b.finish();
        streaming::stream(&mut content, &mut Random::new(seed));
        groups += streaming::groups(&content).len();
        let file = content.to_bytes().unwrap();
        let model = Model::parse(&file).unwrap();
        let input = input_of(&model.input(), Values::Random, seed);
        let expected = naive::run(&content, &input);
        for plan in plans(model) {
            assert!(
                run(&plan, &input, 0xa5) == expected,
                "{seed}, {}, {} threads",
                plan.kernels().isa,
                plan.threads()
            );
        }
    }
    assert!(groups > 2, "too few to prove anything");
}
