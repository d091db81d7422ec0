"""The first bytes of a file that is not decoded → what it is, and what to do with it."""

from __future__ import annotations

_PNG = "export it as PNG"
_RAW = "a camera's RAW file: develop it, or export its embedded preview, as JPEG"
_VIDEO = "a video: take single pictures out of it, for example with ffmpeg"
_WEB_PAGE = "a web page: the download failed"
_ARCHIVE = "an archive: unpack it"
# How a text begins, in lower case and without blanks before it.
_TEXTS = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"<!doctype html", _WEB_PAGE),
    (b"<html", _WEB_PAGE),
    (b"<svg", f"an SVG drawing: {_PNG}"),
    (b"<?xml", f"an XML or SVG text: {_PNG}"),
    (b"%pdf", "a PDF: export its pages as PNG"),
    (b"%!ps", f"a PostScript drawing: {_PNG}"),
)
# How other files begin: offset, bytes, what they are.
_STARTS = (
    (0, b"\xff\x0a", "a JPEG XL image: convert it to PNG, for example with djxl"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL image: convert it to PNG, for example with djxl"),
    (0, b"8BPS", f"a Photoshop document (PSD): {_PNG}"),
    (0, b"gimp xcf", f"a GIMP document (XCF): {_PNG}"),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"IIU\0", _RAW),  # Panasonic RW2
    (0, b"IIRO", _RAW),  # Olympus ORF
    (0, b"IIRS", _RAW),
    (0, b"MMOR", _RAW),
    (0, b"\0MRM", _RAW),  # Minolta MRW
    (0, b"FOVb", _RAW),  # Sigma X3F
    (6, b"HEAPCCDR", _RAW),  # Canon CRW
    (8, b"crx ", _RAW),  # Canon CR3
    (0, b"II\xbc", f"a JPEG XR image: {_PNG}"),
    (0, b"v/1\x01", f"an OpenEXR image: {_PNG}"),
    (0, b"#?RADIANCE", f"a Radiance HDR image: {_PNG}"),
    (0, b"#?RGBE", f"a Radiance HDR image: {_PNG}"),
    (0, b"DDS ", f"a DDS texture: {_PNG}"),
    (0, b"qoif", f"a QOI image: {_PNG}"),
    (0, b"\0\0\1\0", f"an icon (ICO): {_PNG}"),
    (0, b"icns", f"an icon (ICNS): {_PNG}"),
    (0, b"AT&TFORM", f"a DjVu document: {_PNG}"),
    (0, b"\xc5\xd0\xd3\xc6", f"a PostScript drawing (EPS): {_PNG}"),
    (0, b"\xd7\xcd\xc6\x9a", f"a WMF drawing: {_PNG}"),
    (40, b" EMF", f"an EMF drawing: {_PNG}"),
    (0, b"SIMPLE  =", f"a FITS image: {_PNG}"),
    (128, b"DICM", f"a DICOM image: {_PNG}"),
    (0, b"\x89HDF", "an HDF5 file: store its images as files"),
    (0, b"\x93NUMPY", "a NumPy array: store it as an image"),
    (0, b"PAR1", "a Parquet file: give it as a source of its own, with the suffix .parquet"),
    (0, b"\x1aE\xdf\xa3", _VIDEO),  # Matroska, WebM
    (8, b"AVI ", _VIDEO),
    (4, b"moov", _VIDEO),
    (4, b"mdat", _VIDEO),
    (4, b"wide", _VIDEO),
    (4, b"ftyp", _VIDEO),
    (0, b"PK\3\4", _ARCHIVE),
    (0, b"\x1f\x8b", _ARCHIVE),
    (0, b"7z\xbc\xaf", _ARCHIVE),
    (0, b"Rar!", _ARCHIVE),
    (257, b"ustar", "a tar archive: give it as a source of its own, with the suffix .tar"),
)
RAW_FILE = f"expected an image, got {_RAW}"
PREFIX_BYTES = 512


def is_web_page(data: bytes) -> bool:
    """Whether a file begins as HTML does."""
    return describe_start(data[:PREFIX_BYTES]).endswith(_WEB_PAGE)


def describe_start(prefix: bytes) -> str:
    """Return what was expected, what came and what to do, for a file that no decoder knows.

    `prefix`: its first PREFIX_BYTES bytes.
    """
    text = prefix.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for known, meaning in _TEXTS:
        if text.startswith(known):
            return f"expected an image, got {meaning}"
    for offset, known, meaning in _STARTS:
        if prefix.startswith(known, offset):
            return f"expected an image, got {meaning}"
    # Never its bytes: a list or a link may have led to a file that is nobody's business.
    kind = "text" if all(byte >= 32 or byte in b"\t\r\n" for byte in prefix) else "bytes"
    return (
        "expected an image (JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF, PPM, JPEG 2000), got "
        f"{kind} of no format that ovsam knows"
    )
