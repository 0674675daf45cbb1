from bgbias.metrics import accuracy, best_accuracy, train_loss, variants_in


def test_names_are_the_ones_users_read():
    assert train_loss("cross_entropy") == "train/loss/cross_entropy"
    assert accuracy("val", "shuffled") == "val/shuffled/accuracy"
    assert best_accuracy("shuffled") == "val/shuffled/best_accuracy"


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
