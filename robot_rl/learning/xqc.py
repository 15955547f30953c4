"""XQC: SAC with a well-conditioned, distributional critic; many more returns per robot step.

Palenicek et al. 2025, arXiv 2509.25174: batch norm, weights of unit norm (batch_norm.py) and a
critic that tells the distribution of the return over fixed bins, learned by cross entropy
(Bellemare et al. 2017, arXiv 1707.06887). What follows is judged in one batch with what is
learned, so that both are normed alike (CrossQ, Bhatt et al. 2024, arXiv 1902.05605). Rewards are
divided by the deviation of the discounted returns so far (returns.py), so the bins fit any task.

Differences: critics as wide as the actor, and a learning rate that does not fall.

Shapes: B batch, n observation, m action, E critics, Z bins.
"""

from __future__ import annotations

from dataclasses import replace

from robot_rl.learning.batch_norm import BatchNormMlp
from robot_rl.learning.config import SacConfig
from robot_rl.learning.sac import Sac, SacState, squashed
import torch
from torch import Tensor

BINS, MOST = 101, 5.0           # Z, and the bins' largest value, of scaled returns


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
        logits = self.critic(critic, torch.cat((observation, action), -1))
        return logits.softmax(-1) @ self.bins

    def actor_values(self, state, observation: Tensor, action: Tensor) -> Tensor:
        """Return what the actor raises, (1, B): the least of the critics."""
        return self.values(state.critic.value, observation, action).amin(0, keepdim=True)

    def step_critic(self, state, batch, noise: Tensor, target: Tensor
                    ) -> tuple[SacState, dict[str, Tensor]]:
        """One step of all critics towards the distribution of r + gamma (Z - temperature log pi).

        Z is that of the target which expects least.
        """
        count = len(batch.reward)
        with torch.no_grad():
            action, log_prob = self.sample(state.actor.value, batch.next_observation, noise)
            both = torch.cat((torch.cat((batch.observation, batch.next_observation)),
                              torch.cat((batch.action, action))), -1)
            following = self.critic.of_batch(target, both)[0][:, count:].softmax(-1)
            least = (following @ self.bins).argmin(0)                           # (B,)
            following = following.gather(0, least[None, :, None].expand(1, -1, BINS))[0]
            values = self.bins - state.temperature.value.exp()[0] * log_prob[:, None]
            values = batch.reward[:, None] + self.discount * (
                1.0 - batch.terminated[:, None]) * values
            goal = self.onto_bins(values, following)
        parameters = state.critic.value.detach().requires_grad_()
        logits, moments = self.critic.of_batch(parameters, both)
        logits = logits[:, :count]
        loss = -(goal * logits.log_softmax(-1)).sum(-1).mean(1).sum()
        gradient, = torch.autograd.grad(loss, parameters)
        updates = state.updates + 1.0
        critic = self.adam.step(state.critic, gradient, updates)
        critic = replace(critic, value=self.critic.settle(critic.value, moments))
        state = replace(state, critic=critic, updates=updates,
                        target=state.target.lerp(critic.value, self.config.target_rate))
        mean = (logits.detach().softmax(-1) @ self.bins).mean()
        return state, {'critic_loss': loss.detach(), 'q_mean': mean}

    def onto_bins(self, values: Tensor, probability: Tensor) -> Tensor:
        """Share the probability (B, Z) of values (B, Z) among the two bins beside each."""
        step = self.bins[1] - self.bins[0]
        apart = (values.clamp(-MOST, MOST)[:, None, :] - self.bins[:, None]).abs() / step
        return ((1.0 - apart).clamp(min=0.0) * probability[:, None, :]).sum(-1)

    def step_actor(self, state, batch, noise: Tensor) -> tuple[SacState, dict[str, Tensor]]:
        """As of SAC, normed by the batch."""
        parameters = state.actor.value.detach().requires_grad_()
        found, moments = self.actor.of_batch(parameters, batch.observation)
        action, log_prob = squashed(found[0], noise)
        value = self.actor_values(state, batch.observation, action)[0]
        temperature = state.temperature.value.exp()[0]
        loss = (temperature * log_prob - value).mean()
        gradient, = torch.autograd.grad(loss, parameters)
        state, metrics = self.improve(state, gradient, log_prob, temperature)
        actor = replace(state.actor, value=self.actor.settle(state.actor.value, moments))
        return replace(state, actor=actor), metrics | {'actor_loss': loss.detach()}
