"""Nothing that is loaded runs code of others: no pickle, no module of a repository, no script, no question whether."""

from __future__ import annotations

import ast
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.world import TINY
from transformers.dynamic_module_utils import resolve_trust_remote_code

import longvpo
from longvpo.clips.sources import list_candidates
from longvpo.errors import LongVPOError
from longvpo.models.embed import _load as load_encoder
from longvpo.models.load import check_adapter, check_model, load_model, load_processor
from longvpo.models.memory import skeleton_of
from longvpo.recipe.sections import AttentionSection, ModelSection
from longvpo.recipe.sources import SourceSection

PACKAGE = Path(longvpo.__file__).parent
RUNS = re.compile(
    r"\b(pickle|cPickle|dill|joblib|cloudpickle|marshal|shelve)\b|\bunsafe_load\b|yaml\.load\(|os\.system"
)
# what processes of one build send each other, as Ray itself does; no file is read so
BETWEEN_OURS = ("dataset/engine/worker.py", "dataset/engine/on_ray.py")


class Payload:
    """Unpickled, it leaves a file behind."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> Any:
        return Path.touch, (self.ran,)


def calls(path: Path) -> list[tuple[str, set[str], str]]:
    """Every call in a file: the function's name, its named arguments, and the call as it stands."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [(ast.unparse(one.func), {str(key.arg) for key in one.keywords}, ast.unparse(one)) for one in found]


def test_no_line_of_the_package_reads_a_pickle_or_trusts_a_repository() -> None:
    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE)
        code = "\n".join(
            ast.unparse(node) for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)
        )
        assert str(where) in BETWEEN_OURS or not RUNS.search(code), where
        for name, named, call in calls(path):
            assert name not in ("eval", "exec", "compile", "__import__"), f"{where}: {call}"
            assert not name.endswith("torch.load") or "weights_only=True" in call, f"{where}: {call}"
            assert "allow_pickle" not in named, f"{where}: {call}"
            assert "trust_remote_code=True" not in call, f"{where}: {call}"
            assert "shell" not in named, f"{where}: {call}"
            auto = name.split(".")[0] in ("AutoConfig", "kind", "SentenceTransformer") and "from_config" not in name
            if auto and ("from_pretrained" in name or name == "SentenceTransformer") and "modules" not in named:
                assert "NO_CODE" in call or "options" in call, f"{where}: {call}"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A checkpoint whose configuration, tokenizer and processor name code that lies beside them."""
    folder = tmp_path / "theirs"
    shutil.copytree(longvpo.TINY, folder)
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass Own: ...\n"
    (folder / "own.py").write_text(code)
    config = json.loads((folder / "config.json").read_text())
    autos = ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoModelForCausalLM")
    config |= {"model_type": "own", "auto_map": {name: "own.Own" for name in autos}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("load", [check_model, load_model, load_processor, skeleton_of])
def test_code_beside_a_model_is_not_run_and_nobody_is_asked(
    load: Any, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    assert resolve_trust_remote_code(None, "a/b", False, True), "transformers asks, and takes yes"
    with pytest.raises(
        LongVPOError, match="needs code that lies in its repository, and longvpo runs no code of others"
    ):
        load(ModelSection(model=str(theirs)))
    assert not (tmp_path / "ran").exists()


def spoilt(folder: Path, ran: Path) -> Path:
    """A checkpoint that has, in place of its weights, a pickle that does something when it is read."""
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Payload(ran)}, folder / "pytorch_model.bin")
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert ran.exists(), "it would have done it"
    ran.unlink()
    return folder


def test_weights_are_no_pickles(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    model = spoilt(Path(shutil.copytree(longvpo.TINY, tmp_path / "model")), ran)
    with pytest.raises(LongVPOError, match=r"has no model\.safetensors, and longvpo reads no other file of weights"):
        load_model(TINY.model_copy(update={"model": str(model)}))
    encoder = spoilt(Path(shutil.copytree(PACKAGE / "tiny" / "visual_encoder", tmp_path / "encoder")), ran)
    with pytest.raises(LongVPOError, match=r"has no model\.safetensors"):
        load_encoder(str(encoder), "main", "image")
    assert not ran.exists()


def test_an_adapter_names_no_module_to_import(trained: Path, tmp_path: Path) -> None:
    adapter = Path(shutil.copytree(trained, tmp_path / "adapter"))
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"megatron_config": {}, "megatron_core": "this"}))
    with pytest.raises(LongVPOError, match=r"names a module to import \(megatron_core\): it is not loaded"):
        check_adapter(TINY, adapter)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(LongVPOError, match=r"it has no adapter_model\.safetensors"):
        check_adapter(TINY, adapter)


def test_a_dataset_has_no_script(tmp_path: Path) -> None:
    folder, ran = tmp_path / "theirs", tmp_path / "ran"
    folder.mkdir()
    (folder / "theirs.py").write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\n")
    torch.save(Payload(ran), folder / "train.pkl")
    source = SourceSection(name="s", folder=tmp_path / "videos", dataset=str(folder))
    with pytest.raises(LongVPOError, match="cannot read the dataset"):
        list_candidates(source)
    (folder / "train.jsonl").write_text('{"file_name": "a.mp4", "caption": "b"}\n')
    with suppress(LongVPOError):
        list_candidates(source)
    assert not ran.exists()


def test_a_kernel_of_others_is_pinned() -> None:
    known = AttentionSection(language="kernels-community/flash-attn3", vision=f"a/b@{'0' * 40}")
    assert known.language == "kernels-community/flash-attn3"
    with pytest.raises(ValidationError, match="runs other people's code: pin its commit, as in a/b@<40 hex digits>"):
        AttentionSection(language="a/b@main")
