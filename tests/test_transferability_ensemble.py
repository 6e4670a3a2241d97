"""select_ensemble: good models that differ."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from skgat.transferability import select_ensemble, sfda
from skgat.transferability.ensemble import _complementarity


def families(seed=0, n=400):
    """Six models of two kinds: those of one kind see the same two of four directions of the classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 5)
    views = rng.normal(size=(5, 4)) * 1.5
    noise = rng.normal(size=(n, 4))
    zoo = {}
    for kind, seen in (("a", [0, 1]), ("b", [2, 3])):
        for i in range(3):
            strength = 1.2 if kind == "a" else 1.0
            own = strength * views[y][:, seen] + noise[:, seen] + 0.1 * rng.normal(size=(n, 2))
            zoo[f"{kind}{i}"] = np.hstack([own, 0.3 * rng.normal(size=(n, 3))])
    return zoo, y


def accuracy(zoo, y, selected):
    half = len(y) // 2
    total = 0
    for name in selected:
        total = total + LinearDiscriminantAnalysis().fit(zoo[name][:half], y[:half]).predict_proba(zoo[name][half:])
    return (total.argmax(axis=1) == y[half:]).mean()


def test_all_the_weight_on_sfda_gives_the_best_single_models():
    zoo, y = families()
    order = sorted(zoo, key=lambda name: -sfda(zoo[name], y))
    for k in (1, 3, 6):
        assert select_ensemble(zoo, y, k, weight=1) == order[:k]


def test_complementary_models_are_selected_and_do_better():
    gains = []
    for seed in range(5):
        zoo, y = families(seed)
        alike, mixed = (select_ensemble(zoo, y, 2, weight=weight) for weight in (1, 0.5))
        gains.append(accuracy(zoo, y, mixed) - accuracy(zoo, y, alike))
    assert np.mean(gains) > 0.02


def test_near_copies_keep_each_other_out_when_models_are_selected_one_by_one():
    gains = []
    for seed in range(5):
        zoo, y = families(seed)
        selected = select_ensemble(zoo, y, 2, complement_to="selected", weight=0.3)
        assert selected[0] == select_ensemble(zoo, y, 1, weight=1)[0]
        gains.append(accuracy(zoo, y, selected) - accuracy(zoo, y, select_ensemble(zoo, y, 2, weight=1)))
    assert np.mean(gains) > 0.02


def test_one_by_one_adds_what_the_nuclear_norm_gains_most():
    zoo, y = families()
    selected, scores = select_ensemble(zoo, y, 3, complement_to="selected", weight=0, return_scores=True)
    gains = scores.set_index("model")["complementarity"]
    assert (gains > 0).all()
    assert gains[selected[2]] == max(gains[name] for name in gains.index if name not in selected[:2])
    everything = select_ensemble(zoo, y, 6, complement_to="selected")
    assert sorted(everything) == sorted(zoo)


def test_complementarity_is_what_the_nuclear_norm_loses():
    rng = np.random.default_rng(0)
    for shape in ((7, 4, 3), (5, 2, 6)):
        stacks = rng.normal(size=shape)
        slow = [
            np.mean([np.linalg.norm(s, "nuc") - np.linalg.norm(np.delete(s, m, axis=0), "nuc") for s in stacks])
            for m in range(shape[1])
        ]
        np.testing.assert_allclose(_complementarity(stacks), slow, rtol=1e-6)


def test_rotations_of_a_model_do_not_matter():
    zoo, y = families()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    turned = {name: X @ turn if name in ("a0", "b2") else X for name, X in zoo.items()}
    scores, again = (select_ensemble(z, y, 3, return_scores=True)[1] for z in (zoo, turned))
    np.testing.assert_allclose(scores["complementarity"], again["complementarity"], rtol=1e-6)


def test_scores_come_as_a_frame():
    zoo, y = families()
    selected, scores = select_ensemble(zoo, y, 3, max_samples=50, return_scores=True)
    assert list(scores.columns) == ["model", "sfda", "complementarity", "score"]
    assert list(scores.sort_values("score", ascending=False)["model"][:3]) == selected
    np.testing.assert_allclose(scores["sfda"], [sfda(X, y) for X in zoo.values()])
    assert select_ensemble(zoo, y, 3, max_samples=50, n_jobs=2) == selected


def test_one_model_and_equal_models():
    zoo, y = families()
    assert select_ensemble({"only": zoo["a0"]}, y, 1) == ["only"]
    assert select_ensemble({"x": zoo["a0"], "y": zoo["a0"]}, y, 2) == ["x", "y"]


def test_what_cannot_be_selected():
    zoo, y = families()
    with pytest.raises(ValueError, match="Got k=7, but expected at most as many as the 6 models"):
        select_ensemble(zoo, y, 7)
    with pytest.raises(ValueError, match="Got k=0, but expected an integer of at least 1"):
        select_ensemble(zoo, y, 0)
    with pytest.raises(ValueError, match="Got complement_to='none', but expected one of"):
        select_ensemble(zoo, y, 2, complement_to="none")
    with pytest.raises(ValueError, match="Got weight=3, but expected a number between 0 and 1"):
        select_ensemble(zoo, y, 2, weight=3)
    for no_mapping in (list(zoo.values()), {}):
        with pytest.raises(ValueError, match="but expected a mapping of at least one model id to features"):
            select_ensemble(no_mapping, y, 1)
    zoo["broken"] = zoo["a0"] * np.nan
    with pytest.raises(ValueError, match="NaN or infinite") as caught:
        select_ensemble(zoo, y, 2)
    assert caught.value.__notes__ == ["This happened with the model 'broken' of the zoo."]
