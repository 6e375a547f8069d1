"""Run `python -m regctl` as `regctl`."""

from regctl.cli import main

main(prog_name="regctl")
