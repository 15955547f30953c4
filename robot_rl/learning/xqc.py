"""XQC: SAC with a well-conditioned, distributional critic, for higher returns from as many steps.

Palenicek et al. 2025, arXiv 2509.25174: batch norm, weights of unit norm (batch_norm.py) and a
critic that tells the distribution of the return over fixed bins, learned by cross entropy
(Bellemare et al. 2017, arXiv 1707.06887). What follows is judged in one batch with what is
learned, so that both are normed alike (CrossQ, Bhatt et al. 2024, arXiv 1902.05605). The learner
gives rewards in a unit that follows the returns (returns.py).

Differences: critics as wide as the actor, 256 in place of 512; the learning rate does not fall;
weights begin Gaussian, not orthogonal; deviations are those of sac.py; observations are normalised
before the batch norm, once; updates come between episodes.

Shapes: B batch, n observation, m action, E critics, Z bins.
"""

from __future__ import annotations

from dataclasses import replace

from robot_rl.learning.batch_norm import BatchNormMlp
from robot_rl.learning.config import SacConfig
from robot_rl.learning.networks import Slot
from robot_rl.learning.sac import Sac, SacState, squashed
import torch
from torch import Tensor

BINS, MOST = 101, 5.0           # Z, and the bins' largest value


class Xqc(Sac):
    """The update rule for given sizes; holds no state. Its networks hold moments besides."""

    def __init__(self, observation_size: int, action_size: int, config: SacConfig):
        super().__init__(observation_size, action_size, config)
        hidden = (config.width,) * config.depth
        self.actor = BatchNormMlp((observation_size, *hidden, 2 * action_size))
        self.critic = BatchNormMlp((observation_size + action_size, *hidden, BINS))
        self.bins = torch.linspace(-MOST, MOST, BINS)

    def values(self, critic: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """Return Q of shape (E, B), the mean of the distribution."""
        return self.mean(self.critic(critic, torch.cat((observation, action), -1)).softmax(-1))

    def mean(self, probability: Tensor) -> Tensor:
        """Return (...) of probabilities (..., Z); no matrix product, which may be rounded."""
        return (probability * self.bins).sum(-1)

    def actor_values(self, state, observation: Tensor, action: Tensor) -> Tensor:
        """Return the least of the critics, (1, B)."""
        return self.values(state.critic.value, observation, action).amin(0, keepdim=True)

    def explore(self, actor: Tensor, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As sample, normed by the batch."""
        return squashed(self.actor.of_batch(actor, observation)[0][0], noise)

    def moved(self, mlp: BatchNormMlp, slot: Slot, gradient: Tensor, count: Tensor) -> Slot:
        """As of SAC, with weights of unit norm."""
        slot = super().moved(mlp, slot, gradient, count)
        return replace(slot, value=mlp.settle(slot.value))

    def step_critic(self, state, batch, noise: Tensor, target: Tensor
                    ) -> tuple[SacState, dict[str, Tensor]]:
        """One step of all critics towards the distribution of r + gamma (Z - temperature log pi).

        Z is that of the target which expects least. Actor and critics take in the batch's moments.
        """
        count = len(batch.reward)
        with torch.no_grad():
            action, log_prob = self.sample(state.actor.value, batch.next_observation, noise)
            both = torch.cat((torch.cat((batch.observation, batch.next_observation)),
                              torch.cat((batch.action, action))), -1)
            following = self.critic.of_batch(target, both)[0][:, count:].softmax(-1)
            least = self.mean(following).argmin(0)                              # (B,)
            following = following.gather(0, least[None, :, None].expand(1, -1, BINS))[0]
            values = self.bins - state.temperature.value.exp()[0] * log_prob[:, None]
            values = batch.reward[:, None] + self.discount * (
                1.0 - batch.terminated[:, None]) * values
            goal = self.onto_bins(values, following)
            seen = self.actor.of_batch(state.actor.value, batch.observation)[1]
        parameters = state.critic.value.detach().requires_grad_()
        logits, moments = self.critic.of_batch(parameters, both)
        logits = logits[:, :count]
        loss = -(goal * logits.log_softmax(-1)).sum(-1).mean(1).sum()
        gradient, = torch.autograd.grad(loss, parameters)
        state = self.descend(replace(
            state, critic=_taken_in(self.critic, state.critic, moments),
            actor=_taken_in(self.actor, state.actor, seen)), gradient)
        return state, {'critic_loss': loss.detach(),
                       'q_mean': self.mean(logits.detach().softmax(-1)).mean()}

    def onto_bins(self, values: Tensor, probability: Tensor) -> Tensor:
        """Share the probability (B, Z) of values (B, Z) among the two bins beside each."""
        place = (values.clamp(-MOST, MOST) + MOST) * ((BINS - 1) / (2.0 * MOST))
        below = place.floor().clamp(max=BINS - 2)
        upper = (place - below) * probability
        index, empty = below.long(), torch.zeros_like(probability)
        return empty.scatter_add(1, index, probability - upper).scatter_add(1, index + 1, upper)


def _taken_in(mlp: BatchNormMlp, slot: Slot, moments: list[Tensor]) -> Slot:
    return replace(slot, value=mlp.take_in(slot.value, moments))
