import pytest

from bgbias.data.photographs.table import ANYWHERE, Columns, mask_beside, read_table
from bgbias.errors import DataError

COLUMNS = Columns("img_filename", "y", "split", "place", None)
ROWS = "img_filename,y,split,place\na/1.jpg,0,0,1\nb/2.jpg,1,2,0\n"


def table(tmp_path, text, columns=COLUMNS, classes=("cat", "dog"), places=("forest", "sea")):
    file = tmp_path / "metadata.csv"
    file.write_text(text)
    return read_table(file, columns, classes, places)


def shown(found):
    return [(entry.name, entry.label, entry.place, entry.split) for entry in found.entries]


def test_rows_become_numbers(tmp_path):
    found = table(tmp_path, ROWS)
    assert shown(found) == [("a/1.jpg", 0, 1, 0), ("b/2.jpg", 1, 0, 2)]
    assert (found.classes, found.places) == (("cat", "dog"), ("forest", "sea"))
    assert found.entries[0].path == tmp_path / "a/1.jpg"


def test_values_may_be_names_and_splits_words(tmp_path):
    found = table(tmp_path, "img_filename,y,split,place\n1.jpg,dog,train,sea\n2.jpg,cat,Val,0\n3.jpg,0,test,1\n")
    assert shown(found) == [("1.jpg", 1, 1, 0), ("2.jpg", 0, 0, 1), ("3.jpg", 0, 1, 2)]


def test_without_names_the_values_are_the_names_and_numbers_are_sorted_as_such(tmp_path):
    found = table(tmp_path, "img_filename,y,split,place\n1.jpg,10,0,sea\n2.jpg,9,0,bay\n", classes=(), places=())
    assert (found.classes, found.places) == (("9", "10"), ("bay", "sea"))
    assert shown(found) == [("1.jpg", 1, 1, 0), ("2.jpg", 0, 0, 0)]


def test_columns_have_any_name_and_a_place_may_be_missing(tmp_path):
    columns = Columns("file", "class", "part", None, "outline")
    found = table(tmp_path, "file,class,part,outline\n1.jpg,0,0,m/1.png\n2.jpg,1,2,\n", columns)
    assert found.places == (ANYWHERE,)
    assert [entry.mask for entry in found.entries] == [tmp_path / "m/1.png", None]
    assert [entry.place for entry in found.entries] == [0, 0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column 'img_filename', but none: name its columns by dataset/picture_column"),
        ("name,y,split,place\n", "has no column 'img_filename', but name, y, split, place"),
        ("img_filename,y,split,place\n", "names no picture"),
        ("img_filename,y,split,place\n1.jpg,0,0\n", "line 2 has fewer columns than its header"),
        (
            "img_filename,y,split,place\n1.jpg,0,0,2\n",
            r"line 2 has place '2', but the names forest, sea are for 0 to 1",
        ),
        ("img_filename,y,split,place\n1.jpg,-1,0,1\n", "line 2 has y '-1', but the names cat, dog"),
        ("img_filename,y,split,place\n1.jpg,1,3,1\n", "line 2 has split '3', but a split is 0, 1 or 2, or train, val"),
        (ROWS + "a/1.jpg,0,0,1\n", "line 4 names a/1.jpg again: fix the lines"),
        (
            "img_filename,y,split,place\n1.jpg,2,3,9\n1.jpg,7,0,0\n",
            r"line 2 has y '2', .*; line 2 has place '9', .*; line 2 has split '3', .*; and 2 more: fix the lines",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, told):
    with pytest.raises(DataError, match=told) as found:
        table(tmp_path, text)
    assert "\n" not in str(found.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"other\.csv is missing: give the folder.*dataset/table_file"):
        read_table(tmp_path / "other.csv", COLUMNS, (), ())


def test_masks_have_the_pictures_own_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.5.png").touch()
    assert mask_beside(tmp_path, "a/1.5.jpg") == tmp_path / "a" / "1.5.png"
    assert mask_beside(tmp_path, "a/2.jpg") is None
