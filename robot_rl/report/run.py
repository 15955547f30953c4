"""What `robot_rl report` leaves: report.json, report.html and pictures of a run, or of several."""

from __future__ import annotations

import json
from pathlib import Path

from robot_rl.curves import read_curves
from robot_rl.files import write_atomic
from robot_rl.report.charts import charts
from robot_rl.report.demonstrators import names, plot_calibration
from robot_rl.report.episodes import Episode
from robot_rl.report.figures import build_report, LEARNED, plot_success
from robot_rl.report.page import drawing, PICTURES, save_pictures, write_page
from robot_rl.run_folder import read_run

REPORT = 'report.json'
APART = ('success', 'calibration')      # these pictures lie in the run's folder itself


def write_report(run_dir: Path) -> dict:
    """Write the report, its page and the pictures into a run's folder; return the report."""
    return write_run(run_dir)[0]


def write_run(run_dir: Path) -> tuple[dict, list[Episode]]:
    """Do as `write_report`; return the episodes as well."""
    report, episodes = build_report(run_dir)
    write_atomic(run_dir / REPORT, json.dumps(report, indent=2) + '\n')
    plot_success(episodes, run_dir / 'success.png', report['task'] or '', report['kept'],
                 names(report['demonstrators']))
    plot_calibration(report['demonstrators'], run_dir / 'calibration.png')
    with drawing():
        drawn = charts(report, episodes, read_curves(run_dir / LEARNED))
        save_pictures([one for one in drawn if one.name not in APART], run_dir / PICTURES)
        write_page(run_dir, report, drawn, run_dir.resolve().name,
                   read_run(run_dir).get('started'))
    return report, episodes
