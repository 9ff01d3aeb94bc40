"""The miniature study: the method and its ablations on the drawn world and the tiny model, with several seeds.

    python benchmarks/miniature.py --output FOLDER [--seeds 0 1 2] [--arms stage1 no-filter ...]
    python benchmarks/miniature.py --output FOLDER --table

Each seed has a base of its own, a world of its own, and trainings with that seed. Two processes with a thread each
work side by side, about two hours for all. The same command again resumes a study that was killed: each finished arm
is a file in FOLDER/kept. `--table` runs nothing: it writes what is kept into benchmarks/results/miniature.jsonl, and
the table and the figure of benchmarks/miniature.md from that.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

from miniature_arms import ARMS, GROUPS, SIZES, Size

from longvpo.io.files import as_json, read_json, write_text

FIRST = "stage1"  # the arm that others of its seed start from; it makes the base and the world too


def begin_process(parent: int) -> None:
    """One thread; and no process outlives the study, whatever ends that."""
    import torch

    torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(output: Path, size: Size, seeds: Sequence[int], names: Sequence[str], processes: int = 2) -> bool:
    """Run the arms of these names with these seeds, and stage 1; 1 process: in this one.

    Returns:
        Whether all went well. A failure is printed, and the arms that do not need it continue.
    """
    from miniature_work import run_group

    check_size(output, size)
    names = [FIRST, *names]
    first, *others = [group for group in GROUPS if any(arm.name in names for arm in ARMS if arm.group == group)]
    if processes == 1:
        for seed in seeds:
            for group in (first, *others):
                say(run_group(output, size, seed, group, names))
        return True
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    well = True
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, begin_process, (os.getpid(),)) as pool:
        begun: dict[Future[str], int] = {
            pool.submit(run_group, output, size, seed, first, names): seed for seed in seeds
        }
        left = set(begun)
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                failure = future.exception()
                say(f"error: {failure!r}" if failure else future.result())
                well = well and failure is None
                if future in begun and failure is None:
                    seed = begun[future]
                    left |= {pool.submit(run_group, output, size, seed, group, names) for group in others}
    return well


def say(line: str) -> None:
    print(
        f"\n{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True
    )  # bars of other processes end in no line


def check_size(output: Path, size: Size) -> None:
    """Ends the program where the folder holds a study of another size: its arms would not be comparable."""
    file, said = output / "size.json", as_json(asdict(size))
    if file.is_file() and as_json(read_json(file)) != said:
        sys.exit(f"error: {output} holds a study of another size: give another --output")
    write_text(file, said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS], choices=[arm.name for arm in ARMS])
    parser.add_argument("--table", action="store_true", help="run nothing; write the table and the figure")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--size", choices=SIZES, default="study", help="smoke shows only that the program runs")
    given = parser.parse_args()
    if given.table:
        from miniature_table import write_page

        write_page(given.output / "kept")
        return
    if not run(given.output.resolve(), SIZES[given.size], given.seeds, given.arms, given.processes):
        sys.exit("error: some arms are missing; the same command again tries them")


if __name__ == "__main__":
    main()
