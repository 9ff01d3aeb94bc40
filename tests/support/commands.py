"""The command line as a user meets it: run here, and a mistake checked."""

from __future__ import annotations

import pytest

from longvpo import cli

Capture = pytest.CaptureFixture[str]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["longvpo", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def check_mistake(code: int, capsys: Capture, texts: list[str]) -> None:
    captured = capsys.readouterr()
    errors = [line for line in captured.err.replace("\r", "\n").splitlines() if line.startswith("error:")]
    assert code == 1
    assert captured.out == ""
    assert len(errors) == 1
    assert "Traceback" not in captured.err
    for text in texts:
        assert text in errors[0]
