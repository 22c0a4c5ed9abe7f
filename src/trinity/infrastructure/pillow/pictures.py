"""`Pictures` by Pillow.

What is in a file is believed only after its bytes have shown it: the format by how it begins, the
size by its header, before anything is decoded.
"""

import io
import warnings
from collections.abc import Sequence
from contextlib import suppress

from PIL import Image, ImageCms, ImageOps, WebPImagePlugin

from trinity.domain.uploads import UnusableFile

MOST_PIXELS = 60_000_000
"""What the sensors of phones have; four bytes each, that is 240 MB while it is worked on."""
LONGEST_SIDE = 20_000

_FORMATS = ("JPEG", "PNG", "GIF", WebPImagePlugin.WebPImageFile.format)
"""WebP's is named so that it is loaded: else Pillow would look for it in all formats it knows."""
_QUALITY = 80
_NO_PICTURE = "This file is not a picture that can be used. Choose a JPEG, PNG, WebP or GIF."
_HEIC = "HEIC pictures cannot be used. Save the picture as JPEG and choose that."
_DAMAGED = "This picture is damaged. Choose another one."
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")

# Decoders that need room before they tell the size (WebP) refuse twice as many pixels.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
# What Pillow warns of is either refused here or does no harm; files of strangers fill no log.
warnings.filterwarnings("ignore", module=r"PIL\.")


class PillowPictures:
    """See `Pictures`."""

    def thumbnails(self, content: bytes, sizes: Sequence[int], *, square: bool) -> list[bytes]:
        """See `Pictures.thumbnails`."""
        picture = _in_srgb(_decode(content, 2 * max(sizes)))
        if square:
            side = min(picture.size)
            picture = ImageOps.fit(picture, (side, side))
        return [_webp(picture, size) for size in sizes]


def _decode(content: bytes, enough: int) -> Image.Image:
    """Return a picture upright; a large one with about so many pixels on its shorter side."""
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        raise UnusableFile(_HEIC)
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise UnusableFile(_too_large()) from None
    except Exception:  # noqa: BLE001  (readers raise whatever broken data makes Python raise)
        raise UnusableFile(_NO_PICTURE) from None
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise UnusableFile(_too_large(f" has {width:,} × {height:,} pixels, which"))
    try:
        # JPEG can be decoded at an eighth, a quarter or half of its size.
        image.draft("RGB", (enough, enough))
        image.load()
        # What is left of the work and the memory is best spent on few pixels.
        factor = min(image.size) // enough
        image = _in_few_modes(image)
        image = image.reduce(factor) if factor > 1 else image
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (as above: nothing but the file is at work here)
        raise UnusableFile(_DAMAGED) from None


def _too_large(size: str = "") -> str:
    most = (
        f"{MOST_PIXELS // 1_000_000} megapixels, and {LONGEST_SIDE:,} pixels a side, are the most"
    )
    return f"This picture{size} is too large: {most}."


def _in_few_modes(image: Image.Image) -> Image.Image:
    """Return a picture whose pixels can be averaged: no palettes, at most 8 bits a colour."""
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return the colours as they are without their profile, which is not kept."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile")
    if profile:
        # A profile that cannot be read, or is for other colours, is as good as none.
        with suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, srgb, outputMode=mode)
            return converted or image
    return image.convert(mode)


def _webp(picture: Image.Image, size: int) -> bytes:
    """Return a WebP file with the pixels and nothing else."""
    small = picture.copy()
    small.thumbnail((size, size))
    file = io.BytesIO()
    small.save(file, "WEBP", quality=_QUALITY, exif=b"", xmp=b"", icc_profile=b"")
    return file.getvalue()
