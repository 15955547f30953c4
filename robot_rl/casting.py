"""Who acts in the next episode: the server's mode, what was received, and chance decide.

mode        who acts
random      uniform actions
learn       the learner's policy, sampled; uniform actions until it knows more than chance
evaluate    the learner's policy, or the one that an evaluation kept; greedy
explore     one of the simulator's explorers, drawn anew for each episode, with a random tail
mixed       as in explore or as in learn, by a chance that falls as the learner learns
transfer    the policy that is optimal in the simulator, greedy
demonstrate the demonstrator that was fitted to recordings, sampled
scripted    the task's scripted person, a new one for each episode
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Mode, Status, Step
from robot_rl.errors import UserError
from robot_rl.evaluation import Evaluation, Kept, NAMES
from robot_rl.learning.diffusion_policy import DiffusionPolicy
from robot_rl.learning.policy import HeldRandom, Policy, RandomPolicy, RandomTail
from robot_rl.policies import NO_POLICY, PolicyShelf
from robot_rl.scripted import ScriptedPerson

MODES = ('random', 'learn', 'evaluate', 'explore', 'mixed', 'transfer', 'demonstrate', 'scripted')
WINDOW = 20         # episodes of the learner that measure its success

WAITING = 'waiting for the next policy of sac_learner'
NO_ACTOR = 'no learned policy yet: start sac_learner, or remap the topic actor'
NO_EXPLORERS = 'no explorers yet: call sim_bridge/train_explorers, or remap the topic explorers'
NO_SIM_OPTIMAL = ('no sim-optimal policy yet: call sim_bridge/train_explorers, or remap the topic '
                  'sim_optimal')
NO_DEMONSTRATOR = 'no demonstrator yet: call demo_ingest/fit, or remap the topic demonstrator'
NO_RIVAL = ('nothing to compare with: the learned policy alone is measured; for a rival call '
            'sim_bridge/train_explorers or demo_ingest/fit')
NO_PERSON = 'the contract names no scripted person: simulation.demonstrator'


@dataclass(frozen=True)
class Schedule:
    """Share of the episodes of mode mixed that explore: falls linearly, then stays."""

    start: float
    least: float
    episodes: int       # until `least` is reached

    def __call__(self, episode: int) -> float:
        """Return the share after so many episodes."""
        least = min(self.least, self.start)
        return max(least, self.start + (least - self.start) * episode / self.episodes)


class Casting:
    """Casts one episode after the other; remembers how the mixed ones and the learner's went."""

    def __init__(self, contract: Contract, shelf: PolicyShelf):
        self._contract, self.shelf = contract, shelf
        self.random = RandomPolicy(contract.action.low, contract.action.high)
        self._mixed = 0                                 # episodes cast in mode mixed
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)  # of the learner's sampled episodes
        self.kept: Kept | None = None

    def missing(self, mode: str) -> str:
        """Return what an episode of that mode waits for and what to do, '' where nothing."""
        if mode in ('explore', 'mixed') and not self.shelf.explorers:
            return NO_EXPLORERS
        if mode == 'transfer' and not self.shelf.sim_optimal:
            return NO_SIM_OPTIMAL
        if mode == 'demonstrate' and not self.shelf.demonstrator:
            return NO_DEMONSTRATOR
        simulation = self._contract.simulation
        if mode == 'scripted' and not (simulation and simulation.demonstrator):
            return NO_PERSON
        acts = self.shelf.actor or self.kept
        return NO_ACTOR if mode == 'evaluate' and not acts else ''

    def stand_in(self, mode: str) -> str:
        """Return why what acts in that mode knows no more than chance, '' where it does."""
        if mode == 'evaluate' and self.shelf.actor and not self.kept_acts:
            return '' if self.shelf.informed else 'nothing learned yet: an untrained policy acts'
        if mode != 'learn' or self.shelf.informed:
            return ''
        return f'{"nothing learned" if self.shelf.actor else "no policy"} yet: random actions'

    def fraction(self, schedule: Schedule) -> float:
        """Return the chance that the next episode of mode mixed explores.

        A learner that knows no more than chance never acts. Once WINDOW of its episodes have
        measured its success, exploring takes no larger share than it fails.
        """
        if not self.shelf.informed:
            return 1.0
        share = schedule(self._mixed)
        if len(self._outcomes) < WINDOW:
            return share
        return min(share, 1.0 - sum(self._outcomes) / WINDOW)

    def cast(self, mode: str, schedule: Schedule, tail: bool, seed: int, episode: int
             ) -> tuple[Mode, Policy | DiffusionPolicy]:
        """Return what the episode is recorded as, and what acts in it; nothing may be missing.

        What plans chunks of actions acts through a ChunkRunner.

        Deterministic in the seed and the number of the episode, by random numbers of its own:
        what a policy samples in that episode does not depend on how it was cast.
        """
        rng = np.random.default_rng(np.random.SeedSequence([seed, episode], spawn_key=(0,)))
        self.shelf.swap()
        if mode == 'mixed':
            mode = 'explore' if rng.random() < self.fraction(schedule) else 'learn'
            self._mixed += 1
        if mode == 'explore':
            return Mode.EXPLORE, self._explorer(rng, tail)
        if mode == 'transfer':
            return Mode.TRANSFER, self.shelf.sim_optimal.policy
        if mode == 'demonstrate':
            return Mode.DEMONSTRATE, self.shelf.demonstrator.policy
        if mode == 'scripted':
            return Mode.SCRIPTED, ScriptedPerson(self._contract, rng)
        if mode == 'evaluate':
            return self._evaluated()
        if mode == 'learn' and self.shelf.informed:
            return Mode.LEARN, self.shelf.actor.policy
        return Mode[mode.upper()], self.random

    def _explorer(self, rng: np.random.Generator, tail: bool) -> Policy:
        explorer = self.shelf.explorers[rng.integers(len(self.shelf.explorers))]
        if not tail:
            return explorer
        action, horizon = self._contract.action, self._contract.episode.horizon
        return RandomTail(explorer, HeldRandom(action.low, action.high), horizon, rng)

    def compare(self, episodes: int) -> Evaluation:
        """Return the evaluation of the newest actor; raise UserError where there is none.

        Its rival is the sim-optimal policy, the demonstrator where there is no simulator's, or
        nobody where there is neither.
        """
        shelf = self.shelf
        if not shelf.actor:
            raise UserError(NO_ACTOR)
        rivals = {Mode.TRANSFER: shelf.sim_optimal, Mode.DEMONSTRATE: shelf.demonstrator}
        there = [(mode, artifact) for mode, artifact in rivals.items() if artifact]
        return Evaluation({Mode.EVALUATE: shelf.actor, **dict(there[:1])}, episodes)

    @property
    def kept_acts(self) -> bool:
        """Whether mode evaluate acts with the kept policy: no actor is newer than the compared."""
        return self.kept is not None and self.shelf.newest[0] <= self.kept.learned_version

    def _evaluated(self) -> tuple[Mode, Policy | DiffusionPolicy]:
        if self.kept_acts:      # its rival is recorded as what it is, not as the learner's
            return self.kept.mode, self.kept.artifact.policy
        return Mode.EVALUATE, self.shelf.actor.policy

    def ended(self, last: Step) -> None:
        """Take the last step record of an episode: the learner's measure its success."""
        judged = last.status in (Status.TERMINATED, Status.TRUNCATED)
        if judged and last.mode is Mode.LEARN and last.policy_version != NO_POLICY:
            self._outcomes.append(last.success)

    def figures(self, schedule: Schedule) -> dict:
        """Return what a status shows."""
        shelf = self.shelf
        figures = {'explorers': len(shelf.explorers)}
        for name in ('sim_optimal', 'demonstrator'):
            artifact = getattr(shelf, name)
            figures[name] = artifact.policy.version if artifact else NO_POLICY
        figures['explore_fraction'] = f'{self.fraction(schedule):.2f}'
        if self.kept:
            score = self.kept.score
            figures |= {'kept': f'{NAMES[self.kept.mode]}: {self.kept}',
                        'kept_version': self.kept.artifact.policy.version,
                        'kept_successes': score.successes, 'kept_episodes': score.episodes,
                        'kept_acts': self.kept_acts}
        return figures
