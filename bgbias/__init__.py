"""Train image classifiers that look at the object and not at its background."""
