"""Names of files in a built folder."""

from bgbias.data.photographs import layout
from bgbias.prepare.build.names import file_names, is_clear, longest_name

LONGEST = 60


def test_a_name_that_no_other_has_stays():
    assert file_names(["cat/n02_1", "dog/n02_2", "dog/2019/x"], LONGEST) == {
        "cat/n02_1": "n02_1",
        "dog/n02_2": "n02_2",
        "dog/2019/x": "2019-x",
    }


def test_names_that_several_have_are_qualified_by_class_and_folder():
    keys = ["cat/0001", "dog/0001", "dog/a/0001", "bg_owl/0001", "owl/IMG", "pig/img"]
    assert file_names(keys, LONGEST) == {
        "cat/0001": "cat-0001",
        "dog/0001": "dog-0001",
        "dog/a/0001": "a-0001",
        "bg_owl/0001": "bg-owl-0001",
        "owl/IMG": "owl-IMG",
        "pig/img": "pig-img",
    }


def test_a_qualified_name_that_another_has_ends_with_a_hash():
    found = file_names(["cat/0001", "dog/0001", "owl/cat-0001"], LONGEST)
    assert found["owl/cat-0001"] == "cat-0001"
    assert found["cat/0001"].startswith("cat-0001-")
    assert len(set(found.values())) == 3


def test_long_names_are_cut_and_differ():
    keys = [f"cat/{'ü' * 80}{end}" for end in "ab"]
    found = file_names(keys, LONGEST)
    assert all(len(name.encode()) <= LONGEST and name.startswith("üü") for name in found.values())
    assert len(set(found.values())) == 2
    assert file_names(keys, LONGEST) == found


def test_the_longest_mixed_name_fits_the_file_system(tmp_path):
    name = "x" * longest_name(tmp_path / "not" / "there")
    mixed = tmp_path / f"{layout.mixed_name(name, name)}.JPEG.partial"
    mixed.touch()
    assert len(mixed.name) in (254, 255)


def test_names_that_a_mixed_name_would_hide_are_not_clear():
    assert all(map(is_clear, ("a", "n02_1", "a_b", "bg", "cat-fg_1")))
    assert not any(map(is_clear, ("fg_x", "bg_x", "a_bg_b", "x_bg", "fg_a_bg_b")))
