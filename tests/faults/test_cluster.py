"""The cluster client when responses are missing, late, or ask to retry."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.resource import SECRETS
from regctl.credentials.credential import Credential
from regctl.errors import ClusterError, ClusterUnreachableError, NotPermittedError
from regctl.pullsecrets.plan import PullSecret
from regctl.retry import Backoff
from tests.clock import Clock
from tests.conftest import Servers
from tests.servers.kubernetes import api_server
from tests.servers.standin_api import RESET, Fault, StandinApi, standin_api


@pytest.fixture
def api(serve: Servers, tmp_path: Path) -> StandinApi:
    return serve(standin_api(tmp_path))


def highest(_low: float, high: float) -> float:
    return high


def connect(api: StandinApi, clock: Clock, timeout: float = 30) -> Cluster:
    return Cluster(
        Kubeconfig({}, api.kubeconfig),
        timeout=timeout,
        backoff=Backoff(tries=1000, base=1, cap=4, uniform=highest),
        clock=clock,
        sleep=clock.sleep,
    )


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_retry_waits_for_the_time_in_retry_after(api: StandinApi, status: int) -> None:
    """The body of a 429 is plain text, and the pause gets jitter."""
    api.faults += [Fault(status, {"Retry-After": "7"}, "Too many requests")] * 2
    clock = Clock()
    assert connect(api, clock).get(SECRETS, "a", "x") is None
    assert len(api.requests) == 3
    assert all(7 < pause < 10 for pause in clock.slept)


def test_without_retry_after_each_pause_is_longer(api: StandinApi) -> None:
    api.faults += [Fault(503)] * 4
    clock = Clock()
    connect(api, clock).get(SECRETS, "a", "x")
    assert clock.slept == [1, 2, 4, 4]


def test_a_reset_connection_is_retried(api: StandinApi) -> None:
    api.faults += [RESET, RESET]
    manifest = {"metadata": {"name": "x", "namespace": "a"}}
    assert connect(api, Clock()).apply(SECRETS, manifest).status == 201
    assert [method for method, _ in api.requests] == ["PATCH"] * 3


def test_after_the_timeout_the_last_answer_is_the_error(api: StandinApi) -> None:
    api.faults += [Fault(429, {"Retry-After": "1"})] * 100
    clock = Clock()
    with pytest.raises(ClusterError, match="too many requests") as caught:
        connect(api, clock, timeout=10).get(SECRETS, "a", "x")
    assert "again" in (caught.value.hint or "")
    assert clock.now <= 10


def test_a_retry_after_beyond_the_timeout_fails_at_once(api: StandinApi) -> None:
    api.faults.append(Fault(503, {"Retry-After": "3600"}))
    clock = Clock()
    with pytest.raises(ClusterUnreachableError, match="503"):
        connect(api, clock).get(SECRETS, "a", "x")
    assert clock.slept == []


def test_after_a_timeout_later_requests_fail_at_once(api: StandinApi) -> None:
    api.faults += [Fault(503)] * 1000
    cluster = connect(api, Clock(), timeout=5)
    with pytest.raises(ClusterUnreachableError):
        cluster.get(SECRETS, "a", "x")
    asked = len(api.requests)
    with pytest.raises(ClusterUnreachableError):
        cluster.get(SECRETS, "b", "x")
    assert len(api.requests) == asked


def test_a_request_that_waits_for_a_retry_fails_when_the_run_is_interrupted(
    api: StandinApi,
) -> None:
    api.faults += [Fault(503)] * 10
    cluster = connect(api, Clock())
    cluster.sleep = None
    cluster.stop()
    with pytest.raises(ClusterUnreachableError, match="interrupted before another try"):
        cluster.get(SECRETS, "a", "x")
    assert len(api.requests) == 1


def test_a_slow_answer_times_out(api: StandinApi) -> None:
    released = threading.Event()
    api.before = lambda _method, _path: [released.wait()].clear()
    cluster = Cluster(Kubeconfig({}, api.kubeconfig), timeout=0.2)
    try:
        with pytest.raises(ClusterUnreachableError, match="timed out"):
            cluster.get(SECRETS, "a", "x")
    finally:
        released.set()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, {}, "<html>proxy</html>"),
        Fault(200, {}, "[]"),
        Fault(200, {}, "[" * 9999),
        Fault(404, {}, "<html>"),
    ],
)
def test_another_server_is_an_error_and_its_body_is_not_shown(
    api: StandinApi, fault: Fault
) -> None:
    api.faults.append(fault)
    with pytest.raises(ClusterError, match="not a Kubernetes API server") as caught:
        connect(api, Clock()).get(SECRETS, "a", "x")
    assert "html" not in caught.value.message


def test_a_proxy_that_forbids_is_not_answered_with_a_role(api: StandinApi) -> None:
    """Only RBAC's refusal has the hint about `regctl rbac`."""
    api.faults.append(Fault(403, {}, "<h1>Blocked</h1>"))
    with pytest.raises(NotPermittedError, match="forbidden, perhaps by a proxy") as caught:
        connect(api, Clock()).get(SECRETS, "a", "x")
    assert caught.value.hint is None


@pytest.mark.slow
def test_a_busy_server_serves_all_requests_in_the_end(serve: Servers, tmp_path: Path) -> None:
    """One request at a time, and 429 in plain text for every other."""
    flags = ["--max-requests-inflight=1", "--max-mutating-requests-inflight=1"]
    server = serve(api_server(tmp_path / "busy", *flags, "--enable-priority-and-fairness=false"))
    verbs = ["get", "list", "create", "patch"]
    server.grant_cluster("bob", [{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}])
    namespace = server.create_namespace("busy")
    seen: list[int | None] = []
    cluster = Cluster(
        Kubeconfig({}, server.kubeconfig_for("bob")),
        on_request=lambda trace: seen.append(trace.status),
    )
    wanted = PullSecret("x", {"r.io": Credential("alice", "secret")})

    def apply(number: int) -> int:
        manifest = wanted.manifest(namespace)
        manifest["metadata"]["name"] = f"x-{number}"
        return cluster.apply(SECRETS, manifest).status

    results = [status for _, status in parallel.run(apply, range(300), workers=16)]
    assert results == [201] * 300
    assert 429 in seen


def test_ctrl_c_prints_what_was_done_and_what_was_not_started(api: StandinApi) -> None:
    """The PATCH for the second namespace sends the signal, so the others never start."""
    process: list[subprocess.Popen[str]] = []
    started = threading.Event()

    def interrupt(method: str, path: str) -> None:
        started.wait()
        if method == "PATCH" and "/ns-1/" in path:
            process[0].send_signal(signal.SIGINT)

    api.before = interrupt
    spaces = ",".join(f"ns-{number}" for number in range(6))
    environ = {
        **os.environ,
        "KUBECONFIG": str(api.kubeconfig),
        "REGCTL_PASSWORD": "hunter2",
    }
    flags = [
        "--server",
        "r.io",
        "--username",
        "alice",
        "--workers",
        "1",
        "-n",
        spaces,
        "--no-verify",
    ]
    process.append(
        subprocess.Popen(
            [sys.executable, "-m", "regctl", "secret", "create", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
    )
    started.set()
    out, err = process[0].communicate()
    assert process[0].returncode == 130, err
    done = [f"ns-{number}/secret/r.io created" for number in range(len(out.splitlines()))]
    assert out.splitlines() == done
    assert len(api.store.objects) == len(done)
    assert err.count("was not started") == 6 - len(done)
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert json.dumps("hunter2") not in err
