"""Pictures of the quality report."""

from __future__ import annotations

from xml.etree import ElementTree

from curves import HEIGHT, LEFT, SIDE, TOP, WIDTH, draw

SVG = "{http://www.w3.org/2000/svg}"


def test_a_curve_goes_through_its_points() -> None:
    picture = ElementTree.fromstring(draw("A & B", "x", "y", {"<one>": [(0.0, 0.0), (0.5, 1.0)]}))
    paths = [path.get("d") for path in picture.iter(f"{SVG}path")]
    assert paths[-1] == f"M{LEFT:.1f} {TOP + SIDE:.1f}L{LEFT + SIDE / 2:.1f} {TOP:.1f}"
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"A & B", "<one>", "x", "y", "0.4"} <= set(texts)


def test_every_letter_of_a_picture_is_inside_it() -> None:
    picture = ElementTree.fromstring(
        draw("t", "x", "y", {str(number): [(0.0, 0.0), (1.0, 1.0)] for number in range(7)})
    )
    for text in picture.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x", "0")) < WIDTH
        assert 0 < float(text.get("y", "0")) < HEIGHT


def test_the_diagonal_is_drawn_on_request() -> None:
    assert "dasharray" in draw("t", "x", "y", {}, diagonal=True)
    assert "dasharray" not in draw("t", "x", "y", {})
