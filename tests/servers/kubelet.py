"""
A Kubernetes node in namespaces of its own: API server, containerd, kubelet and a registry.

nginx terminates TLS for the registry, as `registry.foo.com`, and logs who sends which request.
There is no scheduler and no network plugin: a pod names the node, and uses the node's network.

A test process starts the guard, and the guard starts the node's first process. When one of the
three ends, however it ends, the kernel ends all processes of the node. With them go its mounts and
its network. Its control groups are removed by the guard.
"""

import ctypes
import datetime as dt
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer, api_server
from tests.servers.process import START_SECONDS, Process, start
from tests.servers.programs import PROGRAMS, MissingServerError, cache_folder, find, is_current

NAME = "node"
REGISTRY = "registry.foo.com"
CAPITALS, WITH_PORT = "Registry.foo.com", "registry.foo.com:443"
"""The same registry, in an image's name."""
EXPIRED = "expired.foo.com"
UNTRUSTED = "untrusted.foo.com"
DOWN = "down.foo.com"
DOCKER_HUB = "registry-1.docker.io"
"""Where containerd looks for the images of docker.io."""
POD = "pod.foo.com"
"""Its upstream is POD_PORT, where a test can run a registry in a pod."""
POD_PORT = 5001

_ADDRESS, _CLOSED_ADDRESS = "10.99.0.1", "10.99.0.2"
_HOSTS = {
    **dict.fromkeys((REGISTRY, EXPIRED, UNTRUSTED, DOCKER_HUB, POD), _ADDRESS),
    DOWN: _CLOSED_ADDRESS,
}
_IMAGE_HOSTS = {REGISTRY: (REGISTRY, CAPITALS, WITH_PORT), DOCKER_HUB: ("docker.io",)}
_PROGRAMS = (
    "etcd kube-apiserver kubelet containerd containerd-shim-runc-v2 ctr runc "
    "pause registry nginx openssl ip unshare mount"
)
_UNSHARE = "unshare --mount --pid --ipc --fork --kill-child --mount-proc --propagation private"
_SOCKET = "/run/containerd/containerd.sock"
_SANDBOX_IMAGE = "localhost/sandbox:1"
PRELOADED_IMAGE = f"{REGISTRY}/preloaded/app:1.0"
"""It was on the node before the kubelet started."""
_CGROUPS = Path("/sys/fs/cgroup")
# linux/sched.h, linux/prctl.h
_CLONE_NEWCGROUP, _CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x02000000, 0x40000000, 1
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Request:
    """A request that nginx answered; *user* is that of its Basic credentials, or ""."""

    host: str
    status: int
    user: str
    agent: str
    path: str


@dataclass(frozen=True)
class Node:
    """A running node; *registry* accepts the users of *auth_file*."""

    folder: Path
    auth_file: Path
    start_seconds: float
    process: Process
    kubernetes: ApiServer
    registry: DockerRegistry

    @contextmanager
    def network(self) -> Iterator[None]:
        """Use the node's network in this thread, and in the threads that it starts."""
        ours = Path("/proc/thread-self/ns/net")
        with ours.open() as before, Path(f"/proc/{self.process.pid}/ns/net").open() as inside:
            _system_call("setns", inside.fileno(), _CLONE_NEWNET)
            try:
                with mock.patch.object(socket, "getaddrinfo", _resolve):
                    yield
            finally:
                _system_call("setns", before.fileno(), _CLONE_NEWNET)

    def ca_file(self, host: str) -> Path:
        """The certificate authority of a host; that of UNTRUSTED is unknown to containerd."""
        return self.folder / host / "ca.pem"

    @contextmanager
    def down(self, host: str) -> Iterator[None]:
        """Let nginx hang up instead of answering a request to *host*."""
        switch = self.folder / f"{host}.down"
        switch.touch()
        try:
            yield
        finally:
            switch.unlink()

    def log_mark(self) -> int:
        """Return a mark for `requests`, which returns the requests after it."""
        return self._log.stat().st_size

    def requests(self, mark: int) -> list[Request]:
        """Return the requests to nginx after *mark*."""
        with self._log.open("rb") as log:
            log.seek(mark)
            # nginx may be writing the last line.
            return [Request(**json.loads(line)) for line in log if line.endswith(b"\n")]

    @property
    def _log(self) -> Path:
        return self.folder / "requests.log"


def layer_of(files: Mapping[str, bytes]) -> bytes:
    """Return an image's layer with executable *files*, the same bytes for the same files."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return layer.getvalue()


def config_of(layer: bytes, *entrypoint: str) -> dict[str, Any]:
    """Return the config of an image of this machine's platform with one layer."""
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
    }


