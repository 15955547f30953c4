"""What a learner learns: the whole policy, from nothing or a start, or a base's latent noise.

A method knows its update rule, how experience becomes rows to sample, and its artifact. It holds
no state that changes.
"""

from __future__ import annotations

from dataclasses import replace
import hashlib

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data.transitions import Transitions
from robot_rl.learning.chunk_windows import chunk_windows
from robot_rl.learning.config import SacConfig, SteerConfig
from robot_rl.learning.diffusion_policy import decode_demonstrator, encode_steered
from robot_rl.learning.kickstarting import Kickstarting, KickstartState
from robot_rl.learning.policy import encode_gaussian, Normalizer
from robot_rl.learning.sac import Sac, SacState
from robot_rl.learning.steering import Base, Steering, SteerState
from robot_rl.learning.xqc import Xqc
from torch import Tensor


class Full:
    """SAC in action space: a row is one transition, the artifact a tanh-Gaussian actor."""

    state, rule_type = SacState, Sac

    def __init__(self, contract: Contract, config: SacConfig):
        self._contract = contract
        self.row_size = len(contract.action.layout)     # of an action
        self.rule = self.rule_type(len(contract.layout), self.row_size, config)

    def rows(self, transitions: Transitions) -> Transitions:
        """Return transitions with actions scaled to [-1, 1]."""
        return scaled(transitions, self._contract)

    def artifact(self, actor: Tensor, normalizer: Normalizer, version: int,
                 provenance: dict) -> bytes:
        """Return the actor (1, P) as the robot runs it."""
        return encode_gaussian(self.rule.actor.layers(actor), normalizer, self._contract,
                               version, provenance)


class Kickstart(Full):
    """As Full, held near the actor that it began with."""

    state, rule_type = KickstartState, Kickstarting


class FullXqc(Full):
    """As Full, by XQC."""

    rule_type = Xqc


class Steer:
    """DSRL-NA: a row is a chunk's executed part, the artifact the demonstrator with an actor."""

    state = SteerState

    def __init__(self, contract: Contract, config: SteerConfig, data: bytes, source: str):
        """Steer the demonstrator in an artifact; raise UserError or Mismatch naming the source."""
        self._contract, self.data = contract, data
        self.digest = digest_of(data)       # of the demonstrator
        self.policy = decode_demonstrator(data, contract, source)
        self.row_size = self.policy.replan * len(contract.action.layout)
        self.rule = Steering(len(contract.layout), Base.of(self.policy, source), config)

    def rows(self, transitions: Transitions) -> Transitions:
        """Return what the executed part of a chunk led to, from every step, clipped as limits."""
        sent = scaled(transitions, self._contract)
        sent = replace(sent, action=sent.action.clip(-1.0, 1.0))
        return chunk_windows(sent, self.policy.replan, self.rule.config.discount)

    def artifact(self, actor: Tensor, normalizer: Normalizer, version: int,
                 provenance: dict) -> bytes:
        """Return the demonstrator with the actor (1, P) that chooses its noise."""
        provenance = {**provenance, 'demonstrator': {
            'digest': self.digest, 'version': self.policy.version}}
        return encode_steered(self.policy, self.rule.actor.layers(actor),
                              self.rule.config.noise_bound, self._contract, version, provenance)


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of an artifact, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def scaled(transitions: Transitions, contract: Contract) -> Transitions:
    """Return the transitions with [-1, 1] for the range of every action."""
    action = contract.action
    found = 2.0 * (transitions.action - action.low) / (action.high - action.low) - 1.0
    return replace(transitions, action=found.astype(np.float32))
