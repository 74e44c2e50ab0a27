//! Observers and ranges on known distributions, and calibration of a small network on several threads.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use resi8_converter::calibrate::{
    CalibrateError, Calibration, MIN_SPAN, Observer, RangeMethod, calibrate, quant_params,
};
use resi8_converter::float::{FloatModel, folded_to_onnx};
use resi8_converter::folded::{Activation, Conv, Dense, Folded, Layer, Op, Pool, Shape, Tensor, TensorId};

const METHODS: [RangeMethod; 3] = [RangeMethod::MinMax, RangeMethod::Percentile(99.9), RangeMethod::Mse];

/// Evenly distributed numbers in 0..1, the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 40).unwrap() as f32 / (1u32 << 24) as f32
    }

    /// Nearly normal, standard deviation 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.next()).sum::<f32>() - 6.0
    }
}

fn uniform(n: usize, lo: f32, hi: f32) -> Vec<f32> {
    let mut random = Random(1);
    (0..n).map(|_| lo + (hi - lo) * random.next()).collect()
}

fn normal_with_outlier() -> Vec<f32> {
    let mut random = Random(2);
    let mut values: Vec<f32> = (0..40_000).map(|_| random.normal()).collect();
    values[123] = 90.0;
    values
}

fn relu(values: Vec<f32>) -> Vec<f32> {
    values.into_iter().map(|v| v.max(0.0)).collect()
}

fn observed(values: &[f32]) -> Observer {
    let mut observer = Observer::new("t", 1);
    observer.observe(values).unwrap();
    observer
}

fn near(got: (f32, f32), expected: (f32, f32), tolerance: f32) {
    let close = (got.0 - expected.0).abs() <= tolerance && (got.1 - expected.1).abs() <= tolerance;
    assert!(close, "{got:?} is not within {tolerance} of {expected:?}");
}

#[test]
fn ranges_of_known_distributions() {
    let percentile = RangeMethod::Percentile;
    let even = observed(&uniform(100_000, -2.0, 6.0));
    near(even.range(RangeMethod::MinMax), (-2.0, 6.0), 1e-3);
    near(even.range(percentile(99.0)), (-1.92, 5.92), 0.02);
    near(even.range(percentile(90.0)), (-1.2, 5.2), 0.04);
    near(even.range(RangeMethod::Mse), (-2.0, 6.0), 0.05);
    assert_eq!(even.range(percentile(100.0)), even.range(RangeMethod::MinMax));

    let outlier = observed(&normal_with_outlier());
    assert_eq!(outlier.range(RangeMethod::MinMax).1, 90.0);
    near(outlier.range(percentile(99.9)), (-3.05, 3.05), 0.2);

    let rectified = observed(&relu(normal_with_outlier()));
    for method in METHODS {
        assert_eq!(rectified.range(method).0, 0.0, "{method}");
        let (lo, hi) = rectified.range(method);
        assert_eq!(quant_params(lo, hi).zero_point, -128, "{method}");
    }
}

#[test]
fn degenerate_tensors_get_usable_ranges() {
    for method in METHODS {
        let of = |values: &[f32]| observed(values).range(method);
        assert_eq!(Observer::new("unseen", 1).range(method), (0.0, 1.0), "{method}");
        assert_eq!(of(&[0.0, -0.0, 0.0]), (0.0, 1.0), "{method}");
        assert_eq!(of(&[1e-30; 9]), (0.0, MIN_SPAN), "{method}");
        assert_eq!(of(&[-1e-30; 9]), (-MIN_SPAN, 0.0), "{method}");
    }
    assert_eq!(observed(&[3.0; 9]).range(RangeMethod::MinMax), (0.0, 3.0));
    near(observed(&[3.0; 9]).range(RangeMethod::Mse), (0.0, 3.0), 0.02);
    assert_eq!(observed(&[-3.0; 9]).range(RangeMethod::MinMax), (-3.0, 0.0));
    let huge = observed(&[f32::MAX, f32::MIN, 1.0]);
    assert_eq!(huge.range(RangeMethod::MinMax), (f32::MIN, f32::MAX));
    let params = quant_params(f32::MIN, f32::MAX);
    assert!(params.scale.is_finite() && params.zero_point.abs() <= 1);
}

#[test]
fn a_value_that_is_not_finite_names_its_tensor_and_counts_nothing() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut observer = Observer::new("layer1.relu", 1);
        let error = observer.observe(&[1.0, bad]).unwrap_err();
        assert!(error.to_string().contains("layer1.relu"));
        assert_eq!(observer, Observer::new("layer1.relu", 1));
    }
}

/// Mean squared error of int8 quantization with the range `lo..=hi`, value by value.
fn error_of(values: &[f32], (lo, hi): (f32, f32)) -> f64 {
    let params = quant_params(lo, hi);
    let zero = f32::from(params.zero_point);
    let squared = |&v: &f32| {
        let q = (v / params.scale + zero).round().clamp(-128.0, 127.0);
        f64::from(v - params.scale * (q - zero)).powi(2)
    };
    values.iter().map(squared).sum::<f64>() / values.len() as f64
}

