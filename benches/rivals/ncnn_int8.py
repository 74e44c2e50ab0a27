"""Int8 models for ncnn: what its tools `ncnn2table` and `ncnn2int8` do, which no package carries.

Weights get one scale per output channel, at the largest magnitude; activations one scale per tensor. As with those
tools, 3x3 convolutions of stride 1 get 6-bit weights: ncnn's Winograd kernels need them. Between two convolutions the
values stay int8.
"""
import numpy as np

FLOAT_TAG = b"\0\0\0\0"
INT8_TAG = (0x000D4B38).to_bytes(4, "little")

# Numbers of ncnn's parameters: [count of outputs, size of the weights, has a bias]
PARAMETERS = {"Convolution": ("0", "6", "5"), "InnerProduct": ("0", "2", "1")}
INT8_SCALE_TERM = "8"


class Layer:
    """One line of a parameter file: type, name, counts, blobs, parameters."""

    def __init__(self, line):
        self.kind, self.name, inputs, outputs, *rest = line.split()
        inputs, outputs = int(inputs), int(outputs)
        self.inputs, self.outputs = rest[:inputs], rest[inputs : inputs + outputs]
        self.parameters = dict(parameter.split("=", 1) for parameter in rest[inputs + outputs :])

    def line(self):
        """The line again."""
        parameters = [f"{key}={value}" for key, value in self.parameters.items()]
        counts = [str(len(self.inputs)), str(len(self.outputs))]
        return " ".join([self.kind, self.name, *counts, *self.inputs, *self.outputs, *parameters])

    def quantized(self):
        """Whether this layer has an int8 form."""
        return self.kind in PARAMETERS

    def weight_limit(self):
        """The largest quantized weight."""
        kernel = (self.parameters.get("1"), self.parameters.get("11", self.parameters.get("1")))
        stride = (self.parameters.get("3", "1"), self.parameters.get("13", self.parameters.get("3", "1")))
        winograd = self.kind == "Convolution" and kernel == ("3", "3") and stride == ("1", "1")
        return 31 if winograd else 127


def activation_limits(path, layers, calibration):
    """For the input blob of every quantized layer: the largest magnitude over the calibration pictures."""
    import ncnn

    net = ncnn.Net()
    net.load_param(path + ".param")
    net.load_model(path + ".bin")
    blobs = {layer.inputs[0] for layer in layers if layer.quantized()}
    limits = dict.fromkeys(blobs, 0.0)
    for picture in calibration:
        extractor = net.create_extractor()
        extractor.set_light_mode(False)
        extractor.input("in0", ncnn.Mat(picture[0]).clone())
        for blob in blobs:
            _, values = extractor.extract(blob)
            limits[blob] = max(limits[blob], float(np.abs(np.array(values)).max()))
    return limits


class FloatWeights:
    """Reads a float weight file in order."""

    def __init__(self, path):
        self.data = np.fromfile(path, dtype=np.uint8).tobytes()
        self.at = 0

    def take(self, count):
        """The next values."""
        values = np.frombuffer(self.data, dtype="<f4", count=count, offset=self.at)
        self.at += 4 * count
        return values

    def take_tagged(self, count):
        """The next values, which a tag precedes."""
        if self.data[self.at : self.at + 4] != FLOAT_TAG:
            raise ValueError("the weights are no f32")
        self.at += 4
        return self.take(count)


def quantize_layer(layer, weights, input_scale, output_scale):
    """The int8 form of one layer's weights, as bytes; sets the layer's parameter."""
    outputs, size, has_bias = (int(layer.parameters.get(key, 0)) for key in PARAMETERS[layer.kind])
    rows = weights.take_tagged(size).reshape(outputs, -1)
    bias = weights.take(outputs) if has_bias else np.empty(0, dtype="<f4")
    limit = layer.weight_limit()
    scales = limit / np.maximum(np.abs(rows).max(axis=1), 1e-20)
    values = np.clip(np.rint(rows * scales[:, None]), -limit, limit).astype(np.int8).tobytes()
    values += bytes(-len(values) % 4)
    layer.parameters[INT8_SCALE_TERM] = "2" if output_scale is None else "102"
    floats = [bias, scales, [input_scale], [] if output_scale is None else [output_scale]]
    return INT8_TAG + values + b"".join(np.asarray(part, dtype="<f4").tobytes() for part in floats)


def convert(source, target, calibration):
    """Reads `source`.param and .bin, writes `target`.param and .bin."""
    with open(source + ".param", encoding="ascii") as file:
        magic, counts, *lines = file.read().strip().splitlines()
    layers = [Layer(line) for line in lines]
    limits = activation_limits(source, layers, calibration)
    scales = {blob: 127 / max(limit, 1e-20) for blob, limit in limits.items()}
    convolution_inputs = {layer.inputs[0] for layer in layers if layer.kind == "Convolution"}
    weights = FloatWeights(source + ".bin")
    with open(target + ".bin", "wb") as file:
        for layer in layers:
            if layer.quantized():
                # A blob has one reader in ncnn (a Split otherwise), so int8 output is safe where that is a convolution.
                chained = layer.kind == "Convolution" and layer.outputs[0] in convolution_inputs
                output_scale = scales[layer.outputs[0]] if chained else None
                file.write(quantize_layer(layer, weights, scales[layer.inputs[0]], output_scale))
    if weights.at != len(weights.data):
        raise ValueError("there are weights of layers that are not known here")
    with open(target + ".param", "w", encoding="ascii") as file:
        file.write("\n".join([magic, counts, *(layer.line() for layer in layers)]) + "\n")
