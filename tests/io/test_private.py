"""What is cut from values before they are published: folders in every form, and what signs an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from longvpo.io.private import cut, cut_within, last_name, public


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("/home/somebody/clips", "clips"),
        ("/home/jo/John Doe/my clips", "my clips"),
        ("/home/jo/John Doe/my clips/", "my clips"),
        ("~/clips/", "clips"),
        ("~somebody/clips", "clips"),
        ("../../John Doe/clips", "clips"),
        ("films/../../John Doe/clips", "clips"),
        ("..\\..\\John Doe\\clips", "clips"),
        ("./John Doe/clips", "clips"),
        ("C:\\Users\\John Doe\\clips", "clips"),
        ("c:/Users/John Doe/clips", "clips"),
        ("C:clips\\of John", "of John"),
        ("\\\\server\\John Doe\\clips\\", "clips"),
        ("\\\\server\\share", "share"),
        ("//server/John Doe/clips", "clips"),
        ("file:///home/John Doe/a clip.mp4", "a clip.mp4"),
        ("file://server/home/jo/a.mp4", "a.mp4"),
        ("file:/home/jo/a.mp4", "a.mp4"),
        ("FILE:///C:/Users/jo/a.mp4?x=1", "a.mp4"),
        ("https://user:password@host:8000/v1", "https://host:8000/v1"),
        ("https://user:p@ss@host/v1", "https://host/v1"),
        ("https://bucket.s3/a clip.mp4?X-Amz-Signature=abc&x=/y#t=3", "https://bucket.s3/a clip.mp4"),
        ("https://host?token=abc", "https://host"),
        ("s3://bucket/key?versionId=3", "s3://bucket/key"),
        ("hf://datasets/someone/data", "hf://datasets/someone/data"),
        ("someone/model", "someone/model"),
        ("videos/a clip.mp4", "videos/a clip.mp4"),
        ("train/*.tar.gz", "train/*.tar.gz"),
        ("a..b", "a..b"),
        ("about ~30 clips", "about ~30 clips"),
        ("~30 clips", "~30 clips"),
        ("K: 5", "K: 5"),
        ("/ two\n/lines", "/ two\n/lines"),
        ("", ""),
        (" https://u:pw@h/x?sig=S", "https://h/x"),
        ("\u00a0\ufeffhttps://u:pw@h/x?sig=S\n", "https://h/x"),
        (" /home/jd/x", "x"),
        ("\t~jd/x ", "x"),
        (" ../jd/x", "x"),
        ("films/ .. /jd/x", "x"),
        ("'/home/jd/my clips'", "my clips"),
        ("(</home/jd/x>)", "x"),
        ("/home/jd/x (copy)", "x (copy)"),
        ('"C:\\Users\\jd\\x"', "x"),
        ("see https://u:pw@h/x", "see https://h/x"),
        ("see '/home/jd/my clips' and 'C:\\jd\\x'", "see 'my clips' and 'x'"),
        ("https://h/x?sig=S and https://u:pw@h/y", "https://h/x"),
        ("https://h/x and https://u:pw@h/y", "https://h/x and https://h/y"),
        ("https://a.net/web/https://u:pw@h/y?sig=S", "https://a.net/web/https://h/y"),
        ("https://u:p/w#?@h:80/x?k=a@b", "https://h:80/x"),
        ("https://h/@user/x", "https://h/@user/x"),
        ("http://[::1]:8000/v1?key=S", "http://[::1]:8000/v1"),
        ("https://h/x;jsessionid=S", "https://h/x"),
        ("https://h/a;s=S/x.mp4;t=1?u=2", "https://h/a/x.mp4"),
        ("//h/a.mp4?sig=x/y", "a.mp4"),
        ("//u:pw@h", "h"),
        ("/films/a.mp4?sig=x/y", "a.mp4"),
        ("/home/jd/who is it?.mp4", "who is it?.mp4"),
        ("/vsicurl/https://u:pw@h/x?sig=1", "https://h/x"),
        ("zip://x::/home/jd/a.zip", "zip://x::a.zip"),
        ("zip://x::https://u:pw@h/a.zip?sig=1", "zip://x::https://h/a.zip"),
        ("lmdb:///home/jd/x", "x"),
        ("file:~/x", "x"),
        ("nfs:/srv/jd/x", "x"),
        ("user@host:/home/jd/x", "x"),
        ("https:/u:pw@h/x?sig=1", "x"),
        ("</s>", "</s>"),
        (" [/INST] ", " [/INST] "),
        ("<</SYS>>", "<</SYS>>"),
        ("(?:q|k)_proj", "(?:q|k)_proj"),
        ("[red] 'and' (blue)", "[red] 'and' (blue)"),
        ("clip@12:30.mp4", "clip@12:30.mp4"),
        ("std::vector", "std::vector"),
    ],
)
def test_a_value_is_cut_in_every_form_of_a_path(value: str, left: str) -> None:
    assert cut(value) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "for url 'http://u:p)w@[::1]:80/x?k=a)b]c' (see https://h/y?z).",
            "for url 'http://[::1]:80/x' (see https://h/y",
        ),
        ("[Errno 2] No such file: '/home/jd/my x.mp4'", "[Errno 2] No such file: 'my x.mp4'"),
        ("'/think' and \"/\" and '</s>' ", "'/think' and \"/\" and '</s>' "),
    ],
)
def test_addresses_and_quoted_paths_are_cut_in_running_text(text: str, left: str) -> None:
    assert cut_within(text) == left


def test_the_last_name_of_a_home_is_nobody() -> None:
    assert [last_name(path) for path in ("~alice", "~", "John Doe/my clips", "a\\b", Path("/x/y"))] == [
        "~",
        "~",
        "my clips",
        "b",
        "y",
    ]


def test_a_recipe_is_cut_by_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jo" / "base").mkdir(parents=True)
    values = {
        "sources": [{"folder": "John Doe/my clips", "dataset": None, "about": "/is told as it is/"}],
        "data": {"dataset": "John Doe/my triplets", "videos": {"mine": "John Doe/my clips", "model": "a/b"}},
        "base": {"model": "jo/base", "revision": "main"},
        "adapter": "runs/of/jo",
        "writer": {"model": "of/a/server", "endpoint": {"url": "https://me:mine@host/v1?key=1"}},
        "models": [{"model": "someone/model@refs/pr/1"}],
        "filters": {"overlap": "John Doe/names.txt"},
        "video": {"frames": "John Doe/kept frames"},
        "prompts": {"question": "/think {caption}"},
        "number": 3,
        "list": [{"a": "/x/y"}, None, True],
    }
    assert public(values) == {
        "sources": [{"folder": "my clips", "dataset": None, "about": "/is told as it is/"}],
        "data": {"dataset": "my triplets", "videos": {"mine": "my clips", "model": "b"}},
        "base": {"model": "base", "revision": "main"},
        "adapter": "jo",
        "writer": {"model": "of/a/server", "endpoint": {"url": "https://host/v1"}},
        "models": [{"model": "someone/model@refs/pr/1"}],
        "filters": {"overlap": "names.txt"},
        "video": {"frames": "kept frames"},
        "prompts": {"question": "/think {caption}"},
        "number": 3,
        "list": [{"a": "y"}, None, True],
    }
