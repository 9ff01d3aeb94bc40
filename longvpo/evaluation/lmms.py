"""A model of lmms-eval: a base, with or without an adapter, asked with the frames and the prompt of its training.

    python -m lmms_eval --model longvpo --model_args recipe=internvl3-8b/stage1,adapter=FOLDER --tasks lvbench ...

`longvpo evaluate RECIPE --benchmarks all` prints the whole command. The package names this module under the entry
point `lmms_eval.models`. Only lmms-eval loads it, in an environment of its own; no other module imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from tqdm import tqdm

from longvpo.errors import LongVPOError
from longvpo.evaluation.ask import COUNT
from longvpo.evaluation.benchmark_recipe import overrides_of, read_benchmark_recipe
from longvpo.evaluation.messages import Documents, token_limit, until
from longvpo.io.remembered import remembered_hash
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.journal import Journal
from longvpo.models.load import writers_adapter
from longvpo.models.local import LocalWriter
from longvpo.models.revision import model_name
from longvpo.models.writer import Answer, Request
from longvpo.recipe.sections import WriterSection

manifest = ModelManifest("longvpo", chat_class_path=f"{__name__}.LongVPO")


class LongVPO(lmms):
    """Answers documents of one video, or of images that are one.

    Args:
        recipe: one of an evaluation or a training, a file or a built-in name, whose `base` and `video` are taken.
        adapter: a folder or a Hub id; empty for the base itself.
        journal: folder of answers to use and add to, so that a killed run asks nothing twice; empty for none.
        batch_size: lmms-eval's own option, as max_batch_size and device are.
        said: values of the recipe by their keys, such as base.quantization=nf4, or by the short names in
            benchmark_recipe.SHORT.
    """

    is_simple = False

    def __init__(
        self,
        recipe: str = "",
        adapter: str = "",
        adapter_revision: str = "main",
        journal: str = "",
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        device: str | None = None,
        **said: Any,
    ) -> None:
        super().__init__()
        from accelerate import Accelerator

        if not str(batch_size).isdigit() or max_batch_size is not None:
            raise LongVPOError("longvpo tries no batch sizes: give --batch_size a number, and no --max_batch_size")
        asked = read_benchmark_recipe(recipe, overrides_of(said))
        of = {"adapter": adapter or None, "adapter_revision": adapter_revision, "batch_size": int(batch_size)}
        section, video = WriterSection.model_validate(asked.base.model_dump() | of), asked.video
        self.accelerator = Accelerator()  # before the model is loaded: it says which GPU is this process's
        if device is not None and not str(self.device).startswith(device):
            raise LongVPOError(f"longvpo runs on {self.device}: leave --device out, and set CUDA_VISIBLE_DEVICES")
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self.writer: LocalWriter | None = LocalWriter(section)
        self.journal = Journal(Path(journal), COUNT) if journal else None
        self.documents = Documents(video, self._world_size)
        folder = writers_adapter(section)
        # lmms-eval writes what it finds under this name into the `config` of its results, and nothing else of a model
        self.batch_sizes = {
            "longvpo": {
                "longvpo": version("longvpo"),
                "lmms_eval": version("lmms-eval"),
                "date": f"{datetime.now(UTC):%Y-%m-%d}",
                "model": model_name(section),
                "adapter": remembered_hash(folder / ADAPTER_WEIGHTS) if folder else None,  # sha256 of its weights
                **section.model_dump(include={"dtype", "quantization", "attention"}),
                "processes": self._world_size,
                "frames": video.max_frames,
                **video.model_dump(include={"fps", "short_side", "fit", "backend"}),
                "frames_quality": video.jpeg_quality,
            }
        }

    @property
    def device(self) -> Any:
        return self.accelerator.device

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """The answers to this process's share of the documents, in their order; lmms-eval deals them out."""
        asked, limits = [], []
        for one in requests:
            _, messages_of, options, document, task, split = one.args
            messages = partial(messages_of, self.task_dict[task][split][document])
            asked.append(self.documents.request(task, messages, named=self.journal is not None))
            limits.append(token_limit(task, options))
        answers: dict[int, Answer] = {}
        for limit in sorted(set(limits)):
            places = [place for place in range(len(asked)) if limits[place] == limit]
            answers |= zip(places, self._answers([asked[place] for place in places], limit), strict=True)
        return [
            GenerationResult(until(answers[place].text, one.args[2].get("until") or []), _counts(answers[place]))
            for place, one in enumerate(requests)
        ]

    def _answers(self, requests: list[Request], limit: int) -> list[Answer]:
        """Answers of at most so many tokens."""
        writer = self.writer
        assert writer is not None, "lmms-eval asks no more once it has cleaned up"
        writer.section = writer.section.model_copy(update={"max_new_tokens": limit})
        writer.settings["max_new_tokens"] = limit
        bar = "" if self.rank else "longvpo"
        if self.journal:
            return self.journal.ask(writer, requests, bar)
        found: dict[int, Answer] = {}
        batches = writer.batches(requests)
        with tqdm(total=len(requests), desc=bar, disable=not bar) as progress:

            def keep(number: int, answers: list[Answer]) -> None:
                found.update(zip(batches[number], answers, strict=True))
                progress.update(len(answers))

            writer.write([[requests[place] for place in batch] for batch in batches], keep)
        return [found[place] for place in range(len(requests))]

    def clean(self) -> None:
        """Free the model's memory: a judge on the same GPU may follow."""
        self.writer = None
        super().clean()

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        raise LongVPOError(
            f"{requests[0].task_name} asks how likely given answers are, and lmms-eval 0.7.3 makes texts of such "
            "numbers, which it cannot count. Take a task whose output_type is generate_until"
        )

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        raise LongVPOError(
            f"{requests[0].task_name} has several rounds, and longvpo answers one question: leave it out"
        )


def _counts(answer: Answer) -> TokenCounts:
    return TokenCounts(input_tokens=answer.prompt_tokens, output_tokens=answer.completion_tokens)
