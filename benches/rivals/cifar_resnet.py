"""The residual networks for 32 x 32 pictures, for seeded weights: 16, 32 and 64 channels, projection shortcuts."""
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Conv2d(channels_in, channels, 1, stride)

    def forward(self, x):
        """One block."""
        y = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(y)) + self.shortcut(x)).relu()


class CifarResNet(nn.Module):
    """Three stages of `blocks` blocks: 3 give ResNet-20, 1 gives ResNet-8."""

    def __init__(self, blocks, classes):
        super().__init__()
        stages = [Block(16, 16, 1) for _ in range(blocks)]
        for channels in (32, 64):
            stages.append(Block(channels // 2, channels, 2))
            stages += [Block(channels, channels, 1) for _ in range(blocks - 1)]
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, classes)

    def forward(self, x):
        """Logits."""
        return self.classifier(self.pool(self.stages(self.stem(x))).flatten(1))
