"""The parameters of demo_ingest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rl.learning.config import FitConfig, LATENT, SPREADS
from robot_rl.ros.settings import limit, parameter

if TYPE_CHECKING:
    from robot_rl.data.ingest import IngestSettings
    from robot_rl.ros.demonstrator_fit import FitOrder


@dataclass(frozen=True)
class Settings:
    """Reads recordings, and has the posterior demonstrator fitted to what it took."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    bags: tuple = parameter(('',), 'Recordings, or folders that hold recordings', live=True)
    outcomes: str = parameter('all', 'Episodes to take', choices=('all', 'successes'),
                              live=True)
    episode_gap: float = parameter(0.0, 's of silence that begin a new episode; 0: never',
                                   low=0.0, high=3600.0, live=True)
    min_steps: int = parameter(5, 'Shorter episodes are dropped', low=1, high=100000, live=True)
    report_dir: str = parameter('', 'Folder for table, JSON and plot of a scan; empty: none',
                                live=True)
    fit_dir: str = parameter('demonstrators', 'Folder of the fits, one folder each', live=True)
    chunk: int = parameter(4, 'Actions that are planned together, k', low=1, high=64, live=True)
    replan: int = parameter(2, 'Of them, executed before the next plan', low=1, high=64,
                            live=True)
    members: int = parameter(10, 'Of the ensemble that measures what the data leaves open, K',
                             low=2, high=100, live=True)
    alpha: float = parameter(-1.0, 'Scale of what the data leaves open; 0: behavioural cloning; '
                             '-1: as much as covers held-out actions', low=-1.0, high=10.0,
                             live=True)
    spread: str = parameter(LATENT, 'What alpha scales: latents that rest while it acts, or '
                            'noise that the policy learns', choices=SPREADS, live=True)
    folds: int = parameter(5, 'Of the trajectories, at most; each is held out once',
                           low=2, high=20, live=True)
    fit_updates: int = parameter(0, 'Updates of the policy; 0: as the data asks for', low=0,
                                 live=True)
    fit_seed: int = parameter(0, 'Seed of a fit', low=0, live=True)
    fit_threads: int = parameter(2, 'Processor threads of a fit', low=1, high=256, live=True)
    warn_dropped: float = limit(0.5, 'Share of the episodes of a scan that were not taken above '
                                'which diagnostics warn')
    warn_stalled: float = limit(600.0, 'Time without progress of a fit above which they warn, s')

    def order(self) -> FitOrder:
        """Return what to fit, and from what."""
        from robot_rl.fit_run import FitSettings
        from robot_rl.ros.demonstrator_fit import FitOrder

        fit = FitConfig(chunk=self.chunk, replan=self.replan, members=self.members,
                        alpha=self.alpha, spread=self.spread, folds=self.folds,
                        updates=self.fit_updates, seed=self.fit_seed)
        return FitOrder(Path(self.fit_dir), self.roots(),
                        FitSettings(self.ingest(), fit, self.fit_threads))

    def ingest(self) -> IngestSettings:
        """Return what counts as an episode."""
        from robot_rl.data.ingest import IngestSettings

        return IngestSettings(self.outcomes, self.episode_gap, self.min_steps)

    def roots(self) -> tuple[Path, ...]:
        """Return where the recordings are."""
        return tuple(Path(text) for text in self.bags if text)
