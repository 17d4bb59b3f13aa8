"""What goes to the terminal: results to stdout, everything else to stderr; one place that knows about `--json`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.client.commands.failures import Explanation
from gateway.client.commands.words import STYLES, line, safe

_GAP = 2
_LEAST = 8
"""Characters that even the longest text keeps."""


@dataclass(frozen=True, slots=True)
class Column:
    """Of a table: its heading, and what gives way first where there is little room (0 never)."""

    heading: str
    gives_way: int = 0
    right: bool = False
    stretches: bool = False
    """It takes the room that is left, and is cut where there is none."""
    needs: int = 0
    """Characters that it takes as a rule."""


class Output:
    """Speaks to a person, or to a script (`json`, or a stdout that is no terminal). `quiet` leaves out all but
    results and errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, color: bool = True) -> None:
        self.json = as_json
        self.quiet = quiet
        plain = None if color else True
        # A pipe has no width: nothing may be cut there.
        width = None if sys.stdout.isatty() else 10_000
        self.out = Console(no_color=plain, highlight=False, soft_wrap=False, width=width, emoji=False, markup=False)
        self.err = Console(no_color=plain, highlight=False, stderr=True, emoji=False, markup=False)

    @property
    def lively(self) -> bool:
        """Whether something may move on the screen."""
        return self.err.is_terminal and not self.json and not self.quiet and os.environ.get("TERM") != "dumb"

    def document(self, value: Any) -> None:
        """The result as JSON."""
        self._write(json.dumps(value, ensure_ascii=False, indent=2))

    def item(self, value: Any) -> None:
        """One of many results, as a line of JSON."""
        self._write(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def result(self, text: str) -> None:
        """The result in a word, such as an id or a path; that, and only that, a script gets."""
        self._write(safe(text))

    def text(self, text: str) -> None:
        """A result of many lines as it is."""
        self._write(text.rstrip("\n"))

    def note(self, text: str, style: str = "") -> None:
        """Beside the result, for people."""
        if not self.quiet and not self.json:
            self.err.print(Text(safe(text), style), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something to know about, also in a script."""
        self.err.print(Text.assemble(("Warning: ", "yellow"), safe(text)), soft_wrap=True)

    def error(self, explanation: Explanation) -> None:
        """What went wrong."""
        self.err.print(Text.assemble(("Error: ", "bold red"), safe(explanation.headline)), soft_wrap=True)
        for point in explanation.points:
            field, colon, rest = safe(point).partition(": ")
            self.err.print(Text.assemble("  ", (field, "bold"), colon, rest), soft_wrap=True)
        if explanation.hint:
            self.err.print(Text(explanation.hint, "dim"), soft_wrap=True)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        """For people a table that fits, or that there is nothing; for a pipe all of it, tab-separated, no headings."""
        cells = [[line(cell) for cell in row] for row in rows]
        if not self.out.is_terminal:
            for row in cells:
                self._write("\t".join(row))
            return
        if not cells:
            self.note("There are none.")
            return
        kept = self._fitting(columns)
        widths = [max(map(cell_len, (columns[at].heading, *(row[at] for row in cells)))) for at in range(len(columns))]
        rigid = sum(widths[at] for at in kept if not columns[at].stretches) + _GAP * len(kept)
        shares = sum(columns[at].stretches for at in kept)
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold", show_edge=False)
        for index in kept:
            column = columns[index]
            table.add_column(
                column.heading,
                justify="right" if column.right else "left",
                no_wrap=True,
                overflow="ellipsis",
                # Left to itself rich takes a little from every column where one is too long.
                max_width=max(_LEAST, (self.out.width - rigid) // shares) if column.stretches else None,
            )
        for row in cells:
            table.add_row(*(Text(row[index], STYLES.get(row[index], "")) for index in kept))
        self.out.print(table)

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values, one a line; empty ones are left out."""
        shown = [(name, safe(value)) for name, value in pairs if value not in ("", None)]
        if not self.out.is_terminal:
            for name, value in shown:
                self._write(f"{name}\t{value}")
            return
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in shown:
            grid.add_row(name, Text(value, STYLES.get(value, "")))
        self.out.print(grid)

    def _fitting(self, columns: Sequence[Column]) -> list[int]:
        """Positions of the columns that there is room for."""
        kept = list(range(len(columns)))
        for index in sorted(kept, key=lambda index: -columns[index].gives_way):
            if sum(columns[at].needs + _GAP for at in kept) <= self.out.width or not columns[index].gives_way:
                break
            kept.remove(index)
        return kept

    def _write(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
