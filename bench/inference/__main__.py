"""Darkroom beside other tools: seconds of an SD 1.5 U-Net step at 512 px on the same random weights.

    python -m bench.inference setup --rivals FOLDER     # their environments, and the shared model
    python -m bench.inference start --rivals FOLDER     # starts each twice: without its caches, and with them
    python -m bench.inference bound --rivals FOLDER     # what the machine's arithmetic allows
    python -m bench.inference rounds --rivals FOLDER    # all of them in turn, step by step
    python -m bench.inference table --rivals FOLDER     # what was measured

``--only`` picks tools by name; ``--rows 1`` or ``2`` a plain or a guided step. What is measured is kept in
FOLDER/measured.json.
"""

import argparse
import os
from pathlib import Path

from bench.inference import measuring, setup, tables
from bench.inference.tools import TOOLS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phase", choices=("setup", "start", "bound", "rounds", "table"))
    parser.add_argument("--rivals", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=list(TOOLS), metavar="TOOL")
    parser.add_argument("--rows", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    told = parser.parse_args()
    folder = told.rivals.resolve()
    if told.phase == "setup":
        setup.install(folder)
    elif told.phase == "start":
        measuring.starts(folder, told.only, told.rows, told.threads)
    elif told.phase == "rounds":
        measuring.rounds(folder, told.only, told.rows, told.threads, told.rounds)
    elif told.phase == "bound":
        measuring.bound(folder)
    if told.phase != "setup":
        print(tables.report(folder))


if __name__ == "__main__":
    main()
