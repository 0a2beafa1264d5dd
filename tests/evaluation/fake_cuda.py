"""What `torch.cuda` is asked for, in order, on a machine without a GPU.

Work that is captured is done at once; as in torch, a capture that fails leaves its stream current.
"""

import contextlib

import torch


class FakeCuda:
    """Stands in for streams, events and graphs.

    Attributes:
        log: What was asked, in words.
        current: The current stream.
        is_capturing: Whether a capture is under way.
    """

    def __init__(self, monkeypatch) -> None:
        self.log: list[str] = []
        self.current = self.main = FakeStream("main", self)
        self.is_capturing = False
        self._mode: int | str = 0
        stand_ins = {
            "Stream": lambda: FakeStream("side", self),
            "Event": lambda: FakeEvent(self),
            "CUDAGraph": lambda: FakeGraph(self),
            "graph": self._capture,
            "stream": self._on,
            "current_stream": lambda: self.current,
            "set_stream": self._set_stream,
            "synchronize": lambda: self.log.append("synchronize"),
            "empty_cache": lambda: self.log.append("empty cache"),
            "is_current_stream_capturing": lambda: self.is_capturing,
            "get_sync_debug_mode": lambda: self._mode,
            "set_sync_debug_mode": self._set_mode,
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def wait_for_the_device(self) -> None:
        """Do what `item` does."""
        if self._mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")
        if self.is_capturing:
            raise RuntimeError("operation not permitted when stream is capturing")

    def _set_mode(self, mode) -> None:
        self._mode = mode
        self.log.append(f"waiting is {'refused' if mode == 'error' else 'allowed'}")

    def _set_stream(self, stream) -> None:
        self.current = stream
        self.log.append(f"back on {stream.name}")

    @contextlib.contextmanager
    def _on(self, stream):
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def _capture(self, _graph):
        before, self.current = self.current, FakeStream("capture", self)
        self.is_capturing = True
        try:
            yield
        except RuntimeError as error:
            raise RuntimeError("capture was invalidated") from error
        finally:
            self.is_capturing = False
        self.current = before


class FakeStream:
    def __init__(self, name: str, cuda: FakeCuda) -> None:
        self.name, self._log = name, cuda.log

    def wait_stream(self, other) -> None:
        self._log.append(f"{self.name} waits for {other.name}")


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self._log = cuda.log

    def record(self) -> None:
        self._log.append("event recorded")

    def synchronize(self) -> None:
        self._log.append("event awaited")


class FakeGraph:
    def __init__(self, cuda: FakeCuda) -> None:
        self._log = cuda.log

    def replay(self) -> None:
        self._log.append("replay")
