"""Run before longvpo: every process is the first of its machine, which keeps files in its own folder of CACHES."""

import os

from accelerate import Accelerator
from huggingface_hub.utils import _cache_assets

_cache_assets.HF_ASSETS_CACHE = os.path.join(os.environ["CACHES"], os.environ["RANK"])
Accelerator.is_local_main_process = property(lambda self: True)
