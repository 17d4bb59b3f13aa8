"""Frames that show the one before once more, made without an encoder (ITU-T H.264, Annex B byte streams).

A P frame that skips every macroblock is a copy of the frame before: the header of another P frame with the next number,
and one run of skipped macroblocks. The frames after it are numbered on.
"""

from __future__ import annotations

import re

_START = re.compile(rb"\x00\x00\x00?\x01")
_ESCAPED = re.compile(rb"\x00\x00(?=[\x00-\x03])")
_P_SLICES = (0, 5)
_SLICE, _SPS, _PPS = 1, 7, 8
_WITH_CHROMA_FORMAT = (100, 110, 122, 244)
_LONGEST_HEADER = 32
"""Bytes of a slice that surely hold its header."""


class FrameNumbers:
    """Follows the frames of one encoder: without B frames, one reference, one slice, CAVLC.

    Where a stream is not of that kind, nothing of it is repeated.
    """

    def __init__(self, parameters: bytes, macroblocks: int) -> None:
        """`parameters`: the encoder's SPS and PPS. `macroblocks` of a frame."""
        self._bits = _frame_number_bits(parameters)
        self._macroblocks = macroblocks
        self._made = 0  # since the last key frame
        self._last: bytes | None = None

    def passed(self, packet: bytes, *, key: bool) -> bytes:
        """A packet of the encoder as it belongs into the stream, which may hold frames the encoder knows nothing of."""
        self._last = None
        if key or not self._bits:
            self._made = 0
            return packet
        slices = _units(packet)
        if len(slices) != 1 or slices[0][0] & 31 != _SLICE:
            raise ValueError("a frame is expected to be one slice")
        self._last = _unescaped(slices[0])
        if self._made:
            self._last = _renumbered(self._last, self._bits, self._made)
            packet = _packet(self._last)
        return packet

    def repeated(self) -> bytes | None:
        """The frame that was passed or repeated last once more; None when that takes an encoder."""
        if self._last is None:
            return None
        self._made += 1
        self._last = _renumbered(_all_skipped(self._last, self._bits, self._macroblocks), self._bits, 1)
        return _packet(self._last)


class _Reader:
    """Reads the syntax elements of a NAL unit, from after its first byte."""

    def __init__(self, unit: bytes) -> None:
        self._text = "".join(f"{byte:08b}" for byte in unit[1:])
        self.at = 0

    def u(self, bits: int) -> int:
        """An unsigned number of fixed length."""
        self.at += bits
        return int(self._text[self.at - bits : self.at], 2)

    def ue(self) -> int:
        """An unsigned Exp-Golomb code; a signed one is as long."""
        zeros = self._text.index("1", self.at) - self.at
        self.at += zeros
        return self.u(zeros + 1) - 1

    def read(self) -> str:
        """The bits read so far."""
        return self._text[: self.at]


def _units(data: bytes) -> list[bytes]:
    """The NAL units, still escaped."""
    return [unit for unit in _START.split(data) if unit]


def _unescaped(unit: bytes) -> bytes:
    return unit.replace(b"\0\0\3", b"\0\0")


def _packet(unit: bytes) -> bytes:
    return b"\0\0\0\1" + _ESCAPED.sub(b"\0\0\3", unit)


def _frame_number_bits(parameters: bytes) -> int:
    """How long frame numbers are; 0 for streams that are not as `FrameNumbers` wants them."""
    kinds = {unit[0] & 31: _unescaped(unit) for unit in _units(parameters)}
    if _SPS not in kinds or _PPS not in kinds:
        return 0
    sps, pps = _Reader(kinds[_SPS]), _Reader(kinds[_PPS])
    pps.ue(), pps.ue()  # pic_parameter_set_id, seq_parameter_set_id
    if pps.u(1):  # entropy_coding_mode_flag: arithmetic coding, whose runs of skipped macroblocks depend on all before
        return 0
    profile, _ = sps.u(8), sps.u(16)
    sps.ue()  # seq_parameter_set_id
    if profile in _WITH_CHROMA_FORMAT:
        chroma, _, _, transform_bypass, scaling = sps.ue(), sps.ue(), sps.ue(), sps.u(1), sps.u(1)
        if chroma != 1 or transform_bypass or scaling:
            return 0
    bits, order_type = sps.ue() + 4, sps.ue()
    return bits if order_type == 2 else 0


def _renumbered(unit: bytes, bits: int, more: int) -> bytes:
    """The slice with a frame number that is `more` higher."""
    head = unit[:_LONGEST_HEADER]
    reader = _Reader(head)
    reader.ue(), reader.ue(), reader.ue()  # first_mb_in_slice, slice_type, pic_parameter_set_id
    at = reader.at
    number = reader.u(bits)
    shift = (len(head) - 1) * 8 - at - bits
    difference = ((number + more) % (1 << bits)) - number
    changed = int.from_bytes(head[1:]) + (difference << shift)
    return head[:1] + changed.to_bytes(len(head) - 1) + unit[_LONGEST_HEADER:]


def _all_skipped(unit: bytes, bits: int, macroblocks: int) -> bytes:
    """A slice with the header of this P slice, all of whose macroblocks are skipped.

    Raises ValueError for a header that x264 does not write for P slices without weighted prediction.
    """
    reader = _Reader(unit[:_LONGEST_HEADER])
    if reader.ue() != 0 or reader.ue() not in _P_SLICES:
        raise ValueError("a P slice over the whole frame is expected")
    reader.ue()  # pic_parameter_set_id
    reader.u(bits)
    if reader.u(1):  # num_ref_idx_active_override_flag
        reader.ue()
    if reader.u(1) or reader.u(1):
        raise ValueError("reference frames in their own order are expected")
    reader.ue()  # slice_qp_delta
    if reader.ue() != 1:  # disable_deblocking_filter_idc
        reader.ue(), reader.ue()
    text = reader.read() + _ue(macroblocks) + "1"
    text += "0" * (-len(text) % 8)
    return unit[:1] + int(text, 2).to_bytes(len(text) // 8)


def _ue(number: int) -> str:
    """An unsigned Exp-Golomb code."""
    digits = f"{number + 1:b}"
    return "0" * (len(digits) - 1) + digits
