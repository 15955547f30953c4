"""How often the policy that is to be steered succeeds by itself.

It is measured with the noise that steering can choose: a base that never succeeds with that has
nothing to be steered to, however well its free samples do.
"""

from __future__ import annotations

from robot_rl.intervals import wilson

JUDGED = ('success', 'failure', 'truncated')    # outcomes; the others were stopped from outside


class BaseSuccess:
    """Counts the episodes of version 0, before the first update."""

    def __init__(self):
        self.episodes = self.successes = 0

    def add(self, outcome: str) -> None:
        """Count an episode, where it came to an end of its own."""
        if outcome in JUDGED:
            self.episodes += 1
            self.successes += outcome == 'success'

    @property
    def figures(self) -> dict[str, float]:
        """Return the share with its 95 % Wilson interval, nothing before the first episode."""
        if not self.episodes:
            return {}
        low, high = wilson(self.successes, self.episodes)
        return {'base_success': self.successes / self.episodes, 'base_success_low': low,
                'base_success_high': high, 'base_episodes': self.episodes}

    @property
    def warning(self) -> str:
        """Return what to do about a base that never succeeds, or ''."""
        if self.successes or not self.episodes:
            return ''
        return (f'the demonstrator succeeded in none of {self.episodes} episodes: there is '
                'nothing to steer it to; record more or other demonstrations, fit it with a '
                'larger alpha, or raise noise_bound')
