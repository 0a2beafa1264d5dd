"""Rank 0 writes the summed loss and gradient of a study's first split: python gradient_sum.py
STUDY OUT.npy [KEY=VALUE ...], alone or under mpirun."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from losscape_mpi.farm.host.launcher import connect
from losscape_mpi.run.collect import ShardSums
from losscape_mpi.run.compute import Never
from losscape_mpi.run.interrupt import StopRequest
from losscape_mpi.run.prepare import prepare, starting_choices
from losscape_mpi.run.ranks import with_ranks
from losscape_mpi.study.load import load_study
from losscape_mpi.task.job import SHARDS


def main(source, output, *overrides):
    study = load_study(Path(source), overrides)

    def load():
        StopRequest(os.environ)
        return study.farm

    def work(pool):
        devices = pool.introductions(Never())
        prepared = prepare(study)
        job = prepared.job(starting_choices(prepared, devices))
        sums = ShardSums(pool, replace(job, where=SHARDS, directions={}, is_tuned=True))
        np.save(output, np.stack([sums.sum(), sums.sum()]))
        return 0

    return with_ranks(connect(), load, work)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
