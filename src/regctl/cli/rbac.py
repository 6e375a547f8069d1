"""`regctl rbac`: the rights that a command needs."""

from typing import TYPE_CHECKING

import click

from regctl.cli._app import App, pass_app
from regctl.cli._command import Command
from regctl.cli._options import output_option
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.rbac import Need, Subject


@click.command(
    cls=Command,
    examples=[
        "regctl rbac create registry.foo.com -n team-a,team-b --user ci | kubectl apply -f -",
        "regctl rbac create registry.foo.com -n team-a --service-account default --user ci",
        "regctl rbac sync --for-account infra/regctl",
    ],
)
@click.argument(
    "need",
    type=click.Choice(
        [
            *("create", "diff", "list", "check", "delete", "sync"),
            *("push", "pull", "rotate", "doctor"),
        ]
    ),
)
@click.argument("name", required=False)
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
@click.option("--for-account", metavar="NS/NAME", help="Bind it to this service account.")
@output_option("json", "yaml")
@pass_app
def rbac(
    app: App,
    *,
    need: "Need",
    name: str | None,
    namespace: tuple[str, ...],
    service_account: tuple[str, ...],
    replace: bool,
    user: str | None,
    group: str | None,
    for_account: str | None,
) -> None:
    """
    Print the least Role or ClusterRole that a command needs.

    NEED is a command of `secret`, `push` or `pull` of `auth`, `rotate` or `doctor`; NAME is the
    Secret that it is about. `rotate --auth-secret` needs what `push` needs too.
    """
    from regctl.cluster import check_namespace, check_object_name
    from regctl.rbac import Grant

    names = tuple(dict.fromkeys(one for text in namespace for one in text.split(",")))
    for one in names:
        check_namespace(one)
    if name is not None:
        check_object_name(name, "Secret")
    grant = Grant(need, name, names, service_account, replace=replace)
    if app.output.format is None:
        app.output.format = "yaml"
    app.output.manifests(grant.manifests(_subject(user, group, for_account)))


def _subject(user: str | None, group: str | None, account: str | None) -> "Subject | None":
    from regctl.rbac import Subject

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
                f"not a service account: {account!r}", hint="pass --for-account NAMESPACE/NAME"
            )
        return Subject("ServiceAccount", name, namespace)
    return None
