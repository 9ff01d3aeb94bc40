"""Why fewer triplets or contexts were found than are asked for: the filters that dropped most, with what to set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from longvpo.clips.rows import Dropped, unanswered
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe

NAMED = 3  # filters
SWITCHES = {  # what to do about a filter of `dropped`
    "table": "mend these rows of the table",
    "video": "mend these videos or their paths",
    "overlap": "set filters.overlap=null",
    "caption": "mend the writer",
    "writer": "mend the server, and run again",
    "cut": "raise writer.max_new_tokens",
    "form": "another prompt, or a stronger writer",
    "empty": "a stronger writer",
    "frame_budget": "raise context.frame_budget",
    "visual_similarity": "set filters.visual_threshold=null",
    "specificity": "set filters.specificity=false",
    "refusal": "set filters.refusals=false",
    "equal": "a stronger writer, or clips that differ more",
    "near_equal": "set filters.answer_threshold=null",
    "length_ratio": "set filters.length_ratio=null",
    "near_duplicate": "set filters.question_threshold=null",
    "judge": "set filters.judge_rejected=false, or judge=null",
    "balance": "set filters.balance=false",
    "scenes": "set stage2.min_scenes=2, or longer videos",
    "too_few_scenes": "a stronger question_writer",
    "unknown_scene": "a stronger question_writer",
    "trace": "set stage2.trace=false",
    "one_scene": "set stage2.one_scene=false",
    "needed": "set stage2.needed=false",
}


def reasons(dropped: Mapping[str, int]) -> str:
    """The filters that dropped most, each with what to do about it.

    Args:
        dropped: rows, videos and drafts, by filter.
    """
    most = Counter(dropped).most_common(NAMED)
    return ", ".join(f"{count} by {name} ({SWITCHES.get(name, 'see its reasons')})" for name, count in most)


def loosening(dropped: Mapping[str, int]) -> str:
    """The override that switches off the filter that dropped most; empty where none does."""
    most = next((name for name, _ in Counter(dropped).most_common(1)), "")
    found = re.match(r"set ([\w.]+=\w+)", SWITCHES.get(most, ""))
    return found[1] if found else ""


def check_enough(recipe: DatasetRecipe, clips: int, dropped: list[Dropped]) -> None:
    """Raises LongVPOError when the clips are too few for a context."""
    unusable = min(dropped, key=lambda item: item.id, default=None)
    needed = max(max(recipe.context.clips or (2,)), 2)  # a rejected answer needs a clip beside the anchor
    if clips < needed:
        refused = f"; {len(dropped)} cannot be used, the first: {unusable.reason}" if unusable else ""
        silent = unanswered(dropped)
        raise LongVPOError(
            f"the sources have {clips} readable clips{', with a caption,' if silent else ''} and a context needs "
            f"{needed}{f'; {silent}' if silent else refused}. "
            f"{'Mend that, or add clips' if silent else 'Add clips'}, or lower context.clips"
        )
