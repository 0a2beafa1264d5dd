"""How a surface's numbers were computed, in words taken from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def precision_text(manifest: Mapping[str, Any]) -> str:
    """Return the precision and the error that was measured for it; empty where unknown.

    For example "bfloat16, corrected by float32 on 128 samples (error ≤ 0.31 % at 16 probes)".
    """
    choices = manifest.get("choices", {})
    wish = manifest.get("study", {}).get("evaluation", {}).get("precision")
    proof = choices.get("precision_error") or {}
    text = str(proof.get("mode") or choices.get("precision") or wish or "")
    if choices.get("correction"):
        text += f", corrected by float32 on {choices['correction']} samples"
    error, probes = proof.get("max_relative"), proof.get("probes")
    if error is None or error == "infinite":
        return text
    return f"{text} (error ≤ {100 * error:.2g} % at {probes} probes)"


def estimator_text(manifest: Mapping[str, Any]) -> str:
    """Return how the mean over samples is estimated; empty where it is the plain mean.

    For example "anchors every 4 steps on all samples, other points on 10 % of them".
    """
    evaluation = manifest.get("study", {}).get("evaluation", {})
    if evaluation.get("estimator", "mean") != "anchors":
        return ""
    anchors = evaluation["anchors"]
    few = f"{anchors['samples']}" if anchors["samples"] else f"{100 * anchors['share']:g} % of them"
    return f"anchors every {anchors['stride']} steps on all samples, other points on {few}"


def passes_text(manifest: Mapping[str, Any]) -> str:
    """Return batch size, points of a pass, layout and fusion, such as "batch 64, fused layers"."""
    choices = manifest.get("choices", {})
    if "batch_size" not in choices:
        return ""
    parts = [f"batch {choices['batch_size']}", choices.get("layout", "").replace("_", " ")]
    if choices.get("points_per_pass", 1) > 1:
        parts.append(f"{choices['points_per_pass']} points at once")
    parts += ["fused layers"] * bool(choices.get("fused"))
    return ", ".join(part for part in parts if part)
