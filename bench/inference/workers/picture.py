"""The picture that tools make which answer no single step: two Euler steps, and the tiny autoencoder."""

PROMPT = "a photograph of an astronaut riding a horse"
SEED = 42
SIGMAS = [14.6146, 2.9183, 0.0]
"""Of SD's schedule at its last step, and about half-way."""


def scale(rows: int) -> float:
    """Guidance that asks so many rows a step."""
    return 1.0 if rows == 1 else 7.0
