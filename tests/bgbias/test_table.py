import json

import pytest
import torch

from bgbias.errors import SettingError
from bgbias.table import Table


def test_a_table_of_a_tensor_and_of_lists_is_the_same_after_json():
    table = Table.of(torch.tensor([[0.5, 1.0, 0.0]]), ["one"], ["a", "b", "c"])
    assert table == Table(((0.5, 1.0, 0.0),), ("one",), ("a", "b", "c"))
    assert table == Table.of([[0.5, 1, 0]], ["one"], ["a", "b", "c"])
    assert Table.from_json(json.loads(json.dumps(table.to_json()))) == table


def test_a_table_needs_one_value_for_each_pair_of_names():
    with pytest.raises(SettingError, match=r"a table of 2 x 2 names needs as many values, but got 2 rows of \[1, 2\]"):
        Table.of([[1.0, 2.0], [3.0]], ["a", "b"], ["a", "b"])
