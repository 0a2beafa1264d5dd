"""The first layers of a traced model, where no direction moves them: computed once, then kept."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, fx, nn
from torch.fx.passes.split_module import split_module

from losscape_mpi.evaluation.network.fused_layer import FusedLayer

INPUTS = -1  # in place of an output of the first part
KEPT_BYTES = 1 << 30  # of all batches together; what is beyond is computed again


class Kept:
    """The activations of the first part, by batch, up to a limit in bytes."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit = limit
        self._arguments: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}
        self._bytes = 0

    def arguments(self, model: SplitModel, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the rest of a model takes for a batch, computed at most once."""
        # The inputs are held too, so that no other tensor can get their id.
        if id(inputs) not in self._arguments:
            arguments = model.arguments(inputs)
            self._bytes += sum(a.nbytes for a in arguments)
            if self._bytes > self._limit:
                return arguments
            self._arguments[id(inputs)] = (inputs, arguments)
        return self._arguments[id(inputs)][1]


class SplitModel(nn.Module):
    """A model as what stays the same on the whole plane, and the rest.

    Attributes:
        prefix: Gives the arguments of the rest for a batch.
        rest: Gives the outputs; never writes into its arguments.
    """

    def __init__(self, whole: fx.GraphModule) -> None:
        super().__init__()
        call = next(n for n in whole.graph.nodes if n.target == "submod_1")
        self._places = [INPUTS if a.op == "placeholder" else _place(a) for a in call.args]
        self.prefix = whole.get_submodule("submod_0")
        self.rest = whole.get_submodule("submod_1")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the whole model."""
        return self.rest(*self.arguments(inputs))

    def arguments(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the rest takes for a batch of inputs."""
        given = self.prefix(inputs)
        values = given if isinstance(given, tuple) else (given,)
        return tuple(inputs if place == INPUTS else values[place] for place in self._places)


def split(model: fx.GraphModule, moves: Callable[[str], bool]) -> SplitModel | None:
    """Return a traced model in two parts, or None if there is no layer to save.

    Args:
        model: Traced, with fused layers; those that add to the first part stop overwriting it.
        moves: Whether any parameter of a module, by its name, or of one inside it moves.
    """
    fixed: set[fx.Node] = set()
    for node in model.graph.nodes:
        if node.op == "placeholder" or _is_fixed(node, fixed, moves):
            fixed.add(node)
    saved = [n for n in fixed if n.op == "call_module" and _is_layer(model, n)]
    border = {a for n in model.graph.nodes if n not in fixed for a in n.all_input_nodes} & fixed
    # Fixed ones, too: after the split they come before moving ones that came before them.
    users = {user for node in border for user in node.users}
    if not saved or not all(u.op == "call_module" and _is_layer(model, u) for u in users):
        return None  # anything but a fused layer might write into what is kept
    for user in users:
        layer = model.get_submodule(str(user.target))
        layer.may_overwrite = False  # type: ignore[assignment]
    whole = split_module(model, model, lambda node: 0 if node in fixed else 1)
    return SplitModel(whole)


def _is_fixed(node: fx.Node, fixed: set[fx.Node], moves: Callable[[str], bool]) -> bool:
    if node.op not in ("call_module", "call_function", "call_method"):
        return False  # a parameter that is read directly, the output
    if node.op == "call_module" and moves(str(node.target)):
        return False
    return bool(node.all_input_nodes) and all(n in fixed for n in node.all_input_nodes)


def _is_layer(model: fx.GraphModule, node: fx.Node) -> bool:
    return isinstance(model.get_submodule(str(node.target)), FusedLayer)


def _place(argument: fx.Node) -> int:
    """Return which output of the first part an argument is: itself, or one of several."""
    return int(argument.args[1]) if argument.op == "call_function" else 0  # type: ignore[arg-type]
