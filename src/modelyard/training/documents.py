"""The JSON forms that training keeps in the object store: trainers, environments, sources."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from typing import Any

import msgspec

from modelyard.core import Json, canonical_json
from modelyard.data import Check, Split
from modelyard.data.features import Lookup
from modelyard.data.quality.kinds import verify_alone
from modelyard.jobs import Limits
from modelyard.prepare import Code, Pipeline
from modelyard.training.types import Direction, Trainer


def trainer_to_json(trainer: Trainer) -> dict[str, Json]:
    """Return the trainer as JSON; equal trainers give equal texts, also those from before there was all of it."""
    later = {"checks": msgspec.to_builtins(trainer.checks), "lookups": msgspec.to_builtins(trainer.lookups)}
    return {
        **{name: value for name, value in later.items() if value},
        "name": trainer.name,
        "code": trainer.code.to_json(),
        "pipeline": trainer.pipeline.to_json(),
        "label": trainer.label,
        "metric": trainer.metric,
        "direction": trainer.direction.value,
        "split": msgspec.to_builtins(trainer.split),
        "limits": {
            "time_s": trainer.limits.time_s,
            "memory_mb": trainer.limits.memory_mb,
            **({} if trainer.limits.disk_mb is None else {"disk_mb": trainer.limits.disk_mb}),
        },
    }


def trainer_from_json(document: Mapping[str, Any]) -> Trainer:
    """Return the trainer that `trainer_to_json` wrote. Problem `check.invalid` for a check that cannot be evaluated."""
    return Trainer(
        name=document["name"],
        code=Code.from_json(document["code"]),
        pipeline=Pipeline.from_json(document["pipeline"]),
        label=document["label"],
        metric=document["metric"],
        direction=Direction(document["direction"]),
        split=msgspec.convert(document["split"], Split | None),
        limits=msgspec.convert(document["limits"], Limits),
        checks=tuple(verify_alone(check) for check in msgspec.convert(document.get("checks", []), tuple[Check, ...])),
        lookups=msgspec.convert(document.get("lookups", []), tuple[Lookup, ...]),
    )


def to_bytes(document: Json) -> bytes:
    """Return the canonical bytes of a document, so that equal ones share a digest."""
    return canonical_json(document).encode()


def environment() -> dict[str, Json]:
    """Return what the process runs on: Python, platform, processors and every installed package with its version."""
    packages = {dist.metadata["Name"].lower(): dist.version for dist in distributions() if dist.metadata["Name"]}
    listed = "\n".join(f"{name}=={version}" for name, version in sorted(packages.items()))
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "packages": packages,
        "packages_digest": "sha256:" + hashlib.sha256(listed.encode()).hexdigest(),
    }
