"""
What people type from habit: as in docker, kubectl and htpasswd, or as in regctl 1.0.

Some of it works. The rest is a usage error whose hint is the command to type.
"""

from collections.abc import Mapping, Sequence

import click

# Other words for the commands of a group; they are not in the help.
ALIASES: Mapping[str, str] = {"ls": "list", "rm": "delete", "get": "list"}

# What to type instead of a command that does not exist. A value with backquotes is a whole hint.
COMMANDS: Mapping[str, str] = {
    "apply": "registry apply",
    "auth consumers": "auth check --for all",
    "auth cost": "auth check -o wide",
    "auth diff": "auth push --auth-secret NS/NAME --check",
    "auth expire": "auth lock --expired",
    "auth fix": "auth check --fix",
    "check": "auth check",
    "create": "secret create",
    "delete": "image delete",
    "expire": "auth lock --expired",
    "htpasswd": "adduser",
    "image list": "catalog",
    "image pull": "doctor IMAGE -n NS",
    "images": "catalog",
    "inspect": "image inspect",
    "library": "registry",
    "library render": "registry apply --dry-run=client -o yaml",
    "list": "catalog",
    "lock": "auth lock",
    "ls": "catalog",
    "passwd": "adduser",
    "prune": "image prune",
    "pull": "doctor IMAGE -n NS",
    "push": "image push",
    "rm": "image delete",
    "secret diff": "secret create --check",
    "secret rotate": "rotate",
    "secrets": "secret list",
    "status": "doctor",
    "sync": "secret sync",
    "tag": "image tag",
    "unlock": "auth unlock",
    "user": "users",
    "user add": "adduser",
    "user create": "adduser",
    "user delete": "deluser",
    "user del": "deluser",
    "user rm": "deluser",
    "user list": "users",
    "user ls": "users",
    "whoami": "ping",
}

_WATCH = "`watch regctl {}` repeats it"

# By the command and the option.
OPTIONS: Mapping[tuple[str, str], str] = {
    ("adduser", "-D"): "deluser NAME",
    ("adduser", "-c"): "`regctl adduser NAME` creates the file if it does not exist",
    ("adduser", "-n"): "adduser NAME -f -",
    ("auth push", "-n"): "`--auth-secret NS/NAME` replaces it",
    ("auth push", "--namespace"): "`--auth-secret NS/NAME` replaces it",
    ("auth push", "--secret"): "`--auth-secret NS/NAME` replaces it",
    ("auth pull", "-n"): "`--auth-secret NS/NAME` replaces it",
    ("auth pull", "--namespace"): "`--auth-secret NS/NAME` replaces it",
    ("auth pull", "--secret"): "`--auth-secret NS/NAME` replaces it",
    ("doctor", "--image"): "doctor IMAGE -n NS",
    ("doctor", "--pod"): "doctor pod/NAME -n NS",
    ("rbac", "--for"): "rbac COMMAND...",
    ("rbac", "--user"): "`--to user:NAME` replaces it",
    ("rbac", "--group"): "`--to group:NAME` replaces it",
    ("rbac", "--account"): "`--to account:NS/NAME` replaces it",
    ("rbac", "--service-account"): "`--attach NAME` replaces it",
    ("registry apply", "--secret"): "`--auth-secret NS/NAME` replaces it",
    ("secret check", "--image"): "doctor IMAGE -n NS",
    ("secret check", "--service-account"): "doctor IMAGE -n NS --service-account NAME",
    ("secret create", "--service-account"): "`--attach NAME` replaces it",
    ("secret create", "--all-service-accounts"): "`--attach all` replaces it",
    ("users", "--wide"): "`-o wide` replaces it",
}

NEXT_WORD = "regctl.next_word"
"""The key in `click.Context.meta` of the word after a command's name."""

# The options that work before the command, too.
_FLAGS = frozenset(
    {"-A", "--all-namespaces", "-v", "--verbose", "-q", "--quiet", "--no-color", "-y", "--yes"}
)
_VALUED = frozenset(
    {"-n", "--namespace", "-o", "--output", "--context", "--kubeconfig", "-f", "--file"}
)


def resolved_alias(group: click.Group, name: str, following: str | None) -> str:
    """Return the name of the command in *group* that an alias stands for, else *name*."""
    if name in group.commands:
        return name
    if name == "get" and "show" in group.commands and "/" in (following or ""):
        return "show"
    alias = ALIASES.get(name, name)
    return alias if alias in group.commands else name


def as_regctl_reads(root: click.Group, args: list[str]) -> list[str]:
    """Return a command line with `version` and `help` as flags, and its first options moved."""
    if args == ["version"]:
        return ["--version"]
    if args[:1] == ["help"]:
        return [*args[1:], "--help"]
    first = _options_before_command(args)
    end = first
    command: click.Command = root
    while isinstance(command, click.Group) and end < len(args):
        name = resolved_alias(command, args[end], next(iter(args[end + 1 :]), None))
        if name not in command.commands:
            break
        command, end = command.commands[name], end + 1
    return [*args[first:end], *args[:first], *args[end:]]


def _options_before_command(args: Sequence[str]) -> int:
    """Return how many words before the command are options that a command has."""
    at = 0
    while at < len(args):
        word = args[at]
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if word in _FLAGS or (name in _VALUED and word != name):
            at += 1
        elif word in _VALUED:
            at += 2
        else:
            break
    return min(at, len(args))


def hint_for(error: click.UsageError, context: click.Context) -> str | None:
    """Return what to type in place of an unknown command or option, or None."""
    command = context.command_path.removeprefix(f"{context.find_root().info_name}").strip()
    if isinstance(error, click.exceptions.NoSuchCommand):
        name = f"{command} {error.command_name}".strip()
        # Of a group that does not exist, the commands come as the words after it.
        found = COMMANDS.get(f"{name} {context.meta.get(NEXT_WORD)}") or COMMANDS.get(name)
    elif isinstance(error, click.NoSuchOption):
        found = OPTIONS.get((command, error.option_name))
        if found is None and error.option_name in {"-w", "--watch"}:
            found = _WATCH.format(command)
    else:
        return None
    if found is None or "`" in found:
        return found
    return f"you may want `regctl {found}`"
