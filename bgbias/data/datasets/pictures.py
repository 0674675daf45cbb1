"""Any pictures whose class and place a table names, with or without masks.

Format: a folder with pictures and `metadata.csv`, in the layout of Waterbirds' release:

    img_filename,y,split,place[,mask]

Pictures and masks are named from the table's folder; y and place are any values; split is 0, 1, 2 or train, val, test.
`study data build --scenes` makes such a folder of masked photographs and scenes.
Source of the layout: S. Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts", 2020
(arXiv 1911.08731).
"""

from collections.abc import Mapping
from pathlib import Path

from bgbias.components import component
from bgbias.data.photographs.grouped import GroupedPictures
from bgbias.data.photographs.table import Columns, PictureTable, read_table
from bgbias.files import sha256


@component
class Pictures(GroupedPictures):
    """Pictures that a table lists, with labels, splits, and optional places and masks.

    table_file: the table's name in the folder
    picture_column, label_column, split_column: what its columns are called
    place_column: that of the places; `none` for pictures without places, whose groups are their classes
    mask_column: that of the masks' files, empty in rows without a mask; `none` for masks in a folder (`masks`) or none
    classes, places: names of the values 0, 1, ... of label and place with commas between; empty takes the values
        themselves, sorted

    The other options are those of `bgbias.data.photographs.grouped.GroupedPictures`.
    """

    table_file: str = "metadata.csv"
    picture_column: str = "img_filename"
    label_column: str = "y"
    split_column: str = "split"
    place_column: str | None = "place"
    mask_column: str | None = None
    classes: str = ""
    places: str = ""

    def table(self, folder: Path) -> PictureTable:
        columns = Columns(
            self.picture_column, self.label_column, self.split_column, self.place_column, self.mask_column
        )
        return read_table(folder / self.table_file, columns, listed(self.classes), listed(self.places))

    def files(self, table: PictureTable) -> Mapping[str, str]:
        return {self.table_file: sha256(table.root / self.table_file)}


def listed(names: str) -> list[str]:
    """The names in a text with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]
