"""Storyboards and orders in files (O8, V9): what people write is what is sent."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gateway.client.commands.documents import dumped, parsed, pruned, read_mapping, read_orders

STORYBOARD = """\
title: No
language: no
scenes:
  - id: one
    heading: 2026-11-21
    duration_s: 2.5
    bullets: {items: [{text: "on: off"}, {text: yes}]}
    animation: {speed: 1}
"""


def test_O8_words_stay_words(tmp_path: Path) -> None:
    """O8, V9: `no`, `yes` and dates are text; numbers, true and false are what they are."""
    path = tmp_path / "storyboard.yaml"
    path.write_text(STORYBOARD)
    document = read_mapping(str(path))
    assert (document["title"], document["language"]) == ("No", "no")
    assert document["scenes"][0]["heading"] == "2026-11-21"
    assert document["scenes"][0]["bullets"]["items"][1] == {"text": "yes"}
    assert parsed("{a: true, b: false, c: 1, d: 2.5, e: null}", "x") == {
        "a": True,
        "b": False,
        "c": 1,
        "d": 2.5,
        "e": None,
    }


def test_O8_what_is_written_is_what_is_read() -> None:
    """O8, V9: a storyboard survives the way to YAML and back; empty texts are left out, zeros are not."""
    storyboard = {
        "title": "Jumps: a “line”",
        "theme": "",
        "scenes": [
            {"id": "s1", "narration": "", "duration_s": 0, "number_line": {"range": {"min": 0, "max": 6}, "jumps": []}},
            {"id": "s2", "code": {"text": "if no:\n    yes()\n", "line_numbers": False}, "title": {}},
        ],
    }
    text = dumped(storyboard)
    assert parsed(text, "x") == pruned(storyboard)
    assert pruned(storyboard)["scenes"][0] == {"id": "s1", "number_line": {"range": {"min": 0, "max": 6}}}
    assert pruned(storyboard)["scenes"][1]["title"] == {}, "an empty kind of scene is a kind all the same"
    assert "text: |" in text
    assert "!!" not in text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("title: [", "line 1, column 9"),
        ('{"title": "a" "b"}', "line 1, column 15"),
        ("- a\n- b\n", "expected names and values"),
        ("!!python/object/apply:os.system ['true']", "line 1, column 1"),
        ("", "expected names and values"),
    ],
)
def test_O8_a_broken_file_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    """O8: file, line and column; and nothing in a file is ever run."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(click.UsageError, match=complaint) as error:
        read_mapping(str(path))
    assert "x.yaml" in error.value.message


def test_O8_V2_orders_of_a_batch(tmp_path: Path) -> None:
    """O8, V2: a list, or a list under `requests` with a webhook; rows with too many cells are refused by number."""
    path = tmp_path / "orders.yaml"
    path.write_text("webhook_url: https://example.com\nrequests:\n- {topic: a, context: b}\n")
    assert read_orders(str(path)) == ([{"topic": "a", "context": "b"}], "https://example.com")
    path.write_text("[{topic: a, context: b}]")
    assert read_orders(str(path))[0] == [{"topic": "a", "context": "b"}]
    path.write_text("topic: a")
    with pytest.raises(click.UsageError, match="expected a list of orders"):
        read_orders(str(path))
    table = tmp_path / "orders.csv"
    table.write_text("topic,context\na,b, and c\n")
    with pytest.raises(click.UsageError, match="row 2: more cells"):
        read_orders(str(table))
    with pytest.raises(click.UsageError, match="No such file"):
        read_orders("missing.csv")
