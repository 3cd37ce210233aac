"""Does every planted fault still find its line, and only that one?"""

from functools import cache
from pathlib import Path

import pytest
from fault_list import Fault
from faults import FAULTS, ROOT, arguments_of, find, sources, spans


@cache
def texts():
    return sources(ROOT)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file}: {fault.old}")
def test_a_fault_stands_at_one_place(fault):
    path, begin, end = find(fault, texts())
    assert texts()[path][begin:end] != fault.new
    assert arguments_of(fault)


def test_faults_are_told_apart():
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)


def test_layout_and_comments_do_not_count():
    text = 'a = b  // c\n  + "d // e";\nf();'
    ((begin, end),) = spans(text, 'b +\t"d // e" ; f', True)
    assert text[begin:end] == 'b  // c\n  + "d // e";\nf'
    assert len(spans("xx", "x", True)) == 2
    assert not spans("a  # b", "a", False)[1:]
    assert spans("a  # b\nc", "# b c", False) == [(3, 8)]


def test_the_named_file_comes_first_wherever_it_lies():
    fault = Fault("one.hpp", "x = 1;", "", ("test_fault_list.py",))
    one, other = Path("a/b/one.hpp"), Path("two.cpp")
    assert find(fault, {one: "x = 1;", other: "x = 1;"}) == (one, 0, 6)
    assert find(fault, {one: "y;", other: "x\n= 1;"}) == (other, 0, 6)
    for wrong in ({one: "x = 1; x = 1;"}, {one: "y;"}, {other: "x = 1;", Path("three.cu"): "x = 1;"}):
        with pytest.raises(LookupError, match="expected once"):
            find(fault, wrong)
