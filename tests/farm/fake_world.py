"""A communicator whose ranks are threads of one process, and evaluators that need no torch."""

import threading
from collections import defaultdict, deque

import numpy as np

from losscape_mpi.point.frames import CHUNK, HELLO, JOB, MISTAKE, READY, RESULT
from losscape_mpi.point.records import DEVICE_RECORD, Answers, Chunk, pack_ready, row_answer
from losscape_mpi.point.status import DONE


class Request:
    """Done once its action has been; `Test` never blocks."""

    def __init__(self, action):
        self._action, self._is_done = action, False

    def Test(self):
        self._is_done = self._is_done or self._action()
        return self._is_done

    def Cancel(self):
        self._action = lambda: True


class FakeWorld:
    """Mail boxes by (source, destination, tag); messages of one box stay in order."""

    def __init__(self, size):
        self.size = size
        self.boxes = defaultdict(deque)
        self.lock = threading.Lock()

    def rank(self, number):
        return FakeComm(self, number)

    def put(self, source, dest, tag, data):
        with self.lock:
            self.boxes[source, dest, tag].append(bytes(memoryview(data).cast("B")))

    def take(self, source, dest, tag, buffer):
        with self.lock:
            box = self.boxes[source, dest, tag]
            if not box:
                return False
            data = np.frombuffer(box.popleft(), dtype="u1")
        buffer.view("u1").reshape(-1)[: len(data)] = data
        return True


class FakeComm:
    def __init__(self, world, number):
        self._world, self._number = world, number

    def Get_rank(self):
        return self._number

    def Get_size(self):
        return self._world.size

    def Isend(self, data, dest, tag):
        self._world.put(self._number, dest, tag, data)
        return Request(lambda: True)

    def Irecv(self, buffer, source, tag):
        return Request(lambda: self._world.take(source, self._number, tag, buffer))

    def Ibcast(self, buffer, root):
        if self._number != root:
            return Request(lambda: self._world.take(root, self._number, "bcast", buffer))
        for other in range(self._world.size):
            if other != root:
                self._world.put(root, other, "bcast", buffer)
        return Request(lambda: True)

    def Iallgather(self, mine, everyone):
        rows = everyone.reshape(self._world.size, -1)
        for other in range(self._world.size):
            self._world.put(self._number, other, "gather", mine)
        missing = set(range(self._world.size))

        def collect():
            for source in list(missing):
                if self._world.take(source, self._number, "gather", rows[source]):
                    missing.discard(source)
            return not missing

        return Request(collect)


def hello(name="CPU", uuid="", host="node"):
    record = np.zeros(1, dtype=DEVICE_RECORD)
    record["name"], record["uuid"], record["host"] = name.encode(), uuid.encode(), host.encode()
    return HELLO, record.tobytes()


def chunk_body(number, *indices):
    """The body of a chunk frame."""
    return Chunk(number, np.array(indices)).pack()


def value_at(index, column=0):
    """The value that every fake evaluator gives."""
    return 10.0 * index + column


def answers_of(chunk, num_columns, seconds):
    """The answers to a chunk."""
    rows = {i: [value_at(i, c) for c in range(num_columns)] for i in chunk.indices.tolist()}
    parts = [row_answer(chunk.id, i, np.array(row), DONE, seconds) for i, row in rows.items()]
    return Answers.join(parts)


def answer(chunk, num_columns, seconds):
    """The result frame of a chunk."""
    return RESULT, answers_of(chunk, num_columns, seconds).pack()


class FakeEvaluator:
    """What `Supervisor` offers, without a process; answers at the next poll."""

    is_sending = False

    def __init__(self, num_columns=2, name="CPU", mistake=None, seconds=0.01):
        self.frames = deque([hello(name)])
        self.num_columns, self.seconds, self.mistake = num_columns, seconds, mistake
        self.jobs, self.is_stopped, self.chunks, self.blocks = [], False, [], []

    def poll(self):
        return self.frames.popleft() if self.frames else None

    def send(self, kind, body=b""):
        if kind == JOB:
            self.jobs.append(bytes(body))
            ready = (READY, pack_ready(0.01, np.arange(self.num_columns)))
            self.frames += [(JOB, b""), (MISTAKE, self.mistake) if self.mistake else ready]
        elif kind == CHUNK:
            chunk = Chunk.unpack(body)
            self.chunks.append(chunk.indices.tolist())
            self.frames.append(answer(chunk, self.num_columns, self.seconds))
        else:
            self.blocks.append((kind, bytes(body)))

    def stop(self):
        self.is_stopped = True
