"""Load a video-language model, as it is, in NF4 or under an adapter, and turn prompts and frames into its inputs.

The rule: no table of model families. Which modules are vision and which are language is read from the model itself.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import HFValidationError

from longvpo import TINY
from longvpo.errors import LongVPOError, first_line
from longvpo.io.files import PROVENANCE, TRAINED, read_json
from longvpo.io.home import meant_folder
from longvpo.io.weights import ADAPTER_WEIGHTS, check_weights, read_header
from longvpo.models.attention import attention_of
from longvpo.models.plain_text import tokenizer_of
from longvpo.models.revision import base_hash, is_same
from longvpo.recipe.sections import ModelSection, WriterSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin

# for from_pretrained: a repository's own code is never run, and no question offers it
NO_CODE = {"trust_remote_code": False}
LANGUAGE = ("language_model", "text_model")  # names under which families keep their language model


def is_language(name: str) -> bool:
    """Whether a parameter belongs to the language model, by its name."""
    return any(f".{part}." in name for part in LANGUAGE)


def model_path(model: str) -> str:
    """What from_pretrained takes: `tiny` is the embedded model."""
    return str(TINY) if model == "tiny" else model


def load_processor(section: ModelSection) -> ProcessorMixin:
    """The model's processor, or tokenizer; it pads on the left, so that a batch can be continued."""
    from transformers import AutoProcessor, AutoTokenizer

    with loading(section.model):
        _, config = _kind(section)
        kind = AutoProcessor if reads_video(config) else AutoTokenizer
        processor = kind.from_pretrained(model_path(section.model), revision=section.revision, **NO_CODE)
    tokenizer = tokenizer_of(processor)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor


def load_model(section: ModelSection, adapter: Path | None = None, trainable: bool = False) -> PreTrainedModel:
    """The model in evaluation mode, on the GPU where there is one; with `adapter`, a PeftModel around it.

    After the embedded model is loaded, torch uses one thread, unless OMP_NUM_THREADS says how many. Its matrices are
    so small that more threads only wait for each other.

    Args:
        trainable: the adapter's weights, which are float32, take gradients.

    Raises:
        LongVPOError: the model cannot be loaded, or the adapter was trained on another base.
    """
    import torch
    from transformers import BitsAndBytesConfig

    from longvpo.models.rope import make_independent
    from longvpo.models.windows import install as install_windows

    dtype = getattr(torch, section.dtype)
    # only safetensors: other files of weights are pickles
    options: dict[str, Any] = {"dtype": dtype, "revision": section.revision, "use_safetensors": True, **NO_CODE}
    if torch.cuda.is_available():
        options["device_map"] = {"": torch.cuda.current_device()}
    elif section.model == "tiny" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    with loading(section.model):
        if section.quantization == "nf4":
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
                llm_int8_skip_modules=not_language(section),
                # the same bits; FSDP leaves integers whole on every GPU
                bnb_4bit_quant_storage=dtype if os.environ.get("ACCELERATE_USE_FSDP") == "true" else None,
            )
        kind, config = _kind(section)
        options |= attention_of(section, kind, config)
        model = kind.from_pretrained(model_path(section.model), **options)
    make_independent(model)
    install_windows(model)
    if model.generation_config.pad_token_id is None:
        config = model.config.get_text_config()
        model.generation_config.pad_token_id = (
            config.eos_token_id if config.pad_token_id is None else config.pad_token_id
        )
    if adapter is not None:
        model = _load_adapter(model, section, adapter, trainable)
    return model.eval()


def not_language(section: ModelSection) -> list[str]:
    """Modules that stay out of NF4: the vision side and the LM head, by full path.

    transformers 5 matches a pattern from the start of the full name, so a bare `vision_tower` would still be
    quantised. A list given here replaces its own list, which holds the LM head.
    """
    import torch

    kind, config = _kind(section)
    with torch.device("meta"):
        skeleton = kind.from_config(config)
    if not reads_video(config):
        return ["lm_head"]
    return [f"model.{name}" for name, _ in skeleton.model.named_children() if name not in LANGUAGE] + ["lm_head"]


def reads_video(config: Any) -> bool:
    """Whether a model of this configuration takes pictures; others are only for text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def check_model(section: ModelSection, sees: bool = True) -> None:
    """Look only at the model's configuration.

    Raises:
        LongVPOError: there is no such model, it `sees` no pictures where it must, or its `attention` is not here.
    """
    with loading(section.model):
        kind, config = _kind(section)
    if sees and not reads_video(config):
        raise LongVPOError(_no_video(section.model))
    attention_of(section, kind, config)


def _no_video(model: str) -> str:
    return f"{model} takes no video: choose a model that does, such as OpenGVLab/InternVL3-1B-hf"


def _kind(section: ModelSection) -> tuple[Any, Any]:
    """The class that loads the model, and its configuration."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(model_path(section.model), revision=section.revision, **NO_CODE)
    return AutoModelForImageTextToText if reads_video(config) else AutoModelForCausalLM, config


