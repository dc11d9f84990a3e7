"""``python -m gateway`` is the same command as ``tidegate``."""

from gateway.cli import main

main(prog_name="tidegate")
