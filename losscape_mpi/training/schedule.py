"""The learning rate of each epoch."""

from __future__ import annotations

import math

from losscape_mpi.training.config import TrainConfig
from losscape_mpi.training.sections import MilestonesConfig


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, counted from 0."""
    if isinstance(config.schedule, MilestonesConfig):
        passed = sum(milestone <= epoch for milestone in config.schedule.milestones)
        return config.lr * config.schedule.factor**passed
    if config.schedule == "cosine":
        # Loshchilov and Hutter 2016 (arXiv:1608.03983), equation 5, without restarts
        return config.lr * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    return config.lr
