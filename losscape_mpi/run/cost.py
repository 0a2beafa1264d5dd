"""What a run will cost, said before it starts."""

from __future__ import annotations

from losscape_mpi.study.config import Study

# Of rank 0 for each point, whoever computes it: to hand it out, take it in and store it.
KEEP_S = 1e-4
_UNITS = ((1, "s"), (60, "min"), (3600, "h"), (86400, "days"))  # seconds of each


def describe_cost(
    seconds: float, workers: int, full: int, few: int = 0, share: float = 0.0, anchors: int = 0
) -> str:
    """Return what points cost as a sum that a person can check, and its result.

    Rank 0 stores points while the workers compute: whatever takes longer counts.

    With the estimator anchors every worker first computes the part's values at all anchors for
    itself, so that this does not shrink with more workers.

    Args:
        seconds: That a point takes on all samples.
        workers: How many compute.
        full: Points to be evaluated on all samples.
        few: Points to be evaluated on a part of the samples.
        share: That part, 0 to 1.
        anchors: Points at which each worker needs the part's values before it begins with `few`.
    """
    each, part = f"{seconds:.3g} s", f"{seconds * share:.3g} s"
    terms = [f"{full} points x {each}"] if full or not few else []
    total = full * seconds / workers
    start = note = ""
    if few:
        terms.append(f"{few} points x {part} on {100 * share:.3g} % of the samples")
        total += few * seconds * share / workers + anchors * seconds * share
        start = f" + {anchors} x {part} at the anchors for every worker"
        note = f"; points that fall back to all samples come on top, {each} for each"
    keeping = (full + few) * KEEP_S
    if keeping > total and keeping > 1:
        note += f"; that is what storing {full + few} points takes, not computing them"
    total = max(total, keeping)
    work = f"({' + '.join(terms)})" if len(terms) > 1 else terms[0]
    crew = f"{workers} worker" + "s" * (workers > 1)
    return f"{work} / {crew}{start}: {about(total)}{note}"


def about(seconds: float) -> str:
    """Return a duration as a person says it: less than a second, about 40 s, about 3 min."""
    if seconds < 1:
        return "less than a second"
    # Two of a unit at least, so that rounding to whole ones errs by a quarter at most.
    size, unit = [each for each in _UNITS if seconds >= 2 * each[0] or each[0] == 1][-1]
    return f"about {round(seconds / size)} {unit}"


def share_of_samples(study: Study, sizes: dict[str, int]) -> float:
    """Return the part of all samples that is evaluated between anchors, 0 to 1.

    Args:
        study: Its evaluation.anchors say how many are drawn of each split.
        sizes: Samples of each split.
    """
    drawn = sum(study.evaluation.anchors.count(size) for size in sizes.values())
    return drawn / sum(sizes.values())