# In the test process


@contextmanager
def kubelet_node(folder: Path, auth_file: Path) -> Iterator[Node]:
    """
    Run a node whose registry accepts the users of *auth_file*.

    Raises MissingServerError where a node cannot run, with the reason.
    """
    _check_host()
    started = time.monotonic()
    folder.mkdir(parents=True)
    ready = folder / "ready.json"
    environment = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",  # ip and mount
        "PYTHONPATH": str(_ROOT),
        "REGCTL_TEST_CACHE": str(cache_folder()),
    }
    guard = start(
        _command("guard", folder, auth_file),
        ready=ready.exists,
        log=folder / "node.log",
        env=environment,
        seconds=4 * START_SECONDS,  # for four programs, one after the other
    )
    try:
        cluster = ApiServer(json.loads(ready.read_text()), folder / "kubernetes", ())
        cluster.process = guard
        data, ca_file = folder / "registry" / "data", folder / REGISTRY / "ca.pem"
        registry = DockerRegistry(REGISTRY, f"https://{REGISTRY}", data, guard, ca_file)
        seconds = time.monotonic() - started
        yield Node(folder, auth_file, seconds, guard, cluster, registry)
    finally:
        guard.stop()


def _check_host() -> None:
    if sys.platform != "linux":
        raise MissingServerError("a kubelet runs on Linux only")
    if os.geteuid() != 0:
        raise MissingServerError("only root can run a kubelet")
    for program in _PROGRAMS.split():
        find(program)
        if program in PROGRAMS and not is_current(PROGRAMS[program]):
            raise MissingServerError(f"{program} is too old: run `make test-servers`")
    groups = control_groups(os.getpid())
    if not groups:
        raise MissingServerError(f"a kubelet needs control groups: {_CGROUPS} has none")
    try:
        with _created(groups):
            trial = subprocess.run(
                [*_UNSHARE.split(), "--net", "true"],
                preexec_fn=partial(_join, groups),
                capture_output=True,
                text=True,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingServerError(f"a kubelet needs control groups: {error}") from error
    if trial.returncode:
        raise MissingServerError(f"a kubelet needs namespaces: {trial.stderr.strip()}")


_getaddrinfo = socket.getaddrinfo


def _resolve(host: str, *arguments: Any, **more: Any) -> Any:
    return _getaddrinfo(_HOSTS.get(host.lower(), host), *arguments, **more)


def _system_call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


# The guard


def _guard(folder: Path, auth_file: Path) -> None:
    """Run the node until this process is told to end, or the node ends."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit()

    signal.signal(signal.SIGTERM, end)
    _system_call("unshare", _CLONE_NEWNET)
    groups = control_groups(os.getpid())
    with _created(groups):
        command = [*_UNSHARE.split(), *_command("node", folder, auth_file)]
        with subprocess.Popen(command, preexec_fn=partial(_join, groups)) as node:  # noqa: PLW1509 - this process has one thread
            try:
                sys.exit(node.wait())
            finally:
                node.kill()


def _command(role: str, folder: Path, auth_file: Path) -> list[str]:
    return [sys.executable, "-m", "tests.servers.kubelet", role, str(folder), str(auth_file)]


def control_groups(guard: int) -> list[Path]:
    """Return the control groups of a node, one in each hierarchy, by its guard's process id."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = [line.split(":", 2)[1:] for line in lines]
    if _is_v2():
        # Beside our own group: one that has processes cannot give controllers to its children.
        parents = [(_CGROUPS / own[0][1].lstrip("/")).parent if own[0][1] != "/" else _CGROUPS]
    else:
        parents = [_mounted(name) / path.lstrip("/") for name, path in own if name]
    return [parent / f"regctl-node-{guard}" for parent in parents]


@contextmanager
def _created(groups: list[Path]) -> Iterator[None]:
    """Create control groups, and remove them when their processes have ended."""
    try:
        for group in groups:
            if _is_v2():
                _give_controllers(group.parent)
            group.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):
                # With version 1 they are empty, and such a group takes no process.
                if not _is_v2() and (group / setting).exists():
                    (group / setting).write_text((group.parent / setting).read_text())
        yield
    finally:
        for group in groups:
            while group.exists():
                for path, _, _ in os.walk(group, topdown=False):
                    with suppress(OSError):
                        Path(path).rmdir()
                time.sleep(0.01)


def _is_v2() -> bool:
    return (_CGROUPS / "cgroup.controllers").exists()


