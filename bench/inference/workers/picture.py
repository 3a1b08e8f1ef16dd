"""The picture that tools make which answer no single step: one Euler step, and the tiny autoencoder."""

PROMPT = "a photograph of an astronaut riding a horse"
SEED = 42
SIGMAS = [14.6146, 0.0]
"""From noise to the estimate of the clean picture at once: all of the picture is the network's answer."""


def scale(rows: int) -> float:
    """Guidance that asks so many rows a step."""
    return 1.0 if rows == 1 else 7.0
