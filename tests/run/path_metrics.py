"""Metrics of a user's own, as a study names them: `path_metrics:NAME`."""

import time

import torch

from losscape_mpi.point.column import Column


def entropy(outputs, targets):
    """Entropy of the answer to each sample."""
    p = outputs.double().softmax(dim=1)
    return -(p * p.clamp(min=1e-300).log()).sum(dim=1)


class Sharpness:
    """Norm of all parameters, and the largest output with an error; takes 0.1 s."""

    def columns(self, splits):
        norm = Column(splits[0], "weight_norm", low=0.0, description="norm of all parameters")
        top = Column(splits[0], "top", description="largest output")
        return [norm, top, Column(splits[0], "top_gap", "error", top.name, low=0.0)]

    def __call__(self, model, splits):
        time.sleep(0.1)
        name = next(iter(splits))
        with torch.no_grad():
            outputs = model(splits[name][0]).double().flatten().sort().values
            squares = sum(float(p.double().square().sum()) for p in model.parameters())
        return {
            f"{name}/weight_norm": squares**0.5,
            f"{name}/top": outputs[-1],
            f"{name}/top_gap": outputs[-1] - outputs[-2],
        }
