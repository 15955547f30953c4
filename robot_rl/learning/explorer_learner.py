"""The learner of exploration policies: rounds of experience in, updates and policies out.

It knows no simulator and no clock. All of its state is in `arrays` and in the experience it was
given, so that a run goes on from a checkpoint as if nothing had happened.
"""

from __future__ import annotations

import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.coverage import feature_names
from robot_rl.learning.explorers import ExplorerBatch, Explorers, ExplorerState
from robot_rl.learning.policy import Normalizer
from robot_rl.learning.pool import Round
from robot_rl.learning.sac import Batch
import torch

RUNNING = 0.5           # weight of a latent's newest round in its running return


def use_threads(count: int) -> None:
    """Let torch use so many threads; more than one rarely pays for networks of this size."""
    torch.set_num_threads(count)


class ExplorerLearner:
    """Latent-conditioned SAC: its state, its replay, its gate and its random state."""

    def __init__(self, contract: Contract, config: ExplorerConfig, sac: SacConfig, batch: int,
                 seed: int, capacity: int):
        """Make fresh networks and room for `capacity` transitions."""
        n, m = len(contract.layout), len(contract.action.layout)
        self.contract, self.config, self.batch = contract, config, batch
        names = feature_names(contract)
        self.columns = torch.tensor([contract.layout.slots[name] for name in names])
        self.rule = Explorers(n, m, len(names), config, sac)
        self.generator = torch.Generator().manual_seed(seed)
        self.state = self.rule.init(self.generator)
        self.normalizer = Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
        self.running = np.full(self.rule.latents, -np.inf)      # (Z,) running returns
        self.random_return = -np.inf                            # of the first round
        self.count, self.rounds = 0, 0
        self._sizes = (n, m, 1, n, 1, 1, 1)
        self._rows = torch.empty(capacity, sum(self._sizes))

    @property
    def updates(self) -> int:
        """Critic updates so far."""
        return int(self.state.sac.updates)

    @property
    def actor(self) -> np.ndarray:
        """Parameters (1, P) of the actor of all latents."""
        return self.state.sac.actor.value.numpy()

    def act(self, observation: np.ndarray, latent: np.ndarray) -> np.ndarray:
        """Return sampled actions (N, m) in the contract's units."""
        action = self.contract.action
        with torch.no_grad():
            noise = torch.randn(len(latent), len(action.layout), generator=self.generator)
            scaled = self.rule.act(self.state.sac.actor.value,
                                   torch.from_numpy(self.normalizer(observation)),
                                   torch.from_numpy(latent), noise).numpy()
        return action.low + 0.5 * (scaled + 1.0) * (action.high - action.low)

    def add(self, found: Round) -> None:
        """Take a round in; the first one, of random actions, sets the scale of everything."""
        action = self.contract.action
        scaled = 2.0 * (found.action - action.low) / (action.high - action.low) - 1.0
        table = np.concatenate([
            np.asarray(column, np.float32).reshape(len(found.reward), -1) for column in (
                found.observation, scaled, found.reward, found.next_observation,
                found.terminated, found.latent, found.episode_return)], axis=1)
        if self.count + len(table) > len(self._rows):
            raise UserError(f'explorers: expected at most {len(self._rows)} transitions')
        self._rows[self.count:self.count + len(table)] = torch.from_numpy(table)
        self.count += len(table)
        latents = range(self.rule.latents)
        if not self.rounds:
            self.normalizer = Normalizer.of(found.observation)
            whole = np.concatenate([found.returns(latent) for latent in latents])
            self.random_return = float(whole.mean()) if len(whole) else -np.inf
        else:
            latest = np.array([found.mean_return(latent) for latent in latents])
            old = np.where(np.isfinite(self.running), self.running, latest)
            new = np.where(np.isfinite(latest), latest, old)
            self.running = np.where(np.isfinite(old), old + RUNNING * (new - old), new)
        self.rounds += 1

    @property
    def learned(self) -> float:
        """R* - R(random): what the best latent earns more than random actions, at least 0."""
        more = float(self.running.max()) - self.random_return
        return max(0.0, more) if np.isfinite(more) else 0.0

    @property
    def gate(self) -> float:
        """The return from which an episode earns the bonus."""
        return float(self.running.max()) - self.config.gate * self.learned

    def train(self, count: int) -> dict[str, float]:
        """Make `count` updates; return the last metrics."""
        period = self.rule.sac.config.actor_period
        first, metrics = self.updates, {}
        for update in range(first, first + count):
            self.state, latest = self.rule.update(self.state, self._draw(), self.generator,
                                                  update % period == period - 1)
            metrics |= latest
        return {name: float(value) for name, value in metrics.items()}

    def _draw(self) -> ExplorerBatch:
        size, generator, config = (self.batch,), self.generator, self.config
        rows = self._rows[torch.randint(self.count, size, generator=generator)]
        observation, action, reward, following, terminated, acted, returned = rows.split(
            self._sizes, dim=1)
        acted = acted[:, 0].long()
        other = torch.randint(self.rule.latents, size, generator=generator)
        latent = torch.where(torch.rand(size, generator=generator) < config.shared, other, acted)
        scale = config.alpha * self.learned / self.contract.episode.horizon
        weight = scale * (latent > 0) * (returned[:, 0] >= self.gate)
        mean, std = torch.from_numpy(self.normalizer.mean), torch.from_numpy(self.normalizer.std)
        following = (following - mean) / std
        batch = Batch((observation - mean) / std, action, reward[:, 0], following,
                      terminated[:, 0])
        return ExplorerBatch(batch, latent, following[:, self.columns], weight,
                             (latent == acted).float())

    def layers(self, actor: np.ndarray, latent: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the layers of one latent's policy with the actor parameters (1, P) of a round."""
        return [(weight.numpy(), bias.numpy())
                for weight, bias in self.rule.fold(torch.from_numpy(actor), latent)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the experience, for a checkpoint."""
        arrays = {name: value.numpy() for name, value in self.state.tensors().items()}
        return arrays | {'generator': self.generator.get_state().numpy()}

    def restore(self, arrays: dict[str, np.ndarray], source: str) -> None:
        """Take up what `arrays` returned, after the same rounds were added.

        Raises UserError for the arrays of another learner.
        """
        shapes = [{name: (array.shape, array.dtype) for name, array in found.items()}
                  for found in (self.arrays(), arrays)]
        if shapes[0] != shapes[1]:
            raise UserError(f'{source}: expected the arrays of these settings, found others; use '
                            'another folder')
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.generator.set_state(tensors.pop('generator'))
        self.state = ExplorerState.from_tensors(tensors)
