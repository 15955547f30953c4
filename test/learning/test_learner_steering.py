"""The learner with a demonstrator: steering it, or starting as it acts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from demonstrators import demonstrator
import numpy as np
import pytest
from reaching import REACH, transitions
from robot_rl.errors import UserError
from robot_rl.learning import imitation
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.diffusion_policy import decode_actor, decode_demonstrator
from robot_rl.learning.learner import Learner
from robot_rl.learning.steering import Base, OPEN_STD
from small_learners import rewrite
import torch

SMALL = SacConfig(width=16)
STEERING = LearnerConfig(method='steer', start_transitions=20, batch=16)
STARTING = replace(STEERING, method='full', start_from='demonstrator')
BASE = demonstrator(REACH, chunk=3, replan=2)


def learner(config: LearnerConfig = STEERING, **changes) -> Learner:
    return Learner(REACH, replace(config, **changes), SMALL)


def feed(found: Learner, episodes: int = 4) -> Learner:
    for episode in range(episodes):
        found.add(f's/{episode}', transitions(10, episode), episode)
    return found


def steering(**changes) -> Learner:
    found = learner(**changes)
    found.start_from(BASE, 'topic demonstrator')
    return feed(found)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(imitation, 'UPDATES', 20)
    monkeypatch.setattr(imitation, 'PAIRS', 512)


def test_without_a_demonstrator_it_waits_and_keeps_what_comes():
    found = feed(learner())
    found.add_demos(transitions(7, 9))
    assert (found.waits_for, found.owed, found.collected) == ('demonstrator', 0, 40)
    found.start_from(BASE, 'x')
    assert (found.waits_for, found.owed) == ('', 160)
    at_once = learner()
    at_once.start_from(BASE, 'x')
    feed(at_once).add_demos(transitions(7, 9))
    assert all(found.replays[name].rows.equal(at_once.replays[name].rows)
               for name in ('robot', 'demos'))


def critic_values(found: Learner) -> torch.Tensor:
    rows = torch.cat([source.rows for source in found.replays.values()])
    rule, n = found.method.rule, len(REACH.layout)
    return rule.values(found.state.critic.value, rows[:, :n], rows[:, n:n + found.method.row_size])


@pytest.mark.parametrize('config', [STEERING, STARTING], ids=['steer', 'full'])
def test_critics_of_a_demonstrator_begin_at_the_least_return(config, quick):
    # Begun near 0 they praise, where rewards are negative, what nobody has tried.
    found = learner(config, critic_warmup=1)
    found.start_from(BASE, 'x')
    feed(found)
    rows = torch.cat([source.rows for source in found.replays.values()])
    reward = rows[:, len(REACH.layout) + found.method.row_size]
    least = float(reward.min()) / (1.0 - found.method.rule.discount)
    assert critic_values(found).abs().max() < 2.0
    found.train(1)
    assert (critic_values(found) - least).abs().max() < 2.0 and least < -20.0


def test_critics_of_a_learner_from_nothing_begin_near_zero():
    found = feed(learner(replace(STARTING, start_from='')))
    found.train(1)
    assert critic_values(found).abs().max() < 2.0


def test_a_row_is_what_is_executed_of_a_chunk_clipped_to_the_limits():
    found, sent = learner(), transitions(5)
    sent.action[1] = (4.0, -2.5)            # of a recording that knew other limits
    found.start_from(BASE, 'x')
    found.add_demos(sent)
    rows = found.replays['demos'].rows
    assert rows.shape == (4, 6 + 2 * 2 + 1 + 6 + 1)
    assert torch.allclose(rows[1, 6:10], torch.from_numpy(
        np.clip(sent.action[1:3] / 2.5, -1, 1).ravel()))
    assert rows[1, 10] == pytest.approx(sent.reward[1] + 0.98 * sent.reward[2], rel=1e-5)


def test_updates_are_owed_per_transition_and_not_per_row():
    found = steering()
    assert len(found.replays['robot']) == 36 and found.owed == 4 * 40
    assert steering(utd_ratio=0.5).owed == 20


def test_demonstrations_do_not_replace_the_measurement_of_the_base():
    found = learner()
    found.start_from(BASE, 'x')
    found.add_demos(transitions(1000))
    found.add('a', transitions(19), 1)
    assert found.owed == 0
    found.add('b', transitions(1), 2)
    assert found.owed == 80


def test_version_0_is_the_base_under_the_steering_parametrisation():
    found, base = steering(), decode_demonstrator(BASE, REACH, 'x')
    policy = decode_actor(found.actor(), REACH, 'x')
    seen = np.random.default_rng(0).normal(size=(20, 6))
    noise = np.clip(np.random.default_rng(1).standard_normal((20, 6)), -1.5, 1.5)
    assert policy.version == 0 and policy.informed
    assert policy.manifest['provenance']['started_from'] == 'demonstrator'
    assert np.allclose(policy.plans(seen, np.random.default_rng(1)), base.denoise(seen, noise))
    assert np.array_equal(found.normalizer.mean, base.normalizer.mean)


def test_an_updated_actor_steers_with_the_noise_it_learned():
    found = steering(noise_bound=0.7)
    found.train(6)
    policy = decode_actor(found.actor(), REACH, 'x')
    assert policy.version == 6 and policy.manifest['noise_bound'] == 0.7
    seen = np.random.default_rng(0).normal(size=(20, 6))
    normalised = torch.from_numpy(policy.normalizer(seen))
    mean, _ = found.method.rule.distribution(found.state.actor.value, normalised)
    assert np.allclose(policy.noise(seen, None), 0.7 * torch.tanh(mean).numpy(), atol=1e-6)


def test_the_critics_learn_alone_until_the_warmup_is_over():
    found = steering(critic_warmup=10)
    assert found.owed == 10 + 160
    start = found.state
    found.train(10)
    assert found.state.actor is start.actor and found.state.temperature is start.temperature
    for name in ('critic', 'noise_critic'):
        assert not torch.equal(getattr(found.state, name).value, getattr(start, name).value)
    found.train(2)
    assert not torch.equal(found.state.actor.value, start.actor.value)


def test_a_warmup_is_owed_once_and_also_in_action_space():
    found = feed(Learner(REACH, LearnerConfig(start_transitions=20, batch=16, critic_warmup=10),
                         SMALL))
    assert found.owed == 50
    start = found.state.actor
    found.train(10)
    assert found.state.actor is start and found.owed == 40
    found.train(2)
    assert found.state.actor is not start


def test_another_demonstrator_is_refused_and_the_same_again_changes_nothing():
    found = steering()
    found.train(3)
    state = found.state
    found.start_from(BASE, 'topic demonstrator')
    other = demonstrator(REACH, chunk=3, replan=2, seed=1, version=2)
    with pytest.raises(UserError, match='^topic demonstrator: expected the demonstrator that this '
                                        'learner steers, version 1, .* another checkpoint_dir'):
        found.start_from(other, 'topic demonstrator')
    assert found.state is state


def test_garbage_and_other_kinds_are_refused_and_it_waits_on():
    found = learner()
    with pytest.raises(UserError, match='^x: not a file of this package'):
        found.start_from(b'garbage', 'x')
    with pytest.raises(UserError, match='^x: kind: expected diffusion, found .gaussian.'):
        found.start_from(Learner(REACH, LearnerConfig(), SMALL).actor(), 'x')
    assert found.waits_for == 'demonstrator'


def test_steering_starts_from_nothing_but_the_demonstrator():
    with pytest.raises(UserError, match='start_from: expected demonstrator with method steer'):
        learner(start_from='sim_optimal')
    learner(start_from='demonstrator')


def test_the_same_seed_and_data_steer_to_the_same_bits():
    runs = [steering(seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.train(5)
    assert runs[0].actor() == runs[1].actor() != runs[2].actor()


def test_a_resumed_learner_steers_on_exactly_and_needs_no_demonstrator(tmp_path):
    first = steering(critic_warmup=3)
    first.train(9)
    first.save(tmp_path, keep=2)
    resumed = learner(critic_warmup=3)
    assert 'at 9 updates' in resumed.resume(tmp_path)
    assert not resumed.waiting and resumed.owed == 0
    feed(resumed)
    assert resumed.owed == first.owed
    first.train(7)
    resumed.train(7)
    assert resumed.actor() == first.actor()
    for name, value in first.state.tensors().items():
        assert torch.equal(resumed.state.tensors()[name], value), name
    with pytest.raises(UserError, match='expected the demonstrator that this learner steers'):
        resumed.start_from(demonstrator(REACH, seed=1), 'x')


def test_there_is_nothing_to_save_before_the_demonstrator_came(tmp_path):
    with pytest.raises(UserError, match='nothing to save yet: waiting for the demonstrator'):
        learner().save(tmp_path, keep=2)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('method', ['full', 'steer'])
def test_a_checkpoint_of_the_other_method_is_refused(tmp_path, method):
    if method == 'steer':
        steering().save(tmp_path, keep=2)
        found = Learner(REACH, LearnerConfig(), SMALL)
    else:
        Learner(REACH, LearnerConfig(), SMALL).save(tmp_path, keep=2)
        found = learner()
    with pytest.raises(UserError, match=f'method: expected .*, found {method}; use this method'):
        found.resume(tmp_path)


def test_a_checkpoint_of_another_noise_bound_is_refused(tmp_path):
    steering().save(tmp_path, keep=2)
    with pytest.raises(UserError, match='noise_bound: expected 2.0, found 1.5; give'):
        learner(noise_bound=2.0).resume(tmp_path)


@pytest.mark.parametrize('change', [
    lambda arrays, manifest: arrays.pop('demonstrator'),
    lambda arrays, manifest: arrays.update(demonstrator=np.frombuffer(
        demonstrator(REACH, seed=1), np.uint8)),
    lambda arrays, manifest: arrays.pop('noise_critic.value'),
    lambda arrays, manifest: manifest.update(updates='many')])
def test_a_checkpoint_that_does_not_hold_what_it_says_is_refused(tmp_path, change):
    path = steering().save(tmp_path, keep=2)
    rewrite(path, change)
    found = learner()
    with pytest.raises(UserError, match=str(path)):
        found.resume(tmp_path)
    assert found.waiting and found.method is None


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    first = steering()
    for _ in range(2):
        first.train(4)
        path = first.save(tmp_path, keep=3)
    path.write_bytes(path.read_bytes()[:-100])
    resumed = learner()
    assert f'skipped {path}' in resumed.resume(tmp_path)
    assert resumed.updates == 4 and not resumed.waiting
    feed(resumed).train(4)
    assert resumed.actor() == first.actor()


def test_an_actor_in_action_space_starts_as_the_demonstrator_acts(monkeypatch):
    monkeypatch.setattr(imitation, 'UPDATES', 1000)
    found, base = learner(STARTING), decode_demonstrator(BASE, REACH, 'x')
    seen = transitions(200)
    found.add_demos(seen)
    found.start_from(BASE, 'x')
    assert found.started_from == 'demonstrator' and not found.waiting
    policy = decode_actor(found.actor(), REACH, 'x')
    assert policy.version == 0 and policy.informed
    states = np.repeat(seen.observation[:40], 200, axis=0)
    wanted = base.plans(states, np.random.default_rng(0))[:, 0].reshape(40, 200, 2)
    means = np.array([policy.act(row, None) for row in seen.observation[:40]])
    spread = wanted.std((0, 1))
    assert (np.abs(means - wanted.mean(1)).mean(0) < 0.25 * spread).all()
    rng = np.random.default_rng(1)
    drawn = np.array([[policy.act(row, rng) for _ in range(100)] for row in seen.observation[:40]])
    assert np.allclose(drawn.std(1).mean(0), wanted.std(1).mean(0), rtol=0.35)


def test_no_deviation_of_an_imitated_actor_falls_below_the_floor(monkeypatch):
    monkeypatch.setattr(imitation, 'UPDATES', 800)
    found, policy = learner(STARTING), decode_demonstrator(BASE, REACH, 'x')
    always = replace(Base.of(policy, 'x'), scale=torch.zeros(4), offset=torch.full((4,), 0.3))
    actor = imitation.imitate(found.method.rule, found.state.actor.value, always,
                              torch.randn(300, 6), found.generator)
    mean, log_std = found.method.rule.distribution(actor, torch.randn(100, 6))
    assert torch.tanh(mean).mean() == pytest.approx(0.3, abs=0.05)
    assert log_std.exp().mean() == pytest.approx(imitation.FLOOR, rel=0.3)


def test_what_demonstrations_leave_open_rests_in_what_an_actor_imitates(monkeypatch):
    monkeypatch.setattr(imitation, 'UPDATES', 800)
    asked, seen = [], torch.zeros(300, 6)

    class Open:
        """Acts by its one latent of the spread alone."""

        denoiser, latents = SimpleNamespace(chunk_size=2), 3

        def __call__(self, observation, noise):
            asked.append(noise)
            return 0.5 * noise[:, 2:].expand(-1, 2)

    found = learner(STARTING)
    imitation.imitate(found.method.rule, found.state.actor.value, Open(), seen, found.generator)
    noise = torch.cat(asked)
    assert noise[:, :2].std() == pytest.approx(1.0, abs=0.05)
    assert noise[:, 2].std() == pytest.approx(OPEN_STD, abs=0.01)


def test_an_actor_waits_for_states_to_imitate_the_demonstrator_in(quick):
    found = learner(STARTING)
    found.start_from(BASE, 'x')
    assert found.waits_for.startswith('states to imitate the demonstrator in')
    found.add('a', transitions(19), 1)
    assert found.waiting and found.owed == 0
    found.add('b', transitions(1), 2)
    assert (found.started_from, found.owed) == ('demonstrator', 80)


def test_an_imitated_actor_resumes_exactly(tmp_path, quick):
    first = learner(STARTING)
    first.add_demos(transitions(30, 5))
    first.start_from(BASE, 'x')
    first.save(tmp_path, keep=2)
    resumed = learner(STARTING)
    resumed.resume(tmp_path)
    resumed.add_demos(transitions(30, 5))
    resumed.start_from(demonstrator(REACH, seed=1), 'x')        # too late: it has started
    for found in (first, resumed):
        feed(found).train(5)
    assert resumed.actor() == first.actor() and resumed.started_from == 'demonstrator'


def test_what_an_imitated_actor_is_held_near_outlives_the_learner(tmp_path, quick):
    first = learner(STARTING)
    first.add_demos(transitions(30, 5))
    first.start_from(BASE, 'x')
    start = first.state.actor.value
    feed(first).train(20)
    first.save(tmp_path, keep=2)
    resumed = learner(STARTING)
    resumed.resume(tmp_path)
    assert torch.equal(resumed.state.teacher, start)
    assert not torch.equal(resumed.state.actor.value, start)


@pytest.mark.parametrize('made, taken', [('demonstrator', ''), ('', 'demonstrator')])
def test_a_checkpoint_of_another_start_is_refused(tmp_path, made, taken):
    learner(STARTING, start_from=made).save(tmp_path, keep=2)
    with pytest.raises(UserError, match=f'start_from: expected "{taken}", found "{made}"; give'):
        learner(STARTING, start_from=taken).resume(tmp_path)


def test_a_checkpoint_of_another_teacher_weight_is_refused(tmp_path):
    learner(STARTING).save(tmp_path, keep=2)
    with pytest.raises(UserError, match='teacher_weight: expected 0.0, found 0.3; give'):
        learner(STARTING, teacher_weight=0.0).resume(tmp_path)
