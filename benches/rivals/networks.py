#!/usr/bin/env python3
"""Writes what every rival starts from: for each network one float ONNX file and two files of pictures.

    NAME.onnx               float network, input 1x3xHxW, batch norms in place
    NAME.calibration.npy    uint8 NxHxWx3, the pictures that every quantizer gets
    NAME.check.npy          uint8 16xHxWx3, other pictures, the first for latency, all for the logits
    NAME.check.f32          the same, preprocessed: little-endian f32, NCHW
    NAME.check.png          the first of them
    NAME.logits.f32         the float network's logits of those

Trained networks and photos come from the data folder. What is not there is made up: weights from a fixed seed, with
batch norm statistics of the calibration pictures so that no activation runs away, and smooth random pictures.
"""
import argparse
import dataclasses
import shutil
from pathlib import Path

import numpy as np

CALIBRATION_PICTURES = 128
CHECK_PICTURES = 16


@dataclasses.dataclass(frozen=True)
class Network:
    """One network: its size, its preprocessing, and where its trained form is."""

    name: str
    side: int
    classes: int
    trained: str | None = None
    mean: tuple = (0.485, 0.456, 0.406)
    std: tuple = (0.229, 0.224, 0.225)

    def preprocess(self, pixels):
        """uint8 NHWC to float NCHW."""
        values = (pixels.astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2), dtype=np.float32)


RAW = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}
NETWORKS = {
    network.name: network
    for network in (
        Network("resnet18", 224, 1000, "resnet18_imagenet.onnx"),
        Network("resnet50", 224, 1000),
        Network("resnet20", 32, 10, "resnet20_cifar10.onnx"),
        Network("resnet8", 32, 10, "resnet8_mlperf_cifar10.onnx", **RAW),
    )
}


# --- Pictures -------------------------------------------------------------------------------------------------------


def photos(folder, count):
    """`count` photos of a folder: shorter side 256, central 224 x 224."""
    from PIL import Image

    pixels = []
    for path in sorted(folder.iterdir())[:count]:
        picture = Image.open(path).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize([max(256, round(side * scale)) for side in picture.size], Image.Resampling.BILINEAR)
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        pixels.append(np.asarray(picture.crop((left, top, left + 224, top + 224))))
    return np.stack(pixels)


def cifar(path, count):
    """`count` pictures of a CIFAR-10 file: records of a label and three planes."""
    records = np.fromfile(path, dtype=np.uint8, count=count * 3073).reshape(count, 3073)
    return records[:, 1:].reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)


def smooth_noise(side, count):
    """`count` random pictures with structure at several scales, as photos have."""
    random = np.random.default_rng(7)
    total = np.zeros((count, side, side, 3), dtype=np.float32)
    for cells in (2, 4, 8, 16, 32):
        coarse = random.standard_normal((count, cells, cells, 3), dtype=np.float32)
        total += coarse.repeat(side // cells, axis=1).repeat(side // cells, axis=2) / np.sqrt(cells)
    return np.clip(127 + 60 * total, 0, 255).astype(np.uint8)


def pictures(network, data):
    """Calibration and check pictures."""
    count = CALIBRATION_PICTURES + CHECK_PICTURES
    folder, records = data / "imagenet/calib256", data / "cifar10/train_calib_1000.bin"
    if network.side == 224 and folder.is_dir():
        pixels = photos(folder, count)
    elif network.side == 32 and records.is_file():
        pixels = cifar(records, count)
    else:
        pixels = smooth_noise(network.side, count)
    return np.ascontiguousarray(pixels[:CALIBRATION_PICTURES]), np.ascontiguousarray(pixels[CALIBRATION_PICTURES:])


# --- Networks with seeded weights -----------------------------------------------------------------------------------


def seeded_module(network):
    """The architecture with random weights."""
    import torch

    torch.manual_seed(0)
    if network.name in ("resnet18", "resnet50"):
        import torchvision

        return getattr(torchvision.models, network.name)(weights=None)
    import cifar_resnet

    return cifar_resnet.CifarResNet(blocks={"resnet20": 3, "resnet8": 1}[network.name], classes=network.classes)


def export_seeded(network, calibration, path):
    """Writes the float network with seeded weights."""
    import torch

    module = seeded_module(network)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None  # plain mean over the batches
    module.train()
    inputs = torch.from_numpy(network.preprocess(calibration))
    with torch.no_grad():
        for batch in inputs[:64].split(16):
            module(batch)
    torch.onnx.export(
        module.eval(),
        (inputs[:1],),
        str(path),
        input_names=["input"],
        output_names=["logits"],
        opset_version=13,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )


# --- Everything together --------------------------------------------------------------------------------------------


def float_logits(path, inputs):
    """Logits of the float network, picture by picture."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: picture[None]})[0] for picture in inputs])


def write(network, data, models):
    """Writes all files of one network and says where its weights come from."""
    from PIL import Image

    path = models / f"{network.name}.onnx"
    calibration, check = pictures(network, data)
    trained = data / "models" / network.trained if network.trained else None
    if trained and trained.is_file():
        shutil.copyfile(trained, path)
        weights = f"trained ({network.trained})"
    else:
        export_seeded(network, calibration, path)
        weights = "seeded random"
    np.save(models / f"{network.name}.calibration.npy", calibration)
    np.save(models / f"{network.name}.check.npy", check)
    Image.fromarray(check[0]).save(models / f"{network.name}.check.png")
    inputs = network.preprocess(check)
    inputs.astype("<f4").tofile(models / f"{network.name}.check.f32")
    float_logits(path, inputs).astype("<f4").tofile(models / f"{network.name}.logits.f32")
    (models / f"{network.name}.weights.txt").write_text(weights + "\n")
    print(f"{network.name}: {weights}, {len(calibration)} calibration pictures")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder to write to")
    parser.add_argument("--data", type=Path, required=True, help="folder of trained networks and photos; may be absent")
    parser.add_argument("--network", required=True, choices=NETWORKS)
    args = parser.parse_args()
    args.models.mkdir(parents=True, exist_ok=True)
    write(NETWORKS[args.network], args.data, args.models)


if __name__ == "__main__":
    main()
