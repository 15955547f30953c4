"""Soft actor-critic with a critic ensemble, as pure functions of (state, batch).

SAC with learned temperature: Haarnoja et al. 2018, arXiv 1812.05905. Ensemble with a random
subset in the target: REDQ, Chen et al. 2021, arXiv 2101.05982. Layer-normed critics and mixing
prior data into each batch: RLPD, Ball et al. 2023, arXiv 2302.02948.

Shapes: B batch, n observation, m action, E critics. Actions are scaled to [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import log

from robot_rl.learning.config import SacConfig
from robot_rl.learning.networks import Adam, Mlp, Slot
from robot_rl.learning.policy import LOG_STD_RANGE
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Batch:
    """A batch of normalised transitions."""

    observation: Tensor             # (B, n)
    action: Tensor                  # (B, m)
    reward: Tensor                  # (B,)
    next_observation: Tensor        # (B, n)
    terminated: Tensor              # (B,), 1.0 where no value follows; a truncation has 0.0


@dataclass(frozen=True)
class SacState:
    """Everything the update reads and writes; flat float32 tensors."""

    actor: Slot                     # (1, P_actor)
    critic: Slot                    # (E, P_critic)
    target: Tensor                  # (E, P_critic)
    temperature: Slot               # (1, 1), natural logarithm
    updates: Tensor                 # (), critic updates so far
    actor_updates: Tensor           # ()

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name, for a checkpoint."""
        named = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Slot):
                named |= {f'{item.name}.{part.name}': getattr(value, part.name)
                          for part in fields(value)}
            else:
                named[item.name] = value
        return named

    @classmethod
    def from_tensors(cls, named: dict[str, Tensor]) -> SacState:
        """Rebuild the state that `tensors` took apart."""
        def take(name: str):
            if name in named:
                return named[name]
            return Slot(*(named[f'{name}.{part.name}'] for part in fields(Slot)))

        return cls(*(take(item.name) for item in fields(cls)))


