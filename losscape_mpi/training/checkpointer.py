"""What happens between the steps of a training: measuring, checkpoints, saving, stopping."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from losscape_mpi.problem.checkpoint import write_state
from losscape_mpi.training.files import TrainingFiles, write_metrics
from losscape_mpi.training.label_noise import labels_sha256, num_wrong
from losscape_mpi.training.loop import num_batches
from losscape_mpi.training.measure import measure
from losscape_mpi.training.schedule import learning_rate
from losscape_mpi.training.session import Session
from losscape_mpi.training.state_file import header_of, save

SAVE_SHARE = 0.05  # of the time, at most, goes into saving the state
MIN_DIGITS = 4  # of the number in a checkpoint's name


class Checkpointer:
    """Called after each step: measures and writes what is due, and says whether to stop."""

    def __init__(
        self,
        session: Session,
        files: TrainingFiles,
        report: Callable[[], None],
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch over a training.

        Args:
            session: The training, at its start or restored.
            files: Where it writes.
            report: Called after each epoch is measured, and before the first step.
            stopping: Whether the training should end now.
            clock: Seconds.
        """
        self._session, self._files, self._report = session, files, report
        self._stopping, self._clock = stopping, clock
        self._next_save = 0.0
        self._values: dict[str, float] = {}
        self._measured_at = -1

    def __call__(self) -> bool:
        """Do what is due after a step; returns whether the training should stop here."""
        session = self._session
        if session.step == 0:
            self._save()  # before the path's first checkpoint: nothing else owns its folder
        is_measured = bool(session.rows) and session.rows[-1]["epoch"] == session.epoch
        if session.batch == 0 and not is_measured:  # a run may have been stopped at step 0
            self._add_row()
        if self._is_point_due():
            self._write_point()
        is_stopped = not session.is_finished and self._stopping()
        if is_stopped or (not session.is_finished and self._clock() >= self._next_save):
            self._save()
        return is_stopped

    def give_up(self) -> None:
        """Keep the metrics of a training that diverged, and no state: it would diverge again."""
        if self._session.epoch > 0:
            write_metrics(self._files.metrics, self._session.rows)
        self._files.state.unlink(missing_ok=True)

    def finish(self) -> dict[str, float]:
        """Write the final checkpoint and the metrics, remove the state; returns what is reached."""
        values, session = self._measure(), self._session
        write_metrics(self._files.metrics, session.rows)
        write_state(self._files.output, session.problem.model.state_dict(), self._header(values))
        self._files.state.unlink(missing_ok=True)
        return values

    def _add_row(self) -> None:
        session = self._session
        last = max(session.epoch - 1, 0)  # the rate of the epoch that the row is the end of
        place = {"epoch": session.epoch, "step": session.step}
        rate = learning_rate(session.config, last)
        session.rows.append({**place, "lr": rate, **self._measure()})
        self._report()

    def _is_point_due(self) -> bool:
        session, path = self._session, self._session.config.path
        if path is None:
            return False
        if path.unit == "step":
            return session.step % path.every == 0 or session.is_finished
        at_epoch = session.batch == 0 and session.epoch % path.every == 0
        return at_epoch or session.is_finished

    def _write_point(self) -> None:
        session, values = self._session, self._measure()
        place = {"epoch": str(session.epoch), "step": str(session.step)}
        header = self._header(values) | place | {"loss": repr(values["train/loss"])}
        write_state(self._point_path(), session.problem.model.state_dict(), header)

    def _point_path(self) -> Path:
        session, path = self._session, self._session.config.path
        if path is None:
            raise ValueError("found no path in the recipe")
        total = session.config.epochs
        if path.unit == "step":
            num_samples = len(session.problem.splits["train"].inputs)
            total *= num_batches(num_samples, session.config.batch_size)
        number = session.step if path.unit == "step" else session.epoch
        digits = max(MIN_DIGITS, len(str(total)))
        return path.folder / f"{path.unit}_{number:0{digits}d}.safetensors"

    def _measure(self) -> dict[str, float]:
        """Return losses and accuracies as they are now; computed once for each step."""
        if self._measured_at != self._session.step:
            self._session.problem.model.eval()
            self._values = measure(self._session.problem)
            self._measured_at = self._session.step
        return self._values

    def _header(self, values: dict[str, float]) -> dict[str, str]:
        session = self._session
        header = header_of(session) | {name: repr(value) for name, value in values.items()}
        if session.config.label_noise is not None:
            train = session.problem.splits["train"]
            count = num_wrong(train, session.config.label_noise)
            noise = {"changed": count, "sha256": labels_sha256(train.targets)}
            header["label_noise"] = json.dumps(noise, sort_keys=True)
        return header

    def _save(self) -> None:
        began = self._clock()
        save(self._session, self._files.state)
        if self._session.rows:
            write_metrics(self._files.metrics, self._session.rows)
        pause_s = max(self._session.config.save_s, (self._clock() - began) / SAVE_SHARE)
        self._next_save = self._clock() + pause_s
