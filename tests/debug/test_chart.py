"""The plot of error growth, as text, as SVG, as a page."""

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from converter.debug.words import page, summary
from converter.model import Cause, ComparedOp, Divergence
from converter.report.growth import svg, text


def op(place, psnr_db, problem=""):
    return ComparedOp(
        op_type="add" if place else "input",
        name=f"v<{place}>",
        source=f"s{place}",
        psnr_db=psnr_db,
        max_abs_error=0.5,
        peak=2.0,
        problem=problem,
    )


OPS = tuple(op(place, db) for place, db in enumerate([float("inf"), 120.0, 100.0, 40.0, float("-inf")]))


def divergence(**more):
    said = {"model": "net", "file": "net.mlpackage", "sample": "seed 0", "limit_db": 90.0, "ops": OPS, "first": 3}
    return Divergence(**{**said, **more})


def test_each_value_is_a_column_and_what_is_wrong_looks_otherwise():
    lines = text(OPS, 3, 90.0)
    columns = ["".join(line.ljust(80)[10 + place] for line in lines[:9]) for place in range(5)]
    assert [column.replace(".", "").strip() for column in columns] == ["*", "*", "*", "#", "#"]
    assert columns[0][0] == "*"
    assert columns[4][8] == "#"
    assert lines[-1].index("^") == 13


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_a_long_model_keeps_its_worst_values(count):
    ops = [op(place, 120.0) for place in range(count)]
    ops[count // 2] = op(count // 2, 20.0)
    lines = text(ops, count // 2, 90.0)
    assert max(map(len, lines[:-1])) <= 10 + 64
    assert sum(line.count("#") for line in lines) == 1
    assert next(line for line in lines if "#" in line).index("#") == lines[-1].index("^")


def test_nothing_is_drawn_of_nothing():
    assert text((), None, 90.0) == []


def test_the_svg_is_xml_that_says_what_it_shows():
    root = ElementTree.fromstring(svg(OPS, 3, 90.0))
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    assert len(circles) == 5
    assert "v<3> differs first" in root.attrib["aria-label"]
    assert float(circles[0].attrib["cy"]) < float(circles[3].attrib["cy"]) <= float(circles[4].attrib["cy"])


def test_a_page_stands_alone_and_hides_nothing():
    cause = Cause(name="BGR", words="the colours <are> swapped", fix="color: BGR", measured=10, explained=80)
    html = page((divergence(causes=(cause,), culprits=("a & b",), suggestion="do <this>"),))
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            found.extend(name for name, value in attributes if name in ("src", "href"))

        def handle_data(self, data):
            found.append(data)

    Reader().feed(html)
    said = " ".join(found)
    assert "src" not in found
    assert "href" not in found
    for part in ("a & b", "do <this>", "the colours <are> swapped", "v<3>"):
        assert part in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "the first operation that differs is v<3> (add), 40.0 dB"),
        ({"stage": "conversion"}, "by the conversion"),
        ({"ops": (*OPS[:3], op(3, float("-inf"), "3 of 4 values are NaN"))}, "no signal; 3 of 4 values are NaN"),
        ({"first": None}, "nothing differs"),
        ({"first": None, "missed": ("top1 is 0.5",)}, "no operation differs, and a gate is missed"),
    ],
)
def test_one_sentence_says_it(more, words):
    assert words in summary(divergence(**more))
