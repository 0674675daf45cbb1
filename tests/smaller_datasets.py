"""Options of the datasets that tests read, where the defaults ask for the released numbers of pictures."""

SMALLER = {"spawrious": {"cell": 10}, "waterbirds": {"release": "other"}}
"""By dataset, the options that admit fewer files than a release has."""
