"""Rules that keep or reject pictures.

Source: K. Xiao et al., "Noise or Signal", 2020 (arXiv 2006.09994), appendix A.
"""

from dataclasses import dataclass, field

from bgbias.prepare.build.variants import Box, Mask

MOST_COVERED, LEAST_INSIDE, LEAST_FILLED = 0.9, 0.5, 0.1

ONE_BOX = "exactly one box"
INSIDE = "at least 50 % of the box inside the centre crop"
COVERED = "box at most 90 % of the centre crop"
SHOWN = "object at most 90 % of the picture"
FILLED = "mask at least 10 % of its box"


@dataclass(frozen=True)
class Rejection:
    """The rule that a picture broke, and the number of boxes or the share that broke it.

    odd: what is odd about a given mask
    """

    rule: str
    value: float
    odd: str | None = field(default=None, compare=False)


def broken_by_box(box: Box, inside: float, size: int) -> Rejection | None:
    """Return the rule that a box breaks, with the value; None if it breaks none.

    Args:
        box: in the crop.
        inside: share of the box in the source picture that the crop keeps, in [0, 1].
        size: height and width of the crop, in pixels.
    """
    if inside < LEAST_INSIDE or box.area == 0:
        return Rejection(INSIDE, round(inside, 4))
    covered = box.area / size**2
    return Rejection(COVERED, round(covered, 4)) if covered > MOST_COVERED else None


def broken_by_cover(share: float) -> Rejection | None:
    """Return the rule that an object breaks which covers this share of a picture; None if it breaks none.

    The place behind the object must stay visible.
    """
    return Rejection(SHOWN, round(share, 4)) if share > MOST_COVERED else None


def broken_by_mask(mask: Mask, box: Box) -> Rejection | None:
    """Return the rule that a mask breaks, or None; `box` holds at least one pixel."""
    filled = int(mask.sum()) / box.area
    return Rejection(FILLED, round(filled, 4)) if filled < LEAST_FILLED else None
