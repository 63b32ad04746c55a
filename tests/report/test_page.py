"""The page as a browser's parser sees it; tests/report/in_browser.py looks at it in a real one."""

import base64
import dataclasses
import hashlib
import typing
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from converter.model import BuildRecord, ModelRecord
from converter.report.page import DETAILED, render_page

HOSTILE = "</style></title></script><img src=x onerror=alert(1)>\"'`& <a href=javascript:alert(1)>{{ 7 * 7 }}"
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The elements with their attributes, the text of some, and whether all tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.text, self.tables = [], [], Counter(), []
        self.style = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        self.text[data.strip()] += 1

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture
def page(whole, before) -> Page:
    return Page(render_page(whole, before))


def spoiled(value, hint, kept=("deployment_target", "cells", "schema")):
    """A record with hostile text wherever text of any kind may stand."""
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return replace(value, **{n: v if n in kept else spoiled(v, hints[n]) for n, v in fields.items()})
    if isinstance(value, tuple):
        kinds = typing.get_args(hint)
        kind = kinds[0] if kinds and kinds[-1] is Ellipsis else None
        return tuple(spoiled(item, kind or type(item)) for item in value)
    if isinstance(value, dict):
        return {f"{HOSTILE}{key}": spoiled(item, typing.get_args(hint)[1]) for key, item in value.items()}
    return f"{HOSTILE}{value}" if isinstance(value, str) and hint is str else value


def test_whatever_stands_in_a_record_is_text(whole, before):
    hostile = render_page(spoiled(whole, BuildRecord), spoiled(before, BuildRecord))
    assert hostile.count("onerror=alert") > 200
    assert "{{ 7 * 7 }}" in hostile
    page = Page(hostile)  # all tags close in order
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(render_page(whole, before)).elements}
    asks_for_nothing(page)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_a_picture_that_is_none_of_ours_is_not_shown(whole, mobilenet):
    from_elsewhere = replace(mobilenet.samples[0], picture="https://example.com/seen.png")
    record = replace(whole, models=(replace(mobilenet, samples=(from_elsewhere, mobilenet.samples[1])),))
    assert len(Page(render_page(record)).all("img")) == 1
    assert "example.com" not in render_page(record)


def asks_for_nothing(page):
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:")), attributes
        assert "style" not in attributes
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert not page.all("script", "iframe", "object", "form")


def test_the_page_asks_for_nothing_and_names_no_address(page):
    asks_for_nothing(page)


def test_the_policy_allows_this_style_and_inline_pictures_alone(page):
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "style-src": f"'sha256-{digest}'",
    }


def test_every_link_leads_somewhere_and_no_name_is_given_twice(page):
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    links = [a["href"][1:] for a in page.all("a")]
    assert len(links) > 6
    assert set(links) <= set(names)


def test_headings_go_down_one_by_one(page):
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_tables_say_what_their_heads_are_of(page):
    assert len(page.tables) > 10
    for head in page.all("th"):
        assert head.get("scope") in ("col", "row", "rowgroup")


def test_every_row_fills_its_table(page):
    for table in page.tables:
        waiting, widths = Counter(), set()
        for row in table:
            cells = sum(int(cell.get("colspan", 1)) for cell in row)
            widths.add(cells + sum(1 for left in waiting.values() if left))
            waiting = Counter({key: left - 1 for key, left in waiting.items() if left > 1})
            for cell in row:
                if int(cell.get("rowspan", 1)) > 1:
                    waiting[len(waiting), id(cell)] = int(cell["rowspan"]) - 1
        assert len(widths) == 1, table[0]


def test_pictures_and_plots_have_words(page):
    assert [image["alt"] for image in page.all("img")] == ["Sample china.jpg", "Sample flower.jpg"] * 2
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and len(drawing["aria-label"]) > 20)


