"""The CloudFormation template of the production buckets: valid, and one with `create-buckets` (S1, S2)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.storage.adapters.s3 import prepare
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import Bucket
from tests.integration.cloudformation import Stack, Tree, load
from tests.s3_servers import ministack
from tests.stack import CHECKOUT

TEMPLATE = CHECKOUT / "deploy" / "aws" / "buckets.yaml"
REGION, REPLICA, ACCOUNT = "eu-central-1", "eu-west-1", "111122223333"
NAMES, COPIES = BucketNames("prod", REGION, ACCOUNT), BucketNames("prod", REPLICA, ACCOUNT)
LOGS = f"prod-t2m-logs-{REGION}-{ACCOUNT}"
COPIED = (Bucket.VIDEOS, Bucket.CODE, Bucket.THUMBNAILS)

MAIN = Stack(TEMPLATE, REGION, ACCOUNT, ReplicaRegion=REPLICA)
OTHER = Stack(TEMPLATE, REPLICA, ACCOUNT)


def arns(names: BucketNames, *buckets: Bucket, tail: str = "") -> list[str]:
    return [f"arn:aws:s3:::{names.of(bucket)}{tail}" for bucket in buckets]


def test_S2_the_template_is_valid() -> None:
    """By cfn-lint, which knows the schema of every resource; it reaches no network."""
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--regions", REGION, REPLICA, "--", str(TEMPLATE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_S2_parameters_take_what_names_can_be_made_of_and_nothing_else() -> None:
    parameters = load(TEMPLATE)["Parameters"]
    for name, right, wrong in (
        ("Environment", ("dev", "staging", "prod"), ("", "Prod", "prod-")),
        ("ReplicaRegion", ("", "eu-west-1", "us-gov-west-1", "ap-southeast-3"), ("eu-west", "EU-WEST-1", "*")),
        ("LogDays", ("1", "365"), ("", "0", "-1", "12345")),
    ):
        pattern = re.compile(parameters[name]["AllowedPattern"])
        assert [each for each in right if not pattern.fullmatch(each)] == []
        assert [each for each in wrong if pattern.fullmatch(each)] == []


@pytest.fixture(scope="module")
def client() -> Any:
    """A real S3 with buckets as `create-buckets` makes them."""
    server = ministack().client
    server.create_bucket(Bucket=LOGS)
    prepare(server, NAMES, log_bucket=LOGS)
    return server


def test_S1_S2_both_stacks_have_the_four_buckets_by_their_names_and_one_for_access_logs() -> None:
    assert MAIN.buckets().keys() == {*map(NAMES.of, Bucket), LOGS}
    assert OTHER.buckets().keys() == {*map(COPIES.of, Bucket), LOGS.replace(REGION, REPLICA)}


@pytest.mark.parametrize("bucket", Bucket)
def test_S1_S2_the_rules_are_those_that_create_buckets_sets(client: Any, bucket: Bucket) -> None:
    """Versions, encryption, access, CORS, life cycle and logging; each compared with what a real store answers."""
    name, rules = NAMES.of(bucket), MAIN.buckets()[NAMES.of(bucket)]
    assert rules["VersioningConfiguration"]["Status"] == client.get_bucket_versioning(Bucket=name)["Status"]
    (sealed,) = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    (default,) = rules["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert default["ServerSideEncryptionByDefault"] == sealed["ApplyServerSideEncryptionByDefault"]
    shut = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert rules["PublicAccessBlockConfiguration"] == shut
    (cors,) = rules["CorsConfiguration"]["CorsRules"]
    renamed = {"ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds"}
    (set_by_command,) = client.get_bucket_cors(Bucket=name)["CORSRules"]
    assert {renamed.get(key, key): value for key, value in cors.items()} == set_by_command
    lifecycle = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [_as_api(rule) for rule in rules["LifecycleConfiguration"]["Rules"]] == lifecycle
    logging = client.get_bucket_logging(Bucket=name)["LoggingEnabled"]
    assert rules["LoggingConfiguration"]["DestinationBucketName"] == logging["TargetBucket"] == LOGS
    assert rules["LoggingConfiguration"]["LogFilePrefix"] == logging["TargetPrefix"]


def _as_api(rule: Tree) -> Tree:
    """A life-cycle rule in the words of S3's own API."""
    same = ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    wanted = {"ID": rule["Id"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        wanted["Expiration"] = {"Days": rule["ExpirationInDays"]}
    assert rule.keys() <= {"Id", "Prefix", "ExpirationInDays", *same}
    return wanted | {key: rule[key] for key in same if key in rule}


@pytest.mark.parametrize("stack", [MAIN, OTHER], ids=["main", "copies"])
def test_S2_every_bucket_is_kept_closed_and_refuses_plain_http(stack: Stack) -> None:
    """Also that of the logs, and those of the copies; none goes with the stack."""
    closed: Tree = {each["Bucket"]: each for each in stack.of_type("AWS::S3::BucketPolicy").values()}
    assert closed.keys() == stack.buckets().keys()
    for name, properties in stack.buckets().items():
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        deny = closed[name]["PolicyDocument"]["Statement"][0]
        assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "s3:*")
        assert deny["Resource"] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    kept = [each for each in stack.resources.values() if each["Type"] == "AWS::S3::Bucket"]
    assert {(each["DeletionPolicy"], each["UpdateReplacePolicy"]) for each in kept} == {("Retain", "Retain")}


def test_S2_only_s3_itself_writes_access_logs_and_they_end() -> None:
    statement = MAIN.resources["AccessLogsPolicy"]["Properties"]["PolicyDocument"]["Statement"][1]
    assert statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert statement["Action"] == "s3:PutObject"
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    pattern = statement["Condition"]["ArnLike"]["aws:SourceArn"].replace("*", "[a-z]+")
    assert all(re.fullmatch(pattern, arn) for arn in arns(NAMES, *Bucket))
    prefix = statement["Resource"].removeprefix(f"arn:aws:s3:::{LOGS}/").removesuffix("*")
    assert all(NAMES.of(bucket).startswith(prefix) for bucket in Bucket)
    (rule,) = MAIN.buckets()[LOGS]["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", "365")


def test_S2_what_is_to_last_is_copied_to_the_other_region() -> None:
    """To buckets that the stack of that region makes, with no more rights than copying takes."""
    for bucket in Bucket:
        copies = MAIN.buckets()[NAMES.of(bucket)].get("ReplicationConfiguration")
        if bucket not in COPIED:
            assert copies is None
            continue
        (rule,) = copies["Rules"]
        assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
        assert [rule["Destination"]["Bucket"]] == arns(COPIES, bucket)
        assert OTHER.buckets()[COPIES.of(bucket)]["VersioningConfiguration"] == {"Status": "Enabled"}
    role = MAIN.resources["ReplicationRole"]["Properties"]
    (policy,) = role["Policies"]
    granted = {action: each["Resource"] for each in policy["PolicyDocument"]["Statement"] for action in each["Action"]}
    assert granted == {
        **dict.fromkeys(["s3:GetReplicationConfiguration", "s3:ListBucket"], arns(NAMES, *COPIED)),
        **{
            f"s3:GetObjectVersion{what}": arns(NAMES, *COPIED, tail="/*")
            for what in ("ForReplication", "Acl", "Tagging")
        },
        **dict.fromkeys(["s3:ReplicateObject", "s3:ReplicateTags"], arns(COPIES, *COPIED, tail="/*")),
    }
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "s3.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_S2_without_another_region_nothing_is_copied() -> None:
    assert "ReplicationRole" not in OTHER.resources
    assert not any("ReplicationConfiguration" in each for each in OTHER.buckets().values())


NEEDED = {
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "complete_multipart_upload": {"s3:PutObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject", "s3:ListBucket"},
    "list_multipart_uploads": {"s3:ListBucketMultipartUploads"},
    "list_object_versions": {"s3:ListBucketVersions"},
    "list_objects_v2": {"s3:ListBucket"},
    "put_object": {"s3:PutObject"},
    "upload_fileobj": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "upload_part": {"s3:PutObject"},
}
"""What IAM asks for, by operation of the client: the "actions, resources and condition keys for Amazon S3"."""


def operations_of_the_code(client: Any) -> set[str]:
    """Of S3, as the adapters name them: called, or in a string for a paginator or a presigned URL."""
    known = {*client.meta.method_to_api_mapping, "upload_fileobj", "upload_file", "download_fileobj", "download_file"}
    found: set[str] = set()
    for path in (CHECKOUT / "services" / "storage" / "adapters" / "s3").glob("*.py"):
        if path.name != "buckets.py":  # what an operator runs, with rights of their own
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found & known


def test_S1_S3_the_service_may_do_what_its_code_calls_and_nothing_else(client: Any) -> None:
    """A call that is new in the code fails here until the policy and the table above have it."""
    operations = operations_of_the_code(client)
    assert operations == NEEDED.keys()
    policy = MAIN.resources["StoragePolicy"]["Properties"]["PolicyDocument"]
    granted = {action: each["Resource"] for each in policy["Statement"] for action in each["Action"]}
    assert granted.keys() == set[str]().union(*NEEDED.values())
    assert {each["Effect"] for each in policy["Statement"]} == {"Allow"}
    for action, resources in granted.items():
        assert resources == arns(NAMES, *Bucket, tail="" if action.startswith("s3:ListBucket") else "/*"), action
