"""How to cite a release, as BibTeX: the paper of the method, and the release itself.

Authors and title: https://arxiv.org/abs/2602.02341.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from longvpo.release.markdown import page_of

PAPER = """@inproceedings{huang2025longvpo,
  title = {{LongVPO}: From Anchored Cues to Self-Reasoning for Long-Form Video Preference Optimization},
  author = {Huang, Zhenpeng and Li, Jiaqi and Jia, Zihan and Li, Xinhao and Meng, Desen and Song, Lingxue and Chen, Xi
            and Li, Liang and Wang, Limin},
  booktitle = {Advances in Neural Information Processing Systems}, year = {2025}, note = {arXiv:2602.02341}
}"""


def citation(release: Mapping[str, Any] | None) -> str:
    """The paper's entry and, of what was published, its own.

    Args:
        release: repo_id, kind and tag of a release, and its year; earlier versions did not keep the year.
    """
    if not release:
        return PAPER
    namespace, _, name = str(release["repo_id"]).rpartition("/")
    values = {
        "author": namespace,
        "title": name,
        "year": release.get("year", ""),
        "publisher": "Hugging Face",
        "version": release["tag"],
        "url": page_of(release["repo_id"], release["kind"]),
    }
    lines = [f"  {key:9} = {{{_value(value)}}}" for key, value in values.items() if value]
    key = re.sub(r"[^\w-]+", "-", f"{release['repo_id']}", flags=re.ASCII)
    return PAPER + f"\n\n@misc{{{key},\n" + ",\n".join(lines) + "\n}"


def _value(text: Any) -> str:
    """A text between the braces of an entry, which it does not close."""
    return " ".join(re.sub(r"[{}\\]", " ", str(text)).split())
