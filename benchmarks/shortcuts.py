"""The shortcut report of a dataset that is built or published, made again from its rows.

    python benchmarks/shortcuts.py FOLDER_OR_ID [--revision TAG]

It lists rules that never look at the question. Each has the share of rows in which it points at chosen, the standard
error of chance, and the rows about which it tells something. Rules that need frames or models are not in it.
"""

from __future__ import annotations

import argparse
from dataclasses import fields

from longvpo.clips.rows import Triplet
from longvpo.clips.stored import config_names, load_rows
from longvpo.dataset.shortcuts import gives_away, shortcuts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--revision")
    given = parser.parse_args()
    names = {field.name for field in fields(Triplet)}
    for config in sorted({"stage1", "stage2"}.intersection(config_names(given.dataset, given.revision))):
        rows = load_rows(given.dataset, config, "train", given.revision)
        triplets = [Triplet(**{name: row[name] for name in names & row.keys()}) for row in rows]
        print(f"{config}, {len(triplets)} triplets\n{'chosen':>36}{'':>9}{'rows':>8}")
        for one in shortcuts(triplets, {}):
            share = "-" if one["chosen"] is None else f"{100 * one['chosen']:.1f} % ± {100 * one['error']:.1f}"
            print(f"{one['rule']:30}{share:>15}{one['rows']:8}{'  <- gives the answer away' * gives_away(one)}")


if __name__ == "__main__":
    main()
