"""Search spaces: one file per space, with one constant `SPACE` of typed data, checked on import."""

COMPARED = ("erm", "static_replacement", "dynamic_replacement", "gradient_penalty")
"""The spaces of a study that names none; results are compared with the first."""
