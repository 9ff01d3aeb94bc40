"""The page of `longvpo view` in a real Chromium, opened from disk: mouse, keys, phone, names, attacks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import ELEMENT, SECONDS, Browser, browser, programs
from support.hostile import IDS, LINES, SCRIPT, TAG, hostile_dataset
from support.world import GOLDEN

from longvpo.release.spot_check import FILE, read_spot_check
from longvpo.viewer.run import view

ROWS = 130
ENTRIES = "main .entry"
READY = "document.querySelector('.item article')"
# the contrast of every text that is shown, against the nearest colour behind it
CONTRAST = """(() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => numbers(color).slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if ((numbers(color)[3] ?? 1) > 0) return color;
    }
  };
  return [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility()
    && !one.disabled && [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim())).map((one) => {
    const [text, back] = [light(getComputedStyle(one).color), light(behind(one))];
    const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    return [ratio, one.className || one.tagName, one.innerText];
  }).filter(([ratio]) => ratio < 4.5);
})()"""
WIDER = """[...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
  && !one.closest(".scroll")).map((one) => one.className || one.tagName)"""


@pytest.fixture(scope="module")
def folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_dataset(tmp_path_factory.mktemp("hostile") / "mine", dataset, ROWS)


@pytest.fixture(scope="module")
def page(folder: Path, world: Path) -> Path:
    made = view(str(folder), folder.parent / "page", {"drawn": world}, rows=6)
    return Path(made["page"])


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def chromium(downloads: Path) -> Iterator[Browser]:
    if programs() is None:
        pytest.skip("Chromium and chromedriver are not here")
    with browser(downloads) as one:
        yield one


@pytest.fixture
def tab(chromium: Browser, page: Path) -> Iterator[Browser]:
    """A fresh page at a desktop's size. Whatever a test does: no console error, and no request but for its files."""
    chromium.size(1280, 900)
    chromium.dark(False)
    chromium.open(page)
    yield chromium
    chromium.run("localStorage.clear()")
    assert chromium.errors() == []
    assert [url for url in chromium.asked() if not url.startswith(page.parent.parent.as_uri())] == []
    assert chromium.run("document.title") != "hacked"


def heading(tab: Browser) -> str:
    return tab.texts("article h2")[0]


def test_the_first_row_is_there_at_once_with_its_anchor_framed(tab: Browser) -> None:
    assert len(tab.find(ENTRIES)) == 50
    assert tab.texts(".status")[0].startswith(f"{ROWS + 13} triplets")
    assert heading(tab) == TAG
    framed = [text for text in tab.texts(".strip .clip.anchor, .strip .clip.both") if "★" in text]
    assert len(framed) == 1
    assert "anchor" in framed[0]
    assert any("distractor" in text for text in tab.texts(".clip.other"))
    assert tab.wait("[...document.images].some((one) => one.complete && one.naturalWidth > 0)")


def test_texts_of_strangers_stay_texts(tab: Browser, page: Path) -> None:
    assert tab.texts(".answer .words")[0] == SCRIPT
    assert tab.run("document.querySelectorAll('.answer .words')[1].textContent") == LINES
    assert tab.texts("#name") == ["<b>hostile</b>"]
    for part in ("#dropped", "#numbers", f"#stage1/{IDS[1]}", "#stage2/stage2-000000", "#dropped/3"):
        tab.open(page, part.replace("%", "%25").replace('"', "%22").replace("<", "%3C").replace(">", "%3E"))
        assert tab.run("document.querySelectorAll('main img:not([src^=frames]), main script, main b').length") == 0
    tab.open(page, "#stage2/stage2-000000")
    assert TAG in tab.texts(".kicker")[0]
    assert tab.run("document.title") == "<b>hostile</b> · longvpo view"


def test_pages_filters_order_and_search(tab: Browser) -> None:
    assert tab.texts(".where") == ["Page 1 of 3"]
    tab.click("[aria-label='Next page']")
    assert tab.texts(".where") == ["Page 2 of 3"]
    pick = "[...document.querySelectorAll('.field')].find((one) => one.innerText.startsWith(arguments[0])).lastChild"
    change = f"((one) => {{ one.selectedIndex = arguments[1]; one.dispatchEvent(new Event('change')); }})({pick})"
    tab.run(change, "stage", 2)
    assert tab.texts(".status") == [f"13 of {ROWS + 13} triplets"]
    assert all("from scene" in text for text in tab.texts(".entry .line"))
    tab.run(change, "rejected", 2)
    assert tab.texts(".entry .line")[0].endswith("irrelevant")
    assert "(2 set)" in tab.texts("summary")[0]
    tab.click(".reset")
    tab.run(change, "order", 1)
    clips = [int(text.split(" of ")[1].split(" ")[0]) for text in tab.texts(".entry .line")]
    assert clips == sorted(clips, reverse=True)
    tab.keys("/onerror=")
    tab.wait(f"document.querySelectorAll('{ENTRIES}').length === 1")
    tab.run("document.activeElement.select()")
    tab.keys("shows a red ring")  # only in the traces, which are in parts that are read for it
    tab.wait("document.querySelector('.status').innerText.startsWith('13 of')")
    tab.run("document.activeElement.select()")
    tab.keys("no such words")
    tab.wait("document.querySelector('.empty')")
    tab.click(".empty button")
    assert len(tab.find(ENTRIES)) == 50


