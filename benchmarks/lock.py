"""The combination lock: why exploration transfers from a wrong simulator and its optimum does not.

Reference implementation, on tables, of the algorithm analysed in Wagenmaker, Huang, Ke, Boots,
Jamieson, Gupta: Overcoming the Sim-to-Real Gap (NeurIPS 2024, arXiv 2410.20254).

The lock has H steps, two actions, of which one is right at each step, and two states: OPEN while
every action was right, SHUT for good after a wrong one. SHUT pays 1/4 in all, spread over the
steps; OPEN pays 1 at step H for the right action. The simulator differs in its last transition
only, which leads to SHUT whatever is done. So its optimal policy gives up at step 1 and earns
1/4 in the real lock too, where 1 is possible and uniform actions need 2^H episodes to see it.
But up to the gap the simulator is right, and that is enough to learn where to explore.

    paper        here                              shape
    M            Mdp.transition, Mdp.reward        (H, N, S, A, S), (H, N, S, A)
    phi(s, a)    one-hot features of (h, s, a)     (H, S, A)
    Pi_exp^h     policies[:, n, h] of exploration_set    (H, R, S), greedy actions
    lambda_min   of exploration_set                (N,)
    f, pi_f      q, greedy(q)                      (H, N, S, A), (H, N, S)
    zeta, T      chance of a uniform action; real episodes, tests included

N locks, one per seed, lie side by side. Episodes are drawn by counts: of those that are in s at
step h, the numbers that do each action, and then reach each state, are multinomial. That is the
law of episodes run one by one, at no cost per episode, and the learner sees nothing but counts.

What it does not show: a learner with optimism (UCB, R-max) opens this small lock without a
simulator; the theory is about naive exploration, which is what robots run. The gap is 1, more
than the theorem allows (lambda_min / (64 d H A^3)), but at the last transition only. Over the H
that zeta-greedy solves, a power of 7 or 8 fits as well as the exponential of Proposition 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
import io
import itertools
from pathlib import Path
import sys
import time

import numpy as np
from robot_rl.benchmarking import keep

OPEN, SHUT = 0, 1
HORIZONS, FAST_HORIZONS, CLAIM_HORIZON = (5, 8, 10, 14, 20, 30), (5, 8, 10, 20), 20
BUDGET, GOAL = 50_000, 2_000    # real episodes: of each method; of ours to open CLAIM_HORIZON
ZETA = 0.75


@dataclass(frozen=True)
class Mdp:
    """Layered MDPs with a fixed start state 0; after the last of the H steps nothing follows."""

    transition: np.ndarray      # (H, ..., S, A, S), P_h(s' | s, a)
    reward: np.ndarray          # (H, ..., S, A), r_h(s, a)


def lock(combination: np.ndarray, gap: float = 1.0) -> tuple[Mdp, Mdp]:
    """Return the real lock and its simulator for right actions (H, ...), each 0 or 1; H >= 2.

    `gap` is eps_sim: the chance of the right action to keep the real lock open at the gap.
    """
    right = np.eye(2)[combination]          # (H, ..., A)
    reward = np.zeros((*combination.shape, 2, 2))
    reward[1:, ..., SHUT, :] = 1 / (4 * (len(right) - 1))
    reward[-1, ..., OPEN, :] = right[-1]
    real = np.stack([right, 0 * right], axis=-2)            # (H, ..., S, A), chance of OPEN next
    simulated = real.copy()
    real[-2] *= gap
    simulated[-2] = 0.0
    return tuple(Mdp(np.stack([opens, 1 - opens], axis=-1), reward) for opens in (real, simulated))


def plan(transition: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Return the optimal action values (H, ..., S, A), backwards from the last step."""
    q = np.array(reward, float)
    for h in reversed(range(len(q) - 1)):
        q[h] += np.einsum('...sat,...t->...sa', transition[h], q[h + 1].max(axis=-1))
    return q


def greedy(q: np.ndarray) -> np.ndarray:
    """Return the policy (H, ..., S) of largest value; the first action where values are equal."""
    return q.argmax(axis=-1)


def acting(policy: np.ndarray, actions: int, uniform: float | np.ndarray = 0.0) -> np.ndarray:
    """Return the chances (H, ..., S, A) of actions: a share is uniform, the rest the policy's."""
    return uniform / actions + (1 - uniform) * np.eye(actions)[policy]


