"""Links of the documentation lead somewhere, and no page is out of reach from the README."""

import re
from pathlib import Path

import pytest

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
