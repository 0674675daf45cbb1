from collections import Counter

from bgbias.data.photographs.imagenet9_classes import CLASS_OF_IMAGENET, CLASSES, NO_CLASS


def test_370_of_the_1000_imagenet_classes_belong_to_one_of_the_nine():
    count = Counter(CLASS_OF_IMAGENET)
    assert len(CLASS_OF_IMAGENET) == 1000
    assert [count[label] for label in range(len(CLASSES))] == [116, 52, 42, 36, 35, 27, 26, 20, 16]
    assert count[NO_CLASS] == 1000 - 370


def test_known_imagenet_classes():
    known = {
        0: "08_fish",
        7: "01_bird",
        151: "00_dog",
        269: "04_carnivore",
        407: "02_wheeled vehicle",
        33: "03_reptile",
    }
    assert {index: CLASSES[CLASS_OF_IMAGENET[index]] for index in known} == known
    assert [CLASS_OF_IMAGENET[index] for index in (170, 171, 172, 173, 281, 999)] == [0, -1, -1, 0, -1, -1]
