"""Building the eight variants of an ImageNet-9 folder from pictures and masks or boxes, and checking such a folder."""