/// The least error over a fine grid of ranges.
fn least_error(values: &[f32], min: f32, max: f32) -> f64 {
    let ends = |bound: f32| (1..=60).map(move |i| bound * i as f32 / 60.0);
    let low: Vec<f32> = if min < 0.0 { ends(min).collect() } else { vec![0.0] };
    let pairs = low.into_iter().flat_map(|lo| ends(max).map(move |hi| (lo, hi)));
    pairs.map(|range| error_of(values, range)).fold(f64::INFINITY, f64::min)
}

#[test]
fn mse_range_is_close_to_the_best_one() {
    let mut random = Random(3);
    let mut sparse: Vec<f32> = (0..4000).map(|_| random.normal().powi(3)).collect();
    sparse.extend([0.0; 4000]);
    let normal: Vec<f32> = (0..4000).map(|_| random.normal()).collect();
    let mut skewed: Vec<f32> = normal.iter().map(|v| if *v < 0.0 { 0.2 * v } else { *v }).collect();
    skewed.extend([9.0; 3]);
    let clipped: Vec<f32> = normal.iter().map(|v| (4.0 * v).clamp(0.0, 6.0)).collect();
    let cases = [
        uniform(4000, -1.0, 3.0),
        normal.clone(),
        relu(normal),
        relu(sparse.clone()),
        sparse,
        skewed,
        clipped,
    ];
    for (case, values) in cases.iter().enumerate() {
        let observer = observed(values);
        let (min, max) = observer.extremes().unwrap();
        let best = least_error(values, min, max);
        let mse = error_of(values, observer.range(RangeMethod::Mse));
        assert!(mse <= 1.05 * best, "case {case}: {mse} against {best} at best");
        assert!(mse <= 1.02 * error_of(values, observer.range(RangeMethod::MinMax)), "case {case}");
    }
}

#[test]
fn range_methods_are_written_as_they_are_read() {
    for text in ["min-max", "mse", "percentile:99.99", "percentile:100"] {
        assert_eq!(text.parse::<RangeMethod>().unwrap().to_string(), text);
    }
    for text in
        ["", "MSE", "percentile", "percentile:50", "percentile:100.1", "percentile:nan", "percentile:x"]
    {
        let error = text.parse::<RangeMethod>().unwrap_err().to_string();
        assert!(error.contains("percentile:99.99"), "{error}");
    }
}

#[test]
fn zero_points_of_known_ranges() {
    let params = |lo, hi| (quant_params(lo, hi).scale, quant_params(lo, hi).zero_point);
    assert_eq!(params(0.0, 255.0), (1.0, -128));
    assert_eq!(params(-255.0, 0.0), (1.0, 127));
    assert_eq!(params(-128.0, 127.0), (1.0, 0));
    assert_eq!(params(-0.4, 254.6), (1.0, -128));
    assert_eq!(params(-0.6, 254.4), (1.0, -127));
    assert_eq!(params(10.0, 255.0), (1.0, -128), "stretched to zero");
    assert_eq!(params(0.0, 0.0), params(0.0, 1.0));
    assert_eq!(params(f32::NAN, f32::NAN), params(0.0, 1.0));
    assert_eq!(quant_params(-0.6, 254.4).range(), (-1.0, 254.0));
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0), -1.0f32..1.0, any::<f32>().prop_filter("finite", |v| v.is_finite())]
}

proptest! {
    /// Growing the histogram, in any order and split over any observers, ends in the same state.
    #[test]
    fn merging_equals_one_stream(mut values in prop::collection::vec(any_value(), 1..200), cut in 0..200usize) {
        let whole = observed(&values);
        prop_assert_eq!(whole.count(), values.len() as u64);
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged = observed(left);
        merged.merge(&observed(right));
        prop_assert_eq!(&merged, &whole);

        values.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let mut one_by_one = Observer::new("t", 1);
        for value in &values {
            one_by_one.observe(&[*value]).unwrap();
        }
        prop_assert_eq!(&one_by_one, &whole);
    }

    #[test]
    fn ranges_are_always_usable(values in prop::collection::vec(any_value(), 0..100)) {
        let observer = observed(&values);
        for method in METHODS {
            let (lo, hi) = observer.range(method);
            prop_assert!(lo <= 0.0 && hi >= 0.0 && hi - lo >= MIN_SPAN, "{}: {} {}", method, lo, hi);
            let params = quant_params(lo, hi);
            prop_assert!(params.scale.is_finite() && params.scale > 0.0);
        }
    }
}

