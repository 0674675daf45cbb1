"""The family of comparisons that a study declares before it runs: their p values are corrected together."""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from bgbias.errors import SettingError

EVERYTHING = "*:*"


def member(family: Sequence[str], space: str, variant: str) -> bool:
    """Return True if the comparison of a space with the baseline on a variant belongs to a family of comparisons.

    Args:
        family: patterns of a space's label and a variant, such as `*:shuffled` or `group_dro:*`; without any,
            every comparison belongs to it.
        space: the space's label.
        variant: the variant's name.
    """
    return any(
        fnmatchcase(space, own) and fnmatchcase(variant, shown)
        for own, _, shown in (pattern.partition(":") for pattern in family or (EVERYTHING,))
    )


def check_family(family: Sequence[str], spaces: Collection[str], variants: Collection[str]) -> None:
    """Check the patterns of a declared family of comparisons.

    Raises:
        SettingError: a pattern has no colon, or matches no comparison.
    """
    for pattern in family:
        own, colon, shown = pattern.partition(":")
        if not colon:
            raise SettingError(f"a family's member must be SPACE:VARIANT, but got '{pattern}': give '*:{pattern}'")
        for kind, wanted, known in (("space", own, spaces), ("variant", shown, variants)):
            if not any(fnmatchcase(name, wanted) for name in known):
                raise SettingError(
                    f"a family's member must match a {kind} of the study, but got '{pattern}': give one of "
                    f"{', '.join(known)}, or *"
                )
