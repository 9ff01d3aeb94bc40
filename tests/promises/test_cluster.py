"""recipes/cluster: its scripts run, with programs for Slurm, Ray and servers that note what they are asked.

What longvpo is asked ends well with --dry-run.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from accelerate.commands import launch
from support.commands import Capture, run
from support.world import ROOT, SMALL

from longvpo.cli.recipes import recipes
from longvpo.recipe.builtin import builtin_files

CLUSTER = ROOT / "recipes" / "cluster"
NOTED = f"""#!{sys.executable} -S
import json, os, subprocess, sys, time
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(os.environ["NOTES"], "a") as notes:
    notes.write(json.dumps([name, *words]) + "\\n")
with open(os.environ["NOTES"] + "-" + name, "w") as had:
    json.dump({{one: os.environ.get(one) for one in ("CUDA_VISIBLE_DEVICES", "SRUN_CPUS_PER_TASK")}}, had)
if name == "srun":
    while words and words[0].startswith("-"):
        del words[0]
    sys.exit(subprocess.call(words, env={{**os.environ, "SLURM_NODEID": "0"}}))
if words[:2] == ["show", "hostnames"]:
    print("first", "second", sep="\\n")
if name == "hostname":
    print("10.0.0.1 fe80::1")
if name == "accelerate":
    words = words[words.index("-m") + 1 :]
    sys.exit(subprocess.call(words))
if name == "vllm" or (words[:1] == ["start"] and "--block" in words):
    time.sleep(float(os.environ.get("SERVED", 0)))
if name == "longvpo" and os.environ.get("WORKED") and words[0] != "recipes":
    time.sleep(float(os.environ["WORKED"]))