def _mounted(controllers: str) -> Path:
    return _CGROUPS / controllers.removeprefix("name=")


def _give_controllers(group: Path) -> None:
    """Let the children of *group* use the controllers that a container needs."""
    if group != _CGROUPS:
        _give_controllers(group.parent)
    controllers = (group / "cgroup.controllers").read_text().split()
    needed = {"cpu", "cpuset", "io", "memory", "pids"}.intersection(controllers)
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in needed))


def _join(groups: list[Path]) -> None:
    """Move this process into *groups*, which it then sees as the roots; end it with its parent."""
    _system_call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
    for group in groups:
        (group / "cgroup.procs").write_text("0")
    _system_call("unshare", _CLONE_NEWCGROUP)
    if _is_v2():
        # The root may have no processes, because it gives controllers to its children.
        (groups[0] / "init").mkdir()
        (groups[0] / "init" / "cgroup.procs").write_text("0")


# The node's first process


def _node(folder: Path, auth_file: Path) -> None:
    """Set up the namespaces, start the programs, and end when one of them ends."""
    _set_up(folder)
    with (
        docker_registry(folder / "registry", auth_file=auth_file) as registry,
        api_server(folder / "kubernetes", service_accounts=True) as cluster,
    ):
        programs = [registry.process, cluster.process]
        programs.append(_start_nginx(folder, registry.host))
        programs.append(_start_containerd(folder))
        programs.append(_start_kubelet(folder, cluster))
        (folder / "ready.json.new").write_text(json.dumps(cluster.url))
        (folder / "ready.json.new").rename(folder / "ready.json")
        # The first process inherits orphans: the containers' shims.
        pids = {program.pid: program for program in programs}
        while (ended := os.wait()[0]) not in pids:
            pass
        sys.stdout.write(f"ended: {pids[ended].log}\n")
        os._exit(1)


def _set_up(folder: Path) -> None:
    _run("ip link set lo up")
    for address in (_ADDRESS, _CLOSED_ADDRESS):
        _run(f"ip address add {address}/32 dev lo")
    own = Path("/proc/self/cgroup").read_text().splitlines()
    v2 = _is_v2()
    _run(f"mount -t tmpfs cgroup {_CGROUPS}")
    if v2:
        _run(f"mount -t cgroup2 cgroup {_CGROUPS}")
    else:
        for controllers in filter(None, (line.split(":")[1] for line in own)):
            _mounted(controllers).mkdir()
            named = "none," if "=" in controllers else ""
            _run(f"mount -t cgroup -o {named}{controllers} cgroup {_mounted(controllers)}")
    # containerd copies the resolver's configuration, which may be below /run.
    resolver = Path("/etc/resolv.conf").resolve()
    _run("mount -t tmpfs run /run")
    if not resolver.exists():
        resolver.parent.mkdir(parents=True)
        resolver.touch()
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{address} {name}\n" for name, address in _HOSTS.items()))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    _run("mount --make-rshared /")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def _start_nginx(folder: Path, upstream: str) -> Process:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    servers = ""
    for host, address in _HOSTS.items():
        if address != _ADDRESS:
            continue
        expires = yesterday if host == EXPIRED else None
        certificate = make_certificate(folder / host, host, expires=expires)
        for image_host in () if host == UNTRUSTED else _IMAGE_HOSTS.get(host, (host,)):
            trust = folder / "certs.d" / image_host / "hosts.toml"
            trust.parent.mkdir(parents=True)
            trust.write_text(f"server = 'https://{host}'\nca = '{certificate.ca_file}'\n")
        servers += f"""
          server {{
            listen {_ADDRESS}:443 ssl; server_name {host};
            ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};
            location / {{
              if (-f {folder}/{host}.down) {{ return 444; }}
              proxy_pass http://{f"127.0.0.1:{POD_PORT}" if host == POD else upstream};
            }}
          }}"""
    config = folder / "nginx.conf"
    config.write_text(
        f"""
        daemon off; worker_processes 1; user root;
        pid {folder}/nginx.pid; error_log {folder}/nginx-errors.log;
        events {{ worker_connections 512; }}
        http {{
          log_format requests escape=json '{{"host":"$host","status":$status,'
            '"user":"$remote_user","agent":"$http_user_agent","path":"$uri"}}';
          access_log {folder}/requests.log requests;
          client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
          fastcgi_temp_path {folder}/nginx-f; uwsgi_temp_path {folder}/nginx-u;
          scgi_temp_path {folder}/nginx-s;
          client_max_body_size 0; proxy_request_buffering off;
          proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto https;
          {servers}
        }}
        """
    )
    command = [find("nginx"), "-c", str(config), "-e", f"{folder}/nginx-errors.log"]
    return start(command, ready=_nginx_answers, log=folder / "nginx.log")


