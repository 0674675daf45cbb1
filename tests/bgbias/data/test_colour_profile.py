"""Colours of embedded profiles, against the definitions of the colour spaces."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from bgbias.data.photographs.bank import File, decode_picture, open_bank
from bgbias.data.photographs.picture import read_picture, to_rgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB_COLOURS = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
P3_COLOURS = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_COLOURS = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
"""XYZ of red, green and blue (columns), as ICC profiles have them: adapted to D50."""
D50 = np.array([0.9642, 1.0, 0.8249])
INSIDE = np.array([[[100, 150, 200], [90, 60, 30], [200, 190, 170], [128, 128, 128], [20, 60, 40]]], dtype=np.uint8)
"""Colours that sRGB can show, whichever of the three spaces they are in."""


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(number * 65_536) for number in numbers))


def changed(**tags):
    """The bytes of sRGB's profile with other values of some tags."""
    found = bytearray(SRGB)
    (number,) = struct.unpack_from(">I", found, 128)
    for entry in range(number):
        name, offset, _ = struct.unpack_from(">4sII", found, 132 + 12 * entry)
        if value := tags.get(name.decode()):
            found[offset + 8 : offset + 8 + len(value)] = value
    return bytes(found)


def of_colours(colours, **tags):
    return changed(rXYZ=fixed(*colours[:, 0]), gXYZ=fixed(*colours[:, 1]), bXYZ=fixed(*colours[:, 2]), **tags)


GAMMA = 563 / 256
P3 = of_colours(P3_COLOURS)
ADOBE = of_colours(ADOBE_COLOURS, rTRC=struct.pack(">HH", 3, 0) + fixed(GAMMA, 1, 0, 0, 0))
SWAPPED = of_colours(SRGB_COLOURS[:, [2, 1, 0]])


def linear(value):
    """IEC 61966-2-1: levels in 0..255 as light in 0..1."""
    share = np.asarray(value) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def levels(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def in_srgb(light, colours):
    return levels(light @ colours.T @ np.linalg.inv(SRGB_COLOURS).T)


def with_profile(pixels, profile, mode=None):
    picture = Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode)
    picture.info["icc_profile"] = profile
    return picture


def shown(picture):
    return np.asarray(to_rgb(picture)).astype(int)


def test_display_p3_and_adobe_rgb_become_srgb_by_their_definitions():
    p3, adobe = in_srgb(linear(INSIDE), P3_COLOURS), in_srgb((INSIDE / 255) ** GAMMA, ADOBE_COLOURS)
    assert np.abs(shown(with_profile(INSIDE, P3)) - p3).max() <= 1.5
    assert np.abs(shown(with_profile(INSIDE, ADOBE)) - adobe).max() <= 1.5
    assert np.abs(p3 - INSIDE).max() > 10
    assert np.abs(adobe - INSIDE).max() > 10


def test_the_red_of_srgb_in_display_p3_is_the_red_of_srgb():
    """The CSS colour module's example: color(display-p3 0.9176 0.2003 0.1386) is red."""
    assert np.abs(shown(with_profile(np.array([[[234, 51, 35]]], np.uint8), P3)) - [255, 0, 0]).max() <= 1


def test_a_file_is_read_with_its_profile_whatever_its_mode_and_turn(tmp_path):
    """Where red and blue have changed places, so do the channels."""
    expected = INSIDE[:, :, ::-1].astype(int)
    exif = Image.Exif()
    exif[0x0112] = 3
    for name, pixels, mode, options in (
        ("plain", INSIDE, None, {}),
        ("turned", np.ascontiguousarray(INSIDE[::-1, ::-1]), None, {"exif": exif}),
        ("palette", INSIDE, "P", {}),
        ("clear", INSIDE, "RGBA", {}),
    ):
        picture = Image.fromarray(pixels)
        picture = picture.quantize(8) if mode == "P" else picture.convert(mode or "RGB")
        picture.save(tmp_path / f"{name}.png", icc_profile=SWAPPED, **options)
        found = read_picture(tmp_path / f"{name}.png")
        assert np.abs(np.asarray(found).astype(int) - expected).max() <= 1, name
        assert "icc_profile" not in found.info, name