"""
PROGRAMS = ("srun", "scontrol", "hostname", "ray", "longvpo", "accelerate", "vllm", "curl", "pip", "nvidia-smi", "hf")
SLURM = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "71", "SLURM_JOB_NUM_NODES": "2"}
SLURM |= {"SLURM_GPUS_PER_NODE": "h100:8", "SLURM_CPUS_PER_TASK": "64", "SLURM_NODEID": "0"}
SLURM |= {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}
SKY = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NODE_RANK": "0", "SKYPILOT_NUM_NODES": "2"}
SKY |= {"SKYPILOT_NUM_GPUS_PER_NODE": "8"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs that note what they are asked, before all others; all commands run in it."""
    (tmp_path / "bin").mkdir()
    for name in PROGRAMS:
        (tmp_path / "bin" / name).write_text(NOTED)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name, value in (SLURM | SKY | {"NOTES": str(tmp_path / "notes")}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def noted(machine: Path, *command: object) -> list[list[str]]:
    """What the programs were asked by a command that ends well."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (machine / "notes").read_text().splitlines()]


def had(machine: Path, name: str) -> dict[str, str | None]:
    """What a program found in its environment."""
    found: dict[str, str | None] = json.loads((machine / f"notes-{name}").read_text())
    return found


def asked(notes: list[list[str]], *begin: str) -> list[str]:
    """The one command that begins so."""
    (found,) = [one for one in notes if one[: len(begin)] == [*begin]]
    return found


def dry_run(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """A command of longvpo, as it was asked, ends well with --dry-run."""
    assert command[0] == "longvpo"
    words = [word for word in command[1:] if word != "--push"]
    assert run(monkeypatch, *words, "--dry-run") == 0, command


def launched(command: list[str]) -> list[str]:
    """What longvpo is asked by `accelerate launch`, whose own parser reads the rest."""
    parsed = launch.launch_command_parser().parse_args(command[2:])
    parsed, _, _ = launch._validate_launch_command(parsed)
    assert (parsed.module, parsed.multi_gpu) == (True, True)
    assert (parsed.num_machines, parsed.num_processes, parsed.machine_rank) in ((2, 16, 0), (1, 1, 0))
    assert parsed.num_machines == 1 or parsed.main_process_port
    return [parsed.training_script, *parsed.training_script_args]


def test_a_build_on_slurm(machine: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    small = [f"sources.0.folder={world}", *SMALL]
    notes = noted(machine, "bash", CLUSTER / "slurm_build.sh", "tiny", "out/triplets", *small)
    head = asked(notes, "ray", "start", "--head")  # whichever of the two was the first to note
    others = asked(notes, "ray", "start", "--address=10.0.0.1:20071")
    assert f"--port={20071}" in head
    assert "--num-gpus=8" in others
    (step,) = [one for one in notes if one[0] == "srun" and "--exclude=first" in one]
    assert "--ntasks=1" in step
    build = asked(notes, "longvpo", "build-dataset")
    assert build[-4:] == ["--engine", "ray", "--workers", "16"]
    assert had(machine, "ray")["SRUN_CPUS_PER_TASK"] == "64"
    dry_run(monkeypatch, build)


def test_a_job_whose_ray_does_not_start_ends(machine: Path) -> None:
    (machine / "bin" / "ray").write_text("#!/bin/bash\nexit 1\n")
    done = subprocess.run(["bash", str(CLUSTER / "slurm_build.sh"), "tiny", "out"], capture_output=True, timeout=30)
    assert done.returncode == 1


def test_a_build_beside_a_server_on_slurm(
    machine: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SERVED", "3")
    small = [f"sources.0.folder={world}", *SMALL, "writer.endpoint.concurrency=4"]
    notes = noted(machine, "bash", CLUSTER / "slurm_server.sh", "tiny", "out/triplets", *small)
    served = asked(notes, "vllm", "serve")
    assert served[served.index("--data-parallel-size") + 1] == "7"
    head = (ROOT / "recipes" / "longvpo-16k" / "dataset.yaml").read_text()
    for option in ("--dtype", "--max-model-len", "--limit-mm-per-prompt", "--media-io-kwargs"):
        said = shlex.split(head[head.index(option) :].split("\n#\n")[0].replace("\n#", "\n").replace("\\", ""))
        assert served[served.index(option) + 1] == said[1], "the server's line is that of the recipe"
    gpus = [had(machine, name)["CUDA_VISIBLE_DEVICES"] for name in ("vllm", "longvpo")]
    assert gpus == ["0,1,2,3,4,5,6", "7"], "no GPU is shared"
    dry_run(monkeypatch, asked(notes, "longvpo", "build-dataset"))


@pytest.mark.parametrize("script", ["slurm_build.sh", "slurm_server.sh", "slurm_train.sh"])
def test_a_job_goes_into_the_queue_again_before_its_time_ends(
    script: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKED", "20")
    monkeypatch.setenv("SERVED", "20")
    job = subprocess.Popen(["bash", str(CLUSTER / script), "tiny", "out/result"], start_new_session=True)
    command = ["longvpo", "train" if "train" in script else "build-dataset"]
    until = time.monotonic() + 30
    while command not in [line[:2] for line in notes_of(machine)] and time.monotonic() < until:
        time.sleep(0.02)
    job.send_signal(signal.SIGUSR1)  # as `--signal=B:USR1@300` has Slurm do
    assert job.wait(20) == 0
    os.killpg(job.pid, signal.SIGKILL)  # as Slurm ends what a job has left
    assert ["scontrol", "requeue", "71"] in notes_of(machine)
    assert "#SBATCH --requeue" in (CLUSTER / script).read_text()


def notes_of(machine: Path) -> list[list[str]]:
    file = machine / "notes"
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def test_a_training_on_slurm(
    machine: Path, dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    data = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    notes = noted(machine, "bash", CLUSTER / "slurm_train.sh", "tiny/stage1", "out/adapter", *data)
    assert had(machine, "accelerate")["SRUN_CPUS_PER_TASK"] == "64"
    config = asked(notes, "longvpo", "recipes")[2]
    command = asked(notes, "accelerate", "launch")
    command[command.index("--config_file") + 1] = str(ROOT / "recipes" / f"{config}.yaml")
    dry_run(monkeypatch, launched(command))
    assert [*(machine / "out").iterdir()] == []


def test_what_skypilot_is_given(
    machine: Path, dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    values = {
        "sky_build": {
            "RECIPE": "my.yaml",  # in the folder where the task begins
            "OVERRIDES": " ".join([f"sources.0.folder={world}", *SMALL]).replace(", ", ","),
        },
        "sky_train": {"RECIPE": "tiny/stage1", "DATASET": str(dataset), "OVERRIDES": f"data.videos.drawn={world}"},
    }
    (machine / "my.yaml").write_text("extends: tiny/dataset\n")
    for name, given in values.items():
        task = yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())
        assert set(given) <= set(task["envs"])
        for variable, value in given.items():
            monkeypatch.setenv(variable, value)
        (machine / "notes").unlink(missing_ok=True)
        (machine / "shared").mkdir(exist_ok=True)
        program = task["setup"] + task["run"].replace("/shared", str(machine / "shared"))
        notes = noted(machine, "bash", "-c", program)
        assert asked(notes, "longvpo", "push")
        if name == "sky_build":
            with monkeypatch.context() as patch:
                patch.chdir(machine / "shared")
                dry_run(monkeypatch, asked(notes, "longvpo", "build-dataset"))
            monkeypatch.setenv("SKYPILOT_NODE_RANK", "1")
            (machine / "notes").unlink()
            assert "--block" in asked(noted(machine, "bash", "-c", program), "ray", "start")
            monkeypatch.setenv("SKYPILOT_NODE_RANK", "0")
        else:
            command = asked(notes, "accelerate", "launch")
            command[command.index("--config_file") + 1] = str(ROOT / "recipes" / "accelerate" / "ddp.yaml")
            dry_run(monkeypatch, launched(command))


@pytest.mark.parametrize("what", ["build", "train"])
def test_a_job_of_the_hub(
    what: str, machine: Path, dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SOURCE", "https://example.org/longvpo-0.1.0-py3-none-any.whl")
    recipe, values = {
        "build": ("tiny", [f"sources.0.folder={world}", *SMALL]),
        "train": ("tiny/stage1", [f"data.dataset={dataset}", f"data.videos.drawn={world}"]),
    }[what]
    notes = noted(machine, "bash", CLUSTER / "hf_jobs.sh", what, recipe, "me/result", *values)
    job = asked(notes, "hf", "jobs", "run")
    real = Path(sys.executable).with_name("hf")
    said = subprocess.run([str(real), *job[1:3], "--dry-run", *job[3:]], capture_output=True, text=True)
    assert "Job not submitted" in said.stdout + said.stderr, said.stderr
    (machine / "notes").unlink()
    notes = noted(machine, *job[job.index("bash") :])
    assert asked(notes, "pip")[-1].endswith(".whl")
    command = asked(notes, "longvpo", "build-dataset" if what == "build" else "train")
    command[command.index("--repo-id") : command.index("--repo-id") + 2] = []
    dry_run(monkeypatch, command)


def test_compose_and_lists(machine: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    services = yaml.safe_load((CLUSTER / "compose.yaml").read_text())["services"]
    assert services["build"]["depends_on"]["server"]["condition"] == "service_healthy"
    assert "--model OpenGVLab/InternVL3-8B-hf" in services["server"]["command"]
    monkeypatch.setenv("RECIPE", "tiny")
    program = services["build"]["command"][2].replace("$$", "$")
    command = asked(noted(machine, "bash", "-c", program), "longvpo", "build-dataset")
    dry_run(monkeypatch, [*command, f"sources.0.folder={world}", *SMALL, "writer.endpoint=null"])
    assert not [name for name in builtin_files() if "cluster" in name], "they are no recipes"
    capsys.readouterr()
    recipes()
    assert "cluster" not in capsys.readouterr().out
    for path in CLUSTER.glob("*"):
        assert "run" in path.read_text().lower()
        assert f"`{path.name}`" in (CLUSTER / "README.md").read_text() or path.name == "README.md"
