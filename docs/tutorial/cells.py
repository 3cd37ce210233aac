"""The tutorial as a page and as a notebook: its script, cell by cell, with the outputs that `record.py` recorded.

nuclei.py is the only source. outputs.json holds, under the checksum of each code cell, what the cell printed and the
names of the pictures that it drew, which lie beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parent
NAME = "nuclei"
DOWNLOAD = f"*[This page as a notebook]({NAME}.ipynb). The outputs are those of one recorded run.*"


def cells() -> list[Any]:
    """The cells of the script, in order, with `.cell_type` and `.source`."""
    return list(jupytext.read(FOLDER / f"{NAME}.py", fmt="py:percent").cells)


def checksum(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def outputs() -> dict[str, Any]:
    """Checksum of a code cell -> {"text": what it printed, "pictures": names of files}."""
    recorded = json.loads((FOLDER / "outputs.json").read_text(encoding="utf-8"))
    return dict(recorded["cells"])


def page() -> str:
    """The tutorial as Markdown."""
    recorded, parts = outputs(), []
    for cell in cells():
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        output = recorded.get(checksum(cell.source), {})
        if output.get("text"):
            parts.append(f"```text\n{output['text'].rstrip()}\n```")
        parts += [f"![Drawn by the code above]({picture})" for picture in output.get("pictures", [])]
    title, *rest = parts
    heading, _, text = title.partition("\n\n")
    return "\n\n".join([heading, DOWNLOAD, text, *rest]) + "\n"


def notebook() -> str:
    """The tutorial as a Jupyter notebook with outputs."""
    recorded = outputs()
    result = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    for number, cell in enumerate(cells()):
        if cell.cell_type == "markdown":
            made = nbformat.v4.new_markdown_cell(cell.source)
        else:
            output = recorded.get(checksum(cell.source), {})
            made = nbformat.v4.new_code_cell(cell.source, outputs=[*_shown(output)])
        made["id"] = f"{NAME}-{number}"  # the same file from the same script
        result.cells.append(made)
    nbformat.validate(result)
    return nbformat.writes(result)


def _shown(output: dict[str, Any]) -> list[Any]:
    shown = []
    if output.get("text"):
        shown.append(nbformat.v4.new_output("stream", name="stdout", text=output["text"]))
    for picture in output.get("pictures", []):
        data = {"image/png": base64.b64encode((FOLDER / picture).read_bytes()).decode()}
        shown.append(nbformat.v4.new_output("display_data", data=data))
    return shown


def on_files(files: Files, config: Any, **_: Any) -> None:
    """Hook of MkDocs: the page, and the notebook to download."""
    files.append(File.generated(config, f"{NAME}.md", content=page()))
    files.append(File.generated(config, f"tutorial/{NAME}.ipynb", content=notebook()))
