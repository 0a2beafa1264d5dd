"""The zoo by name."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

from torch import nn

from losscape_mpi.errors import UserError
from losscape_mpi.problem.zoo import allcnn, convnet, densenet, mlp, resnet, resnet_large, vgg

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    **resnet.NETWORKS,
    **resnet_large.NETWORKS,
    **vgg.NETWORKS,
    **densenet.NETWORKS,
    **allcnn.NETWORKS,
    **convnet.NETWORKS,
    **mlp.NETWORKS,
}


def build(
    name: str, input_shape: tuple[int, ...], num_classes: int, /, **model_args: Any
) -> nn.Module:
    """Return a zoo network with initial parameters, drawn from torch's global generator.

    Args:
        name: A key of NETWORKS.
        input_shape: Shape of one sample.
        num_classes: Number of logits.
        model_args: The network's own arguments, e.g. layers and width of mlp.

    Raises:
        UserError: If the name or an argument is unknown, or the network cannot take the samples.
    """
    check_name(name)
    make = NETWORKS[name]
    _check_args(name, make, model_args)
    try:
        return make(input_shape, num_classes, **model_args)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def check_name(name: str) -> None:
    """Refuse the name of a network that the zoo lacks.

    Raises:
        UserError: With the nearest names.
    """
    if name not in NETWORKS:
        near = get_close_matches(name.lower(), NETWORKS, n=3, cutoff=0.0)
        raise UserError(
            f"found model {name!r}, expected a zoo network (nearest: {', '.join(near)}), "
            "timm:NAME or package.module:callable"
        )


def _check_args(name: str, make: Callable[..., nn.Module], model_args: dict[str, Any]) -> None:
    parameters = signature(make).parameters.values()
    valid = [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    unknown = [arg for arg in model_args if arg not in valid]
    if unknown:
        raise UserError(
            f"{name}: found the unknown model_args {', '.join(unknown)}, "
            f"expected {' or '.join(valid) if valid else 'none'}"
        )
