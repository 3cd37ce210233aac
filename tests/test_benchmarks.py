"""Does the benchmark suite run from its command to a table and figures, and does it stop at a wrong result?"""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCHEMA = json.loads((FOLDER / "schema.json").read_text())
RECORDS = sorted((FOLDER / "results").rglob("*.json"))


def python(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)


def wrong(record):
    return [error.json_path for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(record)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The record of a run on a tiny volume, by the command of `make bench`."""
    folder = tmp_path_factory.mktemp("results")
    done = python(FOLDER / "run.py", "--tiny", "--results", folder)
    assert done.returncode == 0, done.stderr
    (path,) = folder.iterdir()
    assert f"written: {path.name}" in done.stdout
    return path


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def fields(schema):
    for part in schema if isinstance(schema, list) else schema.values():
        if isinstance(part, dict | list):
            yield from fields(part)
    if isinstance(schema, dict) and "if" not in schema:
        yield from schema.get("properties", {}).items()


def test_the_schema_documents_every_field():
    described = [name for name, field in fields(SCHEMA) if "description" in field]
    bare = {
        name
        for name, field in fields(SCHEMA)
        if not {"description", "$ref", "const", "maximum", "minLength"} & set(field)
    }
    assert len(described) > 60
    assert bare == set()


@pytest.mark.parametrize("name", [str(path.relative_to(FOLDER / "results")) for path in RECORDS])
def test_committed_records_satisfy_the_schema(name):
    assert wrong(json.loads((FOLDER / "results" / name).read_text())) == []


def test_a_run_satisfies_the_schema_and_holds_its_rows(path):
    record = json.loads(path.read_text())
    assert wrong(record) == []
    assert record["suite"] == "cpu"
    rows = {row["row"]: row for row in record["against size"]}
    assert rows["cpu"]["ratio"] == 1
    assert rows["frozen reference"]["same distance"]
    assert rows["DaCapo's algorithm, target + weight"]["same distance"]
    assert not rows["SciPy"]["same distance"]
    assert 0.05 < rows["SciPy"]["largest difference"] <= 4 / 50  # half a voxel over the scale
    assert {row["case"] for row in record["speed"]} >= {"blobs 16³ 98 %", "blobs 17³ 50 %"}
    assert len(record["growth"]) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.pop("suite"), "$"),
        (lambda record: record.update(suite="gpus"), "$.suite"),
        (lambda record: record["machine"].pop("commit"), "$.machine"),
        (lambda record: record["speed"][0].update(ms=["1"]), "$.speed[0].ms[0]"),
        (lambda record: record["against size"][0].update(unknown=1), "$['against size'][0]"),
        (lambda record: record["against size"][0].update({"largest difference": 0.1}), "difference"),
    ],
)
def test_the_schema_refuses(path, change, said):
    record = json.loads(path.read_text())
    change(record)
    assert any(said in place for place in wrong(record))


def test_report(path):
    done = python(FOLDER / "report.py", path)
    assert done.returncode == 0, done.stderr
    tables = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", done.stdout, re.MULTILINE)]
    assert len(tables) >= 4
    assert all(len({line.count("|") for line in table}) == 1 for table in tables), "cells in a table"
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for table in tables for line in table]
    record = json.loads(path.read_text())
    (scipy,) = [row for row in rows if row[0].startswith("SciPy")]
    (measured,) = [row for row in record["against size"] if row["row"] == "SciPy"]
    assert f"{measured['ratio']:.3g}" in scipy[2] or f"{measured['ratio']:.0f}" in scipy[2]
    assert scipy[3] == "to the nearest voxel outside"
    assert scipy[4] == f"{measured['largest difference']:.3f}"
    assert [row[0] for row in rows if row[0] == "DaCapo"], "the table of gains"
    for name in ("size", "ratios", "growth"):
        assert "<svg" in path.with_name(f"{path.stem}-{name}.svg").read_text()


WRONG = """
import sys
sys.path.insert(0, sys.argv[1])
import dataclasses, peers, sections

def off(case, threads):
    call = right.build(case, threads)
    return lambda: call() + 0.1 * (case.labels != 0)

right = next(peer for peer in peers.PEERS if peer.name == sys.argv[2])
def broken(case, threads):
    return lambda: 1 / 0

plan = sections.Plan(1, 1, sizes=(17,))
record = sections.time_against_size(plan, "cpu", [right, dataclasses.replace(right, name="a broken one", build=broken)])
print(record["failed"], len(record["against size"]))
sections.time_against_size(plan, "cpu", [dataclasses.replace(right, name="a wrong peer", build=off)])
"""


@pytest.mark.parametrize("name", ["SciPy", "frozen reference"])
def test_a_wrong_peer_stops_the_run(name):
    done = python("-c", WRONG, FOLDER, name)
    assert "{'a broken one': 'ZeroDivisionError: division by zero'} 4" in done.stdout, "three of ours and the right one"
    assert re.search(r"AssertionError: blobs 17³ 50 %: a wrong peer is off by 0\.1", done.stderr)


def test_classes_beside_masks(tmp_path):
    done = python(FOLDER / "classes.py", "--edge", 17, "--rounds", 1, "--no-memory", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    record = json.loads(path.read_text())
    assert wrong(record) == []
    assert len(record["rows"]) == 13
    rows = {(row["group"], row["result"], row["row"]): row for row in record["rows"]}
    seven, many = (rows[name, "target", "classes"] for name in ("7 unions", "48 unions"))
    assert many["per class over 7"] == pytest.approx(many["ms"][0] / 48 / (seven["ms"][0] / 7), rel=0.01)
    assert f"| 48 unions | target | {rows['48 unions', 'target', 'masks']['ms'][0]:.1f} ms |" in done.stdout


def test_a_suite_that_is_not_there(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import run, pathlib; run.HERE = pathlib.Path(sys.argv[2]); "
    done = python("-c", code + "sys.exit(run.run_script('volume', True, run.HERE, []))", FOLDER, tmp_path)
    assert done.returncode == 2
    assert "there is no volume.py" in done.stderr


def test_records_of_other_programs_are_completed(tmp_path):
    script = "import json, pathlib, sys; pathlib.Path(sys.argv[-1], 'r.json').write_text(json.dumps({'machine': {}}))"
    (tmp_path / "train_step.py").write_text(script)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import run, pathlib; here = pathlib.Path(sys.argv[2]); "
    code += "run.HERE = run.RESULTS = here; sys.exit(run.run_script('train', False, here, [str(here)]))"
    done = python("-c", code, FOLDER, tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["suite"] == "train"
    assert record["command"].startswith("python benchmarks/run.py")
