"""How much of what matters to the task some behaviour has covered, in numbers that add up.

The theory (Wagenmaker et al. 2024, arXiv 2410.20254) asks that the policies which explore make
lambda_min(E[phi phi^T]) large in the simulator: then, up to a bound on its error, their data
suffices on the robot too. Here phi are the task's own features, standardised: named numbers of
the observation. The number of occupied cells of a fixed grid says the same to the eye.

    paper                  here                            shape
    phi                    FeatureMap(observations)        (k, d)
    E[phi phi^T]           Coverage.covariance             (d, d)
    lambda_min             Coverage.lambda_min             scalar
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import UserError

RIDGE = 1e-3            # lambda of log det: variance below which a direction is as good as missed
MIN_STD = 1e-6          # of a feature that never moved
LARGEST = float(np.finfo(np.float32).max)     # of an observation
MAX_CELLS = 10_000      # of a grid; more would not fit a manifest, nor be filled by a robot
MAX_BINS = 10           # per feature
OUTLIERS = 0.005        # share of the data beyond the grid on each side of a feature
SCALES = ('mean', 'std', 'low', 'high')
BODY = 'sensor_msgs/msg/JointState'     # what an arm says of itself


def feature_names(contract: Contract) -> tuple[str, ...]:
    """Return the observation names of the task's features.

    The contract's `simulation.features`, else all that is not of the arm's own joints, else all.
    """
    simulation, names = contract.simulation, contract.layout.names
    parts = simulation.features if simulation else ()
    parts = parts or [entry.name for entry in contract.observations if entry.type != BODY]
    return tuple(name for name in names
                 if any(f'{name}.'.startswith(f'{part}.') for part in parts)) or names


@dataclass(frozen=True)
class FeatureMap:
    """Task features of observations, their standard scale and the grid that they are counted on.

    Fixed once, in the simulator, so that the robot is measured on the same cells.
    """

    names: tuple[str, ...]      # d names of the observation vector
    columns: np.ndarray         # (d,) int, where they lie in it
    mean: np.ndarray            # (d,) in the features' units
    std: np.ndarray             # (d,) > 0
    low: np.ndarray             # (d,) edge of the grid; what lies beyond counts to the last cell
    high: np.ndarray            # (d,)

    @classmethod
    def fit(cls, contract: Contract, observations: np.ndarray) -> FeatureMap:
        """Take scale and range from observations (k, n) of the simulator."""
        names = feature_names(contract)
        if 2 ** len(names) > MAX_CELLS:
            raise UserError(f'{contract.file}: simulation.features: expected at most '
                            f'{int(math.log2(MAX_CELLS))} numbers, found {len(names)} '
                            f'({", ".join(names)}); name those that matter to the task')
        columns = np.array([contract.layout.slots[name] for name in names])
        values = np.asarray(observations, np.float64)[:, columns]
        low, high = np.quantile(values, [OUTLIERS, 1.0 - OUTLIERS], axis=0)
        return cls(names, columns, values.mean(axis=0), np.maximum(values.std(axis=0), MIN_STD),
                   low, np.maximum(high, low + MIN_STD))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Standardise: observations (..., n) to phi (..., d)."""
        return (observations[..., self.columns] - self.mean) / self.std

    @property
    def bins(self) -> int:
        """Cells along each feature: as many as the grid may have, at most MAX_BINS."""
        return next(bins for bins in range(MAX_BINS, 1, -1)
                    if bins ** len(self.names) <= MAX_CELLS)

    def numbers(self) -> dict:
        """Return plain numbers for a manifest."""
        return {'names': list(self.names)} | {key: getattr(self, key).tolist() for key in SCALES}

    def cells(self, observations: np.ndarray) -> np.ndarray:
        """Count observations (k, n) off on the grid: return where they lie (c,), ascending."""
        shares = (observations[:, self.columns] - self.low) / (self.high - self.low)
        places = np.clip(shares * self.bins, 0, self.bins - 1).astype(np.int64)
        return np.unique(places @ self.bins ** np.arange(len(self.names)))


