"""Reads a CloudFormation template as CloudFormation does, as far as templates of buckets need it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import yaml

Tree = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Knows the short forms `!Ref`, `!Sub` …"""


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> Tree:
    if isinstance(node, yaml.ScalarNode):
        return {tag: loader.construct_scalar(node)}
    return {tag: loader.construct_sequence(cast(yaml.SequenceNode, node), deep=True)}


_Loader.add_multi_constructor("!", _tagged)


def load(template: Path) -> Tree:
    """As it is written: `!Ref X` is `{"Ref": "X"}`."""
    tree: Tree = yaml.load(template.read_text(encoding="utf-8"), _Loader)
    return tree


class Stack:
    """The template as CloudFormation reads it with given parameters: every function has its value."""

    def __init__(self, template: Path, region: str, account: str, **parameters: str) -> None:
        """Raises KeyError for what the template names and does not have."""
        self._tree = load(template)
        self._buckets: dict[str, str] = {}
        self._values = {name: each["Default"] for name, each in self._tree["Parameters"].items()} | parameters
        self._values |= {"AWS::Region": region, "AWS::AccountId": account, "AWS::Partition": "aws"}
        wanted = {
            name: each
            for name, each in self._tree["Resources"].items()
            if "Condition" not in each or self._holds(each["Condition"])
        }
        self._buckets = {
            name: self._value(each["Properties"]["BucketName"])
            for name, each in wanted.items()
            if each["Type"] == "AWS::S3::Bucket"
        }
        self.resources: Tree = {name: self._value(each) for name, each in wanted.items()}

    def of_type(self, kind: str) -> Tree:
        """Properties of the resources of a type, by their logical names."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}

    def buckets(self) -> Tree:
        """Properties of the buckets, by their physical names."""
        return {each["BucketName"]: each for each in self.of_type("AWS::S3::Bucket").values()}

    def _holds(self, condition: str) -> bool:
        return bool(self._value(self._tree["Conditions"][condition]))

    def _value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [each for each in map(self._value, tree) if each is not None]
        if not isinstance(tree, dict):
            return tree
        match tree:
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._ref(found[1])), text)
            case {"GetAtt": str(name)}:
                return self._ref(name)
            case {"If": [condition, then, otherwise]}:
                return self._value(then if self._holds(condition) else otherwise)
            case {"Not": [inner]}:
                return not self._value(inner)
            case {"Equals": [left, right]}:
                return self._value(left) == self._value(right)
        values = {key: self._value(each) for key, each in tree.items()}
        return {key: each for key, each in values.items() if each is not None}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return None
        resource, _, attribute = name.partition(".")
        if resource in self._buckets:
            return f"arn:aws:s3:::{self._buckets[resource]}" if attribute else self._buckets[resource]
        return f"<{name}>" if resource in self._tree["Resources"] else self._values[name]
