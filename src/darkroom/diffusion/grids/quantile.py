"""The quantile of the beta distribution, to about double precision."""

import math


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
    """The regularized incomplete beta function by its positive series (DLMF 8.17.8)."""
    if x > 0.5:
        return 1 - beta_cdf(1 - x, b, a)
    total, term = 0.0, x**a * (1 - x) ** b / a / math.exp(_log_beta(a, b))
    for n in range(200):
        total += term
        term *= x * (a + b + n) / (a + 1 + n)
    return total


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
