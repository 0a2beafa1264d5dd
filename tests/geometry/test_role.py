"""What parameters are in their layers, by type, name, shape and use; filters by their effect."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_problems import draw
from torch import nn
from torch.nn.utils import parametrizations

from losscape_mpi.geometry.plane import make_plane
from losscape_mpi.geometry.role import Role, parameter_roles, roles_by_dimension
from losscape_mpi.problem.zoo.registry import NETWORKS, build
from losscape_mpi.study.plane_config import PlaneConfig


class LayerNorm2d(nn.Module):
    """As in ConvNeXt: over the channels, with a gain and a bias (1, C, 1, 1)."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        spread = (x - x.mean(1, keepdim=True)).pow(2).mean(1, keepdim=True)
        return self.weight * x / (spread + 1e-5).sqrt() + self.bias


class ImageNorm(nn.Module):
    """A norm layer whose gain has a number for each pixel."""

    def __init__(self, *shape):
        super().__init__()
        self.scale = nn.Parameter(1 + draw(*shape))


class Broadcast(nn.Module):
    """Gain and shift that no name tells, and a matrix of one column that looks like them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(draw(3, 8))
        self.stretch = nn.Parameter(draw(1, 8))
        self.move = nn.Parameter(draw(8, 1))
        self.last = nn.Parameter(draw(8, 1))
        self.row = nn.Parameter(draw(1, 8))
        self.lookup = nn.ParameterList([draw(5, 4)])

    def forward(self, x):
        hidden = torch.tanh(x @ self.first * self.stretch + self.move.view(1, 8))
        return torch.cat([hidden @ self.last, F.linear(hidden, self.row)], dim=1)


class Swin(nn.Module):
    """The tables of position biases of several networks."""

    def __init__(self):
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(draw(9, 4))
        self.relative_attention_bias = nn.Embedding(8, 4)
        self.words = nn.Embedding(8, 4)
        self.bias_net = nn.Linear(3, 4)
        self.pos_embed = nn.Parameter(draw(1, 5, 4))
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)


class Conv1D(nn.Module):
    """As in transformers: a linear layer that keeps (in, out)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(draw(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class SpectralConv2d(nn.Module):
    """The layer of a Fourier neural operator: (in, out, modes, modes), complex."""

    def __init__(self, in_channels, out_channels, modes):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        shape = (in_channels, out_channels, modes, modes)
        self.weights1 = nn.Parameter(torch.complex(draw(*shape), draw(*shape, seed=1)))

    def forward(self, x):
        modes = self.weights1.shape[2]
        spectrum = torch.fft.rfft2(x)[..., :modes, :modes]
        mixed = torch.einsum("bixy,ioxy->boxy", spectrum, self.weights1)
        return torch.fft.irfft2(mixed, s=x.shape[-2:])


def vectors(model, inputs=None):
    return {name for name, role in parameter_roles(model.eval(), inputs).items() if role.is_vector}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks_of_the_zoo_have_the_roles_of_their_dimensions(name):
    with torch.device("meta"):
        model = build(name, (3, 32, 32), 10)
    assert parameter_roles(model) == roles_by_dimension(model)


def test_norm_layers_are_vectors_whatever_their_dimensions():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.LayerNorm([4, 16, 16]),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4, affine=True),
        LayerNorm2d(4),
        nn.RMSNorm([16, 16]),
        ImageNorm(4, 16, 16),
        nn.Conv2d(4, 1, (1, 3)),
        nn.Linear(14, 1),
    )
    names = {name for name, _ in model.named_parameters()}
    assert names - vectors(model) == {"0.weight", "7.weight", "8.weight"}


def test_a_gain_of_a_layer_norm_over_images_stays_still_beside_a_convolution():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.LayerNorm([4, 16, 16]), nn.ReLU())
    plane = make_plane(
        PlaneConfig(), 2, dict(model.named_parameters()), roles=parameter_roles(model)
    )
    for direction in plane.directions.values():
        assert not direction["1.weight"].any()
        assert not direction["1.bias"].any()
        found = direction["0.weight"].double().flatten(1).norm(dim=1)
        torch.testing.assert_close(found, model[0].weight.detach().double().flatten(1).norm(dim=1))


def test_what_no_name_tells_is_told_by_its_use():
    assert vectors(Broadcast(), draw(2, 3)) == {"stretch", "move"}
    assert vectors(Broadcast()) == {"stretch", "move", "last", "row"}


