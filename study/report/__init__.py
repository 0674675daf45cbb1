"""A study's report: tables computed from what was recorded, then figures drawn from the tables."""

import json

from bgbias.errors import SettingError
from study.record.folder import StudyFolder
from study.report import page
from study.report.tables import Report, make_report


def write_report(folder: StudyFolder) -> Report:
    """Compute the tables, write them as `report/report.json` and draw the figures beside it.

    Raises:
        SettingError: there is no study, or no trial of it has finished.
    """
    report = make_report(folder)
    if not report.rows:
        raise SettingError(f"no trial of {folder.root} has finished: go on with `study resume`")
    page.write(report, folder.report)
    page.write_pictures(report, folder.report)
    (folder.report / "report.json").write_text(json.dumps(report.to_json(), indent=1))
    return report
