"""Taking the growth of norms out of a training path."""

from __future__ import annotations

import numpy as np

from losscape_mpi.geometry.direction import Center, moved_names
from losscape_mpi.geometry.normalize import as_filters, from_filters


class NormRemoval:
    """Scales each filter of a checkpoint to the norm of the center's filter.

    Before batch norm the norm of a filter changes nothing, yet its growth fills the first
    principal component of a path. Biases and norm layers stay as they are, and so does a filter
    that is 0.
    """

    def __init__(self, center: Center, *, ignore: str, by_filter: bool) -> None:
        """Number the filters.

        Args:
            center: The trained parameters.
            ignore: As of the rows; biasbn leaves biases and norm layers out.
            by_filter: Whether each filter is scaled, or each tensor as a whole.
        """
        kept = {name: center.weights[name] for name in moved_names(center, ignore)}
        numbers = [np.zeros(0, dtype=np.int32)]
        count = 1  # number 0 stands for all that is not scaled
        for name, weight in kept.items():
            role = center.role(name)
            if role.is_vector:
                numbers.append(np.zeros(weight.size, dtype=np.int32))
                continue
            filters = as_filters(weight, role)
            own = np.arange(len(filters)) if by_filter else np.zeros(len(filters), dtype=int)
            table = np.broadcast_to((count + own)[:, None], filters.shape).astype(np.int32)
            numbers.append(from_filters(table, weight.shape, role).ravel())
            count += int(own.max(initial=-1)) + 1
        self._filter, self._count = np.concatenate(numbers), count
        flat = np.concatenate([np.zeros(0), *(w.ravel() for w in kept.values())])
        self._wanted = self._norms(flat)

    def factors(self, theta: np.ndarray) -> np.ndarray:
        """Return what each filter of a checkpoint is multiplied by, shape (filters + 1,)."""
        norms = self._norms(theta)
        factors = np.divide(self._wanted, norms, out=np.ones(self._count), where=norms != 0)
        factors[0] = 1.0
        return factors

    def scale(self, part: np.ndarray, factors: np.ndarray, start: int) -> None:
        """Multiply a part of a checkpoint's vector, in place.

        Args:
            part: Entries from `start` on.
            factors: Of this checkpoint.
            start: Where the part begins.
        """
        part *= factors[self._filter[start : start + len(part)]]

    def _norms(self, theta: np.ndarray) -> np.ndarray:
        return np.sqrt(np.bincount(self._filter, np.square(theta), minlength=self._count))
