"""The manifests with S3 behind storage, rendered: on the way there, there, and with the latecomers (O5, S1, S3, S7)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, TypeVar

import kubernetes_validate
import pytest
import yaml

from services.runtime.command import load_settings
from services.runtime.settings import ServiceSettings
from services.storage.domain.objects import Bucket
from services.storage.settings import StorageSettings
from services.video_render.settings import VideoRenderSettings
from tests.integration.test_manifests import DEPLOY, KUBERNETES, containers

Document = dict[str, Any]
S = TypeVar("S", bound=ServiceSettings)
STAGES = {
    "before": ["s3-access", "s3-migration"],
    "there": ["s3-access", "s3"],
    "latecomers": ["s3-access", "s3", "s3-migration"],
}
_UNITS = {"Mi": 2**20, "Gi": 2**30}


class Rendered:
    """What would be applied."""

    def __init__(self, folder: Path) -> None:
        command = ["kubectl", "kustomize", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        self.documents: list[Document] = [each for each in yaml.safe_load_all(done.stdout) if each]

    def all(self, kind: str) -> dict[str, Document]:
        return {each["metadata"]["name"]: each for each in self.documents if each["kind"] == kind}

    def environment(self, resource: Document) -> dict[str, str]:
        """What the first container gets; what comes from a secret is a placeholder, what may be missing is missing."""
        found: dict[str, str] = {}
        container = containers(resource)[0]
        for source in container["envFrom"]:
            if "configMapRef" in source:
                found |= self.all("ConfigMap")[source["configMapRef"]["name"]]["data"]
            else:
                assert source["secretRef"]["optional"] is True
        return found | {each["name"]: each.get("value", "x" * 32) for each in container["env"]}

    def reaches_the_internet(self, labels: dict[str, str], port: int) -> bool:
        """Whether any policy lets pods with these labels out to public addresses, and to those alone."""
        allowed = False
        for policy in self.all("NetworkPolicy").values():
            if not _selects(policy["spec"]["podSelector"], labels):
                continue
            for rule in policy["spec"].get("egress", []):
                for peer in rule.get("to", []):
                    if "ipBlock" in peer and any(each["port"] == port for each in rule.get("ports", [{"port": port}])):
                        assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(peer["ipBlock"]["except"])
                        allowed = True
        return allowed


def _selects(selector: Document, labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """The base with each set of components; the production overlay as it is, and before it moved."""
    if shutil.which("kubectl") is None:
        reason = "kubectl is not installed: the manifests are not rendered"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    copy = tmp_path_factory.mktemp("deploy")
    for each in ("base", "components", "overlays"):
        shutil.copytree(DEPLOY / each, copy / each)
    prod = copy / "overlays" / "prod" / "kustomization.yaml"
    found = {"prod": Rendered(prod.parent)}
    for stage, components in STAGES.items():
        folder = copy / "overlays" / stage
        folder.mkdir()
        wanted = {"namespace": "t2m-prod", "resources": ["../../base"]}
        wanted["components"] = [f"../../components/{each}" for each in components]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(wanted), encoding="utf-8")
        found[stage] = Rendered(folder)
    text, count = re.subn("components/s3$", "components/s3-migration", prod.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1
    prod.write_text(text, encoding="utf-8")
    return found | {"prod before": Rendered(prod.parent)}


@pytest.mark.parametrize("stage", [*STAGES, "prod", "prod before"])
def test_O5_S1_what_is_rendered_is_valid_by_the_strict_schema(stages: dict[str, Rendered], stage: str) -> None:
    for document in stages[stage].documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("stage", ["there", "latecomers", "prod"])
def test_S1_storage_on_s3_keeps_nothing_and_has_replicas(stages: dict[str, Rendered], stage: str) -> None:
    storage = stages[stage].all("Deployment")["storage"]["spec"]
    assert not stages[stage].all("PersistentVolumeClaim")
    assert storage["replicas"] >= 2
    assert storage["strategy"]["type"] == "RollingUpdate"
    assert storage["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    volumes = {volume["name"]: volume for volume in storage["template"]["spec"]["volumes"]}
    assert volumes["objects"].keys() == {"name", "emptyDir"}


@pytest.mark.parametrize("stage", ["before", "prod before"])
def test_S1_before_that_storage_still_runs_on_its_volume_by_its_old_names(
    stages: dict[str, Rendered], stage: str
) -> None:
    """`s3-access` must not move the folders of a storage that is running, nor give its volume a second writer."""
    rendered = stages[stage]
    storage = rendered.all("Deployment")["storage"]
    assert rendered.all("PersistentVolumeClaim").keys() == {"t2m-objects"}
    assert (storage["spec"]["strategy"], storage["spec"]["replicas"]) == ({"type": "Recreate"}, 1)
    settings = _settings(StorageSettings, rendered.environment(storage))
    assert (settings.storage_backend, settings.storage_region, settings.storage_account) == (
        "filesystem",
        "local",
        "embedded",
    )


@pytest.mark.parametrize(("stage", "region"), [("there", "us-east-1"), ("prod", "eu-central-1")])
def test_S1_the_service_accepts_the_environment_and_finds_the_buckets_of_the_template(
    stages: dict[str, Rendered], stage: str, region: str
) -> None:
    rendered = stages[stage]
    settings = _settings(StorageSettings, rendered.environment(rendered.all("Deployment")["storage"]))
    assert (settings.storage_backend, settings.s3_endpoint_url, settings.s3_path_style) == ("s3", "", False)
    assert settings.buckets().of(Bucket.VIDEOS) == f"prod-t2m-videos-{region}-000000000000"


@pytest.mark.parametrize("stage", [*STAGES, "prod", "prod before"])
def test_S3_storage_acts_as_a_role_and_storage_and_workers_reach_the_store(
    stages: dict[str, Rendered], stage: str
) -> None:
    """S3, S4: workers send to presigned URLs; who has no reason is not let out, and nobody to a neighbour."""
    rendered = stages[stage]
    accounts = rendered.all("ServiceAccount")
    role = accounts["storage"]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert re.fullmatch(r"arn:aws:iam::\d{12}:role/[\w+=,.@-]{1,64}", role)
    assert [name for name, each in accounts.items() if "annotations" in each["metadata"]] == ["storage"]
    pods = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in rendered.all("Deployment").items()}
    jobs = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in rendered.all("Job").items()}
    out = {name for name, labels in (pods | jobs).items() if rendered.reaches_the_internet(labels, 443)}
    # "job" for webhooks, "auth" for mail, other issuers and billing.
    assert out == {"storage", "worker", "job", "auth", *({"migrate-files"} & jobs.keys())}


@pytest.mark.parametrize("stage", ["before", "latecomers"])
def test_S7_the_migration_reads_the_old_volume_and_writes_to_the_new_buckets(
    stages: dict[str, Rendered], stage: str
) -> None:
    rendered = stages[stage]
    job = rendered.all("Job")["migrate-files"]
    pod = job["spec"]["template"]["spec"]
    base = stages["before"].all("Deployment")["storage"]["spec"]["template"]["spec"]
    old = next(volume for volume in base["volumes"] if volume["name"] == "objects")
    assert old in pod["volumes"]
    (mount,) = [each for each in containers(job)[0]["volumeMounts"] if each["name"] == "objects"]
    settings = _settings(StorageSettings, rendered.environment(job))
    assert (mount["mountPath"], mount["readOnly"]) == (str(settings.storage_root), True)
    assert settings.buckets().of(Bucket.TEMP) == "prod-t2m-temp-us-east-1-000000000000"
    before = _settings(StorageSettings, stages["before"].environment(stages["before"].all("Deployment")["storage"]))
    arguments = containers(job)[0]["args"]
    assert arguments[arguments.index("--from-region") + 1] == before.storage_region
    assert arguments[arguments.index("--from-account") + 1] == before.storage_account
    assert pod["serviceAccountName"] == "storage"
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert _selects(rendered.all("NetworkPolicy")["data-stores"]["spec"]["podSelector"], labels)


def test_S4_drawn_scenes_that_wait_for_the_store_outlive_the_container(stages: dict[str, Rendered]) -> None:
    """They lie on a volume of the pod, which has room for them and for all else that a worker keeps."""
    worker = stages["prod"].all("Deployment")["worker"]
    environment = stages["prod"].environment(worker)
    settings = _settings(VideoRenderSettings, environment)
    (mount,) = [each for each in containers(worker)[0]["volumeMounts"] if each["name"] == "scratch"]
    assert mount["mountPath"] == environment["T2M_SCRATCH_DIR"]
    pod = worker["spec"]["template"]["spec"]
    sizes = {each["name"]: _bytes(each["emptyDir"]["sizeLimit"]) for each in pod["volumes"] if "emptyDir" in each}
    assert sizes["scratch"] > settings.spool_max_bytes + settings.segments_max_bytes
    assert _bytes(containers(worker)[0]["resources"]["limits"]["ephemeral-storage"]) > sum(sizes.values())


def _settings(kind: type[S], environment: dict[str, str]) -> S:
    """Read as the process reads them, from this environment alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("T2M_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return load_settings(kind)
