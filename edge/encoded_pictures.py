"""What an encoded picture says about itself: size, orientation, and whether it is complete.

Read before decoding, because a few kilobytes can claim to be a picture of gigabytes, and because
decoders fill up what is missing of a cut-off file, or write to standard error about it.

Formats: JPEG (ITU-T T.81), PNG (W3C, third edition), WebP (RFC 9649), BMP.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from bicameral.errors import DataError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_PREFIX = b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
_SHORT = 3

#: Chunks that decide a PNG's pixels. All others (colour profiles, texts, animation) are withheld
#: from the decoder, which would inflate them, or complain about them on standard error.
_PNG_PIXEL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_GREY = 0
#: Channels that OpenCV gives, by the colour type.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
_PNG_READ_CHUNKS = frozenset({b"IHDR", b"tRNS", b"eXIf"})
_ADAM7_PASSES = 7

#: JPEG markers without a length: TEM and the restart markers.
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
#: Start-of-frame markers; the gaps are DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_EXIF = 0xDA, 0xE1
_JPEG_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_COEFFICIENTS = 64
#: Of a scan's header: four components and three bytes.
_SCAN_HEADER_BYTES = 12

#: Rows and tables of decoders, for each pixel of a picture that is not small.
_MORE_PIXEL_BYTES = 0.2

#: A JPEG's cost grows with its scans, which may be empty. Encoders make up to 18 of them.
_MOST_SCANS = 64

#: Parts of a file (chunks, segments) beside one for so many bytes: pictures have one per 4 kB.
_MOST_PARTS, _PART_BYTES = 256, 1024

#: Entries of an EXIF block that are looked at; cameras write some 15 into the first directory.
_MOST_EXIF_ENTRIES = 256

_WEBP_ANIMATION, _WEBP_ALPHA = 0x02, 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPicture:
    """One encoded picture.

    Attributes:
        format: ``JPEG``, ``PNG``, ``WebP`` or ``BMP``.
        width: Columns as stored, before the orientation is applied.
        height: Rows as stored.
        orientation: EXIF orientation 1..8; 1 if it has none.
        transparent_grey: The stored grey level of a grey PNG that stands for transparency, in
            units of its own bit depth; None if there is none.
        bit_depth: Bits per channel where the format says so in front (PNG), else 8.
        scans: How often a decoder goes over the pixels.
        pixel_bytes: Memory that decoding takes at its peak for each pixel: OpenCV holds the decoded
            picture twice, and JPEGs of several scans with all coefficients (measured with 5.0).
        content: What a decoder needs of the file.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    transparent_grey: int | None = None
    bit_depth: int = 8
    scans: int = 1
    pixel_bytes: float
    content: bytes

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height


def require_pixels(kind: str, width: int, height: int, most: int) -> None:
    """Raise `DataError` if a picture has more pixels than allowed."""
    if width * height > most:
        raise DataError(
            f"the {kind} has {width} x {height} pixels, allowed are {most:,}; reduce it"
        )