def test_position_biases_are_vectors_and_embeddings_are_not():
    expected = {
        *("relative_position_bias_table", "relative_attention_bias.weight", "bias_net.bias"),
        *("attention.bias_k", "attention.bias_v", "attention.in_proj_bias"),
        "attention.out_proj.bias",
    }
    assert vectors(Swin()) == expected


def test_the_lengths_of_weight_norm_are_vectors():
    new = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    assert vectors(new) == {"bias", "parametrizations.weight.original0"}
    with pytest.warns(FutureWarning):
        old = nn.utils.weight_norm(nn.Linear(3, 4))
    assert vectors(old) == {"bias", "weight_g"}


def truth_of_filters(layer, inputs, name):
    """Masks of the entries that each output depends on, by torch's own derivatives."""
    weight = dict(layer.named_parameters())[name]
    outputs = layer(inputs)
    masks = []
    for channel in range(outputs.shape[1]):
        total = outputs[:, channel].square().sum()
        (slope,) = torch.autograd.grad(total, weight, retain_graph=True)
        masks.append(slope != 0)
    return masks


LAYERS = {
    "groups": (lambda: nn.ConvTranspose2d(8, 12, 4, groups=4), (2, 8, 3, 3), "weight"),
    "transposed": (lambda: nn.ConvTranspose1d(3, 5, 2), (2, 3, 4), "weight"),
    "transposed 3-D": (lambda: nn.ConvTranspose3d(4, 6, 2, groups=2), (1, 4, 2, 2, 2), "weight"),
    "convolution": (lambda: nn.Conv2d(8, 12, 3, groups=4), (2, 8, 5, 5), "weight"),
    "weight norm": (
        lambda: parametrizations.weight_norm(nn.ConvTranspose1d(4, 6, 2, groups=2)),
        (2, 4, 4),
        "parametrizations.weight.original1",
    ),
    "bilinear": (lambda: Halves(nn.Bilinear(3, 2, 4)), (2, 5), "layer.weight"),
    "square Conv1D": (lambda: Conv1D(4, 4), (2, 4), "weight"),
    "Fourier": (lambda: SpectralConv2d(3, 5, 3), (2, 3, 8, 8), "weights1"),
}


class Halves(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x[:, :3], x[:, 3:])


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("family", ["random", "qr", "zca", "svd"])
def test_the_direction_of_each_output_is_as_long_as_its_weights(kind, family):
    make, shape, name = LAYERS[kind]
    torch.manual_seed(0)
    layer = make().double()
    if kind == "Fourier":
        layer.weights1.data = layer.weights1.data.to(torch.complex128)
    plane = make_plane(
        PlaneConfig(kind=family), 2, dict(layer.named_parameters()), roles=parameter_roles(layer)
    )
    weight = dict(layer.named_parameters())[name].detach()
    for direction in plane.directions.values():
        moved = direction[name].double()
        moved = torch.view_as_complex(moved) if weight.is_complex() else moved
        for mask in truth_of_filters(layer, draw(*shape).double(), name):
            found, wanted = moved[mask].abs().norm(), weight[mask].abs().norm()
            assert float(found) == pytest.approx(float(wanted), rel=1e-6)


def test_shapes_alone_tell_files_that_were_begun_before():
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.LayerNorm([6, 2, 2]))
    assert roles_by_dimension(model) == {
        "0.weight": Role(axis=1),
        "0.bias": Role(is_vector=True),
        "1.weight": Role(),
        "1.bias": Role(),
    }


@pytest.mark.parametrize("rule", ["weight", "adaptive"])
def test_a_complex_entry_moves_by_its_own_length_whatever_its_phase(rule):
    size = torch.linspace(0.5, 2, 4000).repeat(2, 1)
    turned = torch.polar(size, torch.full_like(size, 0.7)), torch.polar(size, torch.zeros(2, 4000))
    config = PlaneConfig(kind="adaptive") if rule == "adaptive" else PlaneConfig(normalize=rule)
    for weight in turned:
        (direction,) = make_plane(config, 1, {"w": weight}).directions.values()
        share = torch.view_as_complex(direction["w"]).abs() / size
        assert float(share.square().mean()) == pytest.approx(1.0, abs=0.05)
        parts = (direction["w"] / size[..., None]).square().mean(dim=(0, 1)).numpy()
        np.testing.assert_allclose(parts, 0.5, atol=0.04)
