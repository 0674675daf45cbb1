"""Interactive figures of a report: what they show is computed by `study.report.analysis`, here it is drawn."""
