"""Evaluators of a learner's predictions; one file each, found by looking."""