class Sac:
    """The update rule for given sizes; holds no state."""

    def __init__(self, observation_size: int, action_size: int, config: SacConfig):
        hidden = (config.width,) * config.depth
        self.config = config
        self.action_size = action_size
        self.actor = Mlp((observation_size, *hidden, 2 * action_size))
        self.critic = Mlp((observation_size + action_size, *hidden, 1), config.layer_norm)
        self.adam = Adam(config.learning_rate)
        self.discount = config.discount
        self.target_entropy = config.target_entropy * action_size

    def init(self, generator: torch.Generator) -> SacState:
        """Return fresh parameters drawn from the generator."""
        critic = self.critic.init(self.config.critics, generator)
        return SacState(
            actor=Slot.of(self.actor.init(1, generator)), critic=Slot.of(critic),
            target=critic.clone(),
            temperature=Slot.of(torch.full((1, 1), log(self.config.initial_temperature))),
            updates=torch.zeros(()), actor_updates=torch.zeros(()))

    def lower(self, state: SacState, value: float) -> SacState:
        """Return the state with `value` added to what every critic says of everything.

        Critics that begin at the least return there is say of the unknown that it is bad, so a
        policy that is good already does not leave what it knows. Critics that begin near zero are
        optimistic wherever rewards are negative.
        """
        critic = biased(self.critic, state.critic.value, value)
        return replace(state, critic=Slot.of(critic), target=critic.clone())

    def begin(self, state: SacState, actor: Tensor) -> SacState:
        """Return the state with this actor (1, P), as if it had begun with it."""
        return replace(state, actor=Slot.of(actor))

    def distribution(self, actor: Tensor, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the deviation (B, m) of the actions before tanh."""
        return gaussian(self.actor(actor, observation)[0])

    def sample(self, actor: Tensor, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions (B, m) in [-1, 1] and their log-probabilities (B,)."""
        return squashed(self.actor(actor, observation)[0], noise)

    def values(self, critic: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """Return Q of shape (E, B)."""
        return self.critic(critic, torch.cat((observation, action), -1))[..., 0]

    def update(self, state: SacState, batch: Batch, generator: torch.Generator,
               with_actor: bool) -> tuple[SacState, dict[str, Tensor]]:
        """One critic update, and one of actor and temperature where asked for."""
        noise, target = self.draw(batch, generator), self.targets(state, generator)
        actor_noise = self.noise(batch, generator) if with_actor else None
        return self.step(state, batch, noise, target, actor_noise)

    def noise(self, batch, generator: torch.Generator) -> Tensor:
        """Return what sampled actions vary by, standard normal (B, m)."""
        return torch.randn((len(batch.observation), self.action_size), generator=generator)

    def draw(self, batch, generator: torch.Generator) -> Tensor:
        """Return the noise of a critic update: of the actions that follow."""
        return self.noise(batch, generator)

    def targets(self, state, generator) -> Tensor:
        """Return the critics, (critic_subset, P), whose minimum is the target of an update."""
        config = self.config
        if config.critic_subset == config.critics:
            return state.target
        chosen = torch.randperm(config.critics, generator=generator)
        return state.target[chosen[:config.critic_subset]]

    def step(self, state, batch, noise, target: Tensor, actor_noise: Tensor | None
             ) -> tuple[SacState, dict[str, Tensor]]:
        """As update, with what chance decides given; without actor_noise it is the critics'."""
        state, metrics = self.step_critic(state, batch, noise, target)
        if actor_noise is not None:
            state, more = self.step_actor(state, batch, actor_noise)
            metrics |= more
        return state, metrics

    def step_critic(self, state, batch, noise: Tensor, target: Tensor
                    ) -> tuple[SacState, dict[str, Tensor]]:
        """Regress all critics on r + gamma (1 - terminated) (min Q' - temperature log pi)."""
        with torch.no_grad():
            action, log_prob = self.sample(state.actor.value, batch.next_observation, noise)
            goal = self.goal(state, batch, action, log_prob, target)
        return self.regress(state, batch, goal)

    def goal(self, state, batch, action, log_prob, target) -> Tensor:
        """Return what Q should be, (B,), where `action` follows with that log-probability."""
        following = self.values(target, batch.next_observation, action).amin(0)
        following = following - state.temperature.value.exp()[0] * log_prob
        return batch.reward + self.discount * (1.0 - batch.terminated) * following

    def regress(self, state, batch, goal: Tensor) -> tuple[SacState, dict[str, Tensor]]:
        """One step of all critics towards the goal (B,), and of their targets towards them."""
        parameters = state.critic.value.detach().requires_grad_()
        values = self.values(parameters, batch.observation, batch.action)
        loss = ((values - goal) ** 2).mean(1).sum()
        gradient, = torch.autograd.grad(loss, parameters)
        return self.descend(state, gradient), {'critic_loss': loss.detach(),
                                               'q_mean': values.detach().mean()}

    def descend(self, state: SacState, gradient: Tensor) -> SacState:
        """Return the state after one step of the critics along their gradient (E, P)."""
        updates = state.updates + 1.0
        critic = self.moved(self.critic, state.critic, gradient, updates)
        target = state.target.lerp(critic.value, self.config.target_rate)
        return replace(state, critic=critic, target=target, updates=updates)

    def moved(self, mlp, slot: Slot, gradient: Tensor, count: Tensor) -> Slot:
        """Return a network's slot after its step number `count`."""
        return self.adam.step(slot, gradient, count)

    def actor_values(self, state, observation: Tensor, action: Tensor) -> Tensor:
        """Return (., B), the mean of which the actor raises: of all critics, as REDQ."""
        return self.values(state.critic.value, observation, action)

    def explore(self, actor: Tensor, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As sample, of an actor that is being learned."""
        return self.sample(actor, observation, noise)

    def penalty(self, state, actor: Tensor, observation: Tensor, value: Tensor) -> Tensor | float:
        """Return what an actor (1, P) pays for what it does; value (B,) is what it would raise."""
        return 0.0

    def step_actor(self, state, batch, noise: Tensor) -> tuple[SacState, dict[str, Tensor]]:
        """Raise value plus entropy, less the penalty; move the temperature."""
        parameters = state.actor.value.detach().requires_grad_()
        action, log_prob = self.explore(parameters, batch.observation, noise)
        value = self.actor_values(state, batch.observation, action).mean(0)
        temperature = state.temperature.value.exp()[0]
        loss = (temperature * log_prob - value).mean()
        loss = loss + self.penalty(state, parameters, batch.observation, value)
        gradient, = torch.autograd.grad(loss, parameters)
        count = state.actor_updates + 1.0
        entropy = -log_prob.detach().mean()
        # d/d(log temperature) of temperature * (entropy - target entropy)
        slope = (temperature * (entropy - self.target_entropy)).reshape(1, 1)
        state = replace(state, actor=self.moved(self.actor, state.actor, gradient, count),
                        temperature=self.adam.step(state.temperature, slope, count),
                        actor_updates=count)
        return state, {'actor_loss': loss.detach(), 'entropy': entropy,
                       'temperature': temperature[0]}


def gaussian(found: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and logarithm of the deviation (B, m) of what an actor puts out (B, 2 m)."""
    mean, spread = found.chunk(2, dim=-1)
    low, high = LOG_STD_RANGE
    return mean, low + 0.5 * (high - low) * (torch.tanh(spread) + 1.0)


def squashed(found: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return actions (B, m) in [-1, 1] and their log-probabilities (B,), of the same."""
    mean, log_std = gaussian(found)
    raw = mean + log_std.exp() * noise
    normal = -0.5 * (noise * noise + log(2.0 * torch.pi)) - log_std
    squash = 2.0 * (log(2.0) - raw - functional.softplus(-2.0 * raw))  # log(1 - tanh(raw)^2)
    return torch.tanh(raw), (normal - squash).sum(-1)


def biased(mlp: Mlp, parameters: Tensor, value: float) -> Tensor:
    """Return parameters (members, P) of the same function plus `value`."""
    parameters = parameters.clone()
    mlp.split(parameters)[-1].add_(value)
    return parameters