def _nginx_answers() -> bool:
    try:
        with socket.create_connection((_ADDRESS, 443), timeout=1):
            return True
    except OSError:
        return False


def _start_containerd(folder: Path) -> Process:
    """Start containerd, whose files are all below /run, and give it the sandbox image."""
    config = folder / "containerd.toml"
    config.write_text(
        f"""
        version = 3
        imports = []
        root = '/run/containerd-root'
        state = '/run/containerd'
        [plugins.'io.containerd.cri.v1.images']
        pinned_images = {{ sandbox = '{_SANDBOX_IMAGE}' }}
        registry = {{ config_path = '{folder / "certs.d"}' }}
        [plugins.'io.containerd.cri.v1.runtime']
        restrict_oom_score_adj = true
        disable_apparmor = true
        cni = {{ bin_dirs = ['/run/cni/bin'], conf_dir = '/run/cni/conf' }}
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
        runtime_type = 'io.containerd.runc.v2'
        runtime_path = '{find("containerd-shim-runc-v2")}'
        options = {{ BinaryName = '{find("runc")}' }}
        [plugins.'io.containerd.internal.v1.opt']
        path = '/run/opt'
        [plugins.'io.containerd.nri.v1.nri']
        disable = true
        """
    )
    ctr = [find("ctr"), "--address", _SOCKET, "--namespace", "k8s.io"]

    def ready() -> bool:
        version = subprocess.run([*ctr, "version"], capture_output=True, check=False)
        return version.returncode == 0

    command = [find("containerd"), "--config", str(config)]
    process = start(command, ready=ready, log=folder / "containerd.log")
    archive = folder / "sandbox.tar"
    layer = layer_of({"pause": Path(find("pause")).read_bytes()})
    description = {
        "Config": "config",
        "RepoTags": [_SANDBOX_IMAGE, PRELOADED_IMAGE],
        "Layers": ["layer"],
    }
    files = {"config": config_of(layer, "/pause"), "manifest.json": [description]}
    members = {name: json.dumps(document).encode() for name, document in files.items()}
    archive.write_bytes(layer_of({**members, "layer": layer}))
    subprocess.run([*ctr, "images", "import", archive], check=True)
    return process


def _start_kubelet(folder: Path, cluster: ApiServer) -> Process:
    signals = ("memory.available", "nodefs.available", "imagefs.available")
    config = folder / "kubelet.json"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "kind": "KubeletConfiguration",
                "address": "127.0.0.1",
                "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
                "authorization": {"mode": "AlwaysAllow"},
                "readOnlyPort": 0,
                "healthzPort": 0,
                "containerRuntimeEndpoint": f"unix://{_SOCKET}",
                "podLogsDir": "/run/pod-logs",
                "volumePluginDir": "/run/kubelet-plugins",
                "resolvConf": "",
                "makeIPTablesUtilChains": False,
                "maxPods": 1000,
                # Control groups below the node's own; no limits, no evictions.
                "cgroupDriver": "cgroupfs",
                "cgroupsPerQOS": False,
                "enforceNodeAllocatable": [],
                "failCgroupV1": False,
                "failSwapOn": False,
                "localStorageCapacityIsolation": False,
                "evictionHard": dict.fromkeys(signals, "0%"),
                "imageGCHighThresholdPercent": 100,
                "imageGCLowThresholdPercent": 99,
                # Pulls that do not wait for each other, restarts and updated volumes in seconds.
                "serializeImagePulls": False,
                "registryPullQPS": 0,
                "crashLoopBackOff": {"maxContainerRestartPeriod": "4s"},
                "syncFrequency": "5s",
            }
        )
    )
    command = [
        find("kubelet"),
        f"--config={config}",
        f"--kubeconfig={cluster.kubeconfig}",
        "--root-dir=/run/kubelet",
        "--cert-dir=/run/kubelet-certificates",
        f"--hostname-override={NAME}",
        f"--node-ip={_ADDRESS}",
        "--v=2",
    ]
    registered = partial(cluster.request, "GET", f"/api/v1/nodes/{NAME}")
    return start(command, ready=lambda: registered()[0] == 200, log=folder / "kubelet.log")


if __name__ == "__main__":
    _, _role, *_paths = sys.argv
    {"guard": _guard, "node": _node}[_role](*map(Path, _paths))
