"""Pictures from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from longvpo.errors import visible

COLUMNS = 8  # frames of a clip on a contact sheet, at most
CURVES = (  # names in the log entries of a training run
    *("loss", "nll_loss", "rewards/margins", "rewards/accuracies", "reference/margins"),
    *("learning_rate", "grad_norm", "tokens_per_second"),
)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def contact_sheet(path: Path, row: dict[str, Any], clips: list[np.ndarray]) -> None:
    """One real row: the question and both answers, then a line of frames per clip of the context.

    An anchor has a green frame; another clip that the rejected answer was written from, a red one.

    Args:
        row: a row of the config stage1 or stage2.
        clips: the sampled frames of every clip of the context, uint8 RGB of shape (frames, height, width, 3).
    """
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    wide, high, margin, label, title = 168, 112, 5, 86, 84  # pixels
    columns = min(max(len(frames) for frames in clips), COLUMNS)
    sheet = Image.new("RGB", (label + columns * (wide + margin), title + len(clips) * (high + margin)), "white")
    pen = ImageDraw.Draw(sheet)
    lines = [row["prompt"], f"chosen: {row['chosen']}", f"rejected: {row['rejected']}"]
    for line, text in enumerate(visible(" ".join(text.split())) for text in lines):
        said = text if len(text) <= 14 * columns else text[: 14 * columns - 1] + "…"
        pen.text((margin, margin + 26 * line), said, "black", ImageFont.load_default(17))
    for place, frames in enumerate(clips):
        top = title + place * (high + margin)
        anchor = place in row["anchors"]
        color = "green" if anchor else "red" if row["context"][place] in row["rejected_clips"] else "white"
        score = f"cos {row['similarity'][place]:.2f}" if row.get("similarity") else ""
        said = f"{'clip' if row['stage'] == 1 else 'scene'} {place + 1}\n" + ("anchor" if anchor else score)
        pen.text((margin, top + high // 3), said, "black", ImageFont.load_default(14))
        shown = np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)
        for column, index in enumerate(shown):
            frame = ImageOps.contain(Image.fromarray(frames[index]), (wide - 8, high - 8))
            cell = ImageOps.expand(frame, 4, color)
            left = label + column * (wide + margin)
            sheet.paste(cell, (left + (wide - cell.width) // 2, top + (high - cell.height) // 2))
    sheet.save(path)


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
        axis.set_title(name, parse_math=False)  # a folder may be called $x
        axis.set(xlabel="clips in the context", xticks=range(len(grid)), yticks=range(depths))
        axis.set_xticklabels(list(grid))
        axis.set_yticklabels([f"{depth:.0%}" for depth in np.linspace(0, 1, depths)])
    axes[0][0].set_ylabel("depth of the anchor")
    figure.colorbar(image, ax=axes, label="accuracy, %")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def curves(path: Path, log_history: list[dict[str, float]]) -> bool:
    """A curve for each of CURVES over the steps of a run.

    Args:
        log_history: the log of trainer_state.json.

    Returns:
        Whether there was anything to draw: a run that is shorter than its `logging_steps` has no entries.
    """
    found = {
        name: [(entry["step"], entry[name]) for entry in log_history if "loss" in entry and name in entry]
        for name in CURVES
    }
    drawn = {name: points for name, points in found.items() if points}
    if not drawn:
        return False
    pyplot = _pyplot()
    columns = min(len(drawn), 4)
    rows = -(-len(drawn) // columns)
    size = (3.2 * columns, 2.4 * rows)  # inches
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False)
    # matplotlib's own layout takes longer than all the rest
    figure.subplots_adjust(0.6 / size[0], 0.5 / size[1], 1 - 0.1 / size[0], 1 - 0.3 / size[1], 0.28, 0.35)
    for axis, (name, points) in zip(axes.flat, drawn.items(), strict=False):
        axis.plot(*zip(*points, strict=True), marker="." if len(points) < 50 else "")  # one point makes no line
        evaluated = [(entry["step"], entry[f"eval_{name}"]) for entry in log_history if f"eval_{name}" in entry]
        if evaluated:
            axis.plot(*zip(*evaluated, strict=True), "--", marker=".", label="on rows set aside")
            axis.legend(fontsize=7)
        axis.set_title(name, fontsize=10)
        axis.tick_params(labelsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes.flat[len(drawn) :]:
        axis.axis("off")
    for axis in axes[-1]:
        axis.set_xlabel("step", fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True
