"""A study's report: tables computed from what was recorded, then figures drawn from the tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bgbias.errors import SettingError
from study.display import finite
from study.record.folder import StudyFolder
from study.report import page, reading
from study.report.layout import Grid
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


def draw_report(report: Report, out: Path, pictures: Mapping[str, bytes] | None = None) -> None:
    """Write a study's report into a folder, which is made where needed: its page, and its tables in files.

    Args:
        pictures: as for `draw_reports`.
    """
    draw_reports([report], out, pictures=pictures)
    (out / "report.json").write_text(json.dumps(finite(report.to_json()), indent=1, allow_nan=False))


def draw_reports(
    reports: Sequence[Report],
    out: Path,
    remote: Mapping[str, Sequence[Grid]] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> None:
    """Write one page, one Markdown file and one CSV file of all reports into a folder, which is made where needed.

    Args:
        remote: tables of experiments that MLflow alone holds, by their names; pictures: PNG files of each dataset, by
            the report's name.
    """
    out.mkdir(parents=True, exist_ok=True)
    more = [grid for grids in (remote or {}).values() for grid in grids]
    (out / page.OVERVIEW).write_text(page.page(reports, more, pictures))
    (out / "report.md").write_text(reading.markdown(reports, more))
    (out / "report.csv").write_text(reading.as_csv(reports, remote))


def write_pngs(reports: Sequence[Report], out: Path) -> None:
    """Write every figure of all reports as a PNG file into a folder.

    Raises:
        SettingError: plotly's exporter Kaleido is missing, or the browser that it uses.
    """
    ends = [f"-s{at}" for at in range(len(reports))] if len(reports) > 1 else [""]
    own = [part for report, end in zip(reports, ends, strict=True) for part in page.sections(report, end)]
    page.write_pngs([*page.together(reports), *own], out)
