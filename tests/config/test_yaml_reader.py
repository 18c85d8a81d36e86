from __future__ import annotations

import sys
import time

import pytest

from router.config.yaml_reader import MAX_BYTES, MAX_DEPTH, YamlError, parse_document


def refused(raw: bytes) -> tuple[str, int | None, int | None]:
    """What a file that is no usable YAML is told, with line and column."""
    with pytest.raises(YamlError) as caught:
        parse_document(raw)
    problem = caught.value.problem
    return problem.message, problem.line, problem.column


@pytest.mark.parametrize("raw", [b"", b"\n\n", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file(raw: bytes) -> None:
    assert refused(raw)[0] == "The file is empty."


@pytest.mark.parametrize("raw", [b"- a\n", b"just text\n", b"7\n", b"[]"])
def test_a_file_that_is_no_mapping(raw: bytes) -> None:
    assert refused(raw) == ("The file is not a mapping of keys to values.", 1, 1)


def test_a_tab() -> None:
    assert refused(b"a:\n\tb: 1\n") == ("A tab is used for indentation.", 2, 1)


def test_text_that_is_not_utf8_points_at_the_byte() -> None:
    assert refused(b"a: 1\nb: \xff\n") == ("The file is not UTF-8 text.", 2, 4)


def test_a_control_character_points_at_it() -> None:
    assert refused(b"a: 1\nbc: x\x01\n") == ("The character U+0001 is not allowed in YAML.", 2, 6)


def test_a_syntax_error_points_at_it() -> None:
    message, line, _ = refused(b"a: 1\nb: [1, 2\nc: 3\n")
    assert message.startswith("This is not valid YAML: ")
    assert line == 3


def test_an_undefined_alias() -> None:
    message, line, column = refused(b"a: *nothing\n")
    assert "undefined alias" in message
    assert (line, column) == (1, 4)


def test_two_documents() -> None:
    assert refused(b"a: 1\n---\nb: 2\n") == ("The file holds more than one YAML document.", 2, 1)


def test_a_file_that_is_too_large() -> None:
    assert refused(b"#" * (MAX_BYTES + 1))[0] == "The file is larger than 1024 KiB."


@pytest.mark.parametrize("raw", [b"a: " + b"[" * 100_000, b"a: " + b"{b: " * 50_000, b"- " * 100_000])
def test_deep_nesting_is_refused_before_it_exhausts_the_stack(raw: bytes) -> None:
    assert refused(raw)[0] == f"Values are nested more than {MAX_DEPTH} levels deep."


def test_an_expansion_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    start = time.perf_counter()
    message, _, _ = refused("\n".join(lines).encode())
    assert message.startswith("With its aliases written out, the file holds more than")
    assert time.perf_counter() - start < 5


def test_an_expansion_bomb_of_merge_keys_is_refused() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    assert refused("\n".join(lines).encode())[0].startswith("With its aliases written out")


def test_a_long_chain_of_merge_keys_is_refused() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: *a{n - 1}}}" for n in range(1, sys.getrecursionlimit() + 100)]
    assert refused("\n".join(lines).encode())[0].startswith("With its aliases written out")


@pytest.mark.parametrize("raw", [b"a: &x [*x]", b"a: &x {b: *x}", b"a: &x {<<: *x}", b"&x a: {b: 1, c: &y {d: [*y]}}"])
def test_an_alias_that_contains_itself(raw: bytes) -> None:
    assert refused(raw)[0] == "This alias contains itself."


def test_scalars_are_read_as_people_mean_them() -> None:
    document, problems = parse_document(
        b"a: 1\nb: 0.5\nc: true\nd: 2024-05-01\ne: 10:20\nf: 'on'\ng: 1_000\nh: ~\ni: 1e3\non: x\n4: y\n"
    )
    assert problems == []
    assert document.data == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": "2024-05-01",
        "e": "10:20",
        "f": "on",
        "g": 1000,
        "h": None,
        "i": "1e3",
        "on": "x",
        "4": "y",
    }


def test_anchors_aliases_and_merge_keys_work_and_keep_their_places() -> None:
    document, problems = parse_document(
        b"base: &base\n  timeout: 3\n  url: u\none:\n  <<: *base\n  url: v\ntwo: [*base, *base]\n"
    )
    assert problems == []
    assert document.data["one"] == {"url": "v", "timeout": 3}
    assert document.data["two"] == [{"timeout": 3, "url": "u"}] * 2
    mark = document.locate(("one", "timeout"))
    assert mark is not None
    assert (mark.line, mark.column) == (2, 12)


@pytest.mark.parametrize(
    ("raw", "message", "line", "column"),
    [
        (b"a: {b: 1, b: 2}", "The key `b` stands here a second time; the first is in line 1.", 1, 11),
        (
            b"a: !!python/object:os.system x",
            "The tag `tag:yaml.org,2002:python/object:os.system` is not allowed.",
            1,
            4,
        ),
        (b"a: !secret [x]", "The tag `!secret` is not allowed.", 1, 4),
        (b"a: !!set {x: null}", "The tag `tag:yaml.org,2002:set` is not allowed.", 1, 4),
        (b"a: !!binary aGk=", "The tag `tag:yaml.org,2002:binary` is not allowed.", 1, 4),
        (b"a: !!int x", "`x` cannot be read as its tag says.", 1, 4),
        (b"a: !!int ''", "`` cannot be read as its tag says.", 1, 4),
        (b"a: !!bool perhaps", "`perhaps` cannot be read as its tag says.", 1, 4),
        (b"? [a, b]\n: c", "A list or mapping cannot be a key.", 1, 3),
        (b"a: {<<: [1]}", "`<<` needs a mapping to merge.", 1, 10),
    ],
)
def test_oddities_are_problems_beside_others(raw: bytes, message: str, line: int, column: int) -> None:
    _, problems = parse_document(raw)
    assert [(problem.message, problem.line, problem.column) for problem in problems] == [(message, line, column)]


def test_a_number_of_thousands_of_digits_is_a_problem_not_a_crash() -> None:
    document, problems = parse_document(b"a: " + b"9" * 10_000)
    assert problems or isinstance(document.data["a"], int)


def test_windows_line_ends_and_byte_order_marks_are_fine() -> None:
    document, problems = parse_document(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - c\r\n")
    assert (document.data, problems) == ({"a": 1, "b": ["c"]}, [])
