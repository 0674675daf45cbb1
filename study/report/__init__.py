"""A study's report: tables computed from what was recorded, then figures drawn from the tables."""

import json
from pathlib import Path

from bgbias.errors import SettingError
from study.record.folder import StudyFolder
from study.report import page
from study.report.tables import Report, make_report


def write_report(folder: StudyFolder) -> Report:
    """Compute the tables, and write them and the figures into the study's own folder.

    Raises:
        SettingError: there is no study, or no trial of it has finished.
    """
    report = finished_report(folder)
    draw_report(report, folder.report)
    return report


def finished_report(folder: StudyFolder) -> Report:
    """Compute the tables; nothing is written.

    Raises:
        SettingError: there is no study, or no trial of it has finished.
    """
    report = make_report(folder)
    if not report.rows:
        raise SettingError(f"no trial of {folder.root} has finished: continue with `study resume`")
    return report


def draw_report(report: Report, out: Path) -> None:
    """Write the tables as `report.json` into a folder, which is made where needed, and draw the figures beside it."""
    out.mkdir(parents=True, exist_ok=True)
    page.write(report, out)
    page.write_pictures(report, out)
    (out / "report.json").write_text(json.dumps(report.to_json(), indent=1))
