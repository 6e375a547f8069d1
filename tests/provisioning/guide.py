"""The registry that the guide's YAML files install."""

from typing import Any

NAME = "docker-registry"
LABELS = {"app": "registry"}
HOST = "registry.foo.com"
DATA = "/var/lib/registry"


def guide(namespace: str, host: str = HOST) -> list[dict[str, Any]]:
    """Return the objects of the guide, without its Secret."""
    annotation = "nginx.ingress.kubernetes.io/"
    volume = f"{namespace}-registry-data"
    size = {"storage": "10Gi"}
    storage = {"accessModes": ["ReadWriteOnce"], "storageClassName": "longhorn-durable"}
    service = {"service": {"name": NAME, "port": {"number": 5000}}}
    path = {"path": "/", "pathType": "Prefix", "backend": service}
    container = {
        "name": NAME,
        "image": "registry:2",
        "imagePullPolicy": "Always",
        "env": [
            {"name": "TZ", "value": "CET"},
            {"name": "REGISTRY_HTTP_ADDR", "value": ":5000"},
            {"name": "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "value": DATA},
        ],
        "ports": [{"name": "http", "containerPort": 5000}],
        "volumeMounts": [{"name": "registry-data", "mountPath": DATA}],
    }
    claim = {"name": "registry-data", "persistentVolumeClaim": {"claimName": "registry-data"}}
    deployment = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [container], "volumes": [claim]},
        },
    }
    marks = {"proxy-body-size": "0", "proxy-read-timeout": "600", "proxy-send-timeout": "600"}
    annotations = {f"{annotation}{key}": value for key, value in marks.items()}
    annotations["cert-manager.io/cluster-issuer"] = "letsencrypt-prod"
    ingress = {
        "tls": [{"hosts": [host], "secretName": "docker-registry-tls"}],
        "rules": [{"host": host, "http": {"paths": [path]}}],
    }
    csi = {"driver": "driver.longhorn.io", "volumeHandle": "registry-data"}
    owner = {"namespace": namespace, "name": "registry-data"}
    return [
        manifest("v1", "PersistentVolume", volume)
        | {"spec": {**storage, "capacity": size, "csi": csi, "claimRef": owner}},
        manifest("v1", "PersistentVolumeClaim", "registry-data")
        | {"spec": {**storage, "resources": {"requests": size}, "volumeName": volume}},
        manifest("apps/v1", "Deployment", NAME, labels=LABELS) | {"spec": deployment},
        manifest("v1", "Service", NAME)
        | {"spec": {"ports": [{"name": "http", "port": 5000}], "selector": LABELS}},
        manifest("networking.k8s.io/v1", "Ingress", NAME, annotations=annotations)
        | {"spec": ingress},
    ]


def manifest(version: str, kind: str, name: str, **metadata: Any) -> dict[str, Any]:
    """Return an object without its spec."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}}
