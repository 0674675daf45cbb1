import pytest
from made_learners import task_of

from bgbias.errors import SettingError
from bgbias.methods.clad import Clad
from bgbias.methods.counterfactual import Counterfactual
from bgbias.methods.learned_replacement import LearnedReplacement
from bgbias.methods.replaced_class_penalty import ReplacedClassPenalty
from bgbias.models.compact_cnn import CompactCnn


def built(method, classes, places):
    task = task_of(classes=classes, places=places)
    return method.build(task, CompactCnn().build(task))


@pytest.mark.parametrize("method", [Clad(), ReplacedClassPenalty(), LearnedReplacement(rule="heuristic")])
@pytest.mark.parametrize("places", [2, 4])
def test_more_or_fewer_places_than_classes_are_refused_where_the_kth_belongs_to_the_kth(method, places):
    with pytest.raises(SettingError, match=f"^{method.name()} needs a background class for each class, but there are"):
        built(method, 3, places)
    built(method, 3, 3)


def test_an_object_needs_a_second_place_to_be_moved_to():
    with pytest.raises(SettingError, match=r"^counterfactual needs backgrounds of two classes .*, but there are 1"):
        built(Counterfactual(), 2, 1)
    built(Counterfactual(), 2, 2)
    built(LearnedReplacement(rule="bilevel"), 3, 2)
