"""Does the tutorial run, does its score count right, and are its recorded outputs and figures those of its script?"""

import importlib.util
import json

import numpy as np
import pages
import pytest
import torch

for package in ("jupytext", "matplotlib", "skimage"):
    pytest.importorskip(package, reason=f"{package} is not installed (extras 'docs', 'figures' and 'test')")
if importlib.util.find_spec("stardist") is None:  # not imported: it comes without its dependencies
    pytest.skip("stardist, which has the image, is not installed", allow_module_level=True)

FOLDER = pages.ROOT / "docs" / "tutorial"


@pytest.fixture
def tutorial(monkeypatch):
    """The modules `cells` and `record` beside the script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import cells
    import record

    threads = torch.get_num_threads()
    yield cells, record
    torch.set_num_threads(threads)


def test_it_runs_and_scores_right(tutorial):
    """All cells, with a handful of steps; and the score of objects whose matches are known."""
    cells, record = tutorial
    names, outputs = record.run({"STEPS": 3, "BATCH": 1})
    assert list(outputs) == [cells.checksum(cell.source) for cell in cells.cells() if cell.cell_type == "code"]
    assert len(names["ways"]) == 4
    truth, precision = names["test_labels"], names["average_precision"]
    assert all(objects.shape == truth.shape for objects in names["ways"].values())
    assert precision(truth, truth) == precision(truth, truth * 7 + (truth > 0)) == 1
    perfect = names["inner_distance"](truth, (1, 1), scale=names["scale"], background="signed")
    assert precision(truth, names["objects_of"](perfect, 2)) > 0.95
    merged = names["ndimage"].label(perfect > 0)[0]
    assert names["count"](merged) == 59 < names["count"](truth) == 73
    assert precision(truth, merged) < 0.75

    row = np.repeat([1, 2, 3, 0], 4)
    assert precision(row, np.repeat([5, 5, 6, 0], 4)) == 1 / 4  # 3 is 6; 5 has half of both 1 and 2, which is no match
    assert precision(row, np.repeat([5, 0, 0, 0], 4)) == 1 / 3
    assert precision(row, np.array([1, 1, 1, 0] * 4), 0.75) == 0
    assert precision(row, np.array([1, 1, 1, 0, *[0] * 12])) == 1 / 3
    assert precision(row, np.array([1, 1, 1, 0, *[0] * 12]), 0.75) == 0
    assert precision(np.array([1, 1, 2, 2]), np.array([2, 2, 1, 1])) == 1  # without background


def test_outputs_are_of_this_script(tutorial):
    cells, _ = tutorial
    recorded = cells.outputs()
    code = {cells.checksum(cell.source): cell.source for cell in cells.cells() if cell.cell_type == "code"}
    assert recorded.keys() <= code.keys(), "the script has changed: run docs/tutorial/record.py"
    assert recorded.keys() >= {number for number, source in code.items() if "print(" in source or "plt.show" in source}
    pictures = [picture for output in recorded.values() for picture in output.get("pictures", [])]
    assert sorted(pictures) == sorted(path.name for path in FOLDER.glob("*.png"))
    assert len(pictures) >= 1


def test_page_and_notebook_hold_code_and_outputs(tutorial):
    cells, _ = tutorial
    page, notebook = cells.page(), json.loads(cells.notebook())
    assert notebook == json.loads(cells.notebook())
    of_code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in of_code:
        assert "".join(cell["source"]) in page
    shown = [output for cell in of_code for output in cell["outputs"]]
    assert {output["output_type"] for output in shown} == {"stream", "display_data"}
    assert page.startswith("# ")
    assert page.count("![") == sum(output["output_type"] == "display_data" for output in shown)


def test_measured_table_is_the_recorded_spread():
    """A row per way to objects: the median of the seeds and their range, at either overlap."""
    spread = json.loads((FOLDER / "spread.json").read_text(encoding="utf-8"))
    table = (pages.ROOT / "docs" / "objects.md").read_text(encoding="utf-8").partition("## Measured")[2]
    ways = {row["way"]: [] for row in spread["rows"]}
    for row in spread["rows"]:
        ways[row["way"]].append(row)
    assert len(ways) == 4
    for way, rows in ways.items():
        assert [row["seed"] for row in rows] == [0, 1, 2]
        expected = []
        for name in ("objects", "AP 0.5", "AP 0.75"):
            low, middle, high = sorted(row[name] for row in rows)
            digits = "d" if name == "objects" else ".2f"
            expected.append(f"{middle:{digits}} ({low:{digits}} to {high:{digits}})")
        assert f"| {way} | {' | '.join(expected)} |" in table.splitlines()
    seconds = [second for row in spread["rows"] for second in row["seconds"]]
    assert f"{min(seconds):.0f} to {max(seconds):.0f} s of one core" in table
