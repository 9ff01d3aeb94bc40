"""What `longvpo env` prints can be pasted anywhere."""

from __future__ import annotations

import getpass
import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest
from support.commands import Capture, run

from longvpo.release import machine


def test_it_tells_versions_and_nothing_private(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a" * 34)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.local:3128")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "weights").write_bytes(bytes(200_000_000))
    assert run(monkeypatch, "env", "--json") == 0
    printed = capsys.readouterr().out
    told = json.loads(printed)
    assert told["longvpo"]["version"] == version("longvpo")
    assert {"torch", "transformers", "trl", "av"} <= set(told["packages"])
    assert told["devices"]["cpus"] == os.cpu_count()
    assert told["decoders"]["av"].startswith("FFmpeg ")
    assert told["hub"]["token"] is True
    assert told["hub"]["cache_gb"]["hub"] == 0.2
    assert {"HF_TOKEN", "HTTPS_PROXY"} <= set(told["environment"])
    for private in ("hf_aaa", "secret", "proxy.local", str(Path.home()), str(tmp_path), f"/{getpass.getuser()}"):
        assert private not in printed


def test_a_decoder_that_does_not_load_is_told_without_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        if name == "torchcodec":
            raise RuntimeError("could not load /home/me/lib/libtorchcodec.so")
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(machine, "import_module", fails)
    found = machine._decoders()
    assert found["torchcodec"] == "does not load (RuntimeError)"
    assert found["decord"] == "not installed"
