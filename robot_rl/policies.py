"""The policies that the server has received, each on its topic."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.contract import Contract
from robot_rl.learning.diffusion_policy import (decode_actor, decode_demonstrator,
                                                DiffusionPolicy)
from robot_rl.learning.policy import decode_explorers, decode_policy, GaussianPolicy

NO_POLICY = -1      # version where there is none
TOPICS = ('actor', 'explorers', 'sim_optimal', 'demonstrator')
DECODERS = {'actor': decode_actor, 'sim_optimal': decode_policy,
            'demonstrator': decode_demonstrator}


@dataclass(frozen=True)
class Artifact:
    """A policy, and the bytes that it came as."""

    policy: GaussianPolicy | DiffusionPolicy
    data: bytes


def decode(data: bytes, topic: str, contract: Contract, source: str) -> Artifact:
    """Return the artifact of one of the topics in DECODERS, or raise UserError."""
    return Artifact(DECODERS[topic](data, contract, source), data)


class PolicyShelf:
    """Keeps the newest of each topic; the actor in use is replaced between episodes only."""

    def __init__(self, contract: Contract):
        self._contract = contract
        self._current: Artifact | None = None
        self.actor: Artifact | None = None          # the newest
        self.explorers: tuple[GaussianPolicy, ...] = ()
        self.sim_optimal: Artifact | None = None
        self.demonstrator: Artifact | None = None
        self.swaps = 0

    def offer(self, data: bytes, topic: str) -> None:
        """Take an artifact of one of TOPICS, or raise UserError and keep what is there."""
        source = f'topic {topic}'
        if topic == 'explorers':
            self.explorers, _ = decode_explorers(data, self._contract, source)
        else:
            setattr(self, topic, decode(data, topic, self._contract, source))

    @property
    def version(self) -> int:
        """Version of the actor in use."""
        return self._current.policy.version if self._current else NO_POLICY

    @property
    def newest(self) -> tuple[int, int]:
        """Version of the newest actor, and the stamp (ns) up to which it has learned."""
        if not self.actor:
            return NO_POLICY, 0
        return self.actor.policy.version, self.actor.policy.learned_stamp

    @property
    def informed(self) -> bool:
        """Whether there is an actor that knows more than chance."""
        return self.actor is not None and self.actor.policy.informed

    def swap(self) -> None:
        """Put the newest actor in use; called between episodes."""
        if self.actor is not self._current:
            self._current = self.actor
            self.swaps += 1
