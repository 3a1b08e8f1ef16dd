"""The quantile of the beta distribution, to about double precision."""

import math

TINY = 1e-300
"""Stands in for a zero that would be divided by."""


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x in [0, 1] below which lies ``share`` in [0, 1] of a beta distribution with ``a``, ``b`` > 0.

    Newton's method held inside a bracket that halves whenever a step would leave it.
    """
    if not 0 < share < 1:
        return float(share)
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(200):
        over = beta_cdf(x, a, b) - share
        low, high = (low, x) if over > 0 else (x, high)
        slope = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - _log_beta(a, b))
        step = over / slope
        if abs(step) <= 1e-15 * x or high - low <= 1e-16 * x:
            break
        x = x - step if low < x - step < high else (low + high) / 2
    return x


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function (DLMF 8.17.2), with the tail that converges fast."""
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b) if x > 0 else -math.inf
    return math.exp(front) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of DLMF 8.17.22 by Lentz's method, inverted: 1 + d1 / (1 + d2 / (1 + ...))."""
    value, c, d = 1.0, 1.0, 0.0
    for n in range(1, 500):
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or TINY)
        c = 1 + term / c or TINY
        value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
