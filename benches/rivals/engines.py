#!/usr/bin/env python3
"""One measurement of one rival with a Python interface, in a process of its own; prints one line of JSON.

    engines.py --engine openvino --model resnet18.openvino.xml --pictures resnet18.check.f32 --side 224
               --threads 1 --seconds 1 [--logits FILE]

`load_ms` is from the file to a network that is ready, `first_ms` the first run. Starting Python and importing the
rival are in neither. `rust/src/lib.rs` does the same for the rivals in Rust.
"""
import argparse
import importlib
import json
import time
from pathlib import Path

import numpy as np

WARM_UP_SECONDS = 0.3


class OnnxRuntime:
    """ONNX Runtime, input and output bound once. With `precise`, its slower form that does not saturate."""

    def __init__(self, model, threads, picture, precise=False):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if precise:
            options.add_session_config_entry("session.x64quantprecision", "1")
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        source, sink = self.session.get_inputs()[0], self.session.get_outputs()[0]
        self.input, self.output = np.zeros_like(picture), np.zeros(sink.shape, dtype=np.float32)
        self.binding = self.session.io_binding()
        self.binding.bind_input(source.name, "cpu", 0, np.float32, picture.shape, self.input.ctypes.data)
        self.binding.bind_output(sink.name, "cpu", 0, np.float32, self.output.shape, self.output.ctypes.data)

    def set_input(self, picture):
        """Takes a picture."""
        self.input[:] = picture

    def run(self):
        """One inference."""
        self.session.run_with_iobinding(self.binding)

    def logits(self):
        """What the last run found."""
        return self.output


class OpenVino:
    """OpenVINO's CPU plugin."""

    def __init__(self, model, threads, picture):
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the process is pinned already
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not int8
        }
        self.input = np.zeros_like(picture)
        self.request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(self.input, shared_memory=True))

    def set_input(self, picture):
        """Takes a picture."""
        self.input[:] = picture

    def run(self):
        """One inference."""
        self.request.infer()

    def logits(self):
        """What the last run found."""
        return self.request.get_output_tensor().data


class LiteRt:
    """LiteRT with XNNPACK, its default on a CPU. Channels last."""

    def __init__(self, model, threads, picture):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.source = self.interpreter.get_input_details()[0]
        self.sink = self.interpreter.get_output_details()[0]

    def set_input(self, picture):
        """Takes a picture, quantized here if the model wants it so."""
        values = picture.transpose(0, 2, 3, 1)
        if self.source["dtype"] == np.int8:
            scale, zero = self.source["quantization"]
            values = np.clip(np.rint(values / scale) + zero, -128, 127)
        self.interpreter.set_tensor(self.source["index"], np.ascontiguousarray(values, dtype=self.source["dtype"]))

    def run(self):
        """One inference."""
        self.interpreter.invoke()

    def logits(self):
        """What the last run found, as real numbers."""
        values = self.interpreter.get_tensor(self.sink["index"]).astype(np.float32)
        scale, zero = self.sink["quantization"]
        return (values - zero) * scale if scale else values


class Ncnn:
    """ncnn. A picture is handed over and logits are fetched in every run: there is no other way."""

    def __init__(self, model, threads, picture):
        import ncnn

        self.mat = ncnn.Mat
        self.net = ncnn.Net()
        self.net.opt.use_vulkan_compute = False
        self.net.opt.num_threads = threads
        self.net.load_param(model)
        self.net.load_model(str(Path(model).with_suffix(".bin")))

    def set_input(self, picture):
        """Takes a picture."""
        self.input = self.mat(np.array(picture[0])).clone()

    def run(self):
        """One inference."""
        extractor = self.net.create_extractor()
        extractor.input("in0", self.input)
        _, self.output = extractor.extract("out0")

    def logits(self):
        """What the last run found."""
        return np.array(self.output)


ENGINES = {
    "onnxruntime": OnnxRuntime,
    "onnxruntime-u8u8": OnnxRuntime,
    "onnxruntime-precise": lambda *args: OnnxRuntime(*args, precise=True),
    "openvino": OpenVino,
    "litert": LiteRt,
    "ncnn": Ncnn,
}
MODULES = {"openvino": "openvino", "litert": "ai_edge_litert.interpreter", "ncnn": "ncnn"}


def milliseconds_since(start):
    """Time since `start`."""
    return (time.perf_counter() - start) * 1e3


def timed_runs(engine, seconds):
    """Milliseconds of every run, after warming up."""
    start = time.perf_counter()
    while time.perf_counter() - start < WARM_UP_SECONDS:
        engine.run()
    times, start = [], time.perf_counter()
    while len(times) < 10 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        engine.run()
        times.append(milliseconds_since(before))
    return sorted(times)


def measure(args):
    """The measurement."""
    importlib.import_module(MODULES.get(args.engine, "onnxruntime"))
    # Mapped, so that the pictures take no memory that counts.
    pictures = np.memmap(args.pictures, dtype="<f4", mode="r").reshape(-1, 1, 3, args.side, args.side)
    start = time.perf_counter()
    engine = ENGINES[args.engine](args.model, args.threads, pictures[0])
    load = milliseconds_since(start)
    engine.set_input(pictures[0])
    start = time.perf_counter()
    engine.run()
    first = milliseconds_since(start)
    times = timed_runs(engine, args.seconds)
    print(
        json.dumps(
            {
                "latency_ms_median": times[len(times) // 2],
                "latency_ms_min": times[0],
                "runs": len(times),
                "load_ms": load,
                "first_ms": first,
            }
        ),
        flush=True,
    )
    if args.logits:
        write_logits(engine, pictures, args.logits)


def write_logits(engine, pictures, path):
    """Logits of all pictures, f32."""
    with open(path, "wb") as file:
        for picture in pictures:
            engine.set_input(picture)
            engine.run()
            file.write(np.asarray(engine.logits(), dtype="<f4").tobytes())


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", required=True, choices=ENGINES)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pictures", required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--logits")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
