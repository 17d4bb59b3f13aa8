"""What every scene has in common: heading, content area, entrances, the hold and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from manim import (
    DOWN,
    Animation,
    Camera,
    FadeIn,
    FadeOut,
    Group,
    LaggedStart,
    Line,
    ManimColor,
    Mobject,
    Scene,
    VGroup,
    VMobject,
    config,
)
from manim.utils.rate_functions import ease_out_cubic

from services.video_render.adapters.manim import layout, markup
from services.video_render.adapters.manim.mobjects import Typeset
from services.video_render.adapters.manim.themes import Frame, Theme, Type
from services.video_render.adapters.manim.typesetter import Page, compile_page
from services.video_render.domain import storyboard

ENTER_SECONDS = 0.6
LEAVE_SECONDS = 0.4
SHORTEST_HOLD = 1.0
MISSING_GLYPHS = "some characters have no glyph in the available fonts"

C = TypeVar("C")
"""The content class a template draws."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Typeset content and the em it ended up at."""

    typeset: Typeset
    em: float


class StoryScene(Scene, Generic[C]):
    """A storyboard scene as a Manim scene. Subclasses fill `compose` (place everything) and `perform` (animate).

    Also runs under plain Manim, which the benchmark uses as its peer: nothing here depends on t2m's own renderer.
    """

    kind: ClassVar[type[Any]]

    def __init__(self, scene: storyboard.Scene, theme: Theme, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = scene
        self.content = cast(C, scene.content)
        self.theme = theme
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
        self._hold_until_due()
        self.play(FadeOut(Group(*self.mobjects)), run_time=LEAVE_SECONDS)

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
        page = compile_page(source, size=em, color=color or self.theme.text, width=width)
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
        found = layout.fit(
            lambda em: compile_page(source, size=em, color=ink, width=width if wrap else None), width, height, largest
        )
        page = self._balance(source, found.page, found.em, ink) if balance and found.factor == 1.0 else found.page
        if page.missing_glyphs:
            self.warn(MISSING_GLYPHS)
        typeset = Typeset(page, by_glyph=by_glyph)
        if found.factor < 1.0:
            typeset.shrink(found.factor)
        return Fitted(typeset, found.em)

    def _balance(self, source: str, page: Page, em: float, color: str) -> Page:
        """The narrowest page with no more lines."""
        low, high, best = page.width * 0.3, page.width, page
        for _ in range(6):
            middle = (low + high) / 2
            candidate = compile_page(source, size=em, color=color, width=middle)
            if candidate.height <= page.height + 1e-6 and candidate.ink_width <= middle + 1e-6:
                high, best = middle, candidate
            else:
                low = middle
        return best

    def block(self, name: str, mobject: Mobject, em: float = 0.0) -> None:
        """Register a part for the layout check."""
        self.blocks.append(layout.Block(name, mobject, em))

    def warn(self, message: str) -> None:
        """Note something a person should know about this scene."""
        if message not in self.problems:
            self.problems.append(message)

    def appear(self, *parts: VMobject, seconds: float = ENTER_SECONDS, lag: float = 0.0) -> None:
        """Fade parts in with a small rise, one after the other when `lag` is not 0."""
        entrances: list[Animation] = [FadeIn(part, shift=DOWN * -0.15) for part in parts if len(part.get_family())]
        if entrances:
            self.play(LaggedStart(*entrances, lag_ratio=lag), run_time=seconds, rate_func=ease_out_cubic)

    def wait_frames(self, seconds: float) -> None:
        """Wait a whole number of frames."""
        frames = round(seconds * config.frame_rate)
        if frames > 0:
            self.wait((frames + 0.25) / config.frame_rate)

    def spread(self, parts: Sequence[Any], seconds_each: float = ENTER_SECONDS) -> float:
        """Seconds to pause after each part so that the parts fill the scene's target duration evenly."""
        if not parts:
            return 0.0
        left = self.spec.duration_s - self.time - LEAVE_SECONDS - SHORTEST_HOLD - len(parts) * seconds_each
        return min(max(left / len(parts), 0.25), 3.5)

    # -- private -----------------------------------------------------------------------------------

    def _add_heading(self) -> None:
        source = f"#strong[{markup.inline(self.spec.heading, self.accent)}]"
        width = Frame.RIGHT - Frame.LEFT
        fitted = self.fit(source, width, 0.95, Type.HEADING, wrap=False)
        if fitted.em < Type.CAPTION:
            fitted = self.fit(f"#set par(leading: 0.1em)\n{source}", width, 0.95, Type.CAPTION)
        title = fitted.typeset.place(Frame.LEFT, Frame.HEADING_TOP)
        y = Frame.HEADING_TOP - title.logical_height - 0.1
        rule = Line((Frame.LEFT, y, 0), (Frame.LEFT + 1.3, y, 0), color=self.accent, stroke_width=5)
        self._heading = VGroup(title, rule)
        self.block("the heading", self._heading, fitted.em)

    def _hold_until_due(self) -> None:
        left = self.spec.duration_s - self.time - LEAVE_SECONDS
        self.wait_frames(max(left, SHORTEST_HOLD))
