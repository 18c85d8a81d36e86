from __future__ import annotations

import sys
from pathlib import Path

import pytest

from router.errors import OperatorError
from router.filters.plugins import load_filter

MODULE = """
class Shout:
    def __init__(self, name, options):
        self.name = name
        self.options = options

class Box:
    class Inner(Shout):
        pass

number = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that somebody installed, with an entry point ``shout``."""
    (tmp_path / "acme_filters_test.py").write_text(MODULE)
    (tmp_path / "acme_broken_test.py").write_text("raise KeyError('x')")
    info = tmp_path / "acme_filters_test-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme_filters_test\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trident.filters]\nshout = acme_filters_test:Shout\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("acme_filters_test", "acme_broken_test"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "acme_filters_test"


@pytest.mark.parametrize("python", ["acme_filters_test:Shout", "acme_filters_test:Box.Inner", "shout"])
def test_a_filter_is_loaded_by_path_or_entry_point(package: str, python: str) -> None:
    made = load_filter(python)("mine", {"a": 1})
    assert (type(made).__module__, made.name) == (package, "mine")


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("acme_filters_test:Absent", "AttributeError"),
        ("no_such_module:Shout", "ModuleNotFoundError"),
        ("acme_broken_test:Shout", "KeyError"),
        ("acme_filters_test:number", "is no filter class"),
        ("absent", "There is no installed filter 'absent'"),
    ],
)
@pytest.mark.usefixtures("package")
def test_what_cannot_be_loaded_says_why_and_what_to_do(python: str, message: str) -> None:
    with pytest.raises(OperatorError, match=message) as caught:
        load_filter(python)
    assert caught.value.fix


@pytest.mark.usefixtures("package")
def test_what_is_installed_is_named() -> None:
    with pytest.raises(OperatorError) as caught:
        load_filter("absent")
    assert "shout" in (caught.value.fix or "")
