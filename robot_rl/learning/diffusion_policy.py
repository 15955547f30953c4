"""The demonstrator as the robot runs it: numpy only, one observation in, a chunk of actions out.

A denoiser turns latent noise into a chunk of k actions in S steps. The noise comes from N(0, I),
or from an actor that was learned on the robot (DSRL, Wagenmaker et al. 2025, arXiv 2506.15799):
kind `steered`. Where the spread of the ensemble has latents of its own, these move the chunk by
alpha times that spread: they rest at 0 while the demonstrator acts, N(0, I) is the posterior, and
an actor chooses them too. A test holds this forward pass against learning/diffusion.py and
learning/ensemble.py, which have the equations.

Shapes: n observation, m action, c = k * m numbers of a chunk, K members, B batch, w = c + o
latents, of which o = m or 0 are those of the spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import cos, pi, sin

import numpy as np
from robot_rl.bundle import pack
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.learning.artifact import (array_of, forward, layer_arrays, Layers, manifest_of,
                                        Manifested, MAX_LAYERS, Normalizer, open_artifact,
                                        read_layers, read_normalizer, real, whole)
from robot_rl.learning.config import LATENT, SPREADS
from robot_rl.learning.policy import draw, gaussian_policy, GaussianPolicy

FREQUENCIES = (1.0, 2.0, 4.0, 8.0)      # of the features of the angle
FEATURES = 2 * len(FREQUENCIES)
MAX_CHUNK = 64
MAX_STEPS = 64
MAX_MEMBERS = 100
MAX_ALPHA = 100.0
BOUNDS = (1e-3, 100.0)  # of steered noise, in deviations


@dataclass(frozen=True)
class DiffusionPolicy(Manifested):
    """A demonstrator, as it was fitted or steered; holds no state between plans."""

    denoiser: Layers            # (c + n + FEATURES) -> c
    members: Layers             # (K, n) -> (K, c), what the uncertainty is measured with
    actor: Layers               # n -> 2 w, mean and spread of the steered latents; or ()
    normalizer: Normalizer      # of observations, (n,)
    action: Normalizer          # of chunks, (c,)
    low: np.ndarray             # (m,)
    high: np.ndarray            # (m,)
    manifest: dict

    @property
    def informed(self) -> bool:
        """Whether it knows more than chance: demonstrations, at least."""
        return True

    @property
    def chunk(self) -> int:
        """Actions k that are planned together."""
        return self.manifest['chunk']

    @property
    def replan(self) -> int:
        """Actions that are executed before the next plan."""
        return self.manifest['replan']

    @property
    def open_latents(self) -> int:
        """How many latents o move a chunk by what the demonstrations leave open."""
        return len(self.low) if _is_open(self.manifest) else 0

    @property
    def latents(self) -> int:
        """How many latents w decide a chunk."""
        return len(self.action.mean) + self.open_latents

    def plan(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the next actions (k, m) in the contract's units, within its limits.

        Where rng is None the latent noise is zero, or the mode of the actor that steers it.
        """
        return self.plans(observation[None], rng)[0]

    def plans(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return a plan each for several observations (B, n): (B, k, m)."""
        return self.denoise(observation, self.noise(observation, rng))

    def fan(self, observation: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return some (count, k, m) of the plans that observation (n,) may lead to."""
        return self.possible(np.tile(observation, (count, 1)), rng)

    def possible(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return plans (B, k, m) drawn from the posterior; those of the actor where one steers."""
        if self.actor:
            return self.plans(observation, rng)
        return self.denoise(observation, rng.standard_normal((len(observation), self.latents)))

    def noise(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return what plans are made of at observations (B, n): (B, w), sampled or the mode."""
        if self.actor and self.version > 0:
            raw = draw(forward(self.actor, self.normalizer(observation)), rng)
            return self.manifest['noise_bound'] * np.tanh(raw)
        noise, size = np.zeros((len(observation), self.latents)), len(self.action.mean)
        if rng is None:
            return noise
        noise[:, :size] = rng.standard_normal((len(observation), size))
        if not self.actor:
            return noise
        bound = self.manifest['noise_bound']        # not learned yet: the base policy, as far as
        return np.clip(noise, -bound, bound)        # steering reaches

    def denoise(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the plans (B, k, m) that latents (B, w) stand for at observations (B, n)."""
        (weight, _), *_ = self.denoiser
        c, n = len(self.action.mean), observation.shape[1]
        normalised = self.normalizer(observation)
        seen = normalised @ weight[c:c + n]
        turn, x = self._turn, noise[:, :c].astype(np.float32)
        for told in self._times:
            hidden = np.maximum(x @ weight[:c] + (seen + told), 0.0)
            x = cos(turn) * x - sin(turn) * forward(self.denoiser[1:], hidden)
        if noise[:, c:].any():
            x = x + self.manifest['alpha'] * self._moved(normalised, noise[:, c:])
        return self._actions(x)

    def _moved(self, seen: np.ndarray, latent: np.ndarray) -> np.ndarray:
        """Return what latents (B, m) add to standardised chunks (B, c): ensemble.py's `moved`."""
        found = forward(self.members, seen)                                     # (K, B, c)
        found = (found - found.mean(0)).reshape(len(found), len(seen), self.chunk, -1)
        covariance = np.einsum('lbkm,lbkn->bkmn', found, found) / len(found)
        values, vectors = np.linalg.eigh(covariance)
        across = np.einsum('bkmn,bm->bkn', vectors, latent) * np.sqrt(np.maximum(values, 0.0))
        return np.einsum('bkmn,bkn->bkm', vectors, across).reshape(len(seen), -1)

    def opinions(self, observation: np.ndarray) -> np.ndarray:
        """Return what each member would do at an observation (n,): chunks (K, k, m)."""
        seen = self.normalizer(observation[None])
        return self._actions(forward(self.members, seen)[:, 0])

    @property
    def _turn(self) -> float:
        return 0.5 * pi / self.manifest['sampling_steps']

    @cached_property
    def _times(self) -> np.ndarray:
        """What the angle gives to the first layer in each step (S, width)."""
        weight, bias = self.denoiser[0]
        angles = 0.5 * pi - self._turn * np.arange(self.manifest['sampling_steps'])
        turned = np.multiply.outer(angles, FREQUENCIES)
        told = np.concatenate((np.sin(turned), np.cos(turned)), axis=1)
        return (told @ weight[-FEATURES:] + bias).astype(np.float32)

    def _actions(self, standardised: np.ndarray) -> np.ndarray:
        """Return chunks (B, c) as actions (B, k, m) within the limits."""
        chunks = self.action.restore(standardised).astype(np.float64)
        return np.clip(chunks.reshape(-1, self.chunk, len(self.low)), self.low, self.high)


def encode_diffusion(denoiser, members, normalizer: Normalizer, action_mean: np.ndarray,
                     action_std: np.ndarray, contract: Contract, *, version: int, chunk: int,
                     replan: int, sampling_steps: int, alpha: float, spread: str,
                     provenance: dict) -> bytes:
    """Return the artifact of a fitted demonstrator.

    `denoiser` are (weight (in, out), bias (out,)) and `members` (weight (K, in, out), bias
    (K, 1, out)) of each layer; the chunk's mean and deviation are (c,).
    """
    arrays = {**layer_arrays('denoiser', denoiser), **layer_arrays('member', members),
              **normalizer.arrays('normalizer'),
              **Normalizer(action_mean, action_std).arrays('action')}
    return pack(arrays, manifest_of(
        'diffusion', contract, version, provenance, layers=len(denoiser),
        member_layers=len(members), chunk=chunk, replan=replan, sampling_steps=sampling_steps,
        alpha=alpha, spread=spread))


def encode_steered(base: DiffusionPolicy, actor, noise_bound: float, contract: Contract,
                   version: int, provenance: dict) -> bytes:
    """Return the artifact of a demonstrator whose noise an actor chooses.

    `actor` are (weight (in, out), bias (out,)) of each layer.
    """
    arrays = {**layer_arrays('denoiser', base.denoiser), **layer_arrays('actor', actor),
              **layer_arrays('member', base.members),
              **base.normalizer.arrays('normalizer'), **base.action.arrays('action')}
    of_base = {key: base.manifest[key] for key in (
        'layers', 'member_layers', 'chunk', 'replan', 'sampling_steps', 'alpha', 'spread')}
    return pack(arrays, manifest_of('steered', contract, version, provenance, **of_base,
                                    actor_layers=len(actor), noise_bound=noise_bound))


def decode_demonstrator(data: bytes, contract: Contract, source: str) -> DiffusionPolicy:
    """Return the demonstrator in an artifact, or raise UserError or Mismatch with the source."""
    return _policy(*open_artifact(data, ('diffusion',), contract, source), contract, source)


def decode_actor(data: bytes, contract: Contract,
                 source: str) -> GaussianPolicy | DiffusionPolicy:
    """Return what a learner publishes: kind `gaussian` or `steered`; raise as above."""
    arrays, manifest = open_artifact(data, ('gaussian', 'steered'), contract, source)
    if manifest['kind'] == 'gaussian':
        return gaussian_policy(arrays, manifest, 'actor', contract, source)
    return _policy(arrays, manifest, contract, source)


def _policy(arrays: dict, manifest: dict, contract: Contract, source: str) -> DiffusionPolicy:
    """Return the policy of an opened artifact; everything that it will be asked is checked."""
    n, m = len(contract.layout), len(contract.action.layout)
    chunk = whole(manifest, 'chunk', 1, MAX_CHUNK, source)
    whole(manifest, 'replan', 1, chunk, source)
    whole(manifest, 'sampling_steps', 1, MAX_STEPS, source)
    real(manifest, 'alpha', 0.0, MAX_ALPHA, source)
    if manifest.get('spread') not in SPREADS:
        raise UserError(f'{source}: spread: expected one of {", ".join(SPREADS)}, found '
                        f'{manifest.get("spread")!r}')
    size = chunk * m
    denoiser = read_layers(arrays, 'denoiser', whole(manifest, 'layers', 2, MAX_LAYERS, source),
                           size + n + FEATURES, size, source)
    weight, actor = array_of(arrays, 'member.0.weight', source), ()
    count = whole({'members': len(weight) if weight.ndim else 0}, 'members', 2, MAX_MEMBERS,
                  source)
    members = read_layers(
        arrays, 'member', whole(manifest, 'member_layers', 1, MAX_LAYERS, source), n, size,
        source, count)
    if manifest['kind'] == 'steered':
        real(manifest, 'noise_bound', *BOUNDS, source)
        latents = size + (m if _is_open(manifest) else 0)
        actor = read_layers(arrays, 'actor',
                            whole(manifest, 'actor_layers', 1, MAX_LAYERS, source), n,
                            2 * latents, source)
    return DiffusionPolicy(denoiser, members, actor,
                           read_normalizer(arrays, 'normalizer', n, source),
                           read_normalizer(arrays, 'action', size, source),
                           contract.action.low, contract.action.high, manifest)


def _is_open(manifest: dict) -> bool:
    """Whether a policy has latents of the ensemble's spread."""
    return manifest['spread'] == LATENT and manifest['alpha'] > 0.0
