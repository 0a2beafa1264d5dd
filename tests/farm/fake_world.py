"""A communicator whose ranks are threads of one process, and evaluators that need no torch."""

import threading
from collections import defaultdict, deque

import numpy as np

from losscape_mpi import wire


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
    record = np.zeros(1, dtype=wire.DEVICE_RECORD)
    record["name"], record["uuid"], record["host"] = name.encode(), uuid.encode(), host.encode()
    return wire.HELLO, record.tobytes()


def value_at(index, column=0):
    """The value that every fake evaluator gives."""
    return 10.0 * index + column


def answer(record, num_columns, seconds):
    """The result frame of a chunk record, shape (1,)."""
    result = np.zeros(1, dtype=wire.result_record(num_columns))
    count = int(record["count"][0])
    result["id"], result["count"] = record["id"], count
    for k, index in enumerate(record["points"][0, :count]):
        values = [value_at(int(index), column) for column in range(num_columns)]
        result["points"][0, k] = (index, 1, 1, seconds, values)
    return wire.RESULT, result.tobytes()


class FakeEvaluator:
    """What `EvaluatorProcess` offers, without a process; answers at the next poll."""

    def __init__(self, num_columns=2, name="CPU", mistake=None, seconds=0.01):
        self.frames = deque([hello(name)])
        self.num_columns, self.seconds, self.mistake = num_columns, seconds, mistake
        self.job, self.is_stopped, self.chunks = None, False, []

    def poll(self):
        return self.frames.popleft() if self.frames else None

    def check_alive(self):
        assert not self.is_stopped

    def send_job(self, block):
        self.job = block
        center = np.arange(self.num_columns, dtype="<f8")
        ready = (wire.READY, np.float64(0.01).tobytes() + center.tobytes())
        self.frames.append((wire.MISTAKE, self.mistake) if self.mistake else ready)

    def send_chunk(self, record):
        self.chunks.append(record["points"][0, : record["count"][0]].tolist())
        self.frames.append(answer(record, self.num_columns, self.seconds))

    def stop(self):
        self.is_stopped = True
