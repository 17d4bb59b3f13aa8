"""What every scene has in common: heading, content area, entrances, the hold and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from manim import DOWN, Camera, FadeIn, Line, ManimColor, Mobject, VGroup
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import layout, markup, writing
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.templates.direction import ENTER_SECONDS, DirectedScene
from services.video_render.adapters.manim.themes import Frame, Theme, Type
from services.video_render.adapters.manim.typesetter import Page, compile_page
from services.video_render.domain import storyboard

MISSING_GLYPHS = "some characters have no glyph in the available fonts"

C = TypeVar("C")
"""The content class a template draws."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Typeset content and the em it ended up at."""

    typeset: Typeset
    em: float


@dataclass(frozen=True, slots=True)
class FittedStack:
    """Paragraphs under one another, the em they ended up at, and the gap between them."""

    typesets: list[Typeset]
    em: float
    gap: float

    @property
    def height(self) -> float:
        """From the top of the first to the bottom of the last."""
        return sum(part.logical_height for part in self.typesets) + self.gap * (len(self.typesets) - 1)

    def place(self, left: float, top: float) -> None:
        """Move the top left corner of the first; the others follow."""
        for part in self.typesets:
            part.place(left, top)
            top -= part.logical_height + self.gap


class StoryScene(DirectedScene, Generic[C]):
    """A storyboard scene as a Manim scene. Subclasses fill `compose` (place everything) and `perform` (animate).

    Also runs under plain Manim, which the benchmark uses as its peer: nothing here depends on t2m's own renderer.
    """

    kind: ClassVar[type[Any]]

    def __init__(self, scene: storyboard.Scene, theme: Theme, language: str = "en", **kwargs: Any) -> None:
        super().__init__(scene, **kwargs)
        self.content = cast(C, scene.content)
        self.theme = theme
        self.writing = writing.of_scene(scene, language)
        self.blocks: list[layout.Block] = []
        self.problems: list[str] = []
        self._heading = VGroup()

    # -- the course of a scene ---------------------------------------------------------------------

    def construct(self) -> None:
        """Measure first, then play."""
        self.prepare()
        if len(self._heading):
            self.play(FadeIn(self._heading, shift=DOWN * 0.12), run_time=ENTER_SECONDS, rate_func=ease_out_cubic)
        self.perform()
        self.hold_until_due()
        self.leave()

    def prepare(self) -> None:
        """Place everything and check the layout; draws nothing."""
        cast(Camera, self.camera).background_color = ManimColor(self.theme.background)
        if self.spec.heading:
            self._add_heading()
        self.compose()
        self.problems += layout.check(self.blocks)

    def compose(self) -> None:
        """Typeset and place the content, and register it with `block`."""
        raise NotImplementedError

    def perform(self) -> None:
        """Bring the content on."""
        raise NotImplementedError

    # -- building blocks ---------------------------------------------------------------------------

    @property
    def area(self) -> layout.Box:
        """Where content may go."""
        top = Frame.TOP if self.spec.heading else Frame.TOP_WITHOUT_HEADING
        return layout.Box(Frame.LEFT, Frame.RIGHT, Frame.BOTTOM, top)

    @property
    def accent(self) -> str:
        """The theme's first accent colour."""
        return self.theme.accents[0]

    def text(self, source: str, em: float, *, color: str | None = None, width: float | None = None) -> Typeset:
        """A line, or with `width` a wrapped paragraph, of storyboard text."""
        return self.typeset(markup.inline(source, self.accent), em, color=color, width=width)

    def page(self, source: str, em: float, color: str, width: float | None = None) -> Page:
        """Trusted Typst markup, compiled for the scene's language."""
        return compile_page(source, size=em, color=color, width=width, writing=self.writing)

    def typeset(
        self,
        source: str,
        em: float,
        *,
        color: str | None = None,
        width: float | None = None,
        by_glyph: bool = False,
    ) -> Typeset:
        """Trusted Typst markup as a mobject."""
        page = self.page(source, em, color or self.theme.text, width)
        if page.missing_glyphs:
            self.warn(MISSING_GLYPHS)
        return Typeset(page, by_glyph=by_glyph)

    def fit(
        self,
        source: str,
        width: float,
        height: float,
        largest: float,
        *,
        wrap: bool = True,
        balance: bool = False,
        by_glyph: bool = False,
        color: str | None = None,
    ) -> Fitted:
        """Markup set as large as it fits. Wrapped text fills `width`; `balance` makes its lines about equally long."""
        ink = color or self.theme.text
        found = layout.fit(lambda em: self.page(source, em, ink, width if wrap else None), width, height, largest)
        page = self._balance(source, found.page, found.em, ink) if balance and found.factor == 1.0 else found.page
        if page.missing_glyphs:
            self.warn(MISSING_GLYPHS)
        typeset = Typeset(page, by_glyph=by_glyph)
        if found.factor < 1.0:
            typeset.shrink(found.factor)
        return Fitted(typeset, found.em)

    def fit_stack(
        self, sources: Sequence[str], width: float, height: float, largest: float, *, gap: float, color: str = ""
    ) -> FittedStack:
        """Paragraphs of markup, all at the same em, as large as they fit under one another; `gap` is in em."""
        ink = color or self.theme.text
        found = layout.fit(
            lambda em: layout.Stack(tuple(self.page(source, em, ink, width) for source in sources), gap * em),
            width,
            height,
            largest,
        )
        typesets = [self.placeable(page, found.factor) for page in found.page.pages]
        return FittedStack(typesets, found.em, found.page.gap * found.factor)

    def placeable(self, page: Page, factor: float = 1.0) -> Typeset:
        """A compiled page as a mobject, scaled when it fits at no readable size."""
        if page.missing_glyphs:
            self.warn(MISSING_GLYPHS)
        typeset = Typeset(page)
        return typeset.shrink(factor) if factor < 1.0 else typeset

    def _balance(self, source: str, page: Page, em: float, color: str) -> Page:
        """The narrowest page with no more lines."""
        low, high, best = page.width * 0.3, page.width, page
        for _ in range(6):
            middle = (low + high) / 2
            candidate = self.page(source, em, color, middle)
            if candidate.height <= page.height + 1e-6 and candidate.ink_width <= middle + 1e-6:
                high, best = middle, candidate
            else:
                low = middle
        return best

    def start_side(self, width: float, indent: float = 0.0) -> float:
        """Left edge of something of this width on the side where lines begin, moved in by `indent`."""
        if self.writing.right_to_left:
            return self.area.right - indent - width
        return self.area.left + indent

    def block(self, name: str, mobject: Mobject, em: float = 0.0) -> None:
        """Register a part for the layout check."""
        self.blocks.append(layout.Block(name, mobject, em))

    def warn(self, message: str) -> None:
        """Note something a person should know about this scene."""
        if message not in self.problems:
            self.problems.append(message)

    # -- private -----------------------------------------------------------------------------------

    def _add_heading(self) -> None:
        source = f"#strong[{markup.inline(self.spec.heading, self.accent)}]"
        width = Frame.RIGHT - Frame.LEFT
        fitted = self.fit(source, width, 0.86, Type.HEADING, wrap=False)
        if fitted.em < Type.CAPTION:
            fitted = self.fit(f"#set par(leading: 0.1em)\n{source}", width, 0.86, Type.CAPTION)
        title = fitted.typeset.place(self.start_side(fitted.typeset.logical_width), Frame.HEADING_TOP)
        y = Frame.HEADING_TOP - title.logical_height - 0.1
        start = self.start_side(1.3)
        rule = Line((start, y, 0), (start + 1.3, y, 0), color=self.accent, stroke_width=5)
        self._heading = VGroup(title, rule)
        self.block("the heading", self._heading, fitted.em)
