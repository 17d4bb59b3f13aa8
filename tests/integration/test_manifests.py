"""The Kubernetes manifests and the Dockerfile (O5): valid by the strict schemas, safe by rules of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.runtime.settings import ServiceSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = "1.31"
OVERLAYS = ("dev", "staging", "prod")
SERVICES = ("auth", "job", "storage", "video-render")
WORKLOADS = (*SERVICES, "gateway", "worker")

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


KUSTOMIZATIONS = sorted(DEPLOY.glob("**/kustomization.yaml"))
RESOURCES = [
    (f"{path.relative_to(DEPLOY)}:{document['kind']}/{document['metadata']['name']}", document)
    for path in sorted(DEPLOY.glob("**/*.yaml"))
    if path.name != "kustomization.yaml" and path.parent.name != "aws"
    for document in documents(path)
]
CUSTOM = {"Issuer", "Certificate"}
"""Kinds of cert-manager, whose schemas no wheel brings."""
PODS = [(name, document) for name, document in RESOURCES if document["kind"] in {"Deployment", "Job"}]
by_name = pytest.mark.parametrize("resource", [d for _, d in RESOURCES], ids=[n for n, _ in RESOURCES])
by_pod = pytest.mark.parametrize("resource", [d for _, d in PODS], ids=[n for n, _ in PODS])


def find(kind: str, name: str) -> Document:
    return next(d for _, d in RESOURCES if d["kind"] == kind and d["metadata"]["name"] == name)


def containers(resource: Document) -> list[Document]:
    spec = resource["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def references(kustomization: Document) -> Iterator[str]:
    for key in ("resources", "components", "configurations", "crds"):
        yield from kustomization.get(key, [])
    yield from (patch["path"] for patch in kustomization.get("patches", []) if "path" in patch)


@by_name
def test_the_resource_is_valid_by_the_strict_schema(resource: Document) -> None:
    if resource["kind"] not in CUSTOM:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_a5_every_workload_has_a_certificate_that_names_it() -> None:
    """By the name under which the others call it, and by the one that their allow-lists know."""
    for name in WORKLOADS:
        container = containers(find("Deployment", name))[-1]
        service_id = next(entry["value"] for entry in container["env"] if entry["name"] == "T2M_SERVICE_ID")
        spec = find("Certificate", name)["spec"]
        assert spec["uris"] == [f"spiffe://{ServiceSettings().tls_trust_domain}/{service_id}"]
        assert (spec["dnsNames"], spec["secretName"]) == ([name], f"{name}-tls")
        assert {"server auth", "client auth"} <= set(spec["usages"])
        assert spec["issuerRef"] == {"kind": "Issuer", "name": find("Issuer", "t2m")["metadata"]["name"]}


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(DEPLOY)))
def test_every_file_that_a_kustomization_names_exists_and_none_is_forgotten(path: Path) -> None:
    named = set(references(documents(path)[0]))
    for name in named:
        target = path.parent / name
        assert target.is_file() or (target / "kustomization.yaml").is_file(), name
    assert {file.name for file in path.parent.glob("*.yaml")} <= named | {"kustomization.yaml"}


@by_pod
def test_the_pod_is_not_root_and_writes_only_to_its_volumes(resource: Document) -> None:
    pod = resource["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in containers(resource):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


@by_pod
def test_every_container_has_requests_limits_and_existing_mounts(resource: Document) -> None:
    pod = resource["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in containers(resource):
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() >= {"cpu", "memory", "ephemeral-storage"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    for volume in pod["volumes"]:
        assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_workload_has_probes_a_budget_and_an_account_of_its_own(name: str) -> None:
    deployment = find("Deployment", name)
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == name
    assert find("ServiceAccount", name)["automountServiceAccountToken"] is False
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert find("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    handler = "grpc" if name in SERVICES else "httpGet" if name == "gateway" else "exec"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert handler in deployment["spec"]["template"]["spec"]["containers"][0][probe]


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
def test_the_service_reaches_the_port_that_the_container_binds(name: str) -> None:
    container = containers(find("Deployment", name))[0]
    port = find("Service", name)["spec"]["ports"][0]
    assert {p["name"]: p["containerPort"] for p in container["ports"]}[port["targetPort"]] == port["port"]
    bind = next(entry["value"] for entry in container["env"] if entry["name"] == "T2M_BIND")
    assert bind == f"0.0.0.0:{port['port']}"
    if name in SERVICES:
        config = find("ConfigMap", "t2m")["data"]
        assert config[f"T2M_{name.replace('-', '_').upper()}_ADDRESS"] == f"dns:///{name}:{port['port']}"


@by_pod
def test_secrets_come_by_reference(resource: Document) -> None:
    secret = re.compile(r"SECRET|PASSWORD|PEPPER|TOKEN|SIGNING_KEY|WEBHOOK_KEY|DATABASE_URL|REDIS_URL")
    for container in containers(resource):
        for entry in container.get("env", []):
            if secret.search(entry["name"]):
                assert entry["valueFrom"]["secretKeyRef"].keys() == {"name", "key"}, entry["name"]


def test_no_secret_is_written_down() -> None:
    assert not [name for name, document in RESOURCES if document["kind"] == "Secret"]
    credentials_in_url = re.compile(r"\w+://[^\s/:@]+:[^\s/@]+@")
    for path in DEPLOY.glob("**/*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert not credentials_in_url.search(text), path
        assert "secretGenerator" not in text, path


def test_every_service_is_migrated_before_use() -> None:
    migrated = {containers(d)[0]["args"][1] for _, d in PODS if d["kind"] == "Job"}
    assert migrated == {f"services.{name.replace('-', '_')}" for name in SERVICES}


def test_everything_is_denied_but_the_calls_of_the_architecture() -> None:
    deny = find("NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = {
        "auth": {"gateway", "job", "video-render", "storage", "worker"},
        "job": {"gateway"},
        "video-render": {"gateway", "job"},
        "storage": {"gateway", "job", "video-render", "worker"},
    }
    label = "app.kubernetes.io/name"
    for callee, callers in allowed.items():
        rules = find("NetworkPolicy", f"{callee}-callers")["spec"]["ingress"]
        assert {peer["podSelector"]["matchLabels"][label] for rule in rules for peer in rule["from"]} == callers
        for caller in callers:
            egress = find("NetworkPolicy", f"{caller}-calls")["spec"]["egress"]
            assert callee in {peer["podSelector"]["matchLabels"][label] for rule in egress for peer in rule["to"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_overlay_names_its_namespace_and_patches_what_exists(overlay: str) -> None:
    kustomization = documents(DEPLOY / "overlays" / overlay / "kustomization.yaml")[0]
    namespace = documents(DEPLOY / "overlays" / overlay / "namespace.yaml")[0]
    assert kustomization["namespace"] == namespace["metadata"]["name"] == f"t2m-{overlay}"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for patch in kustomization["patches"]:
        target = patch["target"]
        assert any(
            document["kind"] == target["kind"] and re.fullmatch(target["name"], document["metadata"]["name"])
            for _, document in RESOURCES
        ), target
    assert {image["newTag"] for image in kustomization["images"]} != {"latest"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rendered_overlay_is_valid(overlay: str) -> None:
    if shutil.which("kubectl") is None:
        reason = "kubectl is not installed: the overlay is not rendered"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    resources = [document for document in yaml.safe_load_all(rendered.stdout) if document]
    assert len(resources) > len([d for _, d in RESOURCES]) // 2
    for resource in resources:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        if resource["kind"] == "Deployment":
            assert "latest" not in containers(resource)[0]["image"]
            assert ":" in containers(resource)[0]["image"]


def test_the_image_runs_as_an_ordinary_user_on_hashed_packages() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    names = [re.match(r"\S+ AS (\S+)", stage) for stage in stages]
    assert [match.group(1) for match in names if match] == ["packages", "base", "worker", "service"]
    for stage in stages[2:]:
        assert re.findall(r"^USER (.+)$", stage, flags=re.MULTILINE)[-1] == "10001:10001"
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    assert "--no-install-recommends" in text
    assert not re.search(r"^ADD ", text, flags=re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, flags=re.MULTILINE):
        assert (DEPLOY.parent / source).exists(), source
