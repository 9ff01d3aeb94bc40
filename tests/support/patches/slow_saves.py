"""Run before longvpo: a checkpoint takes a while to write, so that a kill meets one half-written on any machine."""

import time
from typing import Any

import torch

save = torch.save


def slow(*args: Any, **kwargs: Any) -> None:
    time.sleep(0.1)
    save(*args, **kwargs)


torch.save = slow
