"""``python -m darkroom`` is ``darkroom``."""

from darkroom.cli.main import main

main(prog_name="darkroom")
