"""Digits and their biases: one lit pixel, or a colour, for each class."""
