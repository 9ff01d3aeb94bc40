"""The arithmetic that a base needs for a triplet, from its configuration and no weights: in floating point operations.

It counts the model's linear layers and attention, and nothing that is computed again. The language model has w weights
in its linear layers, and L layers with queries of q columns. There a packed row of n tokens costs

    forward     2 w n + 2 L q n^2       causal attention: half of 4 n^2 q
    backward    2 w n + 4 L q n^2       the base is frozen: its linear layers pass gradients on, and get none

and a frame of p patches on the vision side, likewise, 2 w p + 4 L v p^2. Answers against the vocabulary, norms and the
adapter's own layers are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longvpo.models.memory import Skeleton, blocks_of, linear_layers

if TYPE_CHECKING:
    from longvpo.models.counting import RowLength

# dense bfloat16 operations per second, from NVIDIA's data sheets; among names that begin alike, the longer one counts
PEAKS = {
    "A100": 312e12,
    "H100": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H200": 989e12,
    "L40S": 362e12,
}


def peak_of(device: str) -> float | None:
    """Operations a second of a GPU by its name, such as NVIDIA H100 80GB HBM3; None where it is not in the table."""
    named = [name for name in PEAKS if all(word in device for word in name.split())]
    return PEAKS[max(named, key=len)] if named else None


class Arithmetic:
    """What rows cost on one base."""

    def __init__(self, skeleton: Skeleton) -> None:
        text = skeleton.text
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self.weights = sum(one.weight.numel() for one in linear_layers(skeleton.language).values())
        self.columns = text.num_hidden_layers * text.num_attention_heads * size
        vision = linear_layers(skeleton.vision)
        self.vision = sum(one.weight.numel() for name, one in vision.items() if name != "lm_head")
        self.blocks, config = blocks_of(skeleton), skeleton.config.vision_config
        self.depth = getattr(config, "num_hidden_layers", None) or config.depth

    def forward(self, tokens: int) -> float:
        return 2.0 * self.weights * tokens + 2.0 * self.columns * tokens**2

    def backward(self, tokens: int) -> float:
        return 2.0 * self.weights * tokens + 4.0 * self.columns * tokens**2

    def seen(self, frames: int, pixels: int) -> float:
        """One pass of the vision side; each frame is taken to attend to itself."""
        patches = pixels / self.blocks.numbers
        attention = 4.0 * self.depth * self.blocks.v * patches**2 / max(frames, 1)
        return 2.0 * self.vision * patches + attention

    def step(self, length: RowLength, reference: int = 0) -> float:
        """Forward and backward of a triplet.

        Args:
            reference: tokens of what the reference sees, with both answers; 0: it was scored before.
        """
        scored = self.forward(reference) if reference else 0.0
        policy = self.forward(length.tokens) + self.backward(length.tokens)
        return policy + scored + self.seen(length.frames, length.pixels)
