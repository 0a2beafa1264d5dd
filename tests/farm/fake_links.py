"""Workers, a clock and callbacks for masters without ranks and processes."""

from collections import deque

import numpy as np
from fake_world import answer, answers_of, hello

from losscape_mpi.farm.links import LinkLostError
from losscape_mpi.farm.master import Master
from losscape_mpi.farm.stage import Stage
from losscape_mpi.farm.start import introductions
from losscape_mpi.point.frames import BEAT, CHUNK, FAILURE, JOB, PAUSE, READY, RESULT, RETIRED
from losscape_mpi.point.records import Answers, Chunk, pack_ready
from losscape_mpi.point.status import FAILED

NUM_COLUMNS = 2
REFERENCE = [7.0, 8.0]


def never():
    return False


def nobody(*_):
    """A `ready` that needs to know nothing."""


def failure(index, reason, chunk=0):
    """What a worker says of a point that failed."""
    return FAILURE, Answers.failed(chunk, index, reason=reason).pack()


class FakeLink:
    """A worker that answers a chunk after `cost` polls for each of its points."""

    def __init__(self, name, cost=1, seconds=0.01, start=1, retires_after=None):
        self.troubles = {}  # index -> why it fails, once each
        self.retires_after = retires_after  # so many failures
        self.name, self.closed = name, False
        self.is_remote, self.stopped, self.is_lost = True, False, False
        self.cost, self.seconds = cost, seconds
        self.frames = deque([(start, hello(name)), (start, self.prepared())])
        self.given, self.flying, self.most_flying = [], deque(), 0
        self.is_silent = self.is_dead = False

    def prepared(self):
        return READY, pack_ready(0.5, np.array(REFERENCE))

    def say(self, kind, body=b""):
        self.frames.append((1, (kind, body)))

    def poll(self):
        if self.is_dead:
            raise LinkLostError("MPI_ERR_PROC_FAILED")
        if self.is_silent:
            return None
        if self.frames:
            left, frame = self.frames[0]
            if left > 1:
                self.frames[0] = (left - 1, frame)
                return None
            self.frames.popleft()
            return frame
        if self.stopped or not self.flying:
            return None
        left, chunk = self.flying[0]
        self.flying[0] = (left - 1, chunk)
        if left > 1:
            return None
        self.flying.popleft()
        return self.reply(self.tried(chunk)) if self.troubles else self.reply(chunk)

    def tried(self, chunk):
        """Say which points of a chunk fail; returns the chunk."""
        failing = [i for i in chunk.indices.tolist() if self.troubles.get(i)]
        if not failing:
            return chunk
        parts = []
        for index in chunk.indices.tolist():
            if index in failing:
                self.say(*failure(index, self.troubles[index].pop(0), chunk.id))
                parts.append(Answers.failed(chunk.id, index))
                if self.retires_after is not None:
                    self.retires_after -= 1
                    if not self.retires_after:
                        self.say(RETIRED, b"3 failures")
            else:
                parts.append(answers_of(Chunk(chunk.id, np.array([index])), NUM_COLUMNS, 0.01))
        self.say(RESULT, Answers.join(parts).pack())
        return None

    def reply(self, chunk):
        if chunk is None:
            return self.poll()
        return answer(chunk, NUM_COLUMNS, self.seconds)

    def send(self, kind, body=b""):
        assert not self.is_lost
        if kind == CHUNK:
            chunk = Chunk.unpack(body)
            self.given.append((kind, (chunk.id, chunk.indices.tolist())))
            self.flying.append((self.cost * len(chunk.indices), chunk))
            self.most_flying = max(self.most_flying, len(self.flying))
        else:
            self.given.append((kind, bytes(body)))

    def stop(self):
        self.stopped = True

    def close(self):
        self.closed = True

    @property
    def chunks(self):
        return [what for kind, what in self.given if kind == CHUNK]

    @property
    def points(self):
        return [p for _, chunk in self.chunks for p in chunk]

    @property
    def num_beats(self):
        return [kind for kind, _ in self.given].count(BEAT)

    @property
    def blocks(self):
        return [frame for frame in self.given if frame[0] not in (CHUNK, BEAT, PAUSE, JOB)]


class JobLink(FakeLink):
    """A worker that gets ready for each job that it is given, after `start` polls."""

    def __init__(self, name, cost=1, seconds=0.01, start=1):
        super().__init__(name, cost, seconds)
        self.frames.pop()
        self.start, self.jobs = start, []

    def send(self, kind, body=b""):
        super().send(kind, body)
        if kind != JOB:
            return
        self.jobs.append(bytes(body))
        for _, chunk in self.flying:  # their answers were on their way already
            self.say(*self.reply(chunk))
        self.flying.clear()
        self.say(JOB)
        self.frames.append((self.start, (READY, pack_ready(0.5, self.reference()))))

    def reference(self):
        return np.array([float(len(self.jobs))])


class Clock:
    """The master's time; every sleep of the master lets `step` seconds pass."""

    def __init__(self, step=0.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        return self.now

    def pass_time(self):
        self.now += self.step


class Log:
    """The callbacks of a run."""

    def __init__(self):
        self.events, self.values = [], {}
        self.failed, self.attempts = {}, {}  # index -> tries, where they were several

    def ready(self, number, reference, seconds):
        assert seconds == 0.5
        self.events.append(("ready", number, reference.tolist()))

    def take(self, delivery):
        for number, answers in delivery:
            indices = answers.points["index"].tolist()
            rows = answers.rows(NUM_COLUMNS).tolist()
            for point, index, row in zip(answers.points, indices, rows, strict=True):
                assert index not in self.values | self.failed
                if point["status"] == FAILED:
                    self.failed[index] = int(point["attempts"])
                    continue
                self.values[index] = row
                if point["attempts"] > 1:
                    self.attempts[index] = int(point["attempts"])
            self.events.append(("take", number, indices))


def introduced(links, clock, retries=0):
    master = Master(links, clock, retries=retries)
    introductions(master.members, never, clock)
    return master


def run(links, points, stopping=lambda: False, log=None, clock=None, retries=0):
    log = log or Log()
    master = introduced(links, clock or Clock(), retries)
    is_complete = master.run([Stage(np.asarray(points), log.take)], log.ready, stopping)
    return master, is_complete, log


def crew(*costs, **options):
    return [FakeLink(f"rank {k}", cost, **options) for k, cost in enumerate(costs, start=1)]
