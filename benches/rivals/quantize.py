#!/usr/bin/env python3
"""Quantizes a float network for one rival, with the rival's own tool and the pictures that all of them get.

    quantize.py --models FOLDER --network resnet18 --tool onnxruntime

The variable RESI8 is the path of resi8's converter, for the tool `resi8`.
"""
import argparse
import os
import subprocess
from pathlib import Path

import networks
import numpy as np


class Source:
    """The float network and its calibration pictures."""

    def __init__(self, models, name):
        self.models, self.name = models, name
        self.network = networks.NETWORKS[name]

    def file(self, suffix):
        """A file of this network."""
        return str(self.models / f"{self.name}.{suffix}")

    def calibration(self):
        """Preprocessed calibration pictures, each 1x3xHxW."""
        pixels = np.load(self.file("calibration.npy"))
        return [self.network.preprocess(picture[None]) for picture in pixels]

    def folded(self):
        """The float network with its batch norms folded, as ONNX Runtime's preprocessing leaves it."""
        from onnxruntime.quantization.shape_inference import quant_pre_process

        path = self.file("folded.onnx")
        quant_pre_process(self.file("onnx"), path)
        return path

    def module(self):
        """The folded float network in PyTorch."""
        import onnx_torch

        return onnx_torch.load(self.folded())


def onnxruntime_static(source, types):
    """QDQ with one weight scale per channel; `types` are those of activations and weights: u8s8 or u8u8."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """One picture after the other."""

        def __init__(self):
            self.pictures = iter(source.calibration())

        def get_next(self):
            picture = next(self.pictures, None)
            return None if picture is None else {"input": picture}

    quantize_static(
        source.folded(),
        source.file(f"{types}.onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type={"u8s8": QuantType.QInt8, "u8u8": QuantType.QUInt8}[types],
        per_channel=True,
    )


def rten(source):
    """Weights quantized, activations at run time: the form that rten documents."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source.folded(),
        source.file("dynamic.onnx"),
        weight_type=QuantType.QUInt8,
        per_channel=False,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
    )


def openvino(source):
    """NNCF's post-training quantization."""
    import nncf
    import openvino as ov

    calibration = source.calibration()
    model = nncf.quantize(
        ov.Core().read_model(source.file("onnx")),
        nncf.Dataset(calibration),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(calibration),
    )
    ov.save_model(model, source.file("openvino.xml"), compress_to_fp16=False)


def ncnn(source):
    """pnnx to ncnn's float form, then int8 as ncnn's own tools (in no package) would write it."""
    import ncnn_int8
    import pnnx
    import torch

    side = source.network.side
    torch.jit.trace(source.module(), torch.zeros(1, 3, side, side)).save(source.file("torchscript.pt"))
    command = [pnnx.EXEC_PATH, source.file("torchscript.pt"), f"inputshape=[1,3,{side},{side}]f32", "fp16=0"]
    command += ["ncnnparam=" + source.file("ncnn.param"), "ncnnbin=" + source.file("ncnn.bin")]
    subprocess.run(command, check=True, cwd=source.models, stdout=subprocess.DEVNULL)
    ncnn_int8.convert(source.file("ncnn"), source.file("ncnn-int8"), source.calibration()[:32])


def litert(source):
    """PyTorch to LiteRT with channels last, then AI Edge Quantizer with static int8."""
    import litert_torch
    import onnx_torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    side = source.network.side
    module = onnx_torch.concatenate_zeros(source.module())
    module = litert_torch.to_channel_last_io(module, args=[0]).eval()
    litert_torch.convert(module, (torch.zeros(1, side, side, 3),)).export(source.file("float.tflite"))
    from ai_edge_litert.interpreter import Interpreter

    (key, signature), *_ = Interpreter(source.file("float.tflite")).get_signature_list().items()
    channels_last = [np.ascontiguousarray(picture.transpose(0, 2, 3, 1)) for picture in source.calibration()]
    calibration = {key: [{signature["inputs"][0]: picture} for picture in channels_last]}
    tool = quantizer.Quantizer(source.file("float.tflite"))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    tool.quantize(tool.calibrate(calibration)).export_model(source.file("int8.tflite"), overwrite=True)


def resi8(source):
    """`resi8 convert`, with its defaults."""
    join = lambda values: ",".join(map(str, values))
    command = [os.environ["RESI8"], "convert", source.file("onnx"), "--calibration", source.file("calibration.npy")]
    command += ["--mean", join(source.network.mean), "--std", join(source.network.std), "--resize", "none"]
    subprocess.run([*command, "--threads", "1", "--output", source.file("r8")], check=True)


TOOLS = {
    "resi8": resi8,
    "onnxruntime": lambda source: onnxruntime_static(source, "u8s8"),
    "onnxruntime-u8u8": lambda source: onnxruntime_static(source, "u8u8"),
    "rten": rten,
    "openvino": openvino,
    "ncnn": ncnn,
    "litert": litert,
}


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--network", required=True, choices=networks.NETWORKS)
    parser.add_argument("--tool", required=True, choices=TOOLS)
    args = parser.parse_args()
    TOOLS[args.tool](Source(args.models.resolve(), args.network))


if __name__ == "__main__":
    main()
