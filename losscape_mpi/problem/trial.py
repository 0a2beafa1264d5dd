"""A network tried on a few of its samples, before anything is computed."""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.data.split import Split
from losscape_mpi.problem.loss import Criterion, cross_entropy, mse
from losscape_mpi.study.config import ProblemConfig

OTHER_INPUTS = (TypeError, AttributeError, KeyError)  # of a forward that takes two, or a dictionary
MISFIT = (RuntimeError, ValueError, IndexError, *OTHER_INPUTS)  # what torch raises for a misfit
TRIAL_SAMPLES = 2  # one alone hides a model that squeezes or mixes the batch axis


def try_out(
    config: ProblemConfig, model: nn.Module, original: nn.Module, criterion: Criterion, split: Split
) -> None:
    """Run the model and the loss once, so that what does not fit is said before the farm runs.

    Args:
        config: The problem.
        model: A copy of the network, which a pass may change.
        original: The network itself; it runs where the copy fails, to tell why.
        criterion: The loss.
        split: Samples for it.

    Raises:
        UserError: If they do not fit together.
    """
    inputs, targets = split.inputs[:TRIAL_SAMPLES], split.targets[:TRIAL_SAMPLES]
    what = f"model {config.model} on samples of shape {sample_shape_of(split)}"
    frozen = [(name, module) for name, module in model.named_modules() if not module.training]
    try:
        outputs = _outputs(config, model, inputs, what)
    except Exception as error:
        _blame_copy(error, config, original, inputs)
        raise
    if trained := [name for name, module in frozen if module.training]:
        raise UserError(
            f"model {config.model} puts its module {trained[0] or 'itself'} into training mode in "
            "its forward, expected one that stays in evaluation mode: its statistics would be "
            "those of a batch"
        )
    _outputs(config, model, inputs[:1], what)
    _check_outputs(outputs, what, len(inputs))
    if criterion in (cross_entropy, mse) and split.num_classes is not None:
        _check_classes(outputs, what, split.num_classes)
    with torch.no_grad():
        criterion(outputs, targets)


def _blame_copy(
    error: Exception, config: ProblemConfig, original: nn.Module, inputs: Tensor
) -> None:
    """Refuse a network that itself does what its copy fails in: a hook may know the original."""
    try:
        _quiet(original, inputs)
    except Exception:
        return
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    raise UserError(
        f"a copy of model {config.model} fails{_place(cause)}, {type(cause).__name__}: "
        f"{first_line(cause)}; the network itself does not: something in it (a hook, a function "
        "made in __init__) holds on to the network that it was made with; expected a forward "
        "that reaches all through self"
    ) from cause


def _quiet(model: nn.Module, inputs: Tensor) -> Any:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pass before the run's own says them again
        return model(inputs)


def _outputs(config: ProblemConfig, model: nn.Module, inputs: Tensor, what: str) -> Any:
    """Return what the model gives for samples."""
    try:
        return _quiet(model, inputs)
    except MISFIT as error:
        if "more than 1 value per channel when training" in str(error):
            raise UserError(
                f"model {config.model} takes the statistics of its batch in evaluation mode: "
                "expected frozen ones; use running statistics in norm layers"
            ) from error
        where, expected = "", "expected a model for such samples"
        if not inputs.is_floating_point():
            expected += " (integers but uint8 are tokens; images are uint8 or floating)"
        if isinstance(error, OTHER_INPUTS):
            where = f"{_place(error)}, {type(error).__name__}"
            expected = "expected a forward of one tensor of inputs: wrap the network in one"
        raise UserError(
            f"{what} of data {config.data.name} fails{where}: {first_line(error)}: {expected}"
        ) from error


def _place(error: Exception) -> str:
    """Return the last line of code outside of torch that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    others = f"{Path(torch.__file__).parent}", __file__
    own = [frame for frame in frames if not frame.filename.startswith(others)]
    return f" in {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""


def _check_outputs(outputs: Any, what: str, num_samples: int) -> None:
    if not isinstance(outputs, Tensor):
        raise UserError(f"{what} gives a {type(outputs).__name__}, expected a tensor")
    if outputs.ndim == 0 or len(outputs) != num_samples or not outputs.is_floating_point():
        raise UserError(
            f"{what} gives {dtype_word(outputs)} outputs of shape {tuple(outputs.shape)} for "
            f"{num_samples} samples, expected floating outputs of shape ({num_samples}, ...)"
        )


def _check_classes(outputs: Tensor, what: str, num_classes: int) -> None:
    """Refuse a network whose outputs cannot be compared with every label."""
    if outputs.ndim != 2 or outputs.shape[1] < num_classes:
        raise UserError(
            f"{what} gives outputs of shape {tuple(outputs.shape[1:])} each, expected "
            f"({num_classes},): one for each class of the data"
        )


def sample_shape_of(split: Split) -> tuple[int, ...]:
    """Return the shape of one sample."""
    return tuple(split.inputs.shape[1:])


def dtype_word(tensor: Tensor) -> str:
    """Return what a message calls the kind of a tensor."""
    return str(tensor.dtype).removeprefix("torch.")
