"""One row for both answers of a triplet: the prompt is computed once, and only the answers are scored.

A pair whose prompt has p + 1 tokens, chosen c and rejected r, is laid out as

    prompt without its last token | last, chosen without its end | last, rejected without its end
    p tokens                      | c tokens                     | r tokens

so that each answer's first token is predicted from a last prompt token of its own. Rejected does not see chosen, and
both have the positions that they would have in rows of their own. The pairs of a batch follow each other in one row,
without padding.

transformers' attention interface does the rest, with no mask of tokens x tokens: the prompt is causal and goes through
the model's own attention. The few answer tokens attend to prompt and answer. Where a flash kernel is available, that
takes two calls, one for each answer, causal from the bottom right. Elsewhere it takes a mask of answer tokens x
tokens. Sharing a prefix between the answers of a preference pair: arXiv 2410.20305, there for text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from longvpo.models.attention import attends_to_all
from longvpo.models.features import Features
from longvpo.training.groups import Group, check_same
from longvpo.training.step import ulysses
from longvpo.training.step.answers import by_mask, in_two_calls
from longvpo.training.step.phases import phase
from longvpo.training.step.vision import Vision

NAME = "longvpo_pairs_"  # before the name of the attention that does the prompt
IGNORED = -100  # TRL's label of tokens that are not scored

Encoded = Features | Callable[[], Features]  # the features of a video, or what makes them when a model is called


class Pair(NamedTuple):
    """Where a pair lies in the row."""

    start: int
    prompt: int  # tokens, without the last
    end: int
    mask: torch.Tensor  # (chosen + rejected, prompt + chosen + rejected), True where an answer token may look
    chosen: int  # tokens


def pair_mask(prompt: int, chosen: int, rejected: int, device: torch.device) -> torch.Tensor:
    """What the answer tokens of a pair see: all of the prompt, and of their own answer what comes before."""
    answers = chosen + rejected
    mask = torch.zeros(answers, prompt + answers, dtype=torch.bool, device=device)
    mask[:, :prompt] = True
    for first, last in ((0, chosen), (chosen, answers)):
        mask[first:last, prompt + first : prompt + last] = torch.ones_like(mask[first:last, : last - first]).tril()
    return mask


class _Configured:
    """A module as it is, with another configuration, and as many query heads a key head as there are."""

    def __init__(self, module: Any, config: Any, query: torch.Tensor, key: torch.Tensor) -> None:
        self._module, self.config = module, config
        self.num_key_value_groups = query.shape[1] // key.shape[1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def install(model: Any, group: Group | None = None) -> str | None:
    """Let a video model pass only answers to its LM head, and its language model take packed rows.

    Its attention without `pairs` stays what it was. A short text is computed both ways to see that they agree.

    Args:
        group: the processes that compute a packed row together (ulysses.py); None: each computes its own.

    Returns:
        None, or why the model cannot take packed rows.
    """
    model.base_model.register_forward_hook(partial(_answers_alone, group), with_kwargs=True)
    config = model.config.get_text_config()
    inner = config._attn_implementation
    flash = "flash" in inner  # by its name, as transformers has it, for a package and for a kernel on the Hub
    if inner != "sdpa" and not flash:
        return f"its attention is {inner}, not sdpa or flash_attention"
    if not attends_to_all(config):
        return "not all of its layers attend to everything before"
    function = AttentionInterface()[inner]
    own = copy.copy(config)
    own._attn_implementation = inner  # by which a flash attention finds its kernels

    def plain(module: Any, query: Any, key: Any, *states: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        """The model's own attention, which must not notice that it goes by another name."""
        named = _Configured(module, own, query, key)
        found: tuple[torch.Tensor, None] = function(named, query, key, *states, **kwargs)
        return found

    def attend(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        pairs: list[Pair] | None = None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attention over (1, heads, tokens, size); the result is (1, tokens, heads, size)."""
        options = {"scaling": scaling, "dropout": dropout}
        if pairs is None:
            result, _ = plain(module, query, key, value, attention_mask, **options, **kwargs)
            return result, None

        def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return plain(module, q, k, v, None, is_causal=True, **options)[0]

        tokens = query.shape[2]
        if group is not None:
            query, key, value = ulysses.by_heads(query, key, value, group)
        parts = []
        for start, prompt, end, mask, chosen in pairs:
            q, k, v = (states[:, :, start:end] for states in (query, key, value))
            parts.append(plain(module, *(s[:, :, :prompt] for s in (q, k, v)), None, **options)[0])
            with phase("answers"):
                if flash:
                    parts += in_two_calls(causal, q, k, v, prompt, chosen)
                else:
                    parts.append(by_mask(q, k, v, prompt, mask, scaling, dropout))
        result = torch.cat(parts, 1)
        return (result if group is None else ulysses.by_tokens(result, tokens * group.size, group)), None

    name = NAME + inner.replace("/", "_")  # with a slash it would be a kernel of the Hub
    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, AttentionMaskInterface()[inner])
    key = next(key for key in model.config.sub_configs if getattr(model.config, key) is config)
    model.set_attn_implementation({key: name})
    if group is not None:
        ulysses.install(model, group)
    if _agrees(model):
        return None
    return "its answers change when they share one" + (" over several processes" if group else "")


@torch.no_grad()
def _agrees(model: Any) -> bool:
    """Whether a short text gives the same packed and apart: a family may not hand `pairs` on to its attention."""
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 0], [1, 2, 3, 4, 6, 5, 7]], device=model.device)
    seen, scored = (ids > 0).long(), ((ids > 0) & (torch.arange(7, device=model.device) > 3)).long()
    before = model.training
    model.train()  # in evaluation, bitsandbytes packs NF4 on some CPUs for good, so that no gradient passes
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    try:
        packed = pack(ids, scored, seen, torch.arange(7, device=model.device).expand(1, 2, 7))
        together = model.base_model(**packed, use_cache=False).last_hidden_state
        places = {"answers": scored.flatten().nonzero()[:, 0] - 1}
        apart = model.base_model(input_ids=ids, attention_mask=seen, **places, use_cache=False).last_hidden_state
    finally:
        model.train(before)
    # the noise of bfloat16 through many layers is some hundredths; a token more or less in sight is far above
    return bool((together - apart).norm() < 0.1 * apart.norm())


def _answers_alone(group: Group | None, module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
    """The backbone passes only the hidden states from which answers are predicted: the LM head never sees the
    others."""
    answers, hidden = kwargs.get("answers"), output.last_hidden_state
    if answers is not None and group is not None and kwargs.get("pairs") is not None:
        output.last_hidden_state = ulysses.picked(hidden, answers, group)[None]
    elif answers is not None:
        output.last_hidden_state = hidden.flatten(0, 1)[answers][None]
    return output


def pack(
    input_ids: torch.Tensor, completion_mask: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor
) -> dict[str, Any]:
    """One row from n rows of prompt + chosen and n rows of prompt + rejected, padded on the right.

    Args:
        input_ids, completion_mask, attention_mask: (2n, T).
        position_ids: (k, 2n, T), k kinds of positions: 3 for a model with M-RoPE, otherwise 1.

    Returns:
        input_ids (1, S); position_ids (k, 1, S), or (1, S) when k is 1; pairs; answers (A,). answers has the places in
        the row that predict the answers' tokens: those of chosen in all pairs, then those of rejected.
    """
    device = input_ids.device
    prompts = (attention_mask - completion_mask).sum(1).tolist()
    lengths = completion_mask.sum(1).tolist()
    number = len(input_ids) // 2
    ids, positions, pairs = [], [], []
    places: list[torch.Tensor] = [torch.empty(0)] * (2 * number)
    start = 0
    for pair in range(number):
        prompt = prompts[pair] - 1
        spans = [(pair, 0, prompt)]
        middle = start + prompt
        for row in (pair, pair + number):
            spans.append((row, prompt, prompt + lengths[row]))
            places[row] = torch.arange(middle, middle + lengths[row], device=device)
            middle += lengths[row]
        ids += [input_ids[row, first:last] for row, first, last in spans]
        positions += [position_ids[:, row, first:last] for row, first, last in spans]
        mask = pair_mask(prompt, lengths[pair], lengths[pair + number], device)
        pairs.append(Pair(start, prompt, middle, mask, lengths[pair]))
        start = middle
    row_positions = torch.cat(positions, 1)[:, None]
    return {
        "input_ids": torch.cat(ids)[None],
        "position_ids": row_positions if len(row_positions) > 1 else row_positions[0],
        # transformers takes a mask of four dimensions as it is, and builds none of tokens x tokens
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
        "pairs": pairs,
        "answers": torch.cat(places),
    }


class Forward:
    """Calls a model on TRL's rows of prompt + chosen and prompt + rejected, packed where the model can be.

    It replaces the model in TRL's DPO loss, with the same call and the same result. But the prompt is computed once,
    and only tokens of answers are scored, on every device. The last result is kept: TRL's loss does not hand it out.
    """

    def __init__(self, model: Any, vision: Vision, packed: bool, group: Group | None = None, **options: bool) -> None:
        self.model, self.vision, self.packed, self.group = model, vision, packed, group
        self.options = options  # those of scoring.py
        self.outputs = SimpleNamespace()

    def __call__(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        features: Sequence[Encoded],
        position_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> SimpleNamespace:
        """As the fused LM head of TRL: fields of shape (2n, T - 1), zero where the label is none.

        Args:
            input_ids, attention_mask, labels: (2n, T), padded on the right.
            features: those of the n videos, or what makes them.
            position_ids: (3, 2n, T) for a model with M-RoPE; None: they are counted.
        """
        scored = labels != IGNORED
        if self.packed:
            counted = torch.arange(input_ids.shape[1], device=input_ids.device).expand(1, *input_ids.shape)
            inputs = pack(input_ids, scored.long(), attention_mask, counted if position_ids is None else position_ids)
            if self.group is not None:
                check_same(inputs["input_ids"], self.group)
        else:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "position_ids": position_ids}
            # the place before each scored token, in the rows laid end to end
            inputs["answers"] = scored.flatten().nonzero()[:, 0] - 1
        made = [one if isinstance(one, Features) else one() for one in features]
        inputs["mm_encoder_outputs"] = self.vision.outputs(made if self.packed else made * 2)
        found = self.model(**inputs, **kwargs, **self.options, shift_labels=labels[scored][None])

        def in_rows(values: torch.Tensor | None) -> torch.Tensor | None:
            """Values of the answers' tokens, in TRL's rows."""
            if values is None:
                return None
            return values.new_zeros(labels.shape[0], labels.shape[1] - 1).masked_scatter(scored[:, 1:], values[0])

        fields = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
        self.outputs = SimpleNamespace(
            **{name: in_rows(getattr(found, name)) for name in fields}, aux_loss=found.aux_loss
        )
        return self.outputs
