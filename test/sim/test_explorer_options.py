from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from robot_rl.contract import load_contract
from robot_rl.learning.config import ExplorerConfig
from robot_rl.sim.explorer_options import child_command, parse, settings_of
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import load_gap

REACH = load_contract('reach')
SETTINGS = TrainSettings()


@pytest.mark.parametrize('settings', [
    SETTINGS,
    TrainSettings(5, 6, 7, 8, 9, 10, 11, diversity=ExplorerConfig(1, 1e-7, 0.1 + 0.2, 0.25),
                  sac=replace(SETTINGS.sac, width=12, learning_rate=1e-5))])
@pytest.mark.parametrize('gaps', [('none',), ('mild', '{mass: 1.5, name: -x}', 'none')])
def test_the_child_is_told_every_setting_exactly(settings, gaps):
    settings = replace(settings, gaps=tuple(load_gap(text) for text in gaps))
    command = child_command(REACH.file, Path('a run'), settings, gaps)
    options = parse(command[command.index('--with-parent'):])
    assert settings_of(options) == settings
    assert (options.contract, options.run_dir) == (str(REACH.file), Path('a run'))
    assert options.with_parent
