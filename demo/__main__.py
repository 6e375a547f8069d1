"""
The main job on the screen: users, pull secrets, a pull that fails, and a rotation.

`make demo` runs it. Every command is printed before it runs. The demo uses a real registry and a
real API server if they are installed, else stand-ins. At the end, and after Ctrl-C, its servers are
stopped and its folder `.demo` is removed.
"""

import argparse
import base64
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from demo.pulls import Puller
from demo.servers import Servers
from demo.shell import DemoError, Shell
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import encode_dockerconfigjson
from tests.servers.kubernetes import MERGE_PATCH, Api
from tests.servers.process import StartError

FOLDER = Path(__file__).parent.parent / ".demo"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
NAMESPACES = ("team-a", "team-b", "team-c")
REGCRED = "regcred"
IMAGE = "demo/hello:1.0"


def show(shell: Shell, servers: Servers, grace: str) -> None:
    """Run the commands, with what happens around them."""
    shell.say("Users are lines of the file `auth`. One gets a generated password.")
    shell.export_output("REGCTL_PASSWORD", "regctl adduser ci --generate")
    shell.run("REGCTL_PASSWORD='correct horse' regctl adduser alice")
    shell.run("regctl users")

    ci = ("ci", shell.variables["REGCTL_PASSWORD"])
    host = servers.registry(shell.folder / "auth", IMAGE, ci)
    shell.say("A registry reads this file and accepts its users.")
    shell.export(REGCTL_REGISTRY=host, REGCTL_USERNAME="ci")
    shell.run("regctl catalog --plain-http")
    shell.say("A wrong password has its own message, and exit code 4.")
    shell.run("REGCTL_PASSWORD=wrong regctl catalog --plain-http", fails_with=4)

    shell.say("An API server starts, with three namespaces that pull from this registry.")
    cluster = servers.cluster()
    for namespace in NAMESPACES:
        cluster.create_namespace(namespace)
        cluster.create_service_account(namespace)
    shell.export(KUBECONFIG=str(cluster.kubeconfig.relative_to(shell.folder)))
    everywhere = f"-n {','.join(NAMESPACES)}"
    create = f"regctl secret create {REGCRED} {everywhere} --attach default --plain-http"
    shell.say("Each namespace gets the password as a pull secret.")
    shell.run(create)
    shell.say("The same command again has nothing to change.")
    shell.run(create)

    change_password(cluster, "team-b", host)
    shell.say("Somebody changed the Secret of team-b by hand, and its Pods cannot pull. Why?")
    doctor = f"regctl doctor {host}/{IMAGE} -n team-b --platform linux/amd64 --plain-http"
    hint = shell.hint_of(doctor, fails_with=1)
    shell.say("The hint is the command that repairs it.")
    shell.run(hint)
    shell.run(doctor)

    shell.say("A new password for ci, while a client pulls in all namespaces all the time.")
    shell.unset("REGCTL_USERNAME", "REGCTL_PASSWORD")
    puller = Puller(cluster, NAMESPACES, REGCRED, host, IMAGE)
    with puller.all_the_time():
        shell.run(f"regctl rotate ci {everywhere} --grace {grace} --plain-http")
    shell.say(f"The client made {puller.pulls} pulls, {puller.failed} failed.")
    if puller.failed:
        raise DemoError("pulls failed during the rotation")
    shell.run("regctl users")


def change_password(cluster: Api, namespace: str, host: str) -> None:
    """Put another password into a pull secret, as `kubectl edit` does."""
    content = encode_dockerconfigjson({host: Credential("ci", "another")})
    cluster.request(
        "PATCH",
        f"/api/v1/namespaces/{namespace}/secrets/{REGCRED}?fieldManager=kubectl-edit",
        {"data": {".dockerconfigjson": base64.b64encode(content).decode()}},
        content_type=MERGE_PATCH,
    )


def run(folder: Path, grace: str, *, stand_in: bool) -> list[str]:
    """Run the demo with its files in a new *folder*, and remove it; return what was used."""
    with ExitStack() as stack:
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder)
        servers = Servers(stack, folder, stand_in)
        try:
            show(Shell(folder), servers, grace)
        finally:
            ignore_signals()
    return servers.used


def stop(number: int, _frame: FrameType | None) -> None:
    """End the demo in order, after Ctrl-C or SIGTERM."""
    ignore_signals()
    sys.exit(128 + number)


def ignore_signals() -> None:
    """Let nothing interrupt the end of the demo."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def main() -> None:
    """Run the demo, and say what it used."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Show regctl's main job.")
    parser.add_argument("--stand-in", action="store_true", help="use no real servers")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="a new folder for its files  [default: .demo]"
    )
    parser.add_argument(
        "--grace", default="5s", help="accept both passwords for this time  [default: 5s]"
    )
    arguments = parser.parse_args()
    if arguments.folder == FOLDER:
        # A demo that was killed left it.
        shutil.rmtree(FOLDER, ignore_errors=True)
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        used = run(arguments.folder.absolute(), arguments.grace, stand_in=arguments.stand_in)
    except (DemoError, StartError, FileExistsError) as error:
        sys.exit(f"the demo failed: {error}")
    print("\nDone. Nothing is left of the demo, which used:")
    for server in used:
        print(f"  - {server}")


if __name__ == "__main__":
    main()
