"""Which video container a file is, and whether all of it arrived: told from its bytes, never from its name."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from serving.errors import InvalidInput

EXPECTED = "a video file: MP4 or MOV, WebM or MKV, AVI, or GIF"

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
# Counts in these tables make FFmpeg allocate and loop before it reads a frame: (where one stands, the most of all).
_TABLES = {b"stsz": (12, 4_000_000), b"trun": (8, 500_000), b"elst": (8, 256)}
_TABLE = re.compile(b"|".join(_TABLES))
_TOP_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"styp", b"wide", b"free", b"skip", b"pnot")

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"BM", "a BMP image"),
    (b"ID3", "MP3 audio"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "FLAC audio"),
    (b"FLV", "an FLV file"),
    (b"\x30\x26\xb2\x75", "a WMV or WMA file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
)


@dataclass(frozen=True, slots=True)
class Container:
    """A container format.

    demuxer: FFmpeg's name for what reads it.
    fault: says what is wrong with a file as far as its headers tell, or None.
    """

    name: str
    demuxer: str
    fault: Callable[[bytes], str | None]


def recognise(data: bytes) -> Container:
    """Tell the container of a whole file.

    Raises InvalidInput for a file that is empty, no video container, or cut off.
    """
    container = _container(data)
    if container is None:
        raise InvalidInput(f"expected {EXPECTED}. Received: {_describe(data)}")
    fault = container.fault(data)
    if fault is not None:
        raise InvalidInput(f"expected a whole {container.name} file. Received: {len(data):,} bytes {fault}")
    return container


def _container(data: bytes) -> Container | None:
    if data[4:8] in _TOP_BOXES:
        return Container("MP4", "mp4", _fault_in_mp4)
    if data.startswith(_EBML):
        return Container("WebM or MKV", "matroska", _fault_in_matroska)
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return Container("AVI", "avi", _fault_in_avi)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return Container("GIF", "gif", _fault_in_gif)
    return None


def _fault_in_mp4(data: bytes) -> str | None:
    """Walk the top-level boxes (ISO/IEC 14496-12, 4.2)."""
    offset, kinds, claims = 0, set(), dict.fromkeys(_TABLES, 0)
    while offset + 8 <= len(data):
        size, kind, header = int.from_bytes(data[offset : offset + 4]), data[offset + 4 : offset + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[offset + 8 : offset + 16]), 16
        elif size == 0:
            size = len(data) - offset
        if size < header:
            break
        if kind in (b"moov", b"mdat", b"moof") and offset + size > len(data):
            return f"of the {offset + size:,} that its headers tell of"
        if kind in (b"moov", b"moof"):
            for found in _TABLE.finditer(data, offset, offset + size):
                at = found.start() + _TABLES[found[0]][0]
                claims[found[0]] += int.from_bytes(data[at : at + 4])
        kinds.add(kind)
        offset += size
    for table, (_, most) in _TABLES.items():
        if claims[table] > most:
            return f"whose tables ({table.decode()}) tell of {claims[table]:,} entries"
    return None if b"moov" in kinds else "without an index (moov)"


def _fault_in_matroska(data: bytes) -> str | None:
    """Compare with the size of the segment, where it is written (RFC 8794, RFC 9559)."""
    header = _ebml_size(data, len(_EBML))
    if header is None:
        return "without an EBML header"
    start = header[1] + (header[0] or 0)
    if data[start : start + len(_SEGMENT)] != _SEGMENT:
        return "without a segment"
    segment = _ebml_size(data, start + len(_SEGMENT))
    if segment is None:
        return "without a segment"
    size, content = segment
    if size is not None and content + size > len(data):
        return f"of the {content + size:,} that its headers tell of"
    return None


def _ebml_size(data: bytes, offset: int) -> tuple[int | None, int] | None:
    """Read an element's size (None where it is left open) and where its content starts."""
    first = data[offset : offset + 1]
    if not first or first == b"\0":
        return None
    length = 9 - first[0].bit_length()
    ones = (1 << 7 * length) - 1
    size = int.from_bytes(data[offset : offset + length]) & ones
    return (None if size == ones else size), offset + length


def _fault_in_avi(data: bytes) -> str | None:
    size = 8 + int.from_bytes(data[4:8], "little")
    return f"of the {size:,} that its headers tell of" if size > len(data) else None


def _fault_in_gif(data: bytes) -> str | None:
    return None if data.rstrip(b"\0\r\n").endswith(b";") else "without the end mark"


def _describe(data: bytes) -> str:
    if not data:
        return "an empty file"
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return f"{len(data):,} bytes that begin like {name}"
    if data[:4] == b"RIFF":
        return f"{len(data):,} bytes of RIFF that are not AVI"
    try:
        text = data[:64].decode()
    except UnicodeDecodeError:
        text = ""
    if text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable() and text:
        return f"{len(data):,} bytes of text"
    return f"{len(data):,} bytes that begin with {data[:8].hex(' ')}"
