"""Metrics of a user's own, named as `own_metrics:NAME`; some of them are wrong."""

import torch

from losscape_mpi.point.column import Column


def entropy(outputs, targets):
    p = outputs.double().softmax(dim=1)
    return -(p * p.log()).sum(dim=1)


def both(outputs, targets):
    return {"largest": outputs.amax(dim=1), "label": targets.float()}


def loss(outputs, targets):
    return outputs[:, 0]


def reduced(outputs, targets):
    return outputs.mean()


def column_vector(outputs, targets):
    return outputs[:, :1]


def as_list(outputs, targets):
    return outputs[:, 0].tolist()


def complex_numbers(outputs, targets):
    return outputs[:, 0].to(torch.complex64)


def nothing(outputs, targets):
    return {}


def slashed(outputs, targets):
    return {"a/b": outputs[:, 0]}


def moody(outputs, targets):
    """Other names for another number of samples than the two of the trial."""
    return {"few" if len(targets) == 2 else "many": outputs[:, 0]}


class Norms:
    """Norm of the weight, and the mean of the first outputs with an error."""

    def columns(self, splits):
        norm = Column(splits[0], "weight_norm", low=0.0, description="norm of the weight")
        mean = Column(splits[0], "first", description="mean of the first output")
        return [norm, mean, mean.error()]

    def __call__(self, model, splits):
        inputs, targets = splits[next(iter(splits))]
        assert len(inputs) == len(targets)
        with torch.no_grad():
            first, norm = model(inputs)[:, 0].double(), model.weight.double().norm()
        split = next(iter(splits))
        return {
            f"{split}/first_stderr": first.std() / len(first) ** 0.5,
            f"{split}/weight_norm": norm,
            f"{split}/first": first.mean(),
        }


class Silent(Norms):
    def columns(self, splits):
        return []


class Words(Norms):
    def columns(self, splits):
        return ["train/norm"]


class NoColumns:
    def __call__(self, model, splits):
        return {}


class NotCallable:
    def columns(self, splits):
        return [Column("train", "norm")]


class OtherKeys(Norms):
    def __call__(self, model, splits):
        return {"train/weight_norm": 1.0, "train/first": 1.0}


class ARow(Norms):
    def __call__(self, model, splits):
        return [1.0, 2.0, 3.0]
