from __future__ import annotations

from pathlib import Path

from robot_rl.contract import load_contract
from robot_rl.data.ingest import IngestSettings
from robot_rl.fit_options import child_command, parse, settings_of
from robot_rl.fit_run import FitSettings
from robot_rl.learning.config import FitConfig

REACH = load_contract('reach')


def test_the_child_is_told_every_setting_exactly():
    fit = FitConfig(chunk=3, replan=2, width=16, alpha=1e-7, spread='constant', folds=2)
    settings = FitSettings(IngestSettings('successes', 0.1 + 0.2, 7), fit, threads=5)
    for wanted in (settings, FitSettings()):
        command = child_command(REACH.file, Path('a run'), wanted, [Path('/a b'), Path('/-c')])
        options = parse(command[command.index('--with-parent'):])
        assert settings_of(options) == wanted
        assert (options.contract, options.run_dir) == (str(REACH.file), Path('a run'))
        assert options.with_parent and options.bag == [Path('/a b'), Path('/-c')]
