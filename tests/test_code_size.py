"""Does `make check` notice a file, a function or a list of arguments that is too long?"""

from pathlib import Path

import pytest
from code_size import ARGUMENTS, FILE_LINES, FUNCTION_LINES, complaints, cpp_functions


def body(lines):
    return '  if (a) {  // } {\n    call("}");\n  }\n' + "  ++a;\n" * (lines - 5)


CPP = """
#define MACRO(a) { \\
  a; }
namespace n {{
template <class T> struct Type {{
  int head(int a) {{
{}  }}
}};
enum Kind {{ A, B }};
const int table[] = {{1, 2}};
static inline bool other(const int (&a)[2], int b = 1) {{
{}}}
}}  // namespace n
"""


def test_functions_of_cpp():
    text = CPP.replace("{ \\\n  a; }", "{{ \\\n  a; }}").format(body(12), body(7))
    found = [(head.split("(")[0], lines) for head, _, lines in cpp_functions(text)]
    assert found == [("int head", 12), ("static inline bool other", 7)]
    assert next(cpp_functions(text))[1] == 6


@pytest.mark.parametrize(("more", "found"), [(0, 0), (1, 2)])
def test_what_is_too_long(more, found):
    text = f"int f(int a) {{\n{body(FUNCTION_LINES + more)}}}\n"
    text += "\n" * (FILE_LINES + more - text.count("\n"))
    assert len(list(complaints(Path("a.cpp"), text))) == found
    arguments = ", ".join(f"a{i}" for i in range(ARGUMENTS + more))
    text = f"class A:\n    def f(self, {arguments}):\n        pass\n" + "\n" * (FILE_LINES + more - 3)
    assert len(list(complaints(Path("a.py"), text))) == found
