"""`regctl rbac`: the rights that a command needs."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.old.option_groups import output_option
from regctl.cli.old.params import Command
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.workflows.rbac import Command as RegctlCommand
    from regctl.workflows.rbac import Subject


@click.command(
    cls=Command,
    examples=[
        "regctl rbac --for 'secret create' registry.foo.com -n team-a --user ci",
        "regctl rbac --for 'secret sync' --account infra/regctl | kubectl apply -f -",
        "regctl rbac --for 'secret create' --service-account default -n team-a,team-b",
        "regctl rbac --account infra/regctl",
    ],
)
@click.argument("name", required=False)
@click.option(
    "--for",
    "need",
    metavar="COMMAND",
    help="The command, as 'secret create' or 'doctor'.  [default: all]",
)
@click.option(
    "-n",
    "--namespace",
    multiple=True,
    metavar="NS[,NS...]",
    help="A Role in this namespace; repeatable.  [default: a ClusterRole for all]",
)
@click.option(
    "--service-account",
    multiple=True,
    metavar="NAME",
    help="The command's own --service-account; repeatable.",
)
@click.option("--replace", is_flag=True, help="The command's own --replace.")
@click.option("--user", help="Bind the Role to this user.")
@click.option("--group", help="Bind the Role to this group.")
@click.option("--account", metavar="NS/NAME", help="Bind the Role to this service account.")
@output_option("json", "yaml")
@pass_app
def rbac(
    app: App,
    *,
    need: str | None,
    name: str | None,
    namespace: tuple[str, ...],
    service_account: tuple[str, ...],
    replace: bool,
    user: str | None,
    group: str | None,
    account: str | None,
) -> None:
    """
    Print the least Role or ClusterRole that a command needs, and its binding.

    NAME is the Secret or registry that the command is about. `rotate --auth-secret` needs what
    'auth push' needs too. Without --for it is all that regctl ever does.
    """
    from regctl.cluster.resource import check_namespace, check_object_name
    from regctl.workflows.rbac import Permissions

    names = tuple(dict.fromkeys(one for text in namespace for one in text.split(",")))
    for one in names:
        check_namespace(one)
    if name is not None:
        check_object_name(name, "Secret")
    check = need is not None and need.split()[-1:] == ["--check"]
    commands = _commands(need, name)
    asked = Permissions(commands, name, names, service_account, replace=replace, check=check)
    if app.output.format is None:
        app.output.format = "yaml"
    app.output.manifests(asked.manifests(_subject(user, group, account)))


def _commands(typed: str | None, name: str | None) -> "tuple[RegctlCommand, ...]":
    from regctl.workflows.rbac import COMMANDS

    if typed is None:
        if name is not None:
            raise InvalidInputError(
                f"which command is to work on {name}?", hint="pass --for COMMAND, or leave NAME out"
            )
        return COMMANDS
    words = " ".join(word for word in typed.split() if word != "--check")
    found = next((command for command in COMMANDS if command == words), None)
    if found is None:
        raise InvalidInputError(
            f"no rights are known for {typed!r}", hint=f"pass one of: {', '.join(COMMANDS)}"
        )
    return (found,)


def _subject(user: str | None, group: str | None, account: str | None) -> "Subject | None":
    from regctl.workflows.rbac import Subject

    given = [one for one in (user, group, account) if one is not None]
    if len(given) > 1:
        raise InvalidInputError("a Role is bound to one user, group or account at a time")
    if user is not None:
        return Subject("User", user)
    if group is not None:
        return Subject("Group", group)
    if account is not None:
        namespace, slash, name = account.partition("/")
        if not (namespace and slash and name):
            raise InvalidInputError(
                f"not a service account: {account!r}", hint="pass --account NAMESPACE/NAME"
            )
        return Subject("ServiceAccount", name, namespace)
    return None
