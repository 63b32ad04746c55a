import pytest

from converter.report.markdown import Markdown, block, code, escape


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain words, 1.5 (really)!", "plain words, 1.5 (really)!"),
        ("a_b *c* `d`", r"a\_b \*c\* \`d\`"),
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("a | b", r"a \| b"),
        ("![x](y)", r"!\[x\](y)"),
        ("# heading", r"\# heading"),
        ("two\nlines\r\n\r\nof text", "two lines of text"),
        ("- item", r"\- item"),
        ("=====", r"\====="),
        ("---", r"\---"),
        ("-1.5 dB, 2.7.0", "-1.5 dB, 2.7.0"),
        (", ", ", "),
        ("1. item", r"1\. item"),
        ("&copy; C:\\x", r"\&copy; C:\\x"),
        ("", ""),
        (Markdown("*bold*"), "*bold*"),
        (12, "12"),
        (None, "None"),
    ],
)
def test_text_reads_as_text(text, escaped):
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("name", "`name`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        ("a|b", r"`a\|b`"),
        ("a\nb", "`a b`"),
    ],
)
def test_code_holds_any_text(text, shown):
    assert code(text) == shown


def test_a_block_cannot_be_left():
    assert block("a\n```\nb") == "````text\na\n```\nb\n````"
