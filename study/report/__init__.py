"""A study's report: tables computed from what was recorded, then figures drawn from the tables."""
