"""Checks of the places of a dataset."""

from bgbias.errors import SettingError
from bgbias.types import Task


def check_place_of_each_class(method: str, task: Task) -> None:
    """Check that there are as many places as classes: the k-th is taken as the background of the k-th class.

    Raises:
        SettingError: there are more or fewer.
    """
    places, classes = len(task.places) - 1, len(task.classes)
    if places != classes:
        raise SettingError(
            f"{method} needs a background class for each class, but there are {places} and {classes}: "
            "choose another dataset or method"
        )


def check_other_place(method: str, task: Task) -> None:
    """Check that there is a second place to move an object to.

    Raises:
        SettingError: there is one place or none.
    """
    if len(task.places) < 3:
        raise SettingError(
            f"{method} needs backgrounds of two classes at least, but there are {len(task.places) - 1}: "
            "choose another dataset or method"
        )
