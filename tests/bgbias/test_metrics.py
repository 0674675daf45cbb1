from bgbias.metrics import accuracy, lower_is_better, on_test, train_loss, variant_of, variants_in


def test_names_are_the_ones_users_read():
    assert train_loss("cross_entropy") == "train/loss/cross_entropy"
    assert accuracy("val", "shuffled") == "val/shuffled/accuracy"
    assert on_test("val/shuffled/worst_class_accuracy") == "test/shuffled/worst_class_accuracy"


def test_losses_and_gaps_are_better_when_lower():
    metrics = ("val/shuffled/loss", "val/bg_gap", "val/shuffled/accuracy", "val/loss/accuracy")
    assert [lower_is_better(metric) for metric in metrics] == [True, True, False, False]


def test_a_metric_is_of_one_variant_or_of_several():
    assert (variant_of("val/shuffled/accuracy"), variant_of("val/bg_gap")) == ("shuffled", None)


def test_variants_are_those_with_an_accuracy_in_the_split():
    metrics = {
        "train/images_per_second": 1.0,
        "val/original/accuracy": 1.0,
        "val/original/loss": 1.0,
        "test/removed/accuracy": 1.0,
        "val/shuffled/accuracy": 1.0,
        "val/removed/best_accuracy": 1.0,
    }
    assert variants_in(metrics, "val") == ["original", "shuffled"]
    assert variants_in(metrics, "test") == ["removed"]
