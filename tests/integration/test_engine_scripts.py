"""Texts in every script that the fonts cover: shaped, complete, beginning at the right side (R4)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import typst
from manim import tempconfig

from services.video_render.adapters.manim import fonts, scene_drawing, version
from services.video_render.adapters.manim.layout import measure
from services.video_render.adapters.manim.templates import TEMPLATES, StoryScene
from services.video_render.adapters.manim.themes import DARK, Frame
from services.video_render.adapters.manim.typesetter import Page, compile_page
from services.video_render.adapters.manim.writing import Writing, of_scene
from services.video_render.application.engine import Rung
from services.video_render.domain.storyboard import (
    BulletItem,
    Bullets,
    Compare,
    CompareSide,
    Content,
    Paragraph,
    Quote,
    Recap,
    Scene,
    Section,
    Table,
    TableRow,
    Timeline,
    TimelineEvent,
    TitleCard,
)

TEXTS = {
    "en": "The quick brown fox – “jumps” over the lazy dog…",
    "fr": "Où sont les élèves ? Œuvre, façade",
    "vi": "Định lý Pythagoras trong tam giác vuông",
    "pl": "Zażółć gęślą jaźń",
    "el": "Το πυθαγόρειο θεώρημα στην γεωμετρία",
    "ru": "Теорема Пифагора: сумма квадратов катетов",
    "uk": "Теорема Піфагора, її доведення ґрунтовне",
    "zh": "勾股定理：直角三角形的两条直角边",
    "zh-Hant-TW": "勾股定理：直角三角形兩條直角邊的平方和",
    "ja": "三平方の定理は、直角三角形についてのテーマです。",
    "ko": "피타고라스의 정리는 직각삼각형에 관한 것이다",
    "ar": "نظرية فيثاغورس في المثلث القائم الزاوية",
    "fa": "قضیه فیثاغورس در هندسه اقلیدسی، گچ پژ",
    "ur": "مسئلہ فیثاغورث ہندسہ میں",
    "he": "משפט פיתגורס במשולש ישר זווית",
    "hi": "पाइथागोरस प्रमेय समकोण त्रिभुज के लिए",
    "bn": "পিথাগোরাসের উপপাদ্য",
    "ta": "பித்தாகரசு தேற்றம்",
    "te": "పైథాగరస్ సిద్ధాంతం",
    "th": "ทฤษฎีบทพีทาโกรัสในสามเหลี่ยมมุมฉาก",
    "lo": "ທິດສະດີບົດ",
    "km": "ទ្រឹស្តីបទ",
    "my": "ပိုက်သာဂိုရ",
}
RIGHT_TO_LEFT = ("ar", "fa", "ur", "he")
ARABIC = Writing("ar", "", right_to_left=True, tall=True)


def page(text: str, writing: Writing, width: float | None = None) -> Page:
    return compile_page(f'#"{text}"', size=0.5, color="#ffffff", width=width, writing=writing)


def prepared(content: Content, language: str, heading: str = "") -> StoryScene[Any]:
    """A scene with everything in its place; no frame is drawn."""
    scene = Scene("s", content, heading)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempconfig(scene_drawing.settings(Rung("tiny", 426, 240, 10), Path(folder))),
    ):
        story = TEMPLATES[type(content)](scene, DARK, language)
        story.prepare()
        return story


@pytest.mark.parametrize("style", ["{}", "#strong[{}]", "#emph[{}]", "#raw({})"])
@pytest.mark.parametrize("language", TEXTS)
def test_r4_no_character_is_missing(language: str, style: str) -> None:
    text = TEXTS[language]
    literal = f'"{text}"' if "raw" in style else f'#"{text}"'
    writing = of_scene(Scene("s", Paragraph(text)), language)
    found = compile_page(style.format(literal), size=0.5, color="#ffffff", writing=writing)
    assert not found.missing_glyphs
    assert len(found.outlines) >= len(text.replace(" ", "")) * 0.3


@pytest.mark.parametrize("style", ["{}", "#strong[{}]", "#emph[{}]", "#raw({})"])
def test_r4_a_missing_character_is_noticed_in_every_style(style: str) -> None:
    literal = '"\U0010fffd"' if "raw" in style else '#"\U0010fffd"'
    assert compile_page(style.format(literal), size=0.5, color="#ffffff").missing_glyphs


def test_r4_fonts_come_out_of_packages_only() -> None:
    """The same picture on every machine: no font of the system, and every package is part of the engine's version."""
    folders = fonts.folders()
    assert len(folders) == len(fonts.PACKAGES)
    assert set(fonts.PACKAGES) <= set(version.PACKAGES)
    families = set(typst.Fonts(False, True, folders).families())
    assert set(fonts.TEXT) | set(fonts.MATH) | set(fonts.CODE) <= families


