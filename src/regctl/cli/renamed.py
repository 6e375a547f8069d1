"""
The names of 1.0 that 2.0 renamed or removed, and what to type instead.

An old name is a usage error; this table only gives its hint.
"""

from collections.abc import Mapping

import click

COMMANDS: Mapping[str, str] = {
    "auth consumers": "auth check --for all",
    "auth cost": "auth check -o wide",
    "auth diff": "auth push --auth-secret NS/NAME --check",
    "auth expire": "auth lock --expired",
    "auth fix": "auth check --fix",
    "library": "registry",
    "library render": "registry apply --dry-run=client -o yaml",
    "secret diff": "secret create --check",
}

# By the command and the old option; the new one, or the whole command where it is another.
OPTIONS: Mapping[tuple[str, str], str] = {
    ("auth push", "-n"): "--auth-secret NS/NAME",
    ("auth push", "--namespace"): "--auth-secret NS/NAME",
    ("auth push", "--secret"): "--auth-secret NS/NAME",
    ("auth pull", "-n"): "--auth-secret NS/NAME",
    ("auth pull", "--namespace"): "--auth-secret NS/NAME",
    ("auth pull", "--secret"): "--auth-secret NS/NAME",
    ("doctor", "--image"): "regctl doctor IMAGE -n NS",
    ("doctor", "--pod"): "regctl doctor pod/NAME -n NS",
    ("rbac", "--for"): "regctl rbac COMMAND...",
    ("rbac", "--user"): "--to user:NAME",
    ("rbac", "--group"): "--to group:NAME",
    ("rbac", "--account"): "--to account:NS/NAME",
    ("rbac", "--service-account"): "--attach NAME",
    ("registry apply", "--secret"): "--auth-secret NS/NAME",
    ("secret check", "--image"): "regctl doctor IMAGE -n NS",
    ("secret check", "--service-account"): "regctl doctor IMAGE -n NS --service-account NAME",
    ("secret create", "--service-account"): "--attach NAME",
    ("secret create", "--all-service-accounts"): "--attach all",
    ("users", "--wide"): "-o wide",
}


NEXT_WORD = "regctl.next_word"
"""The key in `click.Context.meta` of the word after a command's name."""


def hint_for_old_name(error: click.UsageError, context: click.Context) -> str | None:
    """Return the hint for a usage error about a name of 1.0, or None for any other."""
    command = " ".join(context.command_path.split()[1:])
    if isinstance(error, click.exceptions.NoSuchCommand):
        name = f"{command} {error.command_name}".strip()
        # A group of 1.0 is no group any more, so its commands come as the words after it.
        new = COMMANDS.get(f"{name} {context.meta.get(NEXT_WORD)}") or COMMANDS.get(name)
        return f"`regctl {new}` replaces it" if new else None
    if isinstance(error, click.NoSuchOption):
        new = OPTIONS.get((command, error.option_name))
        return f"`{new}` replaces it" if new else None
    return None
