"""``python -m darkroom`` and ``darkroom``: the command, stopped without a traceback also while it begins."""

import sys


def run() -> None:
    """The command line; always ends in SystemExit."""
    try:
        from darkroom.cli.main import main
    except KeyboardInterrupt:
        print("darkroom: stopped.", file=sys.stderr)
        sys.exit(130)
    main(prog_name="darkroom")


if __name__ == "__main__":
    run()
