"""The networks of the digits zoo: ten small architectures with at most 32 features before a linear head."""

__all__ = ["ARCHITECTURES", "Network", "as_tensor"]

from functools import partial

import torch
from torch import nn


class Residual(nn.Sequential):
    """Adds its input to what its layers make of it."""

    def forward(self, x):
        return x + super().forward(x)


class Apply(nn.Module):
    """A layer without parameters."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Attention(nn.Module):
    """Self-attention among tokens of shape (n, tokens, width)."""

    def __init__(self, width, n_heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, n_heads, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Patches(nn.Module):
    """2 x 2 patches as 16 tokens, with a learned position each."""

    def __init__(self, width):
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, stride=2)
        self.position = nn.Parameter(0.1 * torch.randn(16, width))

    def forward(self, x):
        return self.embed(x).flatten(2).transpose(1, 2) + self.position


def _mlp(*widths):
    pairs = zip((64, *widths), widths, strict=False)
    return nn.Sequential(nn.Flatten(), *[layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())])


def _conv(n_in, n_out, **options):
    return nn.Conv2d(n_in, n_out, 3, padding=1, **options)


def _pool():
    return Apply(lambda x: x.mean((2, 3)))


def _pooled_cnn(first, second, third):
    layers = [_conv(1, first), nn.ReLU(), _conv(first, second, stride=2), nn.ReLU(), _conv(second, third), nn.ReLU()]
    return nn.Sequential(*layers, _pool())


def _flat_cnn(width, n_features):
    convolutions = [_conv(1, width), nn.ReLU(), _conv(width, width, stride=2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*convolutions, nn.Linear(16 * width, n_features), nn.ReLU())


def _separable_cnn(width):
    def block(stride):
        return _conv(width, width, groups=width, stride=stride), nn.Conv2d(width, width, 1), nn.ReLU()

    return nn.Sequential(_conv(1, width), nn.ReLU(), *block(2), *block(1), _pool())


def _resnet(width):
    def block():
        return Residual(_conv(width, width), nn.ReLU(), _conv(width, width))

    return nn.Sequential(_conv(1, width), nn.ReLU(), block(), nn.MaxPool2d(2), block(), nn.ReLU(), _pool())


def _on_tokens(width, mixing):
    """Two blocks that exchange something among the tokens, each followed by one that works within them."""
    layers = [Patches(width)]
    for _ in range(2):
        layers.append(Residual(nn.LayerNorm(width), *mixing()))
        layers.append(Residual(nn.LayerNorm(width), nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width)))
    return nn.Sequential(*layers, nn.LayerNorm(width), Apply(lambda x: x.mean(1)))


def _vit(width):
    return _on_tokens(width, lambda: [Attention(width, 2)])


def _mixer(width):
    def across():
        turn = Apply(lambda x: x.transpose(1, 2))
        return [turn, nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16), turn]

    return _on_tokens(width, across)


#: What makes a network, up to its features, and how many these are.
ARCHITECTURES = {
    "mlp-shallow": (partial(_mlp, 24), 24),
    "mlp-wide": (partial(_mlp, 96, 24), 24),
    "mlp-deep": (partial(_mlp, 48, 32, 24, 16), 16),
    "cnn-pooled": (partial(_pooled_cnn, 8, 16, 16), 16),
    "cnn-wide": (partial(_pooled_cnn, 16, 32, 32), 32),
    "cnn-flat": (partial(_flat_cnn, 8, 24), 24),
    "cnn-separable": (partial(_separable_cnn, 24), 24),
    "resnet": (partial(_resnet, 16), 16),
    "vit": (partial(_vit, 16), 16),
    "mixer": (partial(_mixer, 16), 16),
}


class Network(nn.Module):
    """A body that makes features, and a linear head."""

    def __init__(self, architecture, n_classes):
        super().__init__()
        make_body, n_features = ARCHITECTURES[architecture]
        self.body, self.head = make_body(), nn.Linear(n_features, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


def as_tensor(images):
    """Images of shape (n, 8, 8) as a network takes them: float32, one channel, roughly standardised."""
    return torch.from_numpy((images[:, None] - 0.3) / 0.4).float()
