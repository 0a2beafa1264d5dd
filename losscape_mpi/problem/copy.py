"""A model of one's own, so that the caller's stays as it is."""

from __future__ import annotations

import copy

from torch import nn

from losscape_mpi.errors import UserError, first_line


def copy_model(model: nn.Module) -> nn.Module:
    """Return a copy of a model with parameters of its own.

    Raises:
        UserError: If it holds tensors that are computed from parameters outside of forward.
    """
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise UserError(
            f"the model {type(model).__name__} cannot be copied ({first_line(error)}): "
            "use torch.nn.utils.parametrizations instead of the old weight_norm or spectral_norm"
        ) from error
