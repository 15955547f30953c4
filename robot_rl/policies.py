"""The policies that the server has received, and which one acts in the next episode."""

from __future__ import annotations

from robot_rl.contract import Contract
from robot_rl.data.steps import Mode
from robot_rl.learning.policy import decode_policy, GaussianPolicy, RandomPolicy

NO_POLICY = -1      # version where there is none


class PolicyShelf:
    """Keeps the policy in use and the newest one, which replaces it between episodes."""

    def __init__(self, contract: Contract):
        self._contract = contract
        self._random = RandomPolicy(contract.action.low, contract.action.high)
        self._current: GaussianPolicy | None = None
        self._newest: GaussianPolicy | None = None
        self.swaps = 0

    def offer(self, data: bytes, source: str) -> None:
        """Take a policy artifact, or raise UserError and keep what is there."""
        self._newest = decode_policy(data, self._contract, source)

    @property
    def version(self) -> int:
        """Version in use."""
        return self._current.version if self._current else NO_POLICY

    @property
    def newest(self) -> tuple[int, int]:
        """Version of the newest policy, and the stamp (ns) up to which it has learned."""
        newest = self._newest
        return (newest.version, newest.learned_stamp) if newest else (NO_POLICY, 0)

    def has(self, mode: Mode) -> bool:
        """Tell whether an episode of that mode can be run."""
        return mode is not Mode.EVALUATE or self._newest is not None

    def take(self, mode: Mode) -> GaussianPolicy | RandomPolicy:
        """Swap to the newest policy and return the one that acts in an episode of that mode.

        Before its first update an actor knows less than chance: learning starts with random
        actions, which cover more.
        """
        if self._newest is not self._current:
            self._current = self._newest
            self.swaps += 1
        if mode is Mode.RANDOM or mode is Mode.LEARN and self.version <= 0:
            return self._random
        return self._current
