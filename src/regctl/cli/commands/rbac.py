"""`regctl rbac`: the rights that a command needs in the cluster."""

from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import cluster_commands, namespaces, service_accounts
from regctl.cli.options import TargetFlags
from regctl.cli.params import NAMESPACED_NAME, output_option
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.workflows.rbac import Subject


class SubjectType(click.ParamType):  # type: ignore[type-arg] # not generic in click 8.4
    """Who gets the rights, typed as `user:NAME`, `group:NAME` or `account:NAMESPACE/NAME`."""

    name = "subject"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Subject":
        """Return the subject of a binding."""
        from regctl.workflows.rbac import Subject

        kind, _, name = str(value).partition(":")
        if kind == "account":
            account = NAMESPACED_NAME.convert(name, param, ctx)
            return Subject("ServiceAccount", account.name, account.namespace)
        if kind not in {"user", "group"} or not name:
            self.fail(f"{value!r} is not user:NAME, group:NAME or account:NS/NAME", param, ctx)
        return Subject("User" if kind == "user" else "Group", name)


@click.command(
    cls=Command,
    examples=[
        "regctl rbac secret create -n team-a --name registry.foo.com --to user:ci",
        "regctl rbac secret create --attach default -n team-a,team-b",
        "regctl rbac secret sync --to account:infra/regctl | kubectl apply -f -",
        "regctl rbac --to group:platform",
    ],
)
@click.argument("command", nargs=-1, shell_complete=cluster_commands)
@option(
    "-n",
    "--namespace",
    multiple=True,
    metavar="NS[,NS...]",
    shell_complete=namespaces,
    help="Print a Role for this namespace; repeatable.  [default: a ClusterRole]",
)
@option("--name", help="Limit the rights to this pull secret, auth Secret or registry.")
@option(
    "--to",
    type=SubjectType(),
    metavar="SUBJECT",
    help="Bind the Role to user:NAME, group:NAME or account:NS/NAME.",
)
@option(
    "--attach",
    multiple=True,
    metavar="NAME[,NAME]|all",
    shell_complete=service_accounts,
    help="The command's own --attach; repeatable.",
)
@option("--check", is_flag=True, help="The command's own --check: rights to read only.")
@option("--replace", is_flag=True, help="The command's own --replace.")
@option(
    "--create-namespace",
    is_flag=True,
    help="The command's own --create-namespace: the rights are for all namespaces.",
)
@option("--claim", metavar="NAME", help="The volume claim of an adopted registry, with --name.")
@output_option("json", "yaml")
@pass_app
def rbac(
    app: App,
    *,
    command: tuple[str, ...],
    namespace: tuple[str, ...],
    name: str | None,
    to: "Subject | None",
    attach: tuple[str, ...],
    check: bool,
    replace: bool,
    create_namespace: bool,
    claim: str | None,
) -> None:
    """
    Print a Role or ClusterRole with the least rights for a command, and its binding.

    Without a command it is for all commands. Its name holds the command and the subject, so that
    a second one replaces nothing of the first. `rotate`, `deluser` and `auth lock` with
    --auth-secret need the rights of `auth push` too. `rotate` removes the old user only with rights
    in all namespaces.
    """
    from regctl.cluster.resource import check_object_name
    from regctl.cluster.serviceaccounts import Accounts
    from regctl.workflows.rbac import COMMANDS, Permissions

    typed = " ".join(command)
    if (typed or name) and typed not in COMMANDS:
        message = f"no command {typed!r} needs rights in the cluster"
        raise InvalidInputError(
            message if typed else "--name needs a command",
            hint=f"pass one of: {', '.join(COMMANDS)}",
        )
    if name is not None:
        check_object_name(name, "Secret")
    permissions = Permissions(
        (typed,) if typed else COMMANDS,
        name,
        app.targets(TargetFlags(namespace)).named,
        Accounts.parse(word for text in attach for word in text.split(",")),
        replace=replace,
        create_namespace=create_namespace,
        check=check,
        claim=claim,
    )
    if typed == "rotate" and not permissions.everywhere:
        app.output.note(
            "with these rights `regctl rotate` cannot see all pull secrets: it keeps the old user "
            "and exits with 3; a user who may list them all removes it with --finish"
        )
    app.output.format = app.output.format or "yaml"
    app.output.manifests(permissions.manifests(to))
