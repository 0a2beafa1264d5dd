"""What an evaluator process owes: chunks, point by point."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from losscape_mpi.farm.evaluator_process import EvaluatorError
from losscape_mpi.point.frames import FAILURE, RESULT
from losscape_mpi.point.records import Answers, Chunk
from losscape_mpi.point.status import FAILED


@dataclass
class _OpenChunk:
    id: int
    indices: np.ndarray
    done: list[Answers] = field(default_factory=list)


class OpenChunks:
    """Chunks in the order of asking; a chunk whose points all have an answer is told on."""

    def __init__(self, tell: Callable[[bytes, bytes], None]) -> None:
        """Begin with nothing owed.

        Args:
            tell: Called with each frame for the master: results and failures.
        """
        self._tell = tell
        self._chunks: deque[_OpenChunk] = deque()

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def add(self, chunk: Chunk) -> None:
        """Take a chunk that was asked for."""
        self._chunks.append(_OpenChunk(chunk.id, chunk.indices.copy()))

    def clear(self) -> None:
        """Owe nothing any more."""
        self._chunks.clear()

    def missing(self) -> Iterator[Chunk]:
        """Yield what has no answer yet, a chunk for each point.

        One by one: of points that are computed together, the next death names the right one.
        """
        for chunk in self._chunks:
            for index in chunk.indices[len(chunk.done) :]:
                yield Chunk(chunk.id, np.array([index]))

    def take(self, body: bytes) -> float:
        """Take the answer for the next point; returns the seconds that it took.

        Raises:
            EvaluatorError: If it is none, or that of another point.
        """
        answer = _unpacked(body)
        index = int(answer.points["index"][0])
        chunk = self._chunks[0] if self._chunks else None
        if chunk is None or (answer.id, index) != (chunk.id, chunk.indices[len(chunk.done)]):
            raise EvaluatorError(f"an answer for point {index}, which was not its turn")
        if answer.points["status"][0] == FAILED:
            self._give_up(chunk, answer)
        else:
            self._finish(chunk, answer)
        return float(answer.points["seconds"][0])

    def blame(self, reason: str) -> int:
        """Give up the next point, for the master to have tried again; returns its index."""
        chunk = self._chunks[0]
        index = int(chunk.indices[len(chunk.done)])
        self._give_up(chunk, Answers.failed(chunk.id, index, reason=reason))
        return index

    def _give_up(self, chunk: _OpenChunk, failure: Answers) -> None:
        self._tell(FAILURE, failure.pack())
        self._finish(chunk, Answers.failed(chunk.id, failure.reason()[0]))

    def _finish(self, chunk: _OpenChunk, answer: Answers) -> None:
        chunk.done.append(answer)
        if len(chunk.done) == len(chunk.indices):
            self._chunks.popleft()
            self._tell(RESULT, Answers.join(chunk.done).pack())


def _unpacked(body: bytes) -> Answers:
    try:
        answer = Answers.unpack(body)
    except ValueError as error:
        raise EvaluatorError(f"an answer of {len(body)} bytes that is none ({error})") from error
    if len(answer.points) != 1:
        raise EvaluatorError(f"an answer for {len(answer.points)} points, expected one")
    return answer