@pytest.mark.parametrize("language", RIGHT_TO_LEFT)
def test_r4_lines_of_right_to_left_scripts_begin_at_the_right(language: str) -> None:
    writing = of_scene(Scene("s", Paragraph(TEXTS[language])), language)
    assert writing.right_to_left
    wide = page(TEXTS[language], writing, width=12.0)
    right = max(float(outline.points[:, 0].max()) for outline in wide.outlines)
    left = min(float(outline.points[:, 0].min()) for outline in wide.outlines)
    assert right == pytest.approx(12.0, abs=0.1)
    assert left > 2


def test_r4_arabic_is_shaped() -> None:
    """Letters join: a word is narrower and drawn with other glyphs than its letters one by one."""
    word = "بيت"
    joined = page(word, ARABIC)
    apart = page("\u200c".join(word), ARABIC)
    assert joined.width < 0.8 * apart.width


def test_r4_glyphs_of_right_to_left_words_run_to_the_left() -> None:
    """The first letter stands at the right: a word gains its second letter on the left side."""
    one, two = page("ש", ARABIC), page("שנ", ARABIC)
    grown = two.width - one.width
    assert grown > 0.05
    lefts = sorted(float(outline.points[:, 0].min()) for outline in two.outlines)
    assert lefts[-1] == pytest.approx(grown + min(float(o.points[:, 0].min()) for o in one.outlines), abs=0.03)


def test_r4_a_latin_word_keeps_its_order_within_arabic() -> None:
    """Mixed directions: the Latin word stands left of the Arabic one and reads from left to right."""
    latin = page("ab", Writing())
    mixed = page("بيت ab", ARABIC)
    shapes = sorted(mixed.outlines, key=lambda outline: float(outline.points[:, 0].min()))
    plain = sorted(latin.outlines, key=lambda outline: float(outline.points[:, 0].min()))
    for ours, theirs in zip(shapes[:2], plain, strict=True):
        assert ours.points.shape == theirs.points.shape
        assert ours.points[:, 0].min() == pytest.approx(theirs.points[:, 0].min(), abs=0.01)


def test_r4_the_language_decides_between_forms_of_a_character() -> None:
    """直 is written differently in Japan and China; one font holds both."""
    japanese, chinese = (page("直", Writing(language)) for language in ("ja", "zh"))
    assert [o.points.tolist() for o in japanese.outlines] != [o.points.tolist() for o in chinese.outlines]


@pytest.mark.parametrize(
    ("language", "text", "right"),
    [
        ("ar", "نظرية Euclid", True),
        ("ar", "Euclid", False),
        ("he", "1 + 2 = 3", True),
        ("en", "1 + 2 = 3", False),
        ("en", "The word שלום means peace", False),
        ("en", "שלום עולם hi", True),
        ("fa-IR", "قضیه", True),
    ],
)
def test_r4_the_letters_decide_the_direction_and_then_the_language(language: str, text: str, right: bool) -> None:
    assert of_scene(Scene("s", Paragraph(text)), language).right_to_left is right


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("zh-Hant", ("zh", "TW")),
        ("zh-Hans-CN", ("zh", "CN")),
        ("pt-BR", ("pt", "BR")),
        ("es-419", ("es", "")),
        ('en"); #panic("', ("en", "")),
        ("", ("en", "")),
    ],
)
def test_r3_only_codes_of_languages_reach_typst(language: str, expected: tuple[str, str]) -> None:
    found = of_scene(Scene("s", Paragraph("words")), language)
    assert (found.language, found.region) == expected


A = "نظرية فيثاغورس"
RTL_SCENES: list[Content] = [
    TitleCard(A, A),
    Bullets((BulletItem(A), BulletItem(A, 1))),
    Paragraph(A),
    Recap((A, A)),
    Section(A, "2", A),
    Quote(A, A, A),
    Compare(CompareSide(A, (A, A)), CompareSide(A, (A,)), A),
    Timeline((TimelineEvent("1905", A, A), TimelineEvent("1915", A))),
    Table((A, A), (TableRow((A, "1")),)),
]


@pytest.mark.parametrize("content", RTL_SCENES, ids=lambda content: type(content).__name__)
def test_r4_right_to_left_scenes_keep_the_layout(content: Content) -> None:
    story = prepared(content, "ar", A)
    assert story.problems == []
    heading = next(block for block in story.blocks if block.name == "the heading")
    assert measure(heading.mobject).right == pytest.approx(Frame.RIGHT, abs=0.1)


def test_r4_bullets_and_paragraphs_begin_at_the_right_in_arabic_and_at_the_left_in_english() -> None:
    for content in (Bullets((BulletItem(A),)), Paragraph(A), Recap((A,))):
        box = measure(prepared(content, "ar").blocks[0].mobject)
        assert box.right > Frame.RIGHT - 0.3
        assert box.left > 0
    for content in (Bullets((BulletItem("words"),)), Paragraph("words"), Recap(("words",))):
        box = measure(prepared(content, "en").blocks[0].mobject)
        assert box.left < Frame.LEFT + 0.3
        assert box.right < 0


def test_r4_events_run_from_right_to_left_in_arabic() -> None:
    story = prepared(RTL_SCENES[7], "ar")
    first, second = (measure(block.mobject) for block in story.blocks if block.name.startswith("event"))
    assert first.left > second.right
