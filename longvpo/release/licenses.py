"""The licence ids that a card may name, as the Hub's documentation lists them (its page "Licenses")."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from longvpo.errors import LongVPOError, did_you_mean, visible

IDS = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr
    mpl-2.0 odc-by odbl open-mdw openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    grok2-community gemma other
"""  # `unknown` is one too, but nobody can say yes to that
HUB_LICENSES = frozenset(IDS.split())
UNKNOWN = "unknown"  # what nobody has stated
LICENSE = "LICENSE"  # the file that says which licence was stated of what
HEADING = "Licences as they were stated"


def stated(license_id: str) -> str:
    """A licence as a card names it."""
    return "not stated" if license_id == UNKNOWN else license_id


def check_license(license_id: str | None, key: str, said_by: str) -> str:
    """The id, if the Hub knows it.

    Args:
        key: names in the message what has this licence.
        said_by: how the user states it, up to the id.

    Raises:
        LongVPOError: it does not, or no licence is stated.
    """
    if license_id in HUB_LICENSES:
        return license_id
    if license_id in (None, "", UNKNOWN):
        raise LongVPOError(
            f"{key} is not stated: say under which licence it may be published, as in {said_by}cc-by-4.0; "
            "`other` stands for what is not in the Hub's list"
        )
    meant = did_you_mean(str(license_id).lower(), HUB_LICENSES)
    raise LongVPOError(
        f"{key}: {license_id} is not a licence id of the Hub{meant}; `other` stands for what is not in its list"
    )


def dataset_license(stated: str | None, sources: dict[str, str], said_by: str | None = None) -> str:
    """The licence id of a dataset.

    Args:
        stated: by the recipe.
        sources: licence of each, by its key in the recipe.
        said_by: how the user states the dataset's, up to the id; None: by its key, as the sources'.

    Raises:
        LongVPOError: a source's licence or the dataset's is missing or unknown to the Hub.
    """
    for key, license_id in sources.items():
        check_license(license_id, key, f"{key}=")
    each = sorted(set(sources.values()))
    if stated is None and len(each) > 1:
        raise LongVPOError(
            f"the sources have several licences ({', '.join(each)}): set `license` to that of the whole dataset"
            + (f", as in {said_by}{each[0]}" if said_by else "")
        )
    return check_license(stated or each[0], "license", said_by or "license=")


def licensed(facts: dict[str, Any], stated: str | None, folder: Path | None = None) -> dict[str, Any]:
    """The facts of a build or a training with the licence under which it is published.

    Args:
        folder: where they are, for the message that says how to state a licence.
        stated: at the release, where the recipe stated none: for sources of a dataset, or for the base of an adapter.

    Raises:
        LongVPOError: a licence is missing or unknown to the Hub, or none is missing and another is stated.
    """
    sources = facts.get("sources", [])
    said = {f"the licence of source {one['name']}": one["license"] for one in sources}
    said = said or {"the licence of the base": facts["license"]}
    missing = UNKNOWN in said.values()
    if stated:
        check_license(stated, "--license", "--license ")
        if not missing and stated not in {facts["license"], *said.values()}:
            raise LongVPOError("--license is for a licence that the recipe does not state, and it states all of them")
        said = {what: stated if one == UNKNOWN else one for what, one in said.items()}
    card = f"longvpo card {shlex.quote(str(folder)) if folder else 'FOLDER'} "
    keys = [f"sources.{one['name']}.license" for one in sources] or ["license"]
    for key, (what, one) in zip(keys, said.items(), strict=False):
        check_license(one, what, f"--license cc-by-4.0, or for good {card}{key}=")
    license = dataset_license(facts["license"] if sources else None, said, f"{card}license=")
    named = [one | {"license": license_id} for one, license_id in zip(sources, said.values(), strict=False)]
    more = {"licensed_at_release": True} if stated and missing else {}
    return facts | more | ({"sources": named} if sources else {}) | {"license": license}


def license_by(file: Path) -> Literal["longvpo", "publisher"] | None:
    """Who wrote this LICENSE: a release, which may write it again, or a person. None: it is not here."""
    if not file.is_file():
        return None
    return "longvpo" if file.read_bytes().startswith(HEADING.encode()) else "publisher"


def license_text(facts: dict[str, Any]) -> str | None:
    """The file LICENSE of a dataset: which licence was stated of what. It states none itself.

    Args:
        facts: as `licensed` returns them.

    Returns:
        None where one id of the Hub's list holds for the rows and for all sources: the card's front matter has it.
    """
    stated = {facts["license"], *(source["license"] for source in facts["sources"])}
    if stated == {facts["license"]} and facts["license"] != "other":
        return None
    lines = [
        f"{HEADING} for the dataset {facts['name']}.",
        "",
        "This file repeats what the publisher stated. It grants no rights by itself.",
        "The names are ids of the Hub: https://huggingface.co/docs/hub/repositories-licenses",
        "`other` is any licence that is not in its list: read the terms of the source.",
        "",
        f"The rows of the dataset: {facts['license']}",
    ]
    for source in facts["sources"]:
        lines += [
            "",
            f"Source {source['name']}{', ' + source['dataset'] if source['dataset'] else ''}: {source['license']}",
            f"Others may {'' if source['redistribution'] else 'not '}publish its videos, as the publisher stated.",
            *([" ".join(source["about"].split())] if source["about"] else []),
        ]
    return visible("\n".join(lines) + "\n")
