"""Step records -> transitions. The one code path for live episodes and for bags.

The recorder feeds it the bytes it has just written; a reader feeds it the same bytes from the
bag. Nothing else derives transitions, so both give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Source, Status, Step
from robot_rl.errors import UserError

LABELS = ('success', 'failure')


@dataclass(frozen=True)
class Transitions:
    """k transitions as float32 columns, in the order in which they happened."""

    observation: np.ndarray         # (k, n)
    action: np.ndarray              # (k, m), executed, in the contract's units
    reward: np.ndarray              # (k,)
    next_observation: np.ndarray    # (k, n)
    terminated: np.ndarray          # (k,), 1.0 where the task ended: no bootstrap
    truncated: np.ndarray           # (k,), 1.0 where only the recording ended
    human: np.ndarray | None = None     # (k,), 1.0 where a person chose the action; default: none

    def __post_init__(self):
        if self.human is None:
            object.__setattr__(self, 'human', np.zeros(len(self.reward), np.float32))

    def __len__(self) -> int:
        return len(self.reward)


COLUMNS = tuple(Transitions.__dataclass_fields__)


def step_pairs(steps: Iterable[Step]) -> list[tuple[Step, Step]]:
    """Return the pairs of records between which a transition lies.

    A record pairs with the next only when it is of the same episode and the next index, so a gap
    (a lost record, a recorder that restarted) costs the pair and never joins two times.
    """
    steps = list(steps)
    return [(now, after) for now, after in zip(steps, steps[1:])
            if now.status is Status.RUNNING and after.status is not Status.BROKEN
            and after.episode == now.episode and after.index == now.index + 1]


def derive_transitions(steps: Iterable[Step], contract: Contract) -> Transitions:
    """Return the transitions between consecutive records of one episode.

    Where the reward is a topic, that of a transition is what the later record holds.
    """
    pairs = step_pairs(steps)
    n, m = len(contract.layout), len(contract.action.layout)
    if not pairs:       # a reward need not know what to do with an empty batch
        return Transitions(*(np.zeros(shape, np.float32)
                             for shape in ((0, n), (0, m), 0, (0, n), 0, 0)))
    observation = np.array([now.observation for now, _ in pairs])
    action = np.array([now.executed for now, _ in pairs])
    following = np.array([after.observation for _, after in pairs])
    published = [after.reward for _, after in pairs]
    try:
        reward, terminated = contract.judge(observation, action, following,
                                            None if None in published else published)
    except UserError:
        raise
    except Exception as error:  # noqa: B902, user code may raise anything
        raise UserError(f'{contract.reward_name}: {type(error).__name__}: {error}') from error
    terminated = terminated | np.array([after.status is Status.TERMINATED for _, after in pairs],
                                       bool)
    truncated = np.zeros(len(pairs), bool)
    for index, (_, after) in enumerate(pairs):
        broken = index + 1 == len(pairs) or pairs[index + 1][0] is not after
        truncated[index] = broken and not terminated[index]
    human = np.array([now.source is Source.HUMAN for now, _ in pairs])
    columns = (observation, action, reward, following, terminated, truncated, human)
    found = Transitions(*(np.ascontiguousarray(column, np.float32) for column in columns))
    if not np.isfinite(found.reward).all():
        raise UserError(f'{contract.reward_name}: expected finite rewards, found '
                        f'{found.reward[~np.isfinite(found.reward)][0]}')
    return found


def label_transitions(transitions: Transitions, label: str) -> Transitions:
    """Return the transitions with a human's verdict on the episode, `success` or `failure`.

    Either verdict says that the task ended there, so the last transition is terminated: nothing
    is bootstrapped from a state in which no one acted again. Without a label nothing changes.
    """
    if label not in LABELS or not len(transitions):
        return transitions
    terminated, truncated = transitions.terminated.copy(), transitions.truncated.copy()
    terminated[-1], truncated[-1] = 1.0, 0.0
    return replace(transitions, terminated=terminated, truncated=truncated)


def interventions(transitions: Transitions) -> Transitions:
    """Return the transitions in which a person acted; each stretch of them ends as a recording.

    What the policy did next is not what the person did: nothing joins two stretches.
    """
    chosen = np.flatnonzero(transitions.human)
    found = Transitions(*(getattr(transitions, name)[chosen] for name in COLUMNS))
    cut = np.append(np.diff(chosen) > 1, True)[:len(chosen)]
    truncated = np.where(cut & (found.terminated == 0.0), 1.0, found.truncated)
    return replace(found, truncated=truncated.astype(np.float32))
