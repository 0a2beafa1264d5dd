"""How far a point is: the codes that stand in a surface file and travel with each answer."""

from __future__ import annotations

PENDING, DONE, NONFINITE, FAILED = 0, 1, 2, 3
NAMES = {PENDING: "pending", DONE: "done", NONFINITE: "nonfinite", FAILED: "failed"}

# Of a point's second computation: none, still to come, the same values, other ones.
UNCHOSEN, CHOSEN, SAME, OTHER = 0, 1, 2, 3
