"""Plots are read back from their SVG by an XML parser."""

import re
from xml.etree import ElementTree

import pytest

from converter.model import Gate, Plot
from converter.report.plots import histogram, limit_of, scatter, spread


def plot(errors=(), cells="0,0 50,50 99,99", **more) -> Plot:
    counts = [0] * 32
    for index, count in errors:
        counts[index] = count
    values = {"output": "y", "on": "values", "values": 100, "equal": 0, "non_finite": 0, "low": -1.0, "high": 2.0}
    return Plot(**values | {"errors": tuple(counts), "cells": cells, **more})


def bars(svg):
    """Left edge, height and width of each."""
    (path,) = [e for e in ElementTree.fromstring(svg) if e.get("class") == "bars"]
    return [
        tuple(map(float, found)) for found in re.findall(r"M([\d.]+) 112v-([\d.]+)h([\d.]+)v[\d.]+z", path.get("d"))
    ]


def test_bars_are_as_high_as_their_counts_and_stand_in_their_decade():
    drawn = bars(histogram(plot([(0, 50), (16, 100), (31, 25)]), None))
    assert [height for _, height, _ in drawn] == [46, 92, 23]
    assert [left for left, _, _ in drawn] == [8.5, 168.5, 318.5]  # 1e-8, 1e-4, and the last quarter below 1


def test_a_single_value_beside_very_many_is_seen():
    assert bars(histogram(plot([(3, 1), (4, 1_000_000)]), None))[0][1] == 2


@pytest.mark.parametrize(("limit_db", "x"), [(80, 168), (40, 248), (0, 328), (160, 8), (300, 8)])
def test_the_gate_stands_where_an_error_of_every_value_would_miss_it(limit_db, x):
    """A PSNR of 80 dB is an error of 1e-4 of the largest value."""
    (line,) = [e for e in ElementTree.fromstring(histogram(plot(), limit_db)) if e.get("class") == "gate"]
    assert line.get("d") == f"M{x} 6V112"


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        (plot(equal=100), "How far values are off: 100 of 100 values are equal."),
        (
            plot([(16, 90), (19, 7)], non_finite=3),
            "How far values are off: 97 of 100 values are off by 1.0e-04 to 1.0e-03 of the largest; "
            "3 are NaN or infinite.",
        ),
        (plot(values=0, cells=""), "How far values are off: there are none."),
    ],
)
def test_a_histogram_can_be_read_aloud(drawn, words):
    assert spread(drawn) == words
    assert ElementTree.fromstring(histogram(drawn, 35)).get("aria-label") == words


def test_dots_lie_where_the_values_do():
    svg = ElementTree.fromstring(scatter(plot(cells="0,0 99,50")))
    (dots,) = [e for e in svg if e.get("class") == "dots"]
    assert dots.get("d") == "M0 99h0M99 49h0"
    assert svg.get("aria-label").endswith("both from -1 to 2: the furthest lies 49 % of the range off the diagonal.")


def test_what_is_no_place_is_not_drawn():
    (dots,) = [
        e for e in ElementTree.fromstring(scatter(plot(cells='1,2 "/><script>,3 4,5'))) if e.get("class") == "dots"
    ]
    assert dots.get("d") == "M1 97h0M4 94h0"


def test_an_outputs_own_gate_is_found():
    def gate(name, words, limit):
        return Gate(name=name, limit=limit, measured=0, passed=True, words=words)

    gates = (
        gate("top1", "top1 of y is 1", 1),
        gate("psnr_db", "psnr_db of yy is 1 dB", 30),
        gate("psnr_db", "psnr_db of y is 1 dB", 35),
    )
    assert limit_of(plot(), gates) == 35
    assert limit_of(plot(), gates[:2]) is None
