"""Measure what the README of this folder states: float accuracy, the sample pictures, closeness of the calibration set.

    pip install numpy==2.4.6 pillow==13.0.0 onnx==1.23.2 onnxruntime==1.32.0
    python converter/models/measure.py --test test_9979.bin --real train_calib_1000.bin

Both files are in the CIFAR-10 binary form (records of 1 label byte and the planes red, green, blue).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

HERE = Path(__file__).resolve().parent
NETWORK = HERE / "resnet8-cifar10.onnx"
LABELS = (HERE / "cifar10-labels.txt").read_text().split()
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(3, 1, 1)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32).reshape(3, 1, 1)


def read_records(path):
    """(labels, normalised N x 3 x 32 x 32 pictures) of a CIFAR-10 binary file."""
    raw = np.fromfile(path, np.uint8).reshape(-1, 3073)
    return raw[:, 0], normalise(raw[:, 1:].reshape(-1, 3, 32, 32))


def normalise(pixels):
    """8-bit pixels to network input."""
    return (pixels.astype(np.float32) / 255 - MEAN) / STD


def outputs(model, pictures, names=("logits",)):
    """The named tensors of the network for each picture, one array with N rows per name."""
    session = onnxruntime.InferenceSession(model)
    rows = [session.run(list(names), {"image": picture[None]}) for picture in pictures]
    return [np.concatenate(column) for column in zip(*rows)]


def picture_table():
    """Top-1 and its probability for each sample picture: shorter side to 32, bilinear, centre crop, normalised."""
    paths = sorted((HERE / "pictures").glob("*.png"))
    small = [Image.open(path).resize((32, 32), Image.Resampling.BILINEAR) for path in paths]
    (logits,) = outputs(str(NETWORK), normalise(np.stack([np.asarray(p).transpose(2, 0, 1) for p in small])))
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    print("| picture | top-1 | probability | |\n|---|---|---|---|")
    for path, p in zip(paths, exponents / exponents.sum(1, keepdims=True)):
        answer = LABELS[p.argmax()]
        verdict = "right" if path.name.startswith(answer) else "wrong"
        print(f"| {path.stem} | {answer} | {100 * p.max():.1f} % | {verdict} |")


def activation_ranges(pictures):
    """Max, 99.99 % point and RMS of the magnitude of every ReLU output and the logits: one row per tensor."""
    model = onnx.load(NETWORK)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    tensors = outputs(model.SerializeToString(), pictures, [*names, "logits"])
    return np.array([(abs(t).max(), np.quantile(abs(t), 0.9999), np.sqrt(np.square(t).mean())) for t in tensors])


class Reader(CalibrationDataReader):
    """Hands pictures to ONNX Runtime's calibration one by one."""

    def __init__(self, pictures):
        self.feeds = ({"image": picture[None]} for picture in pictures)

    def get_next(self):
        return next(self.feeds, None)


def int8_logits(calibration, test):
    """Logits after ONNX Runtime's static quantization: per-channel int8 weights, min-max ranges."""
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = (str(Path(folder) / name) for name in ("prepared.onnx", "int8.onnx"))
        quant_pre_process(str(NETWORK), prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            Reader(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
        )
        return outputs(quantized, test)[0]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--test", required=True, help="labelled test pictures")
    arguments.add_argument("--real", required=True, help="real pictures to compare the calibration set with")
    args = arguments.parse_args()

    labels, test = read_records(args.test)
    _, real = read_records(args.real)
    _, drawn = read_records(HERE / "calibration" / "drawn_128.bin")
    (reference,) = outputs(str(NETWORK), test)
    print(f"float: {(reference.argmax(1) == labels).sum()} of {len(labels)} right")
    picture_table()
    scale = activation_ranges(real)
    sets = {"drawn_128": drawn, "first 128 real": real[:128], "next 128 real": real[128:256], "all real": real}
    for name, calibration in sets.items():
        logits = int8_logits(calibration, test)
        error = np.square(logits - reference).sum()
        sqnr = f"{10 * np.log10(np.square(reference).sum() / error):.1f} dB"
        agree = (logits.argmax(1) == reference.argmax(1)).sum()
        print(f"{name}: int8 {(logits.argmax(1) == labels).sum()} right, {agree} agree with float, logit SQNR {sqnr}")
        for label, row in zip(("max", "99.99 %", "RMS"), (activation_ranges(calibration) / scale).T):
            print(f"    {label:8}" + " ".join(f"{ratio:.2f}" for ratio in row))


if __name__ == "__main__":
    main()
