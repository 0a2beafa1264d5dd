"""What a parameter is in its layer: a vector that stays still, or filters, and where these lie.

The layer's type decides, not the number of dimensions: docs/directions.md lists the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from losscape_mpi.geometry.use import factors

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
LAYERS = (nn.Linear, _ConvNd, nn.Bilinear, nn.MultiheadAttention, *RECURRENT, *EMBEDDINGS)
NORM_NAME = re.compile(r"norm(alization)?(\d*d?)$", re.IGNORECASE)  # LayerNorm2d, LlamaRMSNorm
GAINS = ("gain", "gamma")
WIDTHS = (  # what layers of users and of libraries call the numbers of inputs and outputs
    *(("in_channels", "out_channels"), ("in_features", "out_features"), ("in_dim", "out_dim")),
    *(("input_dim", "output_dim"), ("in_size", "out_size"), ("nx", "nf")),
)
POSITION_BIAS = re.compile(r"pos\w*bias", re.IGNORECASE)  # a table of relative positions
BIAS_MODULE = re.compile(r"bias(es|_table)?$", re.IGNORECASE)
INPUTS_FIRST = re.compile(r"^Conv1D$|SpectralConv")  # of GPT-2 in transformers; Fourier layers


@dataclass(frozen=True)
class Role:
    """What a parameter is in its layer.

    Attributes:
        is_vector: Whether it is a bias, the gain of a norm layer or another vector: still under
            `ignore: biasbn`, one filter under none.
        axis: Where its output dimension lies, 0 or 1.
        groups: Of a transposed convolution, whose filters lie within a group along axis 1.
        is_complex: Whether its last dimension holds pairs (real part, imaginary part).
    """

    is_vector: bool = False
    axis: int = 0
    groups: int = 1
    is_complex: bool = False


Roles = Mapping[str, Role]
"""By the parameter's name; a parameter that is missing has the role of its number of dimensions."""


def role_of(roles: Roles, name: str, num_dimensions: int) -> Role:
    """Return the role of a parameter."""
    return roles[name] if name in roles else Role(is_vector=num_dimensions <= 1)


def parameter_roles(model: nn.Module, inputs: Tensor | None = None) -> dict[str, Role]:
    """Return the role of each parameter of a network.

    Args:
        model: In eval mode; stays as it is.
        inputs: Some samples, shape (n, ...). Where type, name and shape leave open whether
            a parameter of a user's module is a bias or a matrix with one row, a pass of these
            shows whether it is multiplied as a matrix.
    """
    roles: dict[str, Role] = {}
    unclear = []
    for name, parameter in model.named_parameters():
        module, leaf = _owner(model, name)
        found = _vector_by_layer(model, name, module, leaf, parameter)
        if found is None:
            unclear.append(name)
        axis, groups = _output_axis(module, leaf, parameter)
        roles[name] = Role(bool(found), axis, groups, parameter.is_complex())
    matrices = factors(model, unclear, inputs) if unclear else set()
    for name in set(unclear) - matrices:
        roles[name] = Role(is_vector=True, is_complex=roles[name].is_complex)
    return roles


def roles_by_dimension(model: nn.Module) -> dict[str, Role]:
    """Return the roles as files took them that were begun before layers were told by type."""
    return {
        name: Role(
            is_vector=parameter.dim() <= 1,
            axis=int(
                name.rpartition(".")[2] == "weight"
                and isinstance(_owner(model, name)[0], _ConvTransposeNd)
            ),
            is_complex=parameter.is_complex(),
        )
        for name, parameter in model.named_parameters()
    }


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the layer that a parameter belongs to and its name there, also if parametrized."""
    path, mark, rest = name.partition("parametrizations.")
    if mark:
        return model.get_submodule(path.removesuffix(".")), rest.partition(".")[0]
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _vector_by_layer(
    model: nn.Module, name: str, module: nn.Module, leaf: str, parameter: Tensor
) -> bool | None:
    """Return whether a parameter is a vector; None where only its use can tell."""
    if parameter.dim() <= 1 or _is_magnitude(model, name) or "bias" in leaf.lower():
        return True
    if isinstance(module, NORMS):
        return True
    is_bias = BIAS_MODULE.search(name.removesuffix(f".{leaf}")) is not None
    if isinstance(module, LAYERS) and "weight" in leaf:  # biases by token are embeddings, too
        return isinstance(module, EMBEDDINGS) and is_bias
    kinds = [kind.__name__ for kind in type(module).__mro__ if kind not in nn.Module.__mro__]
    if is_bias or any(NORM_NAME.search(kind) or POSITION_BIAS.search(kind) for kind in kinds):
        return True
    if any(word in GAINS for word in leaf.lower().split("_")):
        return True
    return None if sum(size > 1 for size in parameter.shape) <= 1 else False


def _is_magnitude(model: nn.Module, name: str) -> bool:
    """Tell the lengths of weight norm: `weight_g`, or original0 of its parametrization."""
    path, _, leaf = name.rpartition(".")
    if leaf == "original0" and "parametrizations" in path:
        kind: nn.Module = next(iter(model.get_submodule(path).children()), nn.Identity())
        return type(kind).__name__ == "_WeightNorm"
    return leaf.endswith("_g") and hasattr(model.get_submodule(path), f"{leaf[:-2]}_v")


def _output_axis(module: nn.Module, leaf: str, parameter: Tensor) -> tuple[int, int]:
    """Return the axis of a weight's outputs, and the groups of a transposed convolution."""
    if parameter.dim() < 2:
        return 0, 1
    if isinstance(module, (*LAYERS, *NORMS)):
        if isinstance(module, _ConvTransposeNd) and "weight" in leaf:
            return 1, module.groups
        return 0, 1
    shape = tuple(parameter.shape[:2])
    told = [(getattr(module, a, None), getattr(module, b, None)) for a, b in WIDTHS]
    widths = [pair for pair in told if pair[0] != pair[1]]  # a square tells nothing
    if INPUTS_FIRST.search(type(module).__name__):
        return int(shape[::-1] not in widths), 1
    return int(shape in widths), 1
