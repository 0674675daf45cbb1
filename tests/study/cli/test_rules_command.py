import json

from made import recorded


def test_rules_are_shown_side_by_side_and_as_json(study, tmp_path):
    recorded(tmp_path / "mine")
    code, printed, _ = study("rules", tmp_path / "mine")
    assert code == 0
    assert [line.split() for line in printed.splitlines()[1:3]] == [
        ["rule", "needs", "erm"], ["last-epoch", "moved", "backgrounds", "20.00", "(0.0)"],
    ]  # fmt: skip
    code, printed, _ = study("rules", tmp_path / "mine", "--rule", "last-epoch", "--metric", "original", "--json")
    (row,) = json.loads(printed)["rules"]
    assert (row["trial"], row["epoch"], row["values"]) == ("bbbb", 2, {"test/original/accuracy": 0.4})


def test_a_rule_on_test_data_is_refused_in_one_line(study, tmp_path):
    recorded(tmp_path / "mine")
    code, _, said = study("rules", tmp_path / "mine", "--rule", "test-shuffled")
    assert code == 2
    assert said.count("\n") == 1
    assert "give validation-shuffled, or oracle-shuffled" in said
