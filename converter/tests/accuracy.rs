//! Accuracy on real labelled pictures: float through the importer reproduces the published counts exactly, int8 stays
//! within its bounds, and every figure is printed.

mod common;

use common::{
    cifar, convert_with, dataset, imagenet, options, pixels, raw, read, say, shared, shipped, threads,
};
use resi8::{Isa, Model, Preprocess, Resize};
use resi8_converter::convert::Conversion;
use resi8_converter::float::FloatModel;
use resi8_converter::measure::{Measurement, measure};
use resi8_converter::onnx::OnnxModel;
use resi8_picture::Dataset;

/// A network, and what is known of it.
struct Case {
    name: &'static str,
    preprocess: Preprocess,
    /// Pictures that float gets right.
    float_correct: u64,
    /// Fewer right answers than float that int8 may have.
    allowed_loss: u64,
    /// Least signal to quantization noise of the logits, in decibels.
    least_sqnr: f64,
}

/// Runs int8 and float on every picture.
fn evaluate(network: &OnnxModel, conversion: &Conversion, pictures: &Dataset) -> Measurement {
    let model = Model::parse(&conversion.file).unwrap();
    let logits = conversion.folded.tensors.last().unwrap().name.clone();
    let float = FloatModel::new(network.proto(), network.input_shape(), &[logits]).unwrap();
    let sample = |index: usize| pixels(pictures, index);
    measure(&model, &float, Isa::best(), pictures.len(), sample, threads(), || ()).unwrap()
}

fn check(case: &Case, conversion: &Conversion, m: &Measurement) {
    let model = Model::parse(&conversion.file).unwrap();
    let arena = resi8::Plan::new(model, Isa::Portable).unwrap().arena_len();
    let sqnr = m.logits.sqnr_db();
    say(&format!(
        "accuracy: {:<18} {} pictures, float {}, int8 {}, same class {}, logit SQNR {sqnr:.2} dB, file {}, arena {arena}",
        case.name,
        m.total,
        m.float_correct,
        m.int8_correct,
        m.agree,
        conversion.file.len()
    ));
    assert_eq!(conversion.warnings, [""; 0], "{}", case.name);
    assert_eq!(m.total, m.labelled, "{}", case.name);
    assert_eq!(m.float_correct, case.float_correct, "{}: float", case.name);
    assert!(
        m.int8_correct + case.allowed_loss >= m.float_correct,
        "{}: int8 gets {}",
        case.name,
        m.int8_correct
    );
    assert!(sqnr >= case.least_sqnr, "{}: {sqnr} dB", case.name);
}

/// 0.2 points of 9,979 pictures.
const CIFAR_LOSS: u64 = 19;

#[test]
fn cifar_networks() {
    let (Some(models), Some(pictures)) = (shared("models"), shared("cifar10")) else { return };
    let p1 = imagenet(Resize::None);
    let case = |name, preprocess, float_correct, least_sqnr| Case {
        name,
        preprocess,
        float_correct,
        allowed_loss: CIFAR_LOSS,
        least_sqnr,
    };
    let cases = [
        case("resnet8_mlperf", raw(), 8702, 32.0),
        case("resnet20", p1, 9154, 32.0),
        case("resnet32", p1, 9243, 31.0),
        case("resnet44", p1, 9290, 30.0),
        case("resnet56", p1, 9319, 30.0),
    ];
    for case in cases {
        let network = read(&models.join(format!("{}_cifar10.onnx", case.name)));
        let calibration = dataset(&pictures.join("train_calib_1000.bin"), case.preprocess, 32, None);
        let conversion = convert_with(&network, &calibration, &options(case.preprocess));
        let test = dataset(&pictures.join("test_9979.bin"), case.preprocess, 32, None);
        check(&case, &conversion, &evaluate(&network, &conversion, &test));
    }
}

/// The network that comes with resi8, calibrated on the drawings that come with it.
#[test]
fn shipped_network() {
    let Some(pictures) = shared("cifar10") else { return };
    let preprocess = cifar();
    let case = Case {
        name: "resnet8 (shipped)",
        preprocess,
        float_correct: 8528,
        allowed_loss: CIFAR_LOSS,
        least_sqnr: 30.0,
    };
    let network = read(&shipped("resnet8-cifar10.onnx"));
    let calibration = dataset(&shipped("calibration/drawn_128.bin"), preprocess, 32, None);
    let conversion = convert_with(&network, &calibration, &options(preprocess));
    let test = dataset(&pictures.join("test_9979.bin"), preprocess, 32, None);
    check(&case, &conversion, &evaluate(&network, &conversion, &test));
}

/// The exporter's raw output and the cleaned file become the same integers.
#[test]
fn raw_export_becomes_the_same_model() {
    let (Some(models), Some(pictures)) = (shared("models"), shared("cifar10")) else { return };
    let preprocess = imagenet(Resize::None);
    let calibration = dataset(&pictures.join("train_calib_1000.bin"), preprocess, 32, None);
    let [clean, raw] = ["resnet20_cifar10.onnx", "resnet20_cifar10.raw-export.onnx"].map(|name| {
        let conversion = convert_with(&read(&models.join(name)), &calibration, &options(preprocess));
        conversion
            .quantized
            .layers
            .into_iter()
            .map(|layer| (layer.op, layer.weights, layer.channels))
            .collect::<Vec<_>>()
    });
    assert!(clean == raw);
}

#[test]
fn resnet18_on_photos() {
    let (Some(models), Some(photos)) = (shared("models"), shared("imagenet")) else { return };
    let preprocess = imagenet(Resize::ShorterSide(256));
    let case =
        Case { name: "resnet18_imagenet", preprocess, float_correct: 753, allowed_loss: 6, least_sqnr: 27.0 };
    let network = read(&models.join("resnet18_imagenet.onnx"));
    let calibration = dataset(&photos.join("calib256"), preprocess, 224, None);
    let conversion = convert_with(&network, &calibration, &options(preprocess));
    // These photos were squeezed to 227 x 227 at the source: they are cropped, not resized.
    let cropped = imagenet(Resize::None);
    let test = dataset(&photos.join("val1000"), cropped, 224, Some(photos.join("val1000_labels.csv")));
    check(&case, &conversion, &evaluate(&network, &conversion, &test));
}
