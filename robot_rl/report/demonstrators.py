"""What a report says of demonstrators: how they were fitted, what they cover, how they did.

The fits are found in the folder of the run, each with its calibration in its artifact.
"""

from __future__ import annotations

from collections.abc import Iterable
import io
from math import isfinite
from pathlib import Path

from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.files import read_up_to, write_atomic
from robot_rl.fit_run import DEMONSTRATOR
from robot_rl.intervals import wilson
from robot_rl.learning.artifact import MAX_POLICY_BYTES
from robot_rl.learning.diffusion_policy import decode_demonstrator

FOLDER = 'demonstrators'        # below a run
COLORS = {'BC': 'tab:red', 'sigma-BC': 'tab:brown', 'posterior': 'tab:purple'}
OTHER = 'tab:gray'


def demonstrators(run_dir: Path, contract: Contract, outcomes: Iterable[tuple[int, bool]]
                  ) -> list[dict]:
    """Return what there is to say of each fit, oldest first.

    `outcomes` are version and success of every episode in which a demonstrator acted. A fit that
    cannot be read is told of by its reason.
    """
    outcomes, found = list(outcomes), []
    for path in sorted((run_dir / FOLDER).glob(f'*/*/{DEMONSTRATOR}')):
        try:
            artifact = read_up_to(path, MAX_POLICY_BYTES)
            manifest = decode_demonstrator(artifact, contract, str(path)).manifest
            found.append(_described(manifest, outcomes))
        except UserError as error:
            found.append({'version': -1, 'name': 'unreadable', 'reason': str(error)})
    return sorted(found, key=lambda one: one['version'])


def names(found: list[dict]) -> dict[int, str]:
    """Return what the fits are called, by their versions."""
    return {one['version']: one['name'] for one in found}


def plot_calibration(found: list[dict], path: Path) -> bool:
    """Write the picture of the calibration; return whether there was anything to draw."""
    figure = calibration_figure(found)
    if figure is None:
        return False
    figure.axes[0].set_title('calibration of the demonstrators')
    picture = io.BytesIO()
    figure.savefig(picture, format='png')
    write_atomic(path, picture.getvalue())
    return True


def calibration_figure(found: list[dict]):
    """Draw how many held-out actions each fit's regions hold; return None where no fit tells."""
    found = [one for one in found if one.get('covered')]
    if not found:
        return None
    from matplotlib.figure import Figure     # slow to import, and needed for the picture only

    figure = Figure(figsize=(5.0, 4.6), dpi=150, layout='constrained')
    axes = figure.subplots()
    axes.plot([0.0, 1.0], [0.0, 1.0], color='0.6', linestyle=':', label='calibrated')
    for one in found:
        axes.plot(one['levels'], one['covered'], marker='o', color=COLORS[one['name']],
                  label=f'{one["name"]}, alpha {one["alpha"]:.2g}')
    axes.set(xlabel='probability of the region', ylabel='held-out actions in it',
             xlim=(0.0, 1.0), ylim=(0.0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc='upper left', frameon=False)
    return figure


def _described(manifest: dict, outcomes: list[tuple[int, bool]]) -> dict:
    provenance = manifest['provenance']
    table, fit = (_mapping(provenance, key) for key in ('calibration', 'fit'))
    summary = _mapping(provenance, 'summary')
    levels, covered = _shares(table, 'levels'), _shares(table, 'covered')
    whole = len(levels) == len(covered)
    results = [success for version, success in outcomes if version == manifest['version']]
    low, high = wilson(sum(results), len(results))
    return {
        'name': _name(manifest['alpha'], fit), 'version': manifest['version'],
        'alpha': manifest['alpha'], 'demonstrations': summary.get('episodes'),
        'steps': summary.get('steps'), 'levels': levels * whole, 'covered': covered * whole,
        'episodes': len(results),
        'success': sum(results) / len(results) if results else None,
        'success_low': low, 'success_high': high,
    }


def _name(alpha: float, fit: dict) -> str:
    if not alpha:
        return 'BC'
    return 'sigma-BC' if fit.get('spread') == 'constant' else 'posterior'


def _mapping(values: dict, key: str) -> dict:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _shares(table: dict, key: str) -> list[float]:
    """Return a list of shares, empty where something else stands there."""
    found = table.get(key)
    good = isinstance(found, list) and all(
        isinstance(value, (int, float)) and isfinite(value) for value in found)
    return found if good else []