def test_transparent_pixels_show_white_whatever_the_profile():
    layers = np.concatenate([INSIDE, np.array([[[0], [255], [255], [255], [255]]], np.uint8)], axis=-1)
    found = shown(with_profile(layers, SWAPPED))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert np.abs(found[0, 1:] - INSIDE[0, 1:, ::-1]).max() <= 1


@pytest.mark.parametrize("profile", [SRGB, changed(rXYZ=fixed(0.4361, 0.2225, 0.0139)), b"no profile", SRGB[:200], b""])
def test_pixels_of_srgb_and_of_a_broken_profile_stay_as_they_are(profile):
    assert np.array_equal(shown(with_profile(INSIDE, profile)), INSIDE)


def test_a_profile_of_another_kind_of_colours_is_passed_over():
    grey = np.array([[0, 40, 200]], dtype=np.uint8)
    assert shown(with_profile(grey, P3))[0].tolist() == [[0] * 3, [40] * 3, [200] * 3]
    assert np.array_equal(shown(with_profile(INSIDE, grey_profile(1.0))), INSIDE)


def profile_of(space, kind, connection, tags):
    """A version 2 profile: header, table of tags, tags."""
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s", start + len(body), b"lcms", 0x02100000, kind, space, connection, b"acsp")
    return (head.ljust(68, b"\0") + fixed(*D50)).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def grey_profile(gamma):
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(256 * gamma)) + b"\0\0"
    return profile_of(b"GRAY", b"mntr", b"XYZ ", {b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50), b"kTRC": curve})


def test_a_grey_profile_changes_the_curve_of_greys_alone():
    grey = np.arange(0, 256, 5, dtype=np.uint8)[None]
    expected = levels((grey / 255) ** 1.8)[0]
    for picture in (with_profile(grey, grey_profile(1.8)), with_profile(grey, grey_profile(1.8), "LA")):
        assert np.abs(shown(picture)[0] - expected[:, None]).max() <= 2
    deep = with_profile(grey.astype(np.uint16) * 257, grey_profile(1.8))
    assert np.abs(shown(deep)[0] - expected[:, None]).max() <= 2


def root(share):
    return np.cbrt(share) if share > (6 / 29) ** 3 else share / (3 * (6 / 29) ** 2) + 4 / 29


def lab(colour):
    """CIE L*a*b* of an sRGB colour, in the eight-bit form of ICC."""
    x, y, z = (root(share) for share in SRGB_COLOURS @ linear(colour) / D50)
    return [round(2.55 * (116 * y - 16)), round(500 * (x - y) + 128), round(200 * (y - z) + 128)]


def test_inks_look_as_their_profile_says():
    """A press whose inks have odd colours: what a profile-blind conversion would show is far off."""
    odd = {(0, 0, 0, 0): (255, 255, 255), (1, 0, 0, 0): (230, 160, 60), (0, 1, 0, 0): (60, 140, 70)}
    inks = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    colours = bytes(value for ink in inks for value in lab(odd.get(ink, (0, 0, 0))))
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + 4 * ramp + colours + 3 * ramp
    press = profile_of(b"CMYK", b"prtr", b"Lab ", {b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50), b"A2B0": table})
    picture = Image.fromarray(255 * np.array([list(odd)], dtype=np.uint8), "CMYK")
    blind = shown(picture)[0]
    picture.info["icc_profile"] = press
    expected = np.array(list(odd.values()))
    assert np.abs(shown(picture)[0] - expected).max() <= 4
    assert np.abs(blind - expected).max() > 100


def test_a_bank_holds_colours_in_srgb(tmp_path):
    side = np.full((8, 8, 3), [100, 150, 200], dtype=np.uint8)
    Image.fromarray(side).save(tmp_path / "a.png", icc_profile=SWAPPED)
    bank = open_bank(tmp_path / "banks", "x", [File("c", "a", tmp_path / "a.png")], decode_picture(8), (8, 8, 4), 0)
    assert bank.rows[0, 4, 4].tolist() == [200, 150, 100, 0]
