"""Samples in an NPZ file: what numpy.savez writes."""

from __future__ import annotations

import zipfile

import numpy as np

from losscape_mpi.errors import UserError, first_line
from losscape_mpi.problem.data.own import checked_split
from losscape_mpi.problem.data.split import RawSplit
from losscape_mpi.study.config import DataConfig


def read(config: DataConfig, split: str) -> RawSplit:
    """Return a whole split: the arrays SPLIT_inputs and SPLIT_targets of the file `root`.

    Args:
        config: root is the file.
        split: train or test.

    Raises:
        UserError: If there is no such file or array, or the arrays are no samples with targets.
    """
    path = config.root
    if path is None or not path.is_file():
        raise UserError(
            f"data npz: found no file {path}, expected problem.data.root to name an NPZ file with "
            "the arrays train_inputs, train_targets, test_inputs, test_targets"
        )
    names = f"{split}_inputs", f"{split}_targets"
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [name for name in names if name not in file]:
                raise UserError(
                    f"{path}: found {', '.join(file) or 'no array'}, expected {missing[0]} too"
                )
            inputs, targets = (np.asarray(file[name]) for name in names)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is no readable NPZ file ({first_line(error)}): write one with numpy.savez"
        ) from error
    return checked_split(inputs, targets, f"{path}, split {split},")