def picture_format(data: bytes) -> str | None:
    """Return ``JPEG``, ``PNG``, ``WebP`` or ``BMP`` by how the content begins, else None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_SIGNATURE):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return "BMP" if data.startswith(b"BM") else None


def read_encoded_picture(data: bytes) -> EncodedPicture:
    """Read the frame of an encoded picture without decoding its pixels.

    Args:
        data: Content of a JPEG, PNG, WebP or BMP file; recognised by content.

    Raises:
        DataError: If it is none of these, is damaged or cut off, or is an animation.
    """
    if not data:
        raise DataError("there is no picture: it is empty")
    kind = picture_format(data)
    if kind is None:
        raise DataError(
            f"not a picture in a known format (it starts with {data[:8].hex(' ')}); known are "
            "JPEG, PNG, WebP and BMP"
        )
    readers = {"JPEG": _read_jpeg, "PNG": _read_png, "WebP": _read_webp, "BMP": _read_bmp}
    try:
        picture = readers[kind](data)
    except (struct.error, IndexError) as error:
        raise DataError("the picture ends inside its header; it is cut off or damaged") from error
    if picture.width < 1 or picture.height < 1:
        raise DataError(f"the {picture.format} has no pixels: {picture.width} x {picture.height}")
    return picture


def _read_jpeg(data: bytes) -> EncodedPicture:
    size: tuple[int, int] | None = None
    orientation, components, progressive = 1, 0, False
    sampling: list[tuple[int, int]] = []
    pixel_bytes = 0.0
    position = 2
    parts = 0
    while True:
        parts = _counted(parts, data)
        if data[position] != 0xFF:
            raise DataError(f"the JPEG has no marker at byte {position}; it is damaged")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        position += 2
        if marker in _JPEG_STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        body = data[position + 2 : position + length]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            size = (width, height)
            components, progressive = body[5], marker in _JPEG_PROGRESSIVE
            sampling = [
                (body[7 + 3 * one] >> 4, body[7 + 3 * one] & 15) for one in range(components)
            ]
        elif marker == _JPEG_EXIF and body.startswith(_EXIF_PREFIX) and orientation == 1:
            orientation = _orientation_from_exif(body)
        elif marker == _JPEG_SCAN:
            break
        position += max(length, 2)
    if size is None:
        raise DataError("the JPEG has no frame header before its first scan; it is damaged")
    if data.rfind(b"\xff\xd9") < position:
        raise DataError("the JPEG has no end marker; it is cut off")
    scans = 1
    stored_bytes = 1 if components == 1 else 3
    if progressive or data[position + 2] < components:  # else a decoder stops after the first one
        scans = _count_scans(data, position - 2, progressive=progressive)
        pixel_bytes = stored_bytes + _coefficient_bytes(sampling)
    return EncodedPicture(
        format="JPEG",
        width=size[0],
        height=size[1],
        orientation=orientation,
        scans=scans,
        pixel_bytes=max(pixel_bytes, 2 * stored_bytes) + _MORE_PIXEL_BYTES,
        content=data,
    )


def _coefficient_bytes(sampling: list[tuple[int, int]]) -> float:
    """Return what the coefficients of all components take for each pixel."""
    most = max([1, *(across for across, _ in sampling)]) * max([1, *(down for _, down in sampling)])
    return 2 * sum(across * down for across, down in sampling) / most


def _count_scans(data: bytes, first: int, *, progressive: bool) -> int:
    """Return the number of scans.

    Args:
        data: A JPEG.
        first: Where the marker of its first scan is.
        progressive: Whether the scans refine each other.

    Raises:
        DataError: If there are too many of them, or the last ones are missing.
    """
    marker = bytes((0xFF, _JPEG_SCAN))
    count = data.count(marker, first)
    if count > _MOST_SCANS:
        raise DataError(
            f"the JPEG has {count} scans, allowed are {_MOST_SCANS}; save it with fewer"
        )
    # Bits of each coefficient that are still to come, by the component.
    missing: dict[int, list[int]] = {}
    start = first - 1
    for _ in range(count if progressive else 0):
        start = data.index(marker, start + 1)
        header = data[start + 4 : start + 4 + _SCAN_HEADER_BYTES]
        components = header[1 : 1 + 2 * header[0] : 2] if header[0] <= 4 else b""
        begin, end, bits = header[1 + 2 * header[0] : 4 + 2 * header[0]]
        for component in components:
            left = missing.setdefault(component, [-1] * _JPEG_COEFFICIENTS)
            for index in range(begin, min(end, _JPEG_COEFFICIENTS - 1) + 1):
                left[index] = bits & 0x0F
    if any(any(left) for left in missing.values()):
        raise DataError("the JPEG ends before its last scan; it is cut off")
    return count


def _counted(parts: int, data: bytes) -> int:
    """Count one more part of a file.

    Raises:
        DataError: If there are too many of them for its size.
    """
    if parts >= _MOST_PARTS + len(data) // _PART_BYTES:
        raise DataError(f"the picture begins with more than {parts} parts; it is damaged")
    return parts + 1


def _read_png(data: bytes) -> EncodedPicture:
    view = memoryview(data)
    kept = [view[: len(_PNG_SIGNATURE)]]
    width = height = bit_depth = color_type = 0
    orientation, transparent_grey = 1, None
    channels = 0
    position = len(_PNG_SIGNATURE)
    kind = b""
    parts = interlaced = 0
    few = _MOST_PARTS  # most pictures have, which are not asked for each
    while kind != b"IEND":
        parts = parts + 1 if parts < few else _counted(parts, data)
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = view[position : position + 12 + length]
        if len(chunk) < 12 + length:
            raise DataError("the PNG ends inside a chunk; it is cut off or damaged")
        if kind in _PNG_PIXEL_CHUNKS:
            (checksum,) = struct.unpack(">I", chunk[-4:])
            if zlib.crc32(chunk[4:-4]) != checksum:
                raise DataError(
                    f"the PNG's chunk {kind.decode()} has a wrong checksum; it is damaged"
                )
            kept.append(chunk)
        body = bytes(chunk[8 : -4 if kind in _PNG_READ_CHUNKS else 8])
        if position == len(_PNG_SIGNATURE):
            if kind != b"IHDR":
                raise DataError("the PNG does not begin with its header chunk; it is damaged")
            width, height, bit_depth, color_type = struct.unpack_from(">IIBB", body)
            interlaced = body[12]
            channels = _PNG_CHANNELS.get(color_type, 4)
        elif kind == b"tRNS" and color_type == _PNG_GREY:
            (transparent_grey,) = struct.unpack_from(">H", body)
        elif kind == b"tRNS":
            channels = 4
        elif kind == b"eXIf":
            orientation = _orientation_from_exif(body)
        position += len(chunk)
    return EncodedPicture(
        format="PNG",
        width=width,
        height=height,
        orientation=orientation,
        transparent_grey=transparent_grey,
        bit_depth=bit_depth,
        scans=_ADAM7_PASSES if interlaced else 1,
        pixel_bytes=2 * channels * max(1, bit_depth // 8) + _MORE_PIXEL_BYTES,
        content=data if sum(map(len, kept)) == len(data) else b"".join(kept),
    )


def _read_webp(data: bytes) -> EncodedPicture:
    (size,) = struct.unpack_from("<I", data, 4)
    if 8 + size > len(data):
        raise DataError(f"the WebP announces {8 + size} bytes and has {len(data)}; it is cut off")
    width = height = 0
    orientation, transparent = 1, False
    position = 12
    parts = 0
    while position + 8 <= 8 + size:
        parts = _counted(parts, data)
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if kind == b"VP8X":
            if body[0] & _WEBP_ANIMATION:
                raise DataError("the WebP is an animation; give a still picture")
            transparent |= bool(body[0] & _WEBP_ALPHA)
            width = 1 + int.from_bytes(body[4:7], "little")
            height = 1 + int.from_bytes(body[7:10], "little")
        elif kind == b"VP8 " and not width:  # RFC 6386, 9.1: 14 bits each, then 2 bits of scale
            width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", body, 6))
        elif kind == b"VP8L" and not width:
            (bits,) = struct.unpack_from("<I", body, 1)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
            transparent = bool(bits >> 28 & 1)
        elif kind == b"EXIF":
            orientation = _orientation_from_exif(body)
        position += 8 + length + length % 2
    return EncodedPicture(
        format="WebP",
        width=width,
        height=height,
        orientation=orientation,
        pixel_bytes=2 * (4 if transparent else 3) + _MORE_PIXEL_BYTES,
        content=data,
    )


def _read_bmp(data: bytes) -> EncodedPicture:
    (header_size,) = struct.unpack_from("<I", data, 14)
    if header_size == 12:  # the first version, OS/2
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    # A negative height means that the rows run from top to bottom.
    (bits,) = struct.unpack_from("<H", data, 24 if header_size == 12 else 28)
    channels = 4 if bits == 32 else 3
    return EncodedPicture(
        format="BMP",
        width=width,
        height=abs(height),
        pixel_bytes=2 * channels + _MORE_PIXEL_BYTES,
        content=data,
    )


def _orientation_from_exif(exif: bytes) -> int:
    """Return the orientation of an EXIF block (a TIFF file in small), 1 if there is none."""
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (position,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, position)
        for index in range(min(count, _MOST_EXIF_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(
                f"{order}HHIH", tiff, position + 2 + 12 * index
            )
            if tag == _ORIENTATION_TAG and kind == _SHORT and 1 <= value <= 8:
                return int(value)
    except struct.error:
        # A damaged EXIF block is no reason to refuse the picture.
        return 1
    return 1
