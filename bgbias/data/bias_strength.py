"""Strength of a training bias: one share for all classes, or one for each."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from bgbias.errors import SettingError


def checked(given: Any) -> Any:
    """A share in [0, 1], or several with commas between as text.

    Raises:
        ValueError: it is neither.
    """
    parts = str(given).split(",")
    try:
        shares = [float(part) for part in parts]
    except ValueError:
        shares = []
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ValueError("must be a number in [0, 1], or one for each class with commas between")
    return shares[0] if len(shares) == 1 else ",".join(part.strip() for part in parts)


BiasStrength = Annotated[float | str, BeforeValidator(checked)]
"""The share of training examples that carry the bias: one for all classes, or one for each with commas between."""


def of_classes(strength: float | str, classes: int, name: str) -> list[float]:
    """Return the strength of each of K classes.

    Args:
        strength: as `checked` gives it.
        name: of the option, for messages.

    Raises:
        SettingError: there is another number of strengths than of classes.
    """
    shares = [float(part) for part in str(strength).split(",")]
    if len(shares) not in (1, classes):
        raise SettingError(
            f"{name} takes one number or one for each of the {classes} classes, but got {len(shares)}: give "
            f"{classes} numbers, in the order of the class folders"
        )
    return shares * classes if len(shares) == 1 else shares
