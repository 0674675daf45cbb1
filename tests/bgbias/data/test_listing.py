from bgbias.data.photographs import listing


def test_hidden_entries_are_left_out_of_folders_and_files(tmp_path):
    for name in (".ipynb_checkpoints", "dog", "cat", "@eaDir", "__MACOSX"):
        (tmp_path / name).mkdir()
    for name in ("._x.JPEG", ".DS_Store", "Thumbs.db", "desktop.ini", "b.JPEG", "a.jpg"):
        (tmp_path / "cat" / name).touch()
    (tmp_path / "list.txt").touch()
    assert [folder.name for folder in listing.class_folders(tmp_path)] == ["cat", "dog"]
    assert [file.name for file in listing.files(tmp_path)] == ["list.txt"]
    assert [file.name for file in listing.files(tmp_path / "cat")] == ["a.jpg", "b.JPEG"]
    assert listing.entries(tmp_path / "none") == []


def test_files_below_are_found_but_not_behind_links(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z", "a/.hidden"):
        (tmp_path / name).touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / ".cache").mkdir()
    (tmp_path / "a" / ".cache" / "x").touch()
    assert [file.relative_to(tmp_path).as_posix() for file in listing.files_below(tmp_path)] == ["a/b/z", "a/y", "x"]
