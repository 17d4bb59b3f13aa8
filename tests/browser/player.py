"""The page's player, driven from a test; and pictures of it beside those of a file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

Picture = NDArray[np.float64]
DEADLINE_S = 30
LONGEST_FRAME_S = 0.07
BT709 = np.array([0.2126, 0.7152, 0.0722])
"""What red, green and blue weigh in a grey value, as the videos are tagged."""


class Player:
    """A page with a video."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.console: list[str] = []
        self.keyless: list[str] = []
        """Addresses that were asked for without a key."""
        self.keyed: list[str] = []
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        page.on("request", self._asked)
        page.goto(origin)

    def _asked(self, request: Any) -> None:
        (self.keyed if "x-api-key" in request.headers else self.keyless).append(request.url)

    def load(self, master: str, key: str, *, lowest: bool = False) -> None:
        """Attach a master playlist; returns when the first frame can be shown.

        `lowest` leaves every switch of rungs to the test. For hls.js 1.7, told to switch while it loads the first
        segment of that rung by its own choice, was seen once to leave out the initialization segment: Chromium then
        reads the segment with the time scale and size of the former rung, and gives up.
        """
        self.page.evaluate("arguments => load(...arguments)", [master, key, lowest])
        self.until("video.readyState >= 2", "a first picture")

    def play(self, rate: float = 1) -> None:
        """Go on playing."""
        self.page.evaluate("rate => { video.playbackRate = rate; return video.play(); }", rate)

    def pause(self) -> None:
        """Hold the picture."""
        self.page.evaluate("video.pause()")

    def seek(self, seconds: float) -> None:
        """Go elsewhere; returns when the frame of that moment is shown."""
        self.page.evaluate("seconds => { seen.last = null; video.currentTime = seconds; }", seconds)
        shown = f"seen.last && Math.abs(seen.last.mediaTime - {seconds}) < {LONGEST_FRAME_S}"
        self.until(f"!video.seeking && {shown}", f"{seconds} s")

    def until(self, condition: str, what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait for a condition of the page; at the deadline the test fails with what the page has seen."""
        try:
            self.page.wait_for_function(f"() => {condition}", timeout=deadline_s * 1000)
        except Exception as error:
            raise AssertionError(f"no {what}: {self.state()} {self.seen()} {self.console}") from error

    def state(self) -> dict[str, Any]:
        """Of the media element."""
        answer: dict[str, Any] = self.page.evaluate("state()")
        return answer

    def seen(self) -> dict[str, Any]:
        """What happened since the page was opened."""
        answer: dict[str, Any] = self.page.evaluate("seen")
        return answer

    def picture(self) -> Picture:
        """What is shown."""
        image = Image.open(io.BytesIO(base64.b64decode(self.page.evaluate("picture()"))))
        grey: Picture = np.asarray(image.convert("RGB"), dtype=np.float64) @ BT709
        return grey

    def assert_healthy(self, *passing: str) -> None:
        """No error of the element, of a script or of hls.js, but for those `passing` that it got over by itself."""
        errors = [error for error in self.seen()["errors"] if error["fatal"] or error["details"] not in passing]
        assert not errors, errors
        assert self.state()["error"] is None
        assert [line for line in self.console if line.startswith("error")] == []


@dataclass(frozen=True)
class File:
    """A downloaded MP4."""

    content: bytes

    def pictures(self, start: float, end: float) -> Iterator[tuple[float, Picture]]:
        """(seconds, picture) of the frames that begin between two moments."""
        with av.open(io.BytesIO(self.content), "r") as container:
            for frame in container.decode(video=0):
                if start <= frame.time < end:
                    yield frame.time, (frame.to_ndarray()[: frame.height].astype(np.float64) - 16) * 255 / 219


def difference(one: Picture, other: Picture) -> float:
    """Mean distance of grey values, of 255."""
    assert one.shape == other.shape
    return float(np.abs(one - other).mean())
