"""The contract of the `Pictures` port: small pictures of large ones, nothing that came along."""

import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageDraw

from trinity.domain.uploads import UnusableFile
from trinity.infrastructure.pillow.pictures import LONGEST_SIDE, MOST_PIXELS, PillowPictures
from trinity.ports import Pictures

RED, GREEN, BLUE = (220, 30, 40), (30, 180, 60), (40, 60, 220)
ORIENTATION, GPS, MAKER = 0x0112, 0x8825, 0x010F
pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\.")

FORMATS = ["JPEG", "PNG", "WEBP", "GIF"]


@pytest.fixture
def pictures() -> Pictures:
    return PillowPictures()


def flag(size: tuple[int, int] = (120, 80), mode: str = "RGB") -> Image.Image:
    """Return a picture that is red at the top left, green at the top right, and blue below."""
    width, height = size
    image = Image.new("RGB", size, BLUE)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=RED)
    draw.rectangle((width // 2, 0, width - 1, height // 2 - 1), fill=GREEN)
    return image.convert(mode)


def written(image: Image.Image, kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {}), **more)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def near(seen: Any, wanted: tuple[int, int, int], by: int = 30) -> bool:
    return all(abs(one - other) <= by for one, other in zip(seen, wanted, strict=False))


def corners(image: Image.Image) -> list[str]:
    """Return the colours of the corners: top left, top right, bottom left, bottom right."""
    rgb = image.convert("RGB")
    width, height = rgb.size
    places = [
        (x, y) for y in (height // 8, -height // 8 - 1) for x in (width // 8, -width // 8 - 1)
    ]
    names = {"red": RED, "green": GREEN, "blue": BLUE}
    found = []
    for x, y in places:
        pixel = rgb.getpixel((x % width, y % height))
        found.append(next((n for n, c in names.items() if near(pixel, c)), str(pixel)))
    return found


def one(pictures: Pictures, content: bytes, size: int = 64, *, square: bool = False) -> Image.Image:
    (made,) = pictures.thumbnails(content, [size], square=square)
    return opened(made)


def reason(pictures: Pictures, content: bytes) -> str:
    with pytest.raises(UnusableFile) as caught:
        pictures.thumbnails(content, [64, 192, 512], square=True)
    return caught.value.reason


# ------------------------------------------------------------------------------------- what is made


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_is_made_in_all_sizes_as_webp(pictures: Pictures, kind: str) -> None:
    made = pictures.thumbnails(written(flag((900, 600)), kind), [64, 192, 512], square=False)
    assert [opened(content).size for content in made] == [(64, 43), (192, 128), (512, 341)]
    assert {opened(content).format for content in made} == {"WEBP"}
    for content in made:
        assert corners(opened(content)) == ["red", "green", "blue", "blue"]


def test_a_square_is_the_middle(pictures: Pictures) -> None:
    wide = Image.new("RGB", (400, 100), RED)
    wide.paste(BLUE, (150, 0, 250, 100))
    tall = wide.rotate(90, expand=True)
    for image in (wide, tall):
        made = one(pictures, written(image, "PNG"), square=True)
        assert made.size == (64, 64)
        assert corners(made) == ["blue"] * 4


def test_a_small_picture_stays_small(pictures: Pictures) -> None:
    made = pictures.thumbnails(written(flag((100, 40)), "PNG"), [64, 192, 512], square=False)
    assert [opened(content).size for content in made] == [(64, 26), (100, 40), (100, 40)]
    assert made[1] == made[2]
    dot = written(Image.new("RGB", (1, 1), RED), "GIF")
    assert one(pictures, dot, square=True).size == (1, 1)


def test_the_same_file_gives_the_same_pictures_byte_for_byte(pictures: Pictures) -> None:
    content = written(flag((900, 600)), "JPEG")
    first, second = (pictures.thumbnails(content, [64, 512], square=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_keeps_its_look(pictures: Pictures, mode: str) -> None:
    if mode == "I;16":
        image = Image.new("I;16", (100, 100), 40_000)  # of 65,535
        expected = (40_000 // 256,) * 3
    else:
        image = Image.new("RGB", (100, 100), (200, 200, 200)).convert(mode)
        expected = (255, 255, 255) if mode == "1" else (200, 200, 200)
        if mode == "1":
            image = Image.new("1", (100, 100), 1)
    made = one(pictures, written(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert near(made.convert("RGB").getpixel((30, 30)), expected, by=6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_what_can_be_seen_through_still_can(pictures: Pictures, kind: str) -> None:
    image = flag((100, 100), "RGBA")
    image.paste((0, 0, 0, 0), (0, 50, 100, 100))
    made = one(pictures, written(image, kind)).convert("RGBA")
    assert made.getpixel((5, 60))[3] == 0
    assert made.getpixel((5, 5))[3] == 255


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_counts(pictures: Pictures, kind: str) -> None:
    frames = [Image.new("RGB", (50, 50), colour) for colour in (RED, GREEN, BLUE)]
    content = written(frames[0], kind, save_all=True, append_images=frames[1:])
    made = one(pictures, content)
    assert getattr(made, "n_frames", 1) == 1
    assert corners(made) == ["red"] * 4


# ---------------------------------------------------------------------------------- what is dropped


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, ["red", "green", "blue", "blue"]),
        (2, ["green", "red", "blue", "blue"]),
        (3, ["blue", "blue", "green", "red"]),
        (4, ["blue", "blue", "red", "green"]),
        (5, ["red", "blue", "green", "blue"]),
        (6, ["blue", "red", "blue", "green"]),
        (7, ["blue", "green", "blue", "red"]),
        (8, ["green", "blue", "red", "blue"]),
    ],
)
def test_a_picture_stands_upright(
    pictures: Pictures, kind: str, orientation: int, expected: list[str]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    made = one(pictures, written(flag((900, 600)), kind, exif=exif))
    assert corners(made) == expected
    assert made.size == ((64, 43) if orientation < 5 else (43, 64))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_is_left_of_where_when_and_with_what_a_picture_was_taken(
    pictures: Pictures, kind: str
) -> None:
    exif = Image.Exif()
    exif[MAKER] = "A camera of mine"
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 17.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    if kind != "PNG":
        more["xmp"] = b"<x:xmpmeta>A camera of mine</x:xmpmeta>"
    content = written(flag((300, 200)), kind, **more)
    assert b"A camera of mine" in content
    assert opened(content).getexif().get_ifd(GPS), "the test has something to lose"
    for made in pictures.thumbnails(content, [64, 192], square=True):
        assert b"camera" not in made
        assert not any(mark in made for mark in (b"EXIF", b"Exif", b"XMP ", b"ICCP"))
        image = opened(made)
        assert dict(image.getexif()) == {}
        assert image.info.keys() <= {"background", "loop", "timestamp", "duration"}


def test_colours_of_a_profile_look_the_same_without_it(pictures: Pictures) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # In this one the red of a picture means blue, and its blue red.
    swapped = srgb.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    for kind in ("JPEG", "PNG", "WEBP"):
        same, other = (
            one(pictures, written(flag(), kind, icc_profile=profile)) for profile in (srgb, swapped)
        )
        assert corners(same) == ["red", "green", "blue", "blue"]
        red, _, _, blue = (
            other.convert("RGB").getpixel(place) for place in ((5, 5), (60, 5), (5, 40), (60, 40))
        )
        assert red[2] > 150 > red[0]
        assert blue[0] > 150 > blue[2]


@pytest.mark.parametrize("profile", [b"", b"nonsense", b"\0" * 500])
def test_a_profile_that_is_none_does_no_harm(pictures: Pictures, profile: bytes) -> None:
    content = written(flag(), "JPEG", icc_profile=profile)
    assert corners(one(pictures, content)) == ["red", "green", "blue", "blue"]


def test_exif_data_that_is_none_does_no_harm(pictures: Pictures) -> None:
    for exif in (b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 60):
        assert one(pictures, written(flag(), "JPEG", exif=exif)).size == (64, 43)


# ---------------------------------------------------------------------------------- what is refused


def png(width: int, height: int, rows: bytes) -> bytes:
    """Return a PNG file of so many pixels, and of what may be fewer rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def webp(width: int, height: int) -> bytes:
    """Return the head of a WebP file of so many pixels, and no pixel."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([0x02, 0, 0, 0]) + size
    return b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG file whose head says it has so many pixels."""
    content = written(flag((16, 16)), "JPEG")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def gif(width: int, height: int) -> bytes:
    content = written(flag((16, 16)), "GIF")
    return content[:6] + struct.pack("<HH", width, height) + content[10:]


def peak_kb() -> int:
    (line,) = [x for x in Path("/proc/self/status").read_text().split("\n") if "VmHWM" in x]
    return int(line.split()[1])


HUGE = [
    png(30_000, 30_000, b"\0" * 1000),
    png(2**31 - 1, 2**31 - 1, b""),
    png(MOST_PIXELS // 6000, 6001, b""),
    webp(16_000, 16_000),
    webp(2**24 - 1, 200),
    jpeg(65_000, 65_000),
    gif(65_535, 65_535),
    png(LONGEST_SIDE + 1, 1, b"\0" * 100_000),
]


@pytest.mark.parametrize("content", HUGE, ids=lambda content: content[:4].hex())
def test_a_huge_picture_is_refused_by_its_head_before_it_takes_memory(
    pictures: Pictures, content: bytes
) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (man 5 proc)
    before = peak_kb()
    assert "megapixels" in reason(pictures, content)
    assert peak_kb() - before < 20_000


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_that_ends_too_early_is_damaged(pictures: Pictures, kind: str) -> None:
    noise = Image.frombytes("RGB", (200, 200), random.Random(1).randbytes(120_000))
    content = written(noise, kind)
    assert reason(pictures, content[: len(content) // 2]).startswith(
        ("This picture is", "This file")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"MZ\x90\0",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\0\0\0\0WEBPVP8 ",
        written(flag(), "TIFF"),
        written(flag(), "BMP"),
        written(flag(), "ICO"),
    ],
    ids=lambda content: content[:8].hex(),
)
def test_what_is_no_picture_of_the_four_kinds_is_refused(
    pictures: Pictures, content: bytes
) -> None:
    assert reason(pictures, content).endswith("Choose a JPEG, PNG, WebP or GIF.")


def test_pictures_of_iphones_are_refused_with_advice(pictures: Pictures) -> None:
    assert "JPEG" in reason(pictures, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_a_page_that_calls_itself_a_picture_is_none(pictures: Pictures) -> None:
    page = b"GIF89a/*<script>alert(1)</script>*/"
    assert reason(pictures, page)


# --------------------------------------------------------------------------------------- all others


SEEDS = [written(flag((40, 30)), kind) for kind in FORMATS] + [
    written(
        flag((40, 30)),
        "JPEG",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\6\0\0",
    ),
    written(flag((40, 30), "RGBA"), "WEBP"),
    written(flag((40, 30)), "GIF", save_all=True, append_images=[flag((40, 30)).rotate(90)]),
    written(flag((40, 30), "P"), "PNG"),
]


def make_or_refuse(content: bytes) -> None:
    try:
        made = PillowPictures().thumbnails(content, [16, 32], square=True)
    except UnusableFile:
        return
    assert [opened(one).format for one in made] == ["WEBP", "WEBP"]


@given(st.binary(max_size=200), st.sampled_from([b"", *(seed[:30] for seed in SEEDS)]))
def test_no_bytes_do_more_than_be_refused(content: bytes, head: bytes) -> None:
    make_or_refuse(head + content)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=12),
    st.integers(0, 2000),
)
def test_no_damage_does_more_than_refuse_a_picture(
    seed: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(seed)
    for place, value in changes:
        content[place % len(content)] = value
    make_or_refuse(bytes(content[: len(content) - cut % len(content)] if cut % 3 == 0 else content))