def test_keys_and_deep_links(tab: Browser, page: Path) -> None:
    tab.keys("jj")
    tab.wait("location.hash === '#stage1/stage1-000002'")
    tab.keys("k")
    tab.wait("location.hash.startsWith('#stage1/stage1%2F')")  # a strange id
    tab.open(page, "#stage1/stage1-000003")
    tab.wait("document.querySelector('.id')?.innerText === 'stage1-000003'")
    assert tab.texts(".entry[aria-current]") != []
    frame = tab.texts(".clip-title")[0]
    assert "frame 1 of 4" in frame
    tab.keys("\ue014")  # the right arrow
    assert "frame 2 of 4" in tab.texts(".clip-title")[0]
    assert tab.run("document.querySelector('.stage img').style.objectPosition").startswith("33.3")
    tab.click("[aria-label='Frame before']")
    assert tab.texts(".clip-title")[0] == frame
    tab.keys("la")
    assert tab.texts(".clip-title")[0] == frame, "back at the anchor"
    tab.keys("?")
    assert tab.run("document.getElementById('keys').open")
    tab.keys("\ue00c")  # Escape
    tab.click("#help")
    tab.click("#keys-on")
    tab.keys("\ue00c")
    tab.keys("g")
    assert tab.texts("[aria-pressed=true].mark") == [], "single keys are off"
    tab.open(page, "#stage1/none")
    assert tab.texts("#said") == ["There is no none in here."]


def test_marks_are_kept_and_saved_and_the_card_reports_them(
    tab: Browser, page: Path, folder: Path, downloads: Path
) -> None:
    tab.keys("g")
    assert tab.texts(".mark[aria-pressed=true]") == ["✓ Good"]
    tab.keys("jbn")
    tab.wait("document.activeElement.id === 'note'")
    tab.keys("why </script> not\ue007")  # Enter
    tab.click(".mark.bad")
    tab.click(".mark.bad")
    tab.open(page)
    assert tab.texts("#save") == ["Save 2 marks"]
    assert tab.texts(".sign:not([hidden])") == ["✓ good", "✗ bad"]
    tab.click("#save")
    file = downloads / FILE
    ended = time.monotonic() + SECONDS
    while not file.is_file():
        assert time.monotonic() < ended, "nothing was saved"
        time.sleep(0.02)
    saved = json.loads(file.read_text())
    assert saved["rows"] == {IDS[0]: {"mark": "good"}, IDS[1]: {"mark": "bad", "note": "why </script> not"}}
    (folder / FILE).write_bytes(file.read_bytes())
    assert read_spot_check(folder) == {"n": 2, "good": 1, "bad": 1, "of": ROWS + 13}


def test_dropped_rows_and_numbers(tab: Browser, page: Path) -> None:
    tab.open(page, "#dropped")
    assert tab.texts(".callout")[0] == f"{TAG}. The score is 1."
    tab.keys("j")
    tab.wait("document.querySelector('article .callout').innerText.startsWith('no such video')")
    tab.open(page, "#numbers")
    assert "Rules that never look at the question" in tab.texts("h3")
    assert len(tab.texts(".rules tbody tr")) > 10
    assert "3,200 triplets" in tab.texts("h2")[0]
    assert sum("± is one standard error" in text for text in tab.texts(".card > p")) == 4, "wherever ± stands"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_can_be_read_on_a_phone_and_in_the_dark(tab: Browser, page: Path, width: int, dark: bool) -> None:
    tab.dark(dark)
    tab.size(width, 844)
    for part in ("", "#stage2/stage2-000001", "#dropped", "#numbers"):
        tab.open(page, part)
        assert tab.run(WIDER) == []
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.run(CONTRAST) == []
    assert tab.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(19, 20, 22)" if dark else "rgb(246, 246, 243)"
    )


def test_colours_can_be_switched(tab: Browser, page: Path) -> None:
    tab.click("#theme")
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    tab.open(page)
    assert tab.run("document.documentElement.dataset.theme") == "dark", "it is kept"


def test_on_a_phone_a_row_fills_the_page_and_leads_back(tab: Browser, page: Path) -> None:
    tab.size(390, 844)
    tab.open(page)
    assert tab.run("document.querySelector('.panel').checkVisibility()")
    assert not tab.run("document.querySelector('.item').checkVisibility()")
    tab.click(ENTRIES)
    tab.wait(READY)
    assert not tab.run("document.querySelector('.panel').checkVisibility()")
    tab.click(".back")
    tab.wait("document.querySelector('.panel').checkVisibility()")


def test_every_control_has_a_name(tab: Browser, page: Path) -> None:
    for part in ("", "#numbers"):
        tab.open(page, part)
        controls = tab.find("button, a[href], input, select, summary, [tabindex='0']")
        shown = [one for one in controls if tab.run("arguments[0].checkVisibility()", {ELEMENT: one})]
        assert len(shown) > 5
        names = [tab.label(one) for one in shown[:40]]
        assert all(names), names
    tab.open(page)
    tab.keys("\ue004")  # Tab
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"


def test_results_stand_side_by_side(tab: Browser, page: Path) -> None:
    folder = page.parent.parent / "results"
    folder.mkdir()
    golden = json.loads((GOLDEN / "adapter" / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps(golden | {"trained_on": {"stage1": 3}}))
    asked = {"table": "needle", "group": "8", "where": "8 clips", "question": TAG, "answers": ["snow"]}
    lines = [asked | {"model": name, "reply": SCRIPT, "right": name != "base"} for name in ("base", "stage1")]
    (folder / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    made = Path(view(str(folder), page.parent.parent / "results-view")["page"])
    tab.open(made)
    assert "One clip hidden among others" in tab.texts("h3")
    assert "base" in tab.texts("tbody th")
    said = "3 of 750 test videos were trained on by stage1: its results are no test of them."
    assert tab.texts(".callout") == [said]
    tab.open(made, "#answers")
    assert tab.texts(".answer h3") == ["✗ base\nwrong", "✓ stage1\nright"]
    assert tab.texts(".answer .words") == [SCRIPT, SCRIPT]
    assert tab.run("document.querySelectorAll('main img, main script').length") == 0
