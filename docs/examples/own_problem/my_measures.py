"""Measures of one's own: numbers of each sample, and a number of the network itself."""

import torch

from losscape_mpi.point.column import Column


def calibration(outputs, targets):
    """Squared error in predicted standard deviations, and whether it is below 2 of them."""
    mean, log_variance = outputs[:, 0].double(), outputs[:, 1].double()
    squared = (targets.double() - mean).square() / log_variance.exp()
    return {"squared": squared, "covered": (squared < 4).double()}


class WeightNorm:
    """The norm of all parameters at a place: needs the network, and no sample."""

    def columns(self, splits):
        return [Column("network", "norm", low=0.0, description="norm of all parameters")]

    def __call__(self, model, splits):
        with torch.no_grad():
            squares = sum(p.double().square().sum() for p in model.parameters())
        return {"network/norm": squares.sqrt()}
