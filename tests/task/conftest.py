"""One arithmetic thread, as in an evaluator process."""

from one_thread import one_arithmetic_thread  # noqa: F401