@dataclass(frozen=True)
class Coverage:
    """A certificate: what so many observations covered. Add to it, merge it, send it."""

    features: FeatureMap
    count: int                  # observations
    moment: np.ndarray          # (d, d), sum of phi phi^T
    cells: np.ndarray           # (c,) int64, occupied, ascending

    @classmethod
    def empty(cls, features: FeatureMap) -> Coverage:
        """Return the certificate of nothing."""
        d = len(features.names)
        return cls(features, 0, np.zeros((d, d)), np.zeros(0, np.int64))

    def add(self, observations: np.ndarray) -> Coverage:
        """Return the certificate with observations (k, n) added, for instance an episode's."""
        observations = np.asarray(observations, np.float64)
        phi = self.features(observations)
        return replace(self, count=self.count + len(phi), moment=self.moment + phi.T @ phi,
                       cells=np.union1d(self.cells, self.features.cells(observations)))

    def merge(self, other: Coverage) -> Coverage:
        """Return the certificate of both; raise UserError where they count on other grids."""
        if self.features.numbers() != other.features.numbers():
            raise UserError('coverage: expected certificates of the same features and grid')
        return replace(self, count=self.count + other.count, moment=self.moment + other.moment,
                       cells=np.union1d(self.cells, other.cells))

    @property
    def covariance(self) -> np.ndarray:
        """E[phi phi^T] (d, d), about the simulator's mean; zero where nothing was seen."""
        return self.moment / max(self.count, 1)

    @property
    def lambda_min(self) -> float:
        """Variance in the least covered direction of the features."""
        return max(0.0, float(np.linalg.eigvalsh(self.covariance)[0]))    # but for rounding

    @property
    def log_det(self) -> float:
        """Logarithm of det(E[phi phi^T] + RIDGE I)."""
        return float(_log_det(self.covariance + RIDGE * np.eye(len(self.moment))))

    @property
    def fraction(self) -> float:
        """Share of the grid's cells that are occupied."""
        return len(self.cells) / self.features.bins ** len(self.features.names)

    def summary(self) -> dict[str, float]:
        """Return what a person reads."""
        return {'observations': self.count, 'cells': len(self.cells),
                'fraction': self.fraction, 'lambda_min': self.lambda_min,
                'log_det': self.log_det}

    def numbers(self) -> dict:
        """Return plain numbers for a manifest or a status; `read_coverage` takes them back."""
        return {'features': self.features.numbers(), 'count': self.count,
                'moment': self.moment.tolist(), 'cells': self.cells.tolist()}


def read_coverage(numbers, contract: Contract, source: str) -> Coverage:
    """Return the certificate that `Coverage.numbers` wrote, or raise UserError naming the source.

    Everything is checked here: it may have come over the network.
    """
    try:
        found, names = numbers['features'], feature_names(contract)
        if found['names'] != list(names):
            raise ValueError(f'features: expected {list(names)}, found {found["names"]}')
        d = len(names)
        scales = {key: _numbers(found[key], (d,), key) for key in SCALES}
        columns = np.array([contract.layout.slots[name] for name in names])
        features = FeatureMap(names, columns, **scales)
        moment = _numbers(numbers['moment'], (d, d), 'moment')
        cells, count = np.array(numbers['cells'], np.int64), numbers['count']
        if 2 ** d > MAX_CELLS:
            raise ValueError(f'features: a grid of {d} has too many cells')
        if not (features.std >= MIN_STD).all() or not (features.low < features.high).all() or any(
                abs(scale).max() > LARGEST for scale in scales.values()):
            raise ValueError(f'features: expected std >= {MIN_STD}, low < high, all at most '
                             f'{LARGEST:.3g}')
        if not np.allclose(moment, moment.T) or np.linalg.eigvalsh(moment)[0] < -1e-6 * abs(
                moment).max():
            raise ValueError('moment: expected a covariance')
        if type(count) is not int or count < 0 or cells.ndim != 1 or cells.tolist() != sorted(
                set(numbers['cells'])) or len(cells) and not (
                0 <= cells[0] and cells[-1] < features.bins ** d):
            raise ValueError('cells: expected ascending numbers of cells and their count')
    except (ValueError, KeyError, TypeError, OverflowError, np.linalg.LinAlgError) as error:
        raise UserError(f'{source}: coverage: not a certificate of this contract: {error}'
                        ) from None
    return Coverage(features, count, moment, cells)


def select(moments: np.ndarray, k: int, ridge: float = RIDGE) -> list[int]:
    """Return k indices of (p, d, d) moments whose sum has a large log det(sum + ridge I).

    Greedy: log det(ridge I + sum) is monotone and submodular in the set, so what it gains over
    the empty set is at least 1 - 1/e of the best (Nemhauser, Wolsey, Fisher 1978). Ties go to the
    first; all are returned where there are at most k.
    """
    moments = np.asarray(moments, np.float64)
    total, chosen, left = ridge * np.eye(moments.shape[-1]), [], list(range(len(moments)))
    while left and len(chosen) < k:
        best = left.pop(int(np.argmax(_log_det(total + moments[left]))))
        total = total + moments[best]
        chosen.append(best)
    return chosen


def _log_det(matrices: np.ndarray) -> np.ndarray:
    """Return log det (...) of positive definite matrices (..., d, d)."""
    return np.linalg.slogdet(matrices)[1]


def _numbers(values, shape: tuple[int, ...], key: str) -> np.ndarray:
    array = np.array(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f'{key}: expected {shape} finite numbers')
    return array
