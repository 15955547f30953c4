"""SAC held near a teacher, as pure functions: a good start is not lost while critics know little.

Kickstarting, Schmitt et al. 2018, arXiv 1803.03835: the actor's loss has a distance to a teacher
beside what it is to raise, whose weight falls as it learns. In proportion to the critics' values,
as of TD3+BC, Fujimoto and Gu 2021, arXiv 2106.06860. Here the teacher is the actor itself, as it
was when it had been fitted to a demonstrator (imitation.py). Without it success falls to zero
first, and has to be found again. It holds little where all rewards are 0 but that of a success:
values are near 0 there as long as the critics know of none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from robot_rl.learning.config import KickstartConfig
from robot_rl.learning.networks import Slot
from robot_rl.learning.sac import Sac, SacState
import torch
from torch import Tensor

HALVED = 3000.0         # actor updates in which the teacher's weight falls to a half
CALM = 0.05             # of the initial temperature: who acts well already need not vary much


@dataclass(frozen=True)
class KickstartState(SacState):
    """As of SAC, and what the actor is held near."""

    teacher: Tensor                 # (1, P_actor)


class Kickstarting(Sac):
    """The update rule for given sizes; holds no state that changes."""

    config: KickstartConfig

    def init(self, generator: torch.Generator) -> KickstartState:
        """Return fresh parameters; the actor is its own teacher, at a low temperature."""
        state = super().init(generator)
        temperature = Slot.of(state.temperature.value + torch.tensor(CALM).log())
        return KickstartState(**{**vars(state), 'temperature': temperature},
                              teacher=state.actor.value.clone())

    def begin(self, state: KickstartState, actor: Tensor) -> KickstartState:
        """Return the state with this actor (1, P), which is its teacher from now on."""
        return replace(super().begin(state, actor), teacher=actor.clone())

    def penalty(self, state: KickstartState, actor: Tensor, observation: Tensor, value: Tensor
                ) -> Tensor:
        """Return the squared distance of the modes, weighted by |Q|, less and less."""
        mean, _ = self.distribution(actor, observation)
        with torch.no_grad():
            taught, _ = self.distribution(state.teacher, observation)
            weight = self.config.teacher_weight * value.abs().mean() * torch.exp2(
                -state.actor_updates / HALVED)
        return weight * ((torch.tanh(mean) - torch.tanh(taught)) ** 2).sum(-1).mean()
