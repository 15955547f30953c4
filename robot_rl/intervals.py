"""How sure a success rate is."""

from __future__ import annotations

from math import sqrt

Z95 = 1.959964          # normal quantile of a two-sided 95 % interval


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a success rate (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    rate, z2 = successes / count, Z95 ** 2
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 * sqrt(rate * (1 - rate) / count + z2 / (4 * count ** 2)) / (1 + z2 / count)
    # It holds the rate; in floats it could miss it by one bit at 0 and 1.
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))
