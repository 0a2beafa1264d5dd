"""Three ranks: 0 sends a block through 1 and back, while 2 sends back small frames.

    mpirun -n 3 python large_block.py BYTES

Rank 0 says on one line, as JSON, what came back.
"""

import hashlib
import json
import os
import sys
import time

import numpy as np

from losscape_mpi.farm.channel import Channel
from losscape_mpi.farm.host.launcher import connect
from losscape_mpi.farm.waiting import WORKER_WAIT_S, Backoff
from losscape_mpi.point.frames import BEAT, BYE, CHUNK, RESULT, STOP, VECTOR

LIMIT_S = 100.0


def main() -> None:
    comm = connect()
    if comm.Get_rank() == 0:
        print(json.dumps(send_through(comm, int(sys.argv[1]))))
    else:
        send_back(Channel(comm, 0))


def send_back(channel: Channel) -> None:
    """Return each frame as a result, with a frame of its hash before it, until the stop."""
    backoff, frame = Backoff(WORKER_WAIT_S), None
    while frame is None or frame[0] != STOP:
        frame = channel.poll()
        if frame is not None and frame[0] not in (BEAT, STOP):
            channel.send(CHUNK, hashlib.sha256(frame[1]).digest())
            channel.send(RESULT, frame[1])
        backoff.rest(frame is not None)
    channel.send(BYE)
    channel.flush()
    channel.close()


def send_through(comm, size: int) -> dict:
    block = np.random.default_rng(0).bytes(size)
    large, small = Channel(comm, 1), Channel(comm, 2)
    found = {"sent": hashlib.sha256(block).hexdigest(), "beats": 0, "small": 0, "mib": size >> 20}
    began, backoff = time.monotonic(), Backoff(WORKER_WAIT_S)
    large.send(VECTOR, block)
    small.send(VECTOR, b"0")
    while "back" not in found:
        frame, other = large.poll(), small.poll()
        if frame is not None:
            note(found, *frame)
        if other is not None and other[0] == RESULT:
            assert bytes(other[1]) == b"%d" % found["small"]
            found["small"] += 1
            small.send(VECTOR, b"%d" % found["small"])
        backoff.rest(frame is not None or other is not None)
        if time.monotonic() - began > LIMIT_S:
            raise TimeoutError(f"only this came in {LIMIT_S:g} s: {found}")
    found["seconds"] = time.monotonic() - began
    for channel in (large, small):
        end(channel)
    return found


def note(found: dict, kind: bytes, body: bytes | memoryview) -> None:
    if kind == BEAT:
        found["beats"] += 1
    elif kind == CHUNK:
        found["there"] = bytes(body).hex()
    else:
        found["back"] = hashlib.sha256(body).hexdigest()


def end(channel: Channel) -> None:
    channel.send(STOP)
    backoff, frame = Backoff(WORKER_WAIT_S), None
    while frame is None or frame[0] != BYE:
        frame = channel.poll()
        backoff.rest(frame is not None)
    channel.close()


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)  # MPI would wait for the others
