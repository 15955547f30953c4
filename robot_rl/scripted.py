"""The scripted person that a contract may name, as a policy: mode scripted."""

from __future__ import annotations

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Source
from robot_rl.learning.policy import CannotAct
from robot_rl.policies import NO_POLICY


class ScriptedPerson:
    """Plays the person at the controls for one episode, and is recorded as one.

    So its bags look like those of a teleoperated robot: the source of every action is HUMAN. Only
    the mode of the episode, SCRIPTED, tells that nobody was there.
    """

    version, source = NO_POLICY, Source.HUMAN

    def __init__(self, contract: Contract, rng: np.random.Generator):
        self._contract, self._rng, self._person = contract, rng, None

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the action (m,); the person has random numbers of its own."""
        simulation = self._contract.simulation
        try:
            self._person = self._person or simulation.demonstrator(self._rng)
            action = self._person(self._contract.layout.view(observation))
            return np.asarray(action, np.float64)
        except Exception as error:  # noqa: B902, the user's code may raise: stop the robot
            raise CannotAct(f'{simulation.demonstrator_name}: {type(error).__name__}: {error}'
                            ) from error
