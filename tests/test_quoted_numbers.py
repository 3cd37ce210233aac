"""Is every measured number on the pages that of the record it is quoted from?"""

import importlib
import json
import sys
from pathlib import Path

import pages
import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = pages.ROOT / "benchmarks"


@pytest.fixture(scope="module")
def programs():
    """The modules of benchmarks/, which are no package."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("quote"), importlib.import_module("report")
    sys.path.remove(str(FOLDER))
    for name in set(sys.modules) - before:
        if FOLDER in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]


@pytest.fixture(scope="module")
def quoted():
    return json.loads((FOLDER / "quoted.json").read_text())


def test_pages_hold_the_numbers_of_the_records(programs, quoted):
    quote, _ = programs
    assert list(quote.stale(lambda page, text: page.read_text(encoding="utf-8") != text, quoted)) == []
    marks = sum(len(quote.MARK.findall(page.read_text(encoding="utf-8"))) for page in quote.PAGES)
    assert marks >= 70
    assert set(pages.PAGES) <= set(quote.PAGES)


def test_another_run_changes_every_page_that_quotes_it(programs, quoted):
    quote, _ = programs
    found = quote.records(quoted)
    for row in found["cpu"]["against size"] + found["cpu"]["speed"]:
        row["ms"] = [3 * ms for ms in row["ms"]]
    changed = {
        page.name for page in quote.PAGES if quote.filled(page, page.read_text(), found, quoted) != page.read_text()
    }
    assert changed == {"README.md", "benchmarks.md", "choosing-scale.md", "how-it-works.md"}


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("It takes 4.4 ms.", True),
        ("51 Mvoxel/s", True),
        ("447× as long", True),
        ("| 30 µs | 2× |", True),
        ("an objective of 20×", False),
        ("```\n4.4 ms\n```\n", False),
        ("blocks of 128×128, 40×4×4 or 8 × 8", False),
        ("<!-- quote: {cpu[voxel µs]} µs -->35 µs<!-- end -->", False),
    ],
)
def test_a_number_that_nobody_recorded_is_found(programs, text, measured):
    assert bool(programs[0].unmarked(text)) is measured


@pytest.mark.parametrize("what", ["{cpu[no such number]}", "{volume[seconds]:d}", "no such table", "record nothing it"])
def test_what_no_record_holds_is_an_error(programs, quoted, what):
    quote, _ = programs
    with pytest.raises(KeyError, match=r"README\.md"):
        quote.filled(pages.ROOT / "README.md", f"<!-- quote: {what} -->1<!-- end -->", quote.records(quoted), quoted)


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=9), st.lists(st.floats(0.1, 1e4), min_size=1, max_size=9))
def test_how_many_times_longer_lies_between_its_quartiles(programs, theirs, ours):
    low, middle, high = programs[1].times_base({"ms": theirs}, {"ms": ours})
    assert low <= middle <= high


def test_a_figure_is_that_of_the_record(programs, quoted, tmp_path):
    """The one that has numbers in it; `quote.py --write` draws them all at once."""
    import matplotlib

    if f"matplotlib=={matplotlib.__version__}\n" not in (pages.ROOT / "constraints.txt").read_text():
        pytest.skip(f"the figures were drawn with another matplotlib than {matplotlib.__version__}")
    quote, _ = programs
    plots = importlib.import_module("plots")
    plots.save(plots.ratios(quote.records(quoted)["cpu"]), tmp_path / "ratios.svg")
    assert (tmp_path / "ratios.svg").read_bytes() == (quote.FIGURES / "benchmark-ratios.svg").read_bytes()