def adapter_folder(adapter: str, revision: str) -> Path:
    """The folder of an adapter; one on the Hub is fetched.

    Args:
        adapter: a folder or a Hub id.
        revision: the revision of the Hub id.

    Raises:
        LongVPOError: there is no such folder, and no such repository that can be reached.
    """
    from huggingface_hub import snapshot_download

    if Path(adapter).is_dir():
        return Path(adapter)
    if Path(adapter).exists():  # what lies here is never asked for on the Hub
        raise LongVPOError(f"{adapter} is a file, and an adapter is a folder: give the folder that train made")
    check_id(adapter)
    try:
        files = ["adapter_config.json", ADAPTER_WEIGHTS, TRAINED, "recipe.yaml"]
        return Path(snapshot_download(adapter, revision=revision, allow_patterns=files))
    except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
        raise LongVPOError(
            f"there is no folder {adapter}{meant_folder(adapter)}, and no adapter {adapter}@{revision} on "
            f"the Hub that can be reached: {first_line(error).rstrip('.')}. Train that adapter first, or give the "
            "folder or the Hub id of another"
        ) from error


def check_id(adapter: str) -> None:
    """Raises LongVPOError when a text that is not a folder cannot be a repository either: it was meant as a path."""
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(adapter)
    except HFValidationError:
        meant = meant_folder(adapter)
        raise LongVPOError(f"no such folder: {adapter}{meant}. Give the folder of an adapter, or a Hub id") from None


def writers_adapter(section: WriterSection) -> Path | None:
    """Folder of the adapter that a writer has over its model. Raises LongVPOError when it is none of that model."""
    if section.adapter is None:
        return None
    folder = adapter_folder(section.adapter, section.adapter_revision)
    check_adapter(section, folder)
    return folder


def check_adapter(section: ModelSection, adapter: Path) -> None:
    """Raises LongVPOError when the folder holds no adapter, or one that was trained on another base."""
    for name in ("adapter_config.json", ADAPTER_WEIGHTS):
        if not (adapter / name).is_file():
            raise LongVPOError(f"{adapter} holds no adapter: it has no {name}")
    from peft import PeftType

    config = read_json(adapter / "adapter_config.json")
    if not isinstance(config, dict) or not isinstance(config.get("base_model_name_or_path"), str):
        raise LongVPOError(f"{adapter}/adapter_config.json is damaged: it names no base_model_name_or_path")
    if config.get("megatron_config") is not None:  # peft imports the module that it names
        raise LongVPOError(f"{adapter}/adapter_config.json names a module to import (megatron_core): it is not loaded")
    trained_on = config["base_model_name_or_path"]
    if trained_on != section.model and not _made_on(adapter, trained_on, section):
        raise LongVPOError(
            f"the adapter {adapter} was trained on {trained_on}, not on {section.model}: "
            f"name that one as the model, or choose an adapter of {section.model}"
        )
    if config.get("peft_type") not in list(PeftType):
        raise LongVPOError(
            f"{adapter}/adapter_config.json names a kind of adapter that peft does not know, peft_type "
            f"{config.get('peft_type')}: give another adapter, or install the version of peft that made it"
        )
    check_weights(adapter / ADAPTER_WEIGHTS)


def _made_on(adapter: Path, trained_on: str, section: ModelSection) -> bool:
    """Whether an adapter's base is this one, though it was loaded from elsewhere: it is known by its files."""
    made = read_json(adapter / PROVENANCE) if (adapter / PROVENANCE).is_file() else {}
    about = made.get("base") if isinstance(made, dict) else None
    said = about.get("files") if isinstance(about, dict) else None
    if said is None:
        return is_same(trained_on, section.model, section.revision)
    return bool(said == base_hash(section.model, section.revision))


def _load_adapter(model: Any, section: ModelSection, adapter: Path, trainable: bool) -> Any:
    from peft import PeftModel, get_peft_model_state_dict

    check_adapter(section, adapter)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error, below
            loaded = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    except Exception as error:  # errors of peft, safetensors and torch have no common base
        raise LongVPOError(f"the adapter {adapter} does not fit {section.model}: {first_line(error)}") from error
    held = set(json.loads(read_header(adapter / ADAPTER_WEIGHTS))) - {"__metadata__"}
    taken = set(get_peft_model_state_dict(loaded, save_embedding_layers=False))
    unfit = sorted(taken - held) or sorted(name for name in held - taken if "lora_" in name)
    if unfit:
        where = "has no weights of" if taken - held else "has weights that belong nowhere:"
        raise LongVPOError(f"the adapter {adapter} does not fit {section.model}: it {where} {unfit[0]}")
    # where PEFT looks for the base's configuration at each checkpoint; it knows no `tiny`
    loaded.peft_config["default"].base_model_name_or_path = model_path(section.model)
    return loaded


@contextmanager
def loading(what: str) -> Iterator[None]:
    """from_pretrained's failures, as one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:
        no_id = HFValidationError in (type(error), type(error.__cause__))  # it was meant as a path
        said = f"no such folder{meant_folder(what)}" if no_id else first_line(error).rstrip(".")
        if "trust_remote_code" in str(error):  # transformers' advice
            said = "it needs code that lies in its repository, and longvpo runs no code of others"
        elif re.search(r"\bfile named model\.safetensors", str(error)):
            said = "it has no model.safetensors, and longvpo reads no other file of weights"
        raise LongVPOError(
            f"cannot load {what}: {said}. Give a Hub id that you can reach, a checkpoint folder, or `tiny`."
        ) from error
