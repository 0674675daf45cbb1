"""What methods build around a classifier."""