/// A convolution with a max pooling, the mean, a classifier.
fn small_network() -> Folded {
    let tensor = |name: &str, h, w, c| Tensor { name: name.into(), shape: Shape { h, w, c } };
    let mut random = Random(5);
    let mut weights = |n: usize| (0..n).map(|_| f64::from(random.next()) - 0.5).collect::<Vec<_>>();
    let conv = Conv {
        kernel: [3, 3],
        stride: [1, 1],
        pads: [1; 4],
        weights: weights(4 * 2 * 9),
        bias: weights(4),
        skip: None,
        activation: Activation::None,
        pool: Some(Pool { kernel: [2, 2], stride: [2, 2], pads: [0; 4], map: tensor("map", 6, 6, 4) }),
    };
    let dense = Dense { weights: weights(3 * 4), bias: weights(3) };
    let layer =
        |name: &str, op, i| Layer { name: name.into(), op, input: TensorId(i), output: TensorId(i + 1) };
    Folded {
        tensors: vec![
            tensor("input", 6, 6, 2),
            tensor("pooled", 3, 3, 4),
            tensor("mean", 1, 1, 4),
            tensor("logits", 1, 1, 3),
        ],
        layers: vec![
            layer("conv", Op::Conv(conv), 0),
            layer("pool", Op::GlobalAveragePool, 1),
            layer("fc", Op::Dense(dense), 2),
        ],
    }
}

fn sample(seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..72).map(|_| random.normal()).collect()
}

fn run(
    samples: impl Iterator<Item = Result<Vec<f32>, std::io::Error>> + Send,
    threads: usize,
) -> Result<Calibration, CalibrateError> {
    let folded = small_network();
    let float = FloatModel::for_folded(&folded_to_onnx(&folded), &folded).unwrap();
    let mut last = 0;
    calibrate(&folded, &float, samples, NonZeroUsize::new(threads).unwrap(), |taken| {
        assert_eq!(taken, last + 1);
        last = taken;
    })
}

#[test]
fn calibration_does_not_depend_on_the_number_of_threads() {
    let calibrations = [1, 2, 5].map(|threads| run((0..40).map(|seed| Ok(sample(seed))), threads).unwrap());
    assert_eq!(calibrations[0], calibrations[1]);
    assert_eq!(calibrations[0], calibrations[2]);
    let calibration = &calibrations[0];
    assert_eq!(calibration.samples(), 40);
    let ranges = calibration.ranges(RangeMethod::MinMax);
    assert_eq!(ranges.len(), 4);
    let names: Vec<&str> = calibration.observers().iter().map(Observer::name).collect();
    assert_eq!(names, ["input", "pooled", "mean", "logits"]);
    let inputs: Vec<f32> = (0..40).flat_map(sample).collect();
    assert_eq!(ranges[0], observed(&inputs).range(RangeMethod::MinMax));
    let (pooled, map) = (&calibration.observers()[1], calibration.rounded(TensorId(1)));
    assert_eq!((pooled.count(), map.name(), map.count()), (40 * 36, "map", 40 * 144));
    assert_eq!(ranges[1], map.range(RangeMethod::MinMax));
    assert!(ranges[1].0 < pooled.range(RangeMethod::MinMax).0, "the lowest values lose against others");
    assert_eq!(calibration.rounded(TensorId(2)), &calibration.observers()[2]);
}

#[test]
fn calibration_stops_at_the_first_bad_sample() {
    let unreadable = (0..9).map(|i| if i == 4 { Err(std::io::Error::other("torn")) } else { Ok(sample(i)) });
    assert!(matches!(run(unreadable, 2), Err(CalibrateError::Sample { index: 4, .. })));
    let short = (0..9).map(|i| Ok(if i == 2 { vec![0.0] } else { sample(i) }));
    assert!(matches!(run(short, 1), Err(CalibrateError::Float { index: 2, .. })));
    let poisoned = (0..9).map(|i| Ok(if i == 3 { vec![f32::NAN; 72] } else { sample(i) }));
    let Err(CalibrateError::Values { index: 3, source }) = run(poisoned, 2) else {
        panic!("a NaN went unnoticed")
    };
    assert_eq!(source.tensor, "input");
    assert!(matches!(run(std::iter::empty(), 2), Err(CalibrateError::NoSamples)));
}

#[test]
fn calibration_refuses_a_float_network_that_does_not_fit() {
    let folded = small_network();
    let onnx = folded_to_onnx(&folded);
    let one = NonZeroUsize::MIN;
    let samples = || std::iter::once(Ok::<_, std::io::Error>(sample(0)));
    let bare = FloatModel::new(&onnx, [1, 2, 6, 6], &[]).unwrap();
    let result = calibrate(&folded, &bare, samples(), one, |_| {});
    assert!(matches!(result, Err(CalibrateError::DifferentTensors)));

    let mut other = folded.clone();
    other.tensors[1].shape.h = 5;
    let float = FloatModel::for_folded(&onnx, &folded).unwrap();
    let result = calibrate(&other, &float, samples(), one, |_| {});
    assert!(matches!(result, Err(CalibrateError::TensorLength { expected: 60, given: 36, .. })));
}
