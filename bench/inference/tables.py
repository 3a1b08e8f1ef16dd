"""The findings as the tables of docs/performance.md."""

from pathlib import Path
from typing import Any

from bench.inference.measuring import measured
from bench.inference.tools import TOOLS
from bench.measure import median, table

STEPS = [
    "tool",
    "s a step",
    "times Darkroom",
    "share of the bf16 peak",
    "s a guided step",
    "times Darkroom",
    "error",
]
STARTS = [
    "tool",
    "s to the first step",
    "the second time",
    "load",
    "compile",
    "peak GiB starting",
    "stepping",
]


def report(folder: Path) -> str:
    """What was measured so far, as markdown."""
    found = measured(folder)
    parts = [found.get("machine", ""), arithmetic(found), steps(found), starts(found)]
    return "\n\n".join(part for part in parts if part)


def arithmetic(found: dict[str, Any]) -> str:
    if "arithmetic" not in found:
        return ""
    rates, operations = (found["arithmetic"][part] for part in ("rates", "operations"))
    rows = [
        [name, f"{rate / 1e9:.0f}", *(f"{operations[count] / rate:.2f}" for count in ("1", "2"))]
        for name, rate in rates.items()
    ]
    return table(["a large matrix product in", "G operations/s", "s a step at that", "s a guided step"], rows)


def steps(found: dict[str, Any]) -> str:
    """Medians, beside Darkroom's of the same rounds."""
    rows = [[TOOLS[name].label, *cells(found, name)] for name in TOOLS]
    return table(STEPS, [row for row in rows if any(cell != "" for cell in row[1:])])


def cells(found: dict[str, Any], name: str) -> list[str]:
    plain, guided = ([*timed(found, name, count)] for count in ("1", "2"))
    share = ""
    if plain[0] and "arithmetic" in found:
        told = found["arithmetic"]
        share = f"{told['operations']['1'] / told['rates']['bfloat16'] / float(plain[0]):.0%}"
    error = found.get(f"starts/1/{name}", {}).get("error")
    return [*plain, share, *guided, "" if error is None else f"{error:.1e}"]


def timed(found: dict[str, Any], name: str, rows: str) -> tuple[str, str]:
    """Seconds and the ratio to Darkroom's of the same rounds; empty where it was not measured."""
    told = found.get(f"rounds/{rows}/{name}")
    if told is None:
        return "", ""
    seconds = median(told["seconds"])
    return f"{seconds:.2f}", f"{seconds / median(told['ours']):.2f}"


def starts(found: dict[str, Any]) -> str:
    """Of a plain step; a guided one is started the same way."""
    rows = []
    for name, tool in TOOLS.items():
        if f"starts/1/{name}" in found:
            told = found[f"starts/1/{name}"]
            cold, warm, memory = told["cold"], told["warm"], told["memory"]
            times = cold["all"], warm["all"], warm["load"], warm["prepare"] + warm["step"]
            rows.append(
                [
                    tool.label,
                    *(f"{value:.0f}" for value in times),
                    *(f"{memory[part]:.1f}" for part in ("start", "steps")),
                ]
            )
    return table(STARTS, rows) if rows else ""
