"""Gaussian numbers that depend on nothing but what they are drawn for.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") gives the bits,
Box and Muller (1958) the Gaussians. Logarithm, sine and cosine are written out here with +, -,
*, / and sqrt alone, which IEEE 754 rounds correctly: so the numbers are the same, bit for bit, on
every machine and with every version of numpy, whose own functions differ in the last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence

import numpy as np

ALGORITHM = 1  # another algorithm, other directions: stored with every plane
_BLOCK_PAIRS = 1 << 15  # temporaries of a block stay in the processor's cache

_LOG_TERMS = [1 / (2 * k + 1) for k in range(12)]  # |s| <= 0.172: rest below 1e-19
_SIN_TERMS = [(-1) ** k / math.factorial(2 * k + 1) for k in range(10)]  # |x| <= pi/4
_COS_TERMS = [(-1) ** k / math.factorial(2 * k) for k in range(10)]
_LOG_2 = 0.6931471805599453


def gaussian(seed: int, axis: str, name: str, shape: Sequence[int]) -> np.ndarray:
    """Return independent standard Gaussian numbers, float32 of the given shape.

    They depend on the arguments and on `ALGORITHM` only: not on any global generator, the order
    of the parameters, the device or the versions of the libraries.

    Args:
        seed: Which draw; repeat k of an experiment takes seed k.
        axis: Name of the plane's axis, alpha or beta.
        name: Name of the parameter.
        shape: Shape of the parameter.
    """
    key = json.dumps([ALGORITHM, seed, axis, name, list(shape)])
    digest = hashlib.sha256(key.encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    generator = np.random.Philox(key=words)
    size = math.prod(shape)
    drawn = np.empty(size + size % 2, dtype=np.float32)
    for start in range(0, len(drawn), 2 * _BLOCK_PAIRS):
        part = drawn[start : start + 2 * _BLOCK_PAIRS]
        part[:] = _box_muller(np.asarray(generator.random_raw(len(part))))
    return drawn[:size].reshape(shape)


def _box_muller(bits: np.ndarray) -> np.ndarray:
    """Return one Gaussian number for each of an even number of 64-bit words, float64."""
    fraction = (bits >> np.uint64(11)).astype(np.float64)  # 53 bits, exact
    radius = np.sqrt(-2.0 * _log((fraction[0::2] + 1.0) * 2.0**-53))  # of (0, 1]
    cosine, sine = _cos_sin_turns(fraction[1::2] * 2.0**-53)  # of [0, 1)
    return np.stack([radius * cosine, radius * sine], axis=1).ravel()


def _log(values: np.ndarray) -> np.ndarray:
    """Return natural logarithms of positive numbers: log(m 2^e) = e log 2 + 2 artanh(s)."""
    mantissa, exponent = np.frexp(values)
    small = mantissa < math.sqrt(0.5)
    mantissa = np.where(small, 2.0 * mantissa, mantissa)  # in [sqrt(1/2), sqrt(2))
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return (exponent - small) * _LOG_2 + 2.0 * s * _polynomial(s * s, _LOG_TERMS)


def _cos_sin_turns(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and sine of angles in [0, 1) turns."""
    quarters = np.rint(4.0 * turns)
    x = (4.0 * turns - quarters) * (math.pi / 2)  # in [-pi/4, pi/4]
    square = x * x
    cosine, sine = _polynomial(square, _COS_TERMS), x * _polynomial(square, _SIN_TERMS)
    odd = quarters % 2 == 1
    turned_cosine = np.where(odd, -sine, cosine)
    turned_sine = np.where(odd, cosine, sine)
    sign = np.where((quarters == 2) | (quarters == 3), -1.0, 1.0)
    return sign * turned_cosine, sign * turned_sine


def _polynomial(x: np.ndarray, terms: Sequence[float]) -> np.ndarray:
    """Return the sum of terms[k] x^k by Horner's rule."""
    total = np.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total = total * x + term
    return total
