"""One run in several processes: what would be silently wrong is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands import launch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import is_deepspeed_available
from support.trainings import launched

from longvpo.errors import LongVPOError
from longvpo.io.files import shipped
from longvpo.recipe.builtin import builtin_recipes, find_recipe
from longvpo.training.arguments import training_arguments
from longvpo.training.processes import check_processes

CONFIGS = sorted(shipped("recipes").glob("accelerate/*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_of_accelerate_is_one_and_says_what_it_is(config: Path) -> None:
    loaded = load_config_from_file(str(config))  # unknown keys are an error
    known = vars(launch.launch_command_parser().parse_args(["longvpo"]))
    for section, prefix in ((loaded.fsdp_config, "fsdp_"), (loaded.deepspeed_config, "")):
        for key in section:  # accelerate does not look at these
            assert key in known, key
            assert key.startswith(prefix)
    comment = " ".join(line.strip("# ") for line in config.read_text().splitlines() if line.startswith("#"))
    assert f"accelerate launch --config_file recipes/accelerate/{config.name}" in comment
    assert "Hardware:" in comment
    assert "Not run on a GPU" in comment
    assert config.name in config.with_name("README.md").read_text()
    assert f"accelerate/{config.stem}" not in builtin_recipes()
    assert find_recipe(f"accelerate/{config.stem}") == config, "`longvpo recipes` prints it"
    if loaded.distributed_type != "DEEPSPEED" or is_deepspeed_available():
        assert training_environment(launched(config)) is None


def training_environment(environment: dict[str, str]) -> str | None:
    """Why a run in this environment is refused."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        arguments = training_arguments({}, Path("unused"))
        try:
            check_processes(arguments)
        except LongVPOError as error:
            return str(error)
    return None


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PARALLELISM_CONFIG_CP_SIZE": "2"}, "cp_size above 1 cuts a row into parts"),
        ({"PARALLELISM_CONFIG_SP_SIZE": "2"}, "sp_size above 1 cuts a row into parts"),
        ({"PARALLELISM_CONFIG_TP_SIZE": "2"}, "tp_size above 1"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "set fsdp_version: 2"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(environment: dict[str, str], message: str) -> None:
    assert message in (training_environment(environment) or "")


def test_one_process_that_sees_several_gpus_is_refused() -> None:
    arguments = training_arguments({}, Path("unused"))
    arguments._n_gpu = 2
    with pytest.raises(LongVPOError, match="start it with `accelerate launch --config_file"):
        check_processes(arguments)


def test_zero_3_is_refused() -> None:
    arguments = training_arguments({}, Path("unused"))
    arguments.deepspeed_plugin = type("Plugin", (), {"zero_stage": 3})
    with pytest.raises(LongVPOError, match="set zero_stage to 2"):
        check_processes(arguments)


@pytest.mark.parametrize("key", ["deepspeed", "fsdp", "fsdp_config", "parallelism_config"])
def test_how_processes_share_the_work_is_not_the_recipes_to_say(key: str) -> None:
    with pytest.raises(LongVPOError, match=rf"training\.{key} is not the recipe's to set: give `accelerate launch`"):
        training_arguments({key: {}}, Path("unused"))
