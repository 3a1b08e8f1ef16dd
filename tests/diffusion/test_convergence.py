"""The published table of orders is the command's, and has every sampler."""

from pathlib import Path

from bench import sampler_orders as convergence
from bench.sampler_orders import PATHS, measured, rows

PAGE = Path(__file__).parents[2] / "docs" / "samplers.md"


def test_the_page_has_the_table_that_the_command_prints(monkeypatch):
    """Few steps for speed: what depends on more of them is the three columns before the last."""
    monkeypatch.setattr(convergence, "STEPS", (16, 32))
    _, _, table = PAGE.read_text().partition("\n| sampler | path |")
    published = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    printed = list(rows())
    assert len(published) == len(printed) == 2 + len(measured()) * len(PATHS)
    for page, now in zip(published[2:], printed[2:], strict=True):
        assert page[:5] == now[:5]
        assert page[-1] == now[-1]
