"""Transitions -> what k actions in a row lead to: experience of a policy that acts in chunks."""

from __future__ import annotations

import numpy as np
from robot_rl.data.transitions import Transitions


def chunk_windows(episode: Transitions, length: int, discount: float) -> Transitions:
    """Return a row for every step from which `length` actions follow, k = `length`.

    A row's action is the k executed actions (k * m,), its reward sum_i discount**i r_i, its next
    observation the one after them, which counts discount**k. Where the task ends earlier, the last
    action is repeated and nothing follows, as in a demonstrator's chunks. What a truncation or a
    gap would cut is left out: nobody knows what the rest of the actions would have done.
    """
    count = len(episode)
    first = np.arange(count)
    ends = (episode.terminated > 0) | (episode.truncated > 0)
    if count:
        ends[-1] = True
    stops = np.flatnonzero(ends)
    end = stops[np.searchsorted(stops, first)]      # of the stretch that a step belongs to
    whole = (end - first >= length - 1) | (episode.terminated[end] > 0)
    first, end = first[whole], end[whole]
    steps = first[:, None] + np.arange(length)      # (rows, k)
    acted = np.minimum(steps, end[:, None])
    weights = discount ** np.arange(length) * (steps <= end[:, None])
    last = acted[:, -1] if len(acted) else first
    return Transitions(
        observation=episode.observation[first],
        action=episode.action[acted].reshape(len(first), length * episode.action.shape[1]),
        reward=(weights * episode.reward[acted]).sum(1).astype(np.float32),
        next_observation=episode.next_observation[last], terminated=episode.terminated[last],
        truncated=episode.truncated[last])
