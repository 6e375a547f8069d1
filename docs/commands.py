"""The content of docs/commands.md: every command, the output formats, exit codes, variables."""

from collections.abc import Iterator, Mapping

import click

from regctl.cli.command import Command
from regctl.cli.main import SECTIONS, main

EXIT_CODES = {
    "0": "Done, or nothing to do.",
    "1": "Failed, or found a difference or problem that you asked for.",
    "2": "The command line is wrong.",
    "3": "Partly done, or stopped because not everything could be read. Run the command again. "
    "With `--check`: no difference was seen, and something could not be read.",
    "4": "Not authenticated, or not permitted.",
    "129": "Ended by SIGHUP, after it cleaned up.",
    "130": "Interrupted.",
    "141": "The reader of standard output closed it.",
    "143": "Ended by SIGTERM, after it cleaned up.",
}

VARIABLES = {
    "REGCTL_AUTH_FILE": "The auth file, without -f.",
    "REGCTL_AUTH_SECRET": "The Secret that the registry's users are read from, as NS/NAME.",
    "REGCTL_CA_FILE": "The certificates to trust at registries, without --ca-file.",
    "REGCTL_REGISTRY": "The registry, if none is named; also that of an image without a host.",
    "REGCTL_USERNAME": "The user at a registry, without --username.",
    "REGCTL_PASSWORD": "The password, without a flag that names one; `rotate` ignores it.",
    "DOCKER_CONFIG": "The folder of docker's config.json.",
    "DOCKER_AUTH_CONFIG": "Credentials in the format of config.json; they are used first.",
    "REGISTRY_AUTH_FILE": "The logins of podman, skopeo and buildah, read after docker's.",
    "XDG_RUNTIME_DIR": "The folder with containers/auth.json, without `REGISTRY_AUTH_FILE`.",
    "KUBECONFIG": "The kubeconfig, as for kubectl.",
    "NO_COLOR": "Print without colors, as --no-color does.",
}

HEAD = """\
# The commands of regctl

`make docs` writes this file. `regctl COMMAND --help` shows all options of a command, with examples.
"""

OUTPUT = """
## Output

On a terminal a listing is a table. In a pipe it is tab-separated lines, complete and without a
header. `-o table`, `-o wide`, `-o json`, `-o yaml` and `-o name` choose a format everywhere, pipes
included. `-o name` prints what other commands take. With `-o json` standard output is one valid
document, also if the command fails or the command line is wrong.
[output.md](output.md) shows the document of each command. Data goes to standard output, everything
else to standard error. Control characters in names from outside are printed as escapes.

A generated password is alone on standard output. Then everything else goes to standard error.

## Durations and sizes

A duration is `30s`, `10m`, `2h`, `90d` or a plain number of seconds. A size is `500k`, `8M`, `1G`
or a plain number of bytes.
"""


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, Command]]:
    """Yield every command below *command* with the words that call it."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, f"{path} {name}")
    elif isinstance(command, Command):
        yield path, command


def document() -> str:
    """Return docs/commands.md."""
    return "".join(
        [
            HEAD,
            *(_section(heading, names) for heading, names in SECTIONS.items()),
            OUTPUT,
            _table("Exit codes", "exit code", EXIT_CODES),
            _table("Environment variables", "variable", VARIABLES),
            "\nregctl has no configuration file of its own.\n",
        ]
    )


def _section(heading: str, names: Mapping[str, object]) -> str:
    lines = [f"\n## {heading}\n\n| command | does | for example |\n| --- | --- | --- |\n"]
    for name in names:
        for path, command in leaves(main.commands[name], f"regctl {name}"):
            does = command.get_short_help_str(limit=200).removesuffix(".")
            example = command.examples[0].replace("|", "\\|")
            lines.append(f"| `{path}` | {does} | `{example}` |\n")
    return "".join(lines)


def _table(heading: str, term: str, rows: Mapping[str, str]) -> str:
    lines = [f"\n## {heading}\n\n| {term} | meaning |\n| --- | --- |\n"]
    for name, meaning in rows.items():
        shown = name if name.isdecimal() else f"`{name}`"
        lines.append(f"| {shown} | {meaning.removesuffix('.')} |\n")
    return "".join(lines)
