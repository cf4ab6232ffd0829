"""Blocks as Markdown."""

import pytest

from quantbench.report.blocks import Bullet, Bullets, Code, Column, Image, Section, Table, Text
from quantbench.report.formats.markdown import escape, render_block, render_markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("*bold*", r"\*bold\*"),
        ("__init__", r"\_\_init\_\_"),
        ("snake_case", "snake_case"),
        ("<b>x", r"\<b>x"),
        ("p < 0.05", "p < 0.05"),
        ("[a](b)", r"[a]\(b)"),
        ("two\nlines", "two lines"),
        ("größe-4бит-量化", "größe-4бит-量化"),
    ],
)
def test_text_is_shown_as_it_is(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_table_aligns_numbers_to_the_right() -> None:
    table = Table((Column("Method", number=False), Column("Size")), (("fp16", "1.0"), ("a|b", "2.0")))
    lines = render_block(table).split("\n")
    assert lines == ["| Method | Size |", "| --- | ---: |", "| fp16 | 1.0 |", r"| a\|b | 2.0 |"]


def test_a_bullet_emphasises_its_lead() -> None:
    assert render_block(Bullets((Bullet("text", "Lead"), Bullet("plain")))) == "- **Lead**: text\n- plain"


def test_code_cannot_end_its_own_fence() -> None:
    assert render_block(Code("a ``` b")).count("```") == 2


def test_a_png_is_shown_and_a_page_is_linked() -> None:
    assert render_block(Image("a.png", "A")) == "![A](a.png)"
    assert render_block(Image("a.html", "A")) == "[A](a.html)"


def test_a_document_has_its_title_and_its_sections_in_order() -> None:
    sections = [Section(key="a", title="One", blocks=(Text("x"),)), Section(key="b", title="Two", level=3)]
    assert render_markdown("T", sections) == "# T\n\n## One\n\nx\n\n### Two\n"
