"""One evaluator process with how far it is: what a new process begins anew."""

from __future__ import annotations

from losscape_mpi.farm.evaluator_process import EvaluatorProcess
from losscape_mpi.point.frames import JOB, Bytes


class Assignment:
    """A job, and what belongs to it but came after it: all that a new process must be given.

    Attributes:
        job: Empty until there is one.
        blocks: The last one of each kind.
    """

    def __init__(self, job: Bytes = b"") -> None:
        self.job = job
        self.blocks: dict[bytes, Bytes] = {}

    def keep(self, kind: bytes, body: Bytes) -> None:
        """Keep a block for the processes to come: the last one of its kind, in their order."""
        self.blocks.pop(kind, None)
        self.blocks[kind] = body


class Child:
    """An evaluator process, and what it has said and been given.

    Attributes:
        process: The process.
        is_proving: Whether it proves and decides for all.
        is_up: Whether it has said hello.
        has_job: Whether it has been given a job.
        is_waiting: Whether it waits for what another process decides.
        is_serving: Whether it is ready for the present job, and answers chunks.
    """

    def __init__(self, process: EvaluatorProcess, is_proving: bool) -> None:
        self.process, self.is_proving = process, is_proving
        self.is_up = self.has_job = self.is_waiting = self.is_serving = False
        self._unready = 0  # jobs that it has not prepared yet

    @property
    def is_expected(self) -> bool:
        """Whether it should be heard of before it is ready.

        Between its start and its job a process is silent as long as the master is.
        """
        return not self.is_waiting and (self.has_job or not self.is_up)

    def give(self, assignment: Assignment) -> None:
        """Send it a job with all blocks that there are."""
        self.has_job = True
        self._unready += 1
        self.process.send(JOB, assignment.job)
        for kind, body in assignment.blocks.items():
            self.process.send(kind, body)

    def settle(self) -> bool:
        """Count a job as prepared; returns whether it was the last one given."""
        self._unready -= 1
        return not self._unready
