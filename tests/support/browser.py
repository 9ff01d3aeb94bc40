"""A real Chromium without a window, driven by chromedriver's plain HTTP (WebDriver), without a package for it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

PROGRAMS = (("chromium", "chromium-browser", "google-chrome"), ("chromedriver",))
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key by which WebDriver names an element
SECONDS = 30.0  # to wait for something


def programs() -> list[str] | None:
    """Chromium and its driver; None where one is not here."""
    found = [next(filter(None, map(shutil.which, names)), None) for names in PROGRAMS]
    return [one for one in found if one] if all(found) else None


class Browser:
    """One session. `errors` and `asked` tell what its console and its network said since the last call."""

    def __init__(self, address: str, downloads: Path) -> None:
        self._open = build_opener(ProxyHandler({})).open
        binary = (programs() or [""])[0]
        options = {"binary": binary, "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--lang=en"]}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._ask("POST", f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
        self.address = f"{address}/session/{session['sessionId']}"
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def _ask(self, method: str, address: str, values: Any = None) -> Any:
        body = None if method == "GET" else json.dumps(values or {}).encode()
        request = Request(address, body, {"Content-Type": "application/json"}, method=method)
        try:
            with self._open(request, timeout=120) as reply:
                return json.load(reply)["value"]
        except HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def post(self, path: str, **values: Any) -> Any:
        return self._ask("POST", f"{self.address}/{path}", values)

    def get(self, path: str) -> Any:
        return self._ask("GET", f"{self.address}/{path}")

    def close(self) -> None:
        self._ask("DELETE", self.address)

    def cdp(self, command: str, **params: Any) -> Any:
        return self.post("goog/cdp/execute", cmd=command, params=params)

    def size(self, width: int, height: int, scale: float = 1) -> None:
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def dark(self, wanted: bool) -> None:
        value = "dark" if wanted else "light"
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def open(self, page: Path, hash: str = "") -> None:
        """Open a page of ours from disk, and wait until it says that it is ready."""
        self.post("url", url="about:blank")  # another hash of the same page would not load it again
        self.post("url", url=page.as_uri() + hash)
        self.wait("document.documentElement.dataset.ready")

    def run(self, script: str, *values: Any) -> Any:
        """What an expression of JavaScript gives; its values are `arguments`."""
        return self.post("execute/sync", script=f"return {script}", args=list(values))

    def wait(self, script: str, *values: Any) -> Any:
        ended = time.monotonic() + SECONDS
        while not (found := self.run(script, *values)):
            assert time.monotonic() < ended, f"never true: {script}"
            time.sleep(0.02)
        return found

    def find(self, css: str) -> list[str]:
        return [one[ELEMENT] for one in self.post("elements", using="css selector", value=css)]

    def click(self, css: str) -> None:
        self.post(f"element/{self.find(css)[0]}/click")

    def label(self, element: str) -> str:
        """The name that a screen reader says, as the browser computes it."""
        return self.get(f"element/{element}/computedlabel")

    def keys(self, text: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        steps = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.post("actions", actions=[{"type": "key", "id": "keyboard", "actions": steps}])

    def texts(self, css: str) -> list[str]:
        return self.run("[...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", css)

    def errors(self) -> list[str]:
        return [line["message"] for line in self.post("se/log", type="browser")]

    def asked(self) -> list[str]:
        """Addresses that the page asked for."""
        events = [json.loads(line["message"])["message"] for line in self.post("se/log", type="performance")]
        sent = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "about:"))]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.get("screenshot")))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser whose downloads go into a folder."""
    found = programs()
    assert found
    log = folder / "chromedriver.log"
    with log.open("wb") as written:
        driver = subprocess.Popen([found[1], "--port=0"], stdout=written, stderr=subprocess.STDOUT)
        try:
            ended = time.monotonic() + SECONDS
            while not (port := re.search(rb"successfully on port (\d+)", log.read_bytes())):
                assert time.monotonic() < ended, log.read_text()
                time.sleep(0.02)
            session = Browser(f"http://127.0.0.1:{int(port[1])}", folder)
            try:
                yield session
            finally:
                session.close()
        finally:
            driver.terminate()
            driver.wait()
