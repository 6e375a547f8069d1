"""
The main job on the screen: users, a registry that accepts them, the catalog, pull secrets.

`make demo` runs it. Every command is printed before it runs. The demo uses docker-registry and
kube-apiserver if they are installed, else a stand-in registry and a client-side dry run, and says
so. At the end its servers are stopped, and its folder `.demo` in this checkout is removed.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.errors import RegctlError
from tests.servers.docker_registry import docker_registry
from tests.servers.kubernetes import api_server
from tests.servers.programs import MissingServerError, describe, find
from tests.servers.standin_registry import StandinRegistry, standin_registry

FOLDER = Path(__file__).parent.parent / ".demo"
NAMESPACES = ("team-a", "team-b", "team-c")
STANDIN_FLAG = "--stand-in"
GENERATED = '"$PW"'


def say(text: str) -> None:
    """Print a line of the demo, apart from the output of the commands."""
    print(f"\n# {text}", flush=True)


def run(
    *arguments: str,
    stdin: str | None = None,
    shown: str | None = None,
    expect: int = 0,
    env: dict[str, str] | None = None,
    keep: bool = False,
) -> str:
    """
    Print a command, run it, and stop the demo if its exit code is not *expect*.

    *shown* is printed for *stdin*, by default the variable of the generated password. *keep*
    returns standard output in place of printing it.
    """
    typed = GENERATED if shown is None else shown
    pipe = f"printf %s {typed} | " if stdin is not None else ""
    line = f"regctl {shlex.join(arguments)}"
    line = f"PW=$({line})" if keep else line
    print(f"$ {pipe}{line}", flush=True)
    process = subprocess.run(
        [str(Path(sys.executable).with_name("regctl")), *arguments],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], "HOME": str(FOLDER / "home"), **(env or {})},
        input=stdin,
        text=True,
        stdout=subprocess.PIPE if keep else None,
        check=False,
    )
    if process.returncode:
        print(f"(exit code {process.returncode})", flush=True)
    if process.returncode != expect:
        sys.exit(f"the demo expected exit code {expect}")
    return (process.stdout or "").strip()


def missing(*programs: str) -> str | None:
    """Return why the real programs cannot be used, or None if they can."""
    if STANDIN_FLAG in sys.argv[1:]:
        return f"{STANDIN_FLAG} was passed"
    try:
        for program in programs:
            find(program)
    except MissingServerError as error:
        return str(error)
    return None


@contextmanager
def some_registry(password: str) -> Iterator[tuple[str, str]]:
    """Run a registry with the demo's auth file and one image; yield its host and its kind."""
    auth_file = FOLDER / "auth"
    if reason := missing("registry"):
        state = StandinRegistry(tags={"demo/hello": ["1.0"]}, allows=verifier(auth_file))
        with standin_registry(state) as standin:
            yield standin.host, f"a stand-in registry ({reason})"
        return
    with docker_registry(FOLDER / "registry", auth_file=auth_file) as registry:
        registry.push_image("demo/hello", "1.0", user=("ci", password))
        yield registry.host, describe("registry")


def verifier(auth_file: Path) -> Callable[[str, str], bool]:
    """Return the stand-in's check of a user and password: regctl's own, of the auth file."""

    def check(user: str, password: str) -> bool:
        try:
            HtpasswdFile.read(auth_file).verify(user, password)
        except RegctlError:
            return False
        return True

    return check


def main() -> None:
    """Run the demo and list the programs that it used."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "home").mkdir(parents=True)
    try:
        with ExitStack() as stack:
            used = show(stack)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    say("Done. The demo used:")
    for program in used:
        print(f"  - {program}")


def show(stack: ExitStack) -> list[str]:
    """Run the commands; return the programs that were used."""
    say("Two users in the auth file: one with a generated password, one with a chosen one.")
    password = run("adduser", "ci", "--generate", keep=True)
    run("adduser", "alice", "--password-stdin", stdin="correct horse", shown="'correct horse'")
    run("users")

    host, kind = stack.enter_context(some_registry(password))
    say(f"A registry reads this file: {kind}, on {host}.")
    catalog = ("catalog", host, "--plain-http", "--username", "ci", "--password-stdin")
    run(*catalog, stdin=password)
    say("A wrong password has its own message and its own exit code.")
    run(*catalog, stdin="wrong", shown="wrong", expect=4)

    create = ("secret", "create", "--server", host, "--username", "ci", "--password-stdin")
    namespaces = [word for name in NAMESPACES for word in ("-n", name)]
    if reason := missing("etcd", "kube-apiserver"):
        say(f"No API server ({reason}): the manifests that regctl would apply.")
        run(*create, *namespaces, "--dry-run=client", "-o", "yaml", stdin=password)
        return [kind, "a client-side dry run in place of an API server"]
    cluster = stack.enter_context(api_server(FOLDER / "kubernetes"))
    for name in NAMESPACES:
        cluster.create_namespace(name)
    say("The password goes to three namespaces as pull secrets.")
    print(f"$ export KUBECONFIG={cluster.kubeconfig}")
    env = {"KUBECONFIG": str(cluster.kubeconfig)}
    run(*create, *namespaces, stdin=password, env=env)
    say("The same command again has nothing to do.")
    run(*create, *namespaces, stdin=password, env=env)
    return [kind, "a real kube-apiserver with etcd"]


if __name__ == "__main__":
    main()
