"""Run before longvpo: accelerate takes processes on a CPU, which talk by gloo, for GPUs, and so goes FSDP's way."""

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

PartialState._prepare_backend = lambda *args, **kwargs: ("gloo", DistributedType.MULTI_GPU)
PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))
