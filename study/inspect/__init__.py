"""Analyses of a checkpoint or a dataset, one file each: compute, then show."""
