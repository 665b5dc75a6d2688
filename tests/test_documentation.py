"""Links of the documentation lead somewhere, no page is out of reach from the README, and commands that are shown exist."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

from fieldelm_tools import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"""!?\[[^\]]*\]\(([^)\s]+)\)|<img src="([^"]+)""")


def links(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    return [link for link in map("".join, LINK.findall(text)) if "://" not in link and not link.startswith("mailto:")]


def anchors(page):
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), f"{link}: there are {sorted(anchors(target))}"


def test_every_page_and_picture_is_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.exists():
            seen.add(page)
            if page.suffix == ".md":
                waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    pictures = [path for path in (ROOT / "docs" / "images").iterdir() if path.suffix in (".svg", ".png")]
    left = [str(path.relative_to(ROOT)) for path in [*(ROOT / "docs").rglob("*.md"), *pictures] if path not in seen]
    assert left == []


def test_modules_on_the_way_of_one_window_exist():
    text = (ROOT / "docs" / "explanation" / "one-window.md").read_text()
    up, down = text.split("## Down")
    table = re.compile(r"^\| \d+ \| ([^|]+) \|", re.MULTILINE)
    cells = table.findall(up) + table.findall(down)
    assert len(cells) == 24
    named = [word for cell in cells for word in re.findall(r"`([a-z_]+)`", cell)]
    assert len(named) > 30
    for name in named:
        places = [ROOT / "device" / "fieldelm", ROOT / "gateway" / "fieldelm_gateway"]
        assert any((folder / f"{name}.py").is_file() for folder in places), name


def commands(page):
    """What is shown of the `fieldelm` command, in words."""
    text = re.sub(r"\\\n", " ", page.read_text()).replace("\\|", "/")  # in tables
    lines = "\n".join(re.findall(r"```.*?\n(.*?)```", text, re.DOTALL)).splitlines()
    for line in lines + re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        for part in re.split(r"[|;&#]|\$\(", line):
            words = re.findall(r"[^\s\[\]]+", part)
            if "fieldelm" in words or words[:1] == [".venv/bin/fieldelm"]:
                yield words[1 + next(i for i, word in enumerate(words) if word.endswith("fieldelm")) :]
            elif (
                page.name == "gateway.md" and words[:1] and words[0] in KNOWN and len(words) > 1
            ):  # its table leaves it out
                yield words


KNOWN = {name: entry for group in cli.COMMANDS.values() for name, (entry, _) in group.items()}


def unknown(words):
    """The first word of a command that its parser does not know."""
    if words[0] not in KNOWN:
        return None if words[0].startswith("-") else words[0]
    module, _, function = KNOWN[words[0]].partition(":")
    parser = argparse.ArgumentParser()
    getattr(importlib.import_module(module), function or "add_arguments")(parser)
    options = set()
    for word in words[1:]:
        options |= set(parser._option_string_actions)
        deeper = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if re.match("--?[a-z]", word):
            if re.split("[=.,:]", word)[0] not in options:
                return word
        elif deeper and word == "…":
            return None  # any of them
        elif deeper and "{" not in word:
            ways = word.split("/")
            if not set(ways) <= set(deeper[0].choices):
                return word
            parser = deeper[0].choices[ways[0]]
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(page):
    assert [words for words in commands(page) if words and unknown(words)] == []


def test_a_command_that_does_not_exist_is_found():
    assert unknown(["gateway", "run", "--config", "gateway.toml"]) is None
    assert unknown(["gateway", "walk"]) == "walk"
    assert unknown(["bench", "gateway", "--jsn"]) == "--jsn"
    assert len([words for page in PAGES for words in commands(page)]) > 120
