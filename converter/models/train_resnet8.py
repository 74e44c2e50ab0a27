"""Train the ResNet-8 that ships with resi8, on CIFAR-10, and export it to ONNX with its batch norms in place.

Architecture: the 6n+2 CIFAR family of He et al. (2015) with n = 1: a 3x3 stem of 16 channels, three residual blocks of
16, 32 and 64 channels (the last two halve the resolution and use a 1x1 projection shortcut with batch norm, option B),
global average pooling, one linear layer. 78,042 weights and 12.5 million multiply-accumulates per picture.

Data: the CIFAR-10 binary version (records of 1 label byte and 3,072 pixel bytes, planes R, G, B).

    python train_resnet8.py --train 'data_batch_*.bin' --test test.bin --out resnet8-cifar10.onnx
"""

import argparse
import glob
import json
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: y = relu(bn(conv(relu(bn(conv(x))))) + shortcut(x))."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet8(nn.Module):
    """Input: N x 3 x 32 x 32, normalised with MEAN and STD. Output: N x 10 logits."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def read_cifar(pattern):
    """Read CIFAR-10 binary files: (N x 3 x 32 x 32 uint8 pixels, N int64 labels)."""
    files = sorted(glob.glob(pattern))
    if not files:
        raise SystemExit(f"no file matches {pattern}")
    raw = np.concatenate([np.fromfile(f, np.uint8) for f in files]).reshape(-1, 3073)
    return torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(raw[:, 0].astype(np.int64))


def normalise(pixels):
    """8-bit pixels to network input."""
    return (pixels.float() / 255 - MEAN) / STD


def augment(batch, generator):
    """Random horizontal flip and a random crop from a picture padded by 4 pixels on every side."""
    n = batch.shape[0]
    flip = torch.rand(n, generator=generator) < 0.5
    batch = torch.where(flip.view(-1, 1, 1, 1), batch.flip(3), batch)
    padded = F.pad(batch, (4, 4, 4, 4))
    dy, dx = torch.randint(0, 9, (2, n), generator=generator)
    rows = dy.view(-1, 1) + torch.arange(32)
    cols = dx.view(-1, 1) + torch.arange(32)
    return padded[torch.arange(n).view(-1, 1, 1), :, rows.view(n, 32, 1), cols.view(n, 1, 32)].permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(model, pixels, labels):
    """Top-1 accuracy in percent."""
    model.eval()
    right = sum(
        (model(normalise(p)).argmax(1) == y).sum().item() for p, y in zip(pixels.split(1000), labels.split(1000))
    )
    return 100 * right / len(labels)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--train", required=True)
    arguments.add_argument("--test", required=True)
    arguments.add_argument("--epochs", type=int, default=24)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--learning-rate", type=float, default=0.4)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=8)
    arguments.add_argument("--out", required=True)
    args = arguments.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(args.seed)
    train_x, train_y = read_cifar(args.train)
    test_x, test_y = read_cifar(args.test)
    train_x = normalise(train_x)
    model = ResNet8().to(memory_format=torch.channels_last)
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decay, "weight_decay": 5e-4}, {"params": rest, "weight_decay": 0}],
        lr=args.learning_rate,
        momentum=0.9,
        nesterov=True,
    )
    steps = args.epochs * (len(train_y) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.learning_rate, total_steps=steps, pct_start=0.2)
    for epoch in range(args.epochs):
        model.train()
        start, total = time.time(), 0.0
        order = torch.randperm(len(train_y), generator=generator)
        for i in range(len(train_y) // args.batch):
            pick = order[i * args.batch : (i + 1) * args.batch]
            x = augment(train_x[pick], generator).to(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), train_y[pick])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch + 1}/{args.epochs} loss {total / (i + 1):.4f} test {accuracy(model, test_x, test_y):.2f} % "
            f"({time.time() - start:.0f} s)",
            flush=True,
        )
        torch.save(model.state_dict(), args.out + ".pt")

    model.eval()
    torch.onnx.export(
        model,
        torch.zeros(1, 3, 32, 32),
        args.out,
        input_names=["image"],
        output_names=["logits"],
        opset_version=17,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )
    result = {
        "architecture": "resnet8 option B",
        "epochs": args.epochs,
        "seed": args.seed,
        "train_pictures": len(train_y),
        "test_pictures": len(test_y),
        "float_top1_percent": round(accuracy(model, test_x, test_y), 2),
    }
    with open(args.out + ".json", "w") as file:
        json.dump(result, file, indent=2)
    print(result)


if __name__ == "__main__":
    main()
