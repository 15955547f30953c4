"""Statistics of a LeRobot data set: of each episode, and merged as LeRobot merges them."""

from __future__ import annotations

import numpy as np

QUANTILES = {'q01': 0.01, 'q10': 0.1, 'q50': 0.5, 'q90': 0.9, 'q99': 0.99}


class RunningStats:
    """The statistics of all episodes so far, without their rows."""

    def __init__(self):
        self._found: dict[str, dict[str, np.ndarray]] = {}

    def add(self, columns: dict[str, np.ndarray]) -> dict[str, dict[str, list]]:
        """Take the columns (k,) or (k, c) of one episode; return its own statistics."""
        episode = {key: _describe(values) for key, values in columns.items()}
        for key, found in episode.items():
            known = self._found.get(key)
            self._found[key] = _merge(known, found) if known else found
        return _plain(episode)

    def total(self) -> dict[str, dict[str, list]]:
        """Return the statistics of everything, by column and name, lists of c numbers."""
        return _plain(self._found)


def _describe(values: np.ndarray) -> dict[str, np.ndarray]:
    rows = values.reshape(len(values), -1).astype(np.float64)
    found = {'min': rows.min(axis=0), 'max': rows.max(axis=0), 'mean': rows.mean(axis=0),
             'std': rows.std(axis=0), 'count': np.array([len(rows)])}
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return found | dict(zip(QUANTILES, quantiles))


def _merge(known: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the statistics of both: exact, but for quantiles, of which the widest are kept."""
    count = known['count'] + found['count']
    share = found['count'] / count
    apart = found['mean'] - known['mean']
    variance = ((1 - share) * known['std'] ** 2 + share * found['std'] ** 2
                + share * (1 - share) * apart ** 2)
    merged = {'min': np.minimum(known['min'], found['min']),
              'max': np.maximum(known['max'], found['max']),
              'mean': known['mean'] + share * apart, 'std': np.sqrt(variance), 'count': count}
    for name, quantile in QUANTILES.items():
        widest = np.minimum if quantile <= 0.5 else np.maximum
        merged[name] = widest(known[name], found[name])
    return merged


def _plain(stats: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, list]]:
    return {key: {name: values.tolist() for name, values in found.items()}
            for key, found in stats.items()}
