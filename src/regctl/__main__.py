"""Run `python -m regctl` as `regctl`."""

from regctl.cli.main import main

main(prog_name="regctl")
