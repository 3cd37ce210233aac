"""Give each of several parameters with one description its own default: griffe gives all of them the first one's."""

from __future__ import annotations

from typing import Any

import griffe


class GroupedParameters(griffe.Extension):
    """Corrects the parsed docstrings of functions and classes."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        _correct(func, func.parameters)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        init = cls.members.get("__init__")
        if isinstance(init, griffe.Function):
            _correct(cls, init.parameters)


def _correct(documented: griffe.Object, parameters: griffe.Parameters) -> None:
    if documented.docstring is None:
        return
    ours = {parameter.name: parameter for parameter in parameters}
    stated = {id(parameter.annotation) for parameter in parameters}
    for section in documented.docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.parameters:
            for described in section.value:
                own = ours.get(described.name)
                if own is not None:
                    described.default = None if own.default is None else str(own.default)
                    if id(described.annotation) in stated:
                        described.annotation = own.annotation
