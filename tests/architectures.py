"""Small networks of the families that everybody knows, after the papers that introduced them."""

import torch
from torch import nn


def alexnet(width=1.0, extra=0):
    """AlexNet; `extra` more convolutions of the last kind."""
    sizes = [3, *(int(width * channels) for channels in (64, 192, 384, 256))]
    features = [nn.Conv2d(sizes[0], sizes[1], 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(sizes[1], sizes[2], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(sizes[2], sizes[3], 3, padding=1), nn.ReLU(), nn.Conv2d(sizes[3], sizes[4], 3, padding=1)]
    for _ in range(1 + extra):
        features += [nn.ReLU(), nn.Conv2d(sizes[4], sizes[4], 3, padding=1)]
    head = [nn.Dropout(), nn.Linear(36 * sizes[4], 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU()]
    pool = [nn.ReLU(), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(6), nn.Flatten()]
    return nn.Sequential(*features, *pool, *head, nn.Linear(512, 100))


def vgg(blocks, norm=False, width=32):
    """VGG with so many convolutions in each of its blocks."""
    layers, channels = [], 3
    for level, repeats in enumerate(blocks):
        out = min(width * 2**level, 8 * width)
        for _ in range(repeats):
            layers += [nn.Conv2d(channels, out, 3, padding=1), *([nn.BatchNorm2d(out)] if norm else []), nn.ReLU()]
            channels = out
        layers.append(nn.MaxPool2d(2, 2))
    head = [nn.Linear(channels, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 256), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head, nn.Linear(256, 100))


def conv_norm(channels, out, kernel, stride=1, groups=1, activation=None):
    padding = (kernel - 1) // 2
    layers = [nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Residual(nn.Module):
    """A block of a ResNet: two convolutions, or a bottleneck of three."""

    def __init__(self, channels, width, stride, bottleneck):
        super().__init__()
        out = width * (4 if bottleneck else 1)
        if bottleneck:
            parts = [conv_norm(channels, width, 1, activation=nn.ReLU), conv_norm(width, width, 3, stride, 1, nn.ReLU)]
            self.body = nn.Sequential(*parts, conv_norm(width, out, 1))
        else:
            self.body = nn.Sequential(conv_norm(channels, width, 3, stride, 1, nn.ReLU), conv_norm(width, out, 3))
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else conv_norm(channels, out, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.body(x) + self.shortcut(x))


def resnet(blocks, bottleneck=False, width=16):
    """ResNet with so many residual blocks in each stage."""
    layers, channels = [conv_norm(3, width, 7, 2, 1, nn.ReLU), nn.MaxPool2d(3, 2, 1)], width
    for level, repeats in enumerate(blocks):
        for number in range(repeats):
            stride = 2 if level and not number else 1
            layers.append(Residual(channels, width * 2**level, stride, bottleneck))
            channels = width * 2**level * (4 if bottleneck else 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 100))


class Dense(nn.Module):
    """A layer of a DenseNet."""

    def __init__(self, channels, growth):
        super().__init__()
        parts = [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4 * growth, 1, bias=False)]
        parts += [nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)]
        self.body = nn.Sequential(*parts)

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


def densenet(blocks, growth=8):
    """DenseNet with so many layers in each block."""
    channels = 2 * growth
    layers = [conv_norm(3, channels, 7, 2, 1, nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    for level, repeats in enumerate(blocks):
        for _ in range(repeats):
            layers.append(Dense(channels, growth))
            channels += growth
        if level < len(blocks) - 1:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1), nn.AvgPool2d(2, 2)]
            channels //= 2
    return nn.Sequential(
        *layers, nn.BatchNorm2d(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 9)
    )


class Inverted(nn.Module):
    """A block of MobileNetV2."""

    def __init__(self, channels, out, stride, expansion):
        super().__init__()
        inner = channels * expansion
        parts = [
            conv_norm(channels, inner, 1, activation=nn.ReLU6),
            conv_norm(inner, inner, 3, stride, inner, nn.ReLU6),
        ]
        self.body = nn.Sequential(*parts, conv_norm(inner, out, 1))
        self.skip = stride == 1 and channels == out

    def forward(self, x):
        return x + self.body(x) if self.skip else self.body(x)


def mobilenet(blocks, width=8):
    """MobileNetV2 with so many blocks in each stage."""
    layers, channels = [conv_norm(3, width, 3, 2, 1, nn.ReLU6)], width
    for level, repeats in enumerate(blocks):
        for number in range(repeats):
            out = width * (level + 1)
            layers.append(Inverted(channels, out, 2 if level and not number else 1, 6))
            channels = out
    layers.append(conv_norm(channels, 8 * channels, 1, activation=nn.ReLU6))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * channels, 100))


class Attention(nn.Module):
    """An encoder block of a ViT, written out."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norms[1](x))


class ViT(nn.Module):
    """A vision transformer."""

    def __init__(self, depth, width=32, heads=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 197, width))
        self.blocks = nn.Sequential(*(Attention(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 100)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Branching(nn.Module):
    """A network whose way depends on its input, so that symbolic tracing must fail."""

    def __init__(self, width=8):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 4)

    def forward(self, x):
        if x.shape[0] > 64:
            x = x[:64]
        return self.head(torch.relu(self.stem(x)).mean((2, 3)))


def families():
    """All of them, by (family, depth)."""
    return {
        **{("alexnet", extra): alexnet(extra=extra) for extra in range(4)},
        ("vgg", 11): vgg([1, 1, 2, 2, 2]),
        ("vgg", 13): vgg([2, 2, 2, 2, 2]),
        ("vgg", 16): vgg([2, 2, 3, 3, 3]),
        ("vgg", 19): vgg([2, 2, 4, 4, 4]),
        ("resnet", 18): resnet([2, 2, 2, 2]),
        ("resnet", 34): resnet([3, 4, 6, 3]),
        ("resnet", 50): resnet([3, 4, 6, 3], bottleneck=True),
        ("resnet", 101): resnet([3, 4, 23, 3], bottleneck=True),
        ("densenet", 40): densenet([4, 6, 6, 3]),
        ("densenet", 63): densenet([4, 8, 12, 6]),
        ("densenet", 121): densenet([6, 12, 24, 16]),
        ("densenet", 169): densenet([6, 12, 32, 32]),
        ("mobilenet", 5): mobilenet([1, 1, 1, 1]),
        ("mobilenet", 10): mobilenet([1, 2, 3, 4]),
        ("mobilenet", 16): mobilenet([2, 3, 5, 6]),
        ("mobilenet", 24): mobilenet([3, 5, 7, 9]),
        **{("vit", depth): ViT(depth) for depth in (4, 6, 9, 12)},
    }
