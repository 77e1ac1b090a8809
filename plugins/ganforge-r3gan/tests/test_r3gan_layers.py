"""Layers against plain formulas."""

from __future__ import annotations

import math

import pytest
import torch
from ganforge_r3gan.layers import (
    GAIN,
    BiasedActivation,
    DiscriminativeBasis,
    Doubling,
    GenerativeBasis,
    Halving,
    ResidualBlock,
    block_gain,
    convolution,
)
from torch import Tensor
from torch.nn.functional import interpolate, pad


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def inner(maps: Tensor, edge: int = 1) -> Tensor:
    """Return maps without their edge."""
    return maps[..., edge:-edge, edge:-edge]


def test_a_new_block_is_the_identity() -> None:
    """The last layer of a block is zero, so the block is the identity to the bit; its other layers are not zero."""
    block = ResidualBlock(4, expansion=2, group_width=4, depth=3)
    maps = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(maps), maps)
    assert [bool(weight.any()) for weight in block.parameters()] == [True, False, True, False, False]


def test_a_block_is_its_formula() -> None:
    """A block is x + W₃ a(W₂ * a(W₁ x + b₁) + b₂); W₂ sees one group of channels in 3×3 pixels."""
    channels, expansion, width = 4, 3, 6
    block = ResidualBlock(channels, expansion=expansion, group_width=width, depth=1).double()
    for weight in block.parameters():
        torch.nn.init.normal_(weight)
    first, first_bias, middle, middle_bias, last = (weight.detach() for weight in block.parameters())
    maps = torch.randn(2, channels, 5, 7).double()

    def activated(values: Tensor, bias: Tensor) -> Tensor:
        shifted = values + bias.view(1, -1, 1, 1)
        return torch.where(shifted > 0, shifted, shifted / 5)

    hidden = activated(torch.einsum("oi,nihw->nohw", first[:, :, 0, 0], maps), first_bias)
    padded, grouped = pad(hidden, (1, 1, 1, 1)), torch.zeros_like(hidden)
    for output in range(channels * expansion):
        begin = output // width * width
        for row in range(3):
            for column in range(3):
                seen = padded[:, begin : begin + width, row : row + 5, column : column + 7]
                grouped[:, output] += torch.einsum("i,nihw->nhw", middle[output, :, row, column], seen)
    expected = maps + torch.einsum("oi,nihw->nohw", last[:, :, 0, 0], activated(grouped, middle_bias))
    torch.testing.assert_close(block(maps), expected)


def test_gains_keep_the_variance_and_share_the_depth() -> None:
    """GAIN keeps the second moment through LeakyReLU and weights; the two gains of L blocks shrink it by 1/L."""
    layer, activation = convolution(256, 256, gain=GAIN), BiasedActivation(256)
    with torch.no_grad():
        moment = layer(activation(torch.randn(8, 256, 8, 8))).square().mean()
    assert float(moment) == pytest.approx(1, rel=0.05)
    assert block_gain(1) == GAIN
    assert (block_gain(16) / GAIN) ** 4 == pytest.approx(1 / 16)


def test_weights_start_with_the_fan_in() -> None:
    """Weights are N(0, gain² / fan-in), the fan-in of one group: He et al. 2015."""
    weight = convolution(64, 128, 3, groups=4, gain=2.0).weight
    assert weight.shape == (128, 16, 3, 3)
    assert float(weight.detach().std()) == pytest.approx(2 / math.sqrt(16 * 9), rel=0.03)


def test_resampling_keeps_constants() -> None:
    """A constant stays, except next to the edge, where an eighth (a quarter, doubled) is missing."""
    ones = torch.ones(1, 3, 6, 6)
    halved, doubled = Halving(3)(ones), Doubling(3)(ones)
    assert (halved.shape, doubled.shape) == ((1, 3, 3, 3), (1, 3, 12, 12))
    for maps, edge in ((halved, 7 / 8), (doubled, 3 / 4)):
        torch.testing.assert_close(inner(maps), torch.ones_like(inner(maps)))
        assert float(maps[0, 0, 0, 1]) == pytest.approx(edge)
        assert float(maps[0, 0, 0, 0]) == pytest.approx(edge**2)


def test_doubling_is_bilinear() -> None:
    """Away from the edge, doubling is bilinear interpolation."""
    maps = torch.randn(2, 3, 5, 4)
    expected = interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(inner(Doubling(3)(maps)), inner(expected))


def test_doubling_is_four_times_the_adjoint_of_halving() -> None:
    """⟨double(x), y⟩ = 4 ⟨x, halve(y)⟩, edges included."""
    small, large = torch.randn(2, 3, 4, 5).double(), torch.randn(2, 3, 8, 10).double()
    halving, doubling = Halving(3).double(), Doubling(3).double()
    torch.testing.assert_close((doubling(small) * large).sum(), 4 * (small * halving(large)).sum())


def test_halving_is_low_pass() -> None:
    """Alternating pixels vanish; a wave of eight pixels is multiplied by cos³(π/8)."""
    column = torch.arange(32)
    alternating = torch.where(column % 2 == 0, 1.0, -1.0).expand(1, 1, 32, 32)
    torch.testing.assert_close(inner(Halving(1)(alternating)), torch.zeros(1, 1, 14, 14))
    wave = torch.cos(2 * math.pi * column / 8).expand(1, 1, 32, 32)
    between = torch.cos(2 * math.pi * (2 * torch.arange(16) + 0.5) / 8).expand(1, 1, 16, 16)
    torch.testing.assert_close(inner(Halving(1)(wave)), inner(between) * math.cos(math.pi / 8) ** 3)


def test_the_base_map_is_a_modulated_constant() -> None:
    """Each channel is its learned map times a linear function of the latent."""
    basis, z = GenerativeBasis(5, 3, (4, 7)), torch.randn(2, 5)
    scales = z @ basis.modulation.weight.T
    expected = torch.stack([torch.stack([scales[n, c] * basis.basis[c] for c in range(3)]) for n in range(2)])
    torch.testing.assert_close(basis(z), expected)


def test_features_weigh_the_base_map() -> None:
    """Each channel's map is summed with learned weights, then the channels are mixed."""
    basis, maps = DiscriminativeBasis(3, 2, (4, 7)), torch.randn(2, 3, 4, 7)
    sums = (maps * basis.basis.weight[:, 0]).sum((2, 3))
    torch.testing.assert_close(basis(maps), sums @ basis.mixing.weight.T)
