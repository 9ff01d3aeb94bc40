"""Pictures from what was measured. Every function writes one PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from longvpo.triplet import Triplet


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def contact_sheet(path: Path, triplet: Triplet, clips: list[np.ndarray]) -> None:
    """One real row: a line of frames a clip of the context, the question and both answers above.

    The anchor has a green frame; the clip that the rejected answer was written from, a red one.

    Args:
        clips: the sampled frames of every clip of the context, uint8 RGB of shape (frames, height, width, 3).
    """
    pyplot = _pyplot()
    columns = min(max(len(frames) for frames in clips), 8)
    figure, axes = pyplot.subplots(
        len(clips), columns, figsize=(1.4 * columns + 1.6, 1.2 * len(clips) + 1.4), squeeze=False, layout="constrained"
    )
    for place, (frames, row) in enumerate(zip(clips, axes, strict=True)):
        color = "tab:green" if place in triplet.anchors else None
        if triplet.context[place] in triplet.rejected_clips:
            color = "tab:red"
        shown = frames[np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)]
        for axis in row:
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set(visible=bool(color), color=color, linewidth=3)
        for axis, frame in zip(row, shown, strict=False):
            axis.imshow(frame)
        for axis in row[len(shown) :]:
            axis.set_visible(False)
        label = f"clip {place + 1}\n" + (
            "anchor" if place in triplet.anchors else f"cos {triplet.similarity[place]:.2f}"
        )
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    title = f"{_short(triplet.prompt)}\nchosen: {_short(triplet.chosen)}\nrejected: {_short(triplet.rejected)}"
    figure.suptitle(title, fontsize=10, ha="left", x=0.02)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def heat_map(path: Path, grids: dict[str, dict[str, list[float]]]) -> None:
    """Needle grids side by side on one scale: accuracy in percent by number of clips and by depth of the anchor."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(
        1, len(grids), figsize=(3.6 * len(grids) + 1, 3.4), sharey=True, squeeze=False, layout="constrained"
    )
    image = None
    for axis, (name, grid) in zip(axes[0], grids.items(), strict=True):
        depths = max(len(row) for row in grid.values())
        # one clip has one place: its value fills the column
        values = np.array([row if len(row) == depths else [row[0]] * depths for row in grid.values()]).T
        image = axis.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
        for (depth, column), value in np.ndenumerate(values):
            axis.text(
                column, depth, f"{value:.0f}", ha="center", va="center", color="white" if value < 60 else "black"
            )
        axis.set(title=name, xlabel="clips in the context", xticks=range(len(grid)), yticks=range(depths))
        axis.set_xticklabels(list(grid))
        axis.set_yticklabels([f"{depth:.0%}" for depth in np.linspace(0, 1, depths)])
    axes[0][0].set_ylabel("depth of the anchor")
    figure.colorbar(image, ax=axes, label="accuracy, %")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _short(text: str, length: int = 90) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