@pytest.mark.parametrize(
    "words",
    [
        "2 of 3 models passed",
        "Cause: BGR",
        "image: {color: BGR}",
        "failed, by BGR",
        "The first operation that differs is op_10 (conv), 30.0 dB, by the conversion.",
        "PSNR in dB of 12 values; op_10 differs first",
        "97.8 % (95 % CI 95.7 to 98.9) on 360 samples",
        "fault of the device",
        "4.31 ms",
        "another first class",
        "first: 61.00 %",
        "Neural Engine",
        "mobilenet_v2.mlmodelc.zip",
        "centerCrop",
        "near tie",
        "87.50 % of that side",
        "mobilenet_v1",
        "7.6 MB",
        "clip −35, conv −1",
        "not published",
        "op &#39;weird::op&#39; is not implemented",
    ],
)
def test_the_page_tells(whole, before, words):
    assert words in render_page(whole, before)


def test_a_cause_is_said_once_for_each_file_and_not_in_the_error_as_well(whole, before):
    assert "cause: BGR" in whole.models[1].error
    assert render_page(whole, before).count("The source takes its channels as B, G, R") == 1


def test_a_check_by_the_evaluator_is_not_called_core_ml(whole, mac):
    assert "<h3>Core ML</h3>" in render_page(whole)
    text = render_page(replace(whole, checks=(replace(mac, engine="reference", machine="Linux, x86_64"),)))
    assert "<h3>Core ML</h3>" not in text
    assert "<h3>Checked again</h3>" in text


def test_a_model_that_the_last_run_left_alone_says_so(whole, mobilenet):
    alone = replace(mobilenet, commit="0a1b2c3")
    assert "Left alone by the last run" in render_page(replace(whole, models=(alone,)))
    for model in (mobilenet, replace(alone, reused=True)):
        assert "Left alone by the last run" not in render_page(replace(whole, models=(model,)))


def many(model: ModelRecord, count: int, **more) -> BuildRecord:
    models = tuple(replace(model, name=f"{model.name}_{index}") for index in range(count))
    return BuildRecord(manifest="models.yml", commit="", models=models, seconds=1, **more)


def test_a_page_of_many_models_stays_small(mobilenet):
    one, more = (len(render_page(many(mobilenet, count))) for count in (1, 11))
    assert (more - one) / 10 < 45_000  # of which the two pictures are 13 kB


def test_of_very_many_models_those_that_failed_are_shown(mobilenet, failed):
    record = many(mobilenet, DETAILED + 1)
    text = render_page(replace(record, models=(*record.models, failed)))
    assert [a["id"] for a in Page(text).all("h2") if a["id"].startswith("model-")] == ["model-broken"]
    assert len(text) < 1000 * (DETAILED + 60)


def test_models_whose_names_differ_in_signs_alone_have_names_of_their_own(mobilenet):
    models = tuple(replace(mobilenet, name=name) for name in ("a b", "a-b", "a/b"))
    page = Page(render_page(BuildRecord(manifest="m", commit="", models=models, seconds=1)))
    anchors = [a["id"] for a in page.all("h2") if a["id"].startswith("model-")]
    assert anchors == ["model-a-b", "model-a-b-2", "model-a-b-3"]


def test_an_empty_run_and_one_of_an_older_release_have_a_page(run):
    assert "0 of 0 models passed" in render_page(BuildRecord(manifest="m.yml", commit="", models=(), seconds=0.0))
    text = render_page(run)  # no plots, rankings, contents or samples
    assert "2 of 4 models passed" in text
    assert "nothing was converted" in text


def test_numbers_that_are_none_are_readable(whole, mobilenet):
    first = mobilenet.attempts[0]
    (metrics,) = first.validation.metrics
    for value in (float("nan"), float("inf"), float("-inf")):
        spoilt = replace(first.validation, metrics=(replace(metrics, psnr_db=value),))
        record = replace(whole, models=(replace(mobilenet, attempts=(replace(first, validation=spoilt),)),), checks=())
        text = render_page(record)
        assert ("exact" if value == float("inf") else ">none<") in text
        assert "nan dB" not in text
