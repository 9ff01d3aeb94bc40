"""The few names of lmms-eval that our model class is made of, where lmms-eval is not installed."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import pytest

OURS = "longvpo.evaluation.lmms"


class Instance(NamedTuple):
    args: tuple[Any, ...]
    task_name: str = "local"


@dataclass
class TokenCounts:
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass
class GenerationResult:
    text: str
    token_counts: TokenCounts | None = None


class Lmms(ABC):
    def __init__(self) -> None:
        self._rank, self._world_size, self.task_dict = 0, 1, {}

    @property
    def rank(self) -> int:
        return self._rank

    def clean(self) -> None:
        self.cleaned = True

    @abstractmethod
    def loglikelihood(self, requests: list[Instance]) -> Any: ...

    @abstractmethod
    def generate_until(self, requests: list[Instance]) -> Any: ...

    @abstractmethod
    def generate_until_multi_round(self, requests: list[Instance]) -> Any: ...


@dataclass
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Our module, loaded with these in lmms-eval's place."""
    names = {
        "lmms_eval.api.instance": {
            "GenerationResult": GenerationResult,
            "Instance": Instance,
            "TokenCounts": TokenCounts,
        },
        "lmms_eval.api.model": {"lmms": Lmms},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }
    packages = {".".join(name.split(".")[:end]): {} for name in names for end in (1, 2)}
    for name, values in {**packages, **names}.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules.pop(OURS, None)
    ours = import_module(OURS)
    del sys.modules[OURS]  # it is of these names: nobody else is to get it
    monkeypatch.setattr(ours, "version", lambda name: f"{name}'s")
    return ours
