"""The answers' attention over a long prompt, by a mask and by two causal calls: seconds, memory, difference.

    python benchmarks/answers_attention.py --device cuda [--json]

One layer's, forward and backward, with the widths of InternVL3-8B: 28 query heads, 4 key heads of 128, answers of 100
and 150 tokens. `mask` is what training takes with SDPA; on a GPU it repeats keys and values for all heads. `two` is
what training takes with flash attention, here by SDPA. Differences of the output, and of the gradients of q, k and v,
are relative to float32.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from longvpo.training.step.answers import by_mask, in_two_calls
from longvpo.training.step.packing import pair_mask

CHOSEN, REJECTED = 100, 150
Way = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, prompt: int) -> torch.Tensor:
    return by_mask(q, k, v, prompt, pair_mask(prompt, CHOSEN, REJECTED, q.device))


def by_two(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, prompt: int) -> torch.Tensor:
    def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        bias = causal_lower_right(q.shape[2], k.shape[2])
        return scaled_dot_product_attention(q, k, v, bias, enable_gqa=True).transpose(1, 2)

    return torch.cat(in_two_calls(causal, q, k, v, prompt, CHOSEN), 1)


WAYS: dict[str, Way] = {"mask": masked, "two": by_two}


def measure(way: Way, states: list[torch.Tensor], prompt: int, repeats: int) -> dict[str, float]:
    """Seconds of a forward and a backward, the best of some; memory above what lay there, on a GPU."""
    cuda = states[0].is_cuda
    seconds = []
    for _ in range(repeats + 1):  # the first one warms up
        for one in states:
            one.grad = None
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        started = time.perf_counter()
        output = way(*states, prompt)  # type: ignore[call-arg]
        output.backward(torch.ones_like(output))  # a sum's gradient has no strides, and kernels of cuDNN keep them
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    memory = {"gb": (torch.cuda.max_memory_allocated() - before) / 1e9} if cuda else {}
    return {"seconds": min(seconds[1:])} | memory


def found(way: Way, states: list[torch.Tensor], prompt: int) -> list[torch.Tensor]:
    """The output, and the gradients of q, k and v."""
    for one in states:
        one.grad = None
    output = way(*states, prompt)  # type: ignore[call-arg]
    # the factors differ, so that gradients are not all one constant
    output.backward(torch.linspace(-1, 1, output.numel(), device=output.device, dtype=output.dtype).view_as(output))
    return [output.detach(), *(one.grad.clone() for one in states if one.grad is not None)]


def cases(device: str, dtype: torch.dtype, prompts: list[int], repeats: int) -> Iterator[dict[str, object]]:
    for prompt in prompts:
        tokens = prompt + CHOSEN + REJECTED
        generator = torch.Generator(device).manual_seed(0)
        exact = [
            torch.randn(1, heads, tokens, 128, device=device, generator=generator).to(dtype).float()
            for heads in (28, 4, 4)
        ]
        states = [one.to(dtype).requires_grad_() for one in exact]
        expected = found(masked, [one.requires_grad_() for one in exact], prompt)
        case: dict[str, object] = {"prompt": prompt, "device": device, "dtype": str(dtype).removeprefix("torch.")}
        for name, way in WAYS.items():
            case[name] = measure(way, states, prompt, repeats) | {
                "difference": [
                    float((one.float() - other).norm() / other.norm())
                    for one, other in zip(found(way, states, prompt), expected, strict=True)
                ]
            }
        yield case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompts", type=int, nargs="+", default=[17_000, 34_000, 68_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for case in cases(given.device, getattr(torch, given.dtype), given.prompts, given.repeats):
        if given.json:
            print(json.dumps(case), flush=True)
            continue
        for name in WAYS:
            one = case[name]
            assert isinstance(one, dict)
            memory = f"{one['gb']:8.2f} GB" if "gb" in one else ""
            differences = " ".join(f"{value:.1e}" for value in one["difference"])
            print(f"{case['prompt']:8} {name:5}{1000 * one['seconds']:10.2f} ms{memory}   {differences}", flush=True)


if __name__ == "__main__":
    main()