def visits(transition: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """Return the chance (H, ..., S, A) that an episode of a policy is in s at h and does a."""
    chance = acting(policy, transition.shape[-2])
    here = np.eye(policy.shape[-1])[0]
    for h in range(len(chance)):
        chance[h] *= here[..., None]
        here = np.einsum('...sa,...sat->...t', chance[h], transition[h])
    return chance


def optimal(real: Mdp, policy: np.ndarray) -> np.ndarray:
    """Return whether the policy is optimal in the real MDP, which only the benchmark can know."""
    value = (visits(real.transition, policy) * real.reward).sum(axis=(0, -2, -1))
    return value >= plan(real.transition, real.reward)[0, ..., 0, :].max(axis=-1) - 1e-9


def exploration_set(simulator: Mdp) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each step h policies that visit all its reachable features, and lambda_min.

    DynamicOED: the reward of each new policy is 1 on the least covered features of step h, those
    not yet visited; one exact plan maximises their coverage, or finds the rest out of reach.
    E[phi phi^T] of a step's policies is diagonal: lambda_min is its least entry over all steps.
    Shapes: policies (H, N, H, R, S), which of the R a step needs (N, H, R), lambda_min (N,).
    """
    own_step = np.eye(len(simulator.reward))[:, None, :, None, None]
    transition, covered = simulator.transition[:, :, None], 0 * simulator.reward.swapaxes(0, 1)
    policies, needed = [], []
    while (q := plan(transition, own_step * (covered == 0)))[0, :, :, 0].any():
        policies.append(greedy(q))
        needed.append(q[0, :, :, 0].any(axis=-1))
        visited = np.einsum('hnhsa->nhsa', visits(transition, policies[-1]))
        covered += visited * needed[-1][..., None, None]
    needed = np.stack(needed, axis=-1)
    least = np.where(covered > 0, covered, np.inf).min(axis=(-2, -1)) / needed.sum(axis=-1)
    return np.stack(policies, axis=-2), needed, least.min(axis=-1)


def run_episodes(transition: np.ndarray, chances: np.ndarray, episodes: int | np.ndarray,
                 rng: np.random.Generator) -> np.ndarray:
    """Return counts (H, ..., S, A, S) of episodes, one number or (...), that act by chances."""
    counts, here = [], np.multiply.outer(episodes, np.eye(chances.shape[-2], dtype=int)[0])
    for h in range(len(chances)):
        counts.append(rng.multinomial(rng.multinomial(here, chances[h]), transition[h]))
        here = counts[h].sum(axis=(-3, -2))
    return np.stack(counts)


def fitted_q(counts: np.ndarray, reward: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return action values (H, ..., S, A) by fitted Q-iteration, backwards from step H.

    Least squares on one-hot features is the mean target of each (h, s, a), for which the counts
    (H, ..., S, A, S) suffice. What was never tried keeps its prior; its reward is not used.
    """
    q, tried, following = np.array(prior, float), counts.sum(axis=-1), np.zeros(counts.shape[-1])
    share = counts / np.maximum(tried, 1)[..., None]
    for h in reversed(range(len(counts))):
        target = reward[h] + np.einsum('...sat,...t->...sa', share[h], following)
        np.copyto(q[h], target, where=tried[h] > 0)
        following = q[h].max(axis=-1)
    return q


def batches(budget: int) -> Iterator[tuple[int, int]]:
    """Yield batch sizes, at least 4, that enlarge the total by a quarter; and the total."""
    total = 0
    while (size := min(max(4, total // 4), budget - total)) >= 4:
        total += size
        yield size, total


def exploration_transfer(real: Mdp, simulator: Mdp, budget: int, rng: np.random.Generator,
                         explorers: bool = True, tail: bool = True) -> Iterator[tuple]:
    """Explore with policies from the simulator, learn by FQI, keep the better of two policies.

    An episode draws h ~ U{1..H}, follows an explorer of step h up to step h, and then acts
    uniformly: the random tail, as no explorer knows what lies behind the gap. Half of the episodes
    are data; a quarter tests the policy learned from all data so far, a quarter the sim-optimal
    one, which is kept if it did better (safety net). `explorers` and `tail` can be left out.
    Yield after each batch the real episodes so far and the kept policies (H, N, S).
    """
    horizon, worlds, _, actions = real.reward.shape
    transferred = greedy(plan(simulator.transition, simulator.reward))
    followed = np.arange(horizon) + 1 if tail else np.full(horizon, horizon)
    policies, needed, _ = exploration_set(simulator)
    if not explorers:           # one policy will do: it is followed for no step
        followed, policies, needed = np.zeros(1), policies[:, :, :1, :1], needed[:, :1, :1]
    uniform = (np.arange(horizon)[:, None] >= followed)[:, None, :, None, None, None]
    chances = acting(policies, actions, uniform)
    draw = needed / needed.sum(axis=-1, keepdims=True) / len(followed)
    counts = np.zeros(real.transition.shape, int)
    for size, spent in batches(budget):
        test = size // 4
        episodes = rng.multinomial(size - 2 * test, draw.reshape(worlds, -1)).reshape(draw.shape)
        data = run_episodes(real.transition[:, :, None, None], chances, episodes, rng)
        counts += data.sum(axis=(2, 3))
        learned = greedy(fitted_q(counts, real.reward, np.zeros(real.reward.shape)))
        both = np.stack([learned, transferred], axis=2)
        tests = run_episodes(real.transition[:, :, None], acting(both, actions), test, rng)
        returns = np.einsum('hncsat,hnsa->nc', tests, real.reward)
        yield spent, both[:, np.arange(worlds), returns.argmax(axis=-1)]


def zeta_greedy(real: Mdp, simulator: Mdp, budget: int, rng: np.random.Generator,
                transfer: bool = True, zeta: float = ZETA) -> Iterator[tuple]:
    """Act greedily but for a share zeta of uniform actions; FQI on all data after each batch.

    With `transfer` it starts from the optimal values of the simulator, else from zero.
    Yield after each batch the real episodes so far and the greedy policies (H, N, S).
    """
    prior = plan(simulator.transition, simulator.reward) * transfer
    counts, policy = np.zeros(real.transition.shape, int), greedy(prior)
    for size, spent in batches(budget):
        counts += run_episodes(real.transition, acting(policy, counts.shape[-2], zeta), size, rng)
        policy = greedy(fitted_q(counts, real.reward, prior))
        yield spent, policy


METHODS = {
    'exploration transfer': exploration_transfer,
    'direct transfer': partial(zeta_greedy, zeta=0.0),      # sees nothing that would change it
    'direct transfer + zeta-greedy': zeta_greedy,
    'zeta-greedy, no simulator': partial(zeta_greedy, transfer=False),
    'ablation: no random tail': partial(exploration_transfer, tail=False),
    'ablation: no explorers': partial(exploration_transfer, explorers=False),
}


def solve(method: str, horizon: int, seeds: int, budget: int) -> list[int | None]:
    """Return the episodes, or None, that a method needs on the lock of each seed."""
    real, simulator = lock(np.stack([np.random.default_rng([seed, horizon]).integers(
        2, size=horizon) for seed in range(seeds)], axis=1))
    rng = np.random.default_rng([horizon, seeds, 1 + list(METHODS).index(method)])
    first = np.zeros(seeds, int)
    for spent, policies in METHODS[method](real, simulator, budget, rng):
        first[(first == 0) & optimal(real, policies)] = spent
        if first.all():
            break
    return [int(episodes) or None for episodes in first]


def measure(horizons: tuple[int, ...], seeds: int) -> list[dict]:
    """Return a row per method and horizon; None stands for more episodes than the budget."""
    rows = []
    for method, horizon in itertools.product(METHODS, horizons):
        episodes = solve(method, horizon, seeds, BUDGET)
        ordered = sorted(episodes, key=lambda n: (n is None, n))
        solved, spent = seeds - episodes.count(None), sum(n or BUDGET for n in episodes)
        rows.append({'method': method, 'horizon': horizon, 'solved': solved,
                     'median': ordered[seeds // 2], 'min': ordered[0], 'max': ordered[-1],
                     # Episodes per success estimate the mean, also where the budget ends runs.
                     'mean': spent / solved if solved else None, 'episodes': episodes})
    return rows


def fit(rows: list[dict]) -> dict:
    """Fit the mean episodes of one method by c H^degree and by c base^H, least squares on logs.

    Only horizons that a quarter of the seeds solved count; empty with fewer than three of them.
    """
    used = [row for row in rows if row['solved'] >= len(row['episodes']) / 4]
    if len(used) < 3:
        return {}
    horizon, log_mean = np.array([(row['horizon'], np.log(row['mean'])) for row in used]).T
    slopes = [np.polyfit(x, log_mean, 1)[0] for x in (np.log(horizon), horizon)]
    r2 = [np.corrcoef(x, log_mean)[0, 1] ** 2 for x in (np.log(horizon), horizon)]
    found = {'degree': slopes[0], 'degree_r2': r2[0], 'base': np.exp(slopes[1]), 'base_r2': r2[1]}
    return {key: round(float(number), 3) for key, number in found.items()}


def check(rows: list[dict], fits: dict[str, dict]) -> list[dict]:
    """Return each claim with its value, its goal, and whether it holds."""
    first, *others = list(METHODS)[:4]
    row = {row['method']: row for row in rows if row['horizon'] == CLAIM_HORIZON}
    quick = [(n or BUDGET) <= GOAL for n in row[first]['episodes']]
    at, degree = f'H = {CLAIM_HORIZON}: seeds solved in', fits[first].get('degree')
    claims = [(f'{first}, {at} {GOAL}', sum(quick), f'= {len(quick)}', all(quick)),
              (f'{first}: degree in H', degree, '<= 3', bool(degree) and degree <= 3)]
    for method in others:
        solved, base = row[method]['solved'], fits[method].get('base')
        claims.append((f'{method}, {at} {BUDGET}', solved, '= 0', solved == 0))
        if method != 'direct transfer':
            claims.append((f'{method}: base to the H', base, '>= 2', bool(base) and base >= 2))
    return [dict(zip(('claim', 'value', 'goal', 'holds'), claim)) for claim in claims]


def show(result: dict) -> str:
    """Return a result as text."""
    table, columns = '{:31}{:>3}{:>9}{:>9}{:>9}{:>8}', ('median', 'min', 'max')
    lines = [table.format('real episodes until optimal', 'H', *columns, 'solved')]
    for row in result['rows']:
        cells = [row['method'], row['horizon'], *(row[key] or f'> {BUDGET}' for key in columns)]
        lines.append(table.format(*cells, f'{row["solved"]}/{len(row["episodes"])}'))
    lines.append('\nmean episodes                  H^degree (R2)     base^H (R2)')
    lines += ['{:31}{degree:8.2f} ({degree_r2:.2f}){base:11.2f} ({base_r2:.2f})'.format(
        method, **found) for method, found in result['fits'].items() if found]
    lines.append('\nexplorers in the simulator: lambda_min {lambda_min}'.format(**result))
    return '\n'.join(lines + ['{}  {claim}: {value}, goal {goal}'.format(
        'holds' if claim['holds'] else 'FAILS', **claim) for claim in result['claims']])


def plot(result: dict) -> bytes:
    """Return a PNG of episodes against H on a logarithmic scale: every seed, and the means."""
    from matplotlib.figure import Figure    # slow to import, and needed for the picture only
    figure, image = Figure(figsize=(7.5, 4.6), dpi=150, layout='constrained'), io.BytesIO()
    axes = figure.subplots()
    axes.axhline(BUDGET, color='0.5', linewidth=0.8, label='budget; x: no seed within it')

    def draw(points: list[tuple], style: str, **look) -> None:
        axes.plot(*np.reshape(points, (-1, 2)).T, style, color=f'C{index}', **look)

    for index, (method, found) in enumerate(list(result['fits'].items())[:4]):
        rows = [row for row in result['rows'] if row['method'] == method]
        growth = '$H^{{{degree:.1f}}}$' if method == 'exploration transfer' else '${base:.1f}^H$'
        draw([(row['horizon'], row['mean']) for row in rows if row['solved']], 'o-',
             label=f'{method}: ' + (growth.format(**found) if found else 'never'))
        never = [row['horizon'] for row in rows if not row['solved']]
        draw([(horizon, BUDGET * 2.5 * 1.8 ** index) for horizon in never], 'x')
        draw([(row['horizon'] + (index - 1.5) / 6, n) for row in rows for n in row['episodes']
              if n], '.', alpha=0.3, markersize=4)
    axes.set(yscale='log', xlabel='horizon H (steps)', ylabel='real episodes until optimal',
             title='Combination lock: mean and every seed')
    axes.legend(loc=(0.52, 0.46), frameon=False)
    figure.savefig(image, format='png')
    return image.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--fast', action='store_true', help=f'only H in {FAST_HORIZONS}')
    parser.add_argument('--seeds', type=int, default=20, help='locks per horizon (default 20)')
    parser.add_argument('--out', type=Path, help='JSON file; the plot goes beside it as PNG '
                        '(default results/lock.json here, with --fast runs/lock.json)')
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f'--seeds: expected at least 1, found {options.seeds}')
    folder = Path('runs') if options.fast else Path(__file__).parent / 'results'
    out = options.out or folder / 'lock.json'
    rows = measure(FAST_HORIZONS if options.fast else HORIZONS, options.seeds)
    fits = {method: fit([row for row in rows if row['method'] == method]) for method in METHODS}
    result = {'benchmark': 'lock', 'budget': BUDGET, 'zeta': ZETA, 'claims': check(rows, fits),
              'lambda_min': exploration_set(lock(np.ones((CLAIM_HORIZON, 1), int))[1])[2].item(),
              'fits': fits, 'rows': rows, 'cpu_seconds': round(time.process_time(), 1)}
    print(show(result))
    return keep(result, out, plot)


if __name__ == '__main__':
    sys.exit(main())
