"""Between the estimator and the trainer: what is trained, and what is kept of it."""

__all__ = ["Task", "attention_weights", "prepare", "refresh", "train"]

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from .._likeness import Likeness, make_likeness, read_similarity
from ..graph import SIDES, Graph, neighbors
from ..records import ROLES, lookup_ids, plain_value
from .calibration import Fold, Rival, blend, blend_by_order, draw_folds, errors_on_held, noise_of, scarcity, try_folds
from .distributed import training_layout
from .edges import DenseEdges, choose_layout
from .forest import grow, need_of, too_many_known
from .grove import Grove, plant, trust_of
from .inference import ASKED_OF_KNOWN, CASES, FrozenNetwork, as_distances
from .kernel import solve
from .leftover import factors_of_rest, on_edges
from .module import Inputs, make_network
from .parts import fitting_layout
from .runtime import as_tensor, fair_share, make_generator, one_thread, own_modes, resolve_device, to_numpy
from .strengths import choose_strengths
from .targets import TargetScale, fit_target, normal_scale
from .trainer import Trainer

#: Rank of the bilinear interaction and width of the mlp decoder.
_DECODER_RANK = 32
#: With this many nodes their features are trusted as much as their records.
_PRIOR_NODES = 15
#: The step size and the steps of up to so many records; the size grows as the records do, the steps as a power of them,
#: both up to so many times.
_LEARNING_RATE = 7e-3
_MAX_ITER = 200
_FEW_RECORDS = 3_000
_MOST_STEEPER = 3.0
_LONGER = 0.4
_MOST_LONGER = 4.0


@dataclass(frozen=True)
class Task:
    """A graph with everything that is derived from it before training.

    What the network looks like is in ``config``, how it is trained in ``settings``.
    """

    graph: Graph
    scaling: dict
    features: dict
    near: dict
    likeness: Likeness | None
    target: np.ndarray
    scale: TargetScale
    config: dict
    settings: dict


def prepare(estimator, graph, scaling=None, scale=None, fitted=None):
    """Scale the features, find similar nodes and transform the target.

    What is given besides the graph is that of a fitted estimator, whose graph has grown: it stays as it was in its fit.
    So do the layer and the number of neighbors, which ``fitted``, the configuration of its network, tells.
    """
    conv, n_neighbors = (
        getattr(estimator, name) if fitted is None else fitted[name] for name in ("conv", "n_neighbors")
    )
    tables = {role: getattr(graph, f"{role}_features") for role in ROLES}
    if scaling is None:
        scaling = {}
        for role, table in tables.items():
            scaling[f"{role}_center"] = table.mean(axis=0)
            spread = table.std(axis=0)
            constant = spread <= 1e-12 * np.abs(scaling[f"{role}_center"])
            scaling[f"{role}_scale"] = np.where(constant, 1.0, spread)
    features = {role: (table - scaling[f"{role}_center"]) / scaling[f"{role}_scale"] for role, table in tables.items()}
    near = {side: neighbors(features[side], features[side], n_neighbors, exclude_self=True) for side in SIDES}
    likeness = None
    if estimator.similarity is not None:
        table = read_similarity(estimator.similarity)
        likeness = make_likeness(graph.datasets, graph.dataset_features[:, :0], n_neighbors, table)
        others, weights = likeness.among_known()
        near["dataset"] = others, as_distances(weights)
    sigmoid = conv == "gatconv"
    kind, bounds = (estimator.target_transform, None) if scale is None else (scale.kind, scale.bounds)
    target, scale = fit_target(kind, graph, features["dataset"], sigmoid, bounds)
    config = {
        name: plain_value(getattr(estimator, name))
        for name in ("conv", "additive", "edge_features", "hidden_dim", "n_heads", "combine", "decoder", "n_neighbors",
                     "n_estimators", "dropout", "kernel_weight")
    }  # fmt: skip
    config["n_layers"] = (2 if n_neighbors else 1) if estimator.n_layers == "auto" else estimator.n_layers
    config |= {f"blank_{role}": _blank_share(estimator.feature_dropout, graph, role) for role in ROLES}
    config |= {f"n_{role}_features": features[role].shape[1] for role in ROLES}
    config |= {"n_models": graph.n_models, "n_datasets": graph.n_datasets, "rank": _DECODER_RANK}
    return Task(graph, scaling, features, near, likeness, target, scale, config, _settings(estimator, graph))


def _settings(estimator, graph):
    settings = {
        name: plain_value(getattr(estimator, name))
        for name in ("learning_rate", "weight_decay", "max_iter", "edge_dropout", "node_dropout", "loss",
                     "rank_weight", "schedule")
    }  # fmt: skip
    # More records tell more, which as many steps of the same size would not reach.
    size = max(graph.n_edges / _FEW_RECORDS, 1.0)
    if settings["learning_rate"] == "auto":
        settings["learning_rate"] = _LEARNING_RATE * min(size, _MOST_STEEPER)
    if settings["max_iter"] == "auto":
        settings["max_iter"] = round(_MAX_ITER * min(size**_LONGER, _MOST_LONGER))
    return settings


def _blank_share(feature_dropout, graph, role):
    if feature_dropout != "auto":
        return float(feature_dropout)
    # How the features of models and of pairs act can be seen on as many datasets as there are, and no more.
    n_nodes = min(graph.n_models, graph.n_datasets) if role == "model" else graph.n_datasets
    return _PRIOR_NODES / (_PRIOR_NODES + n_nodes)


def train(estimator, task, seed, start, context, X, y):
    """Run the epochs and return the fitted attributes.

    Parameters
    ----------
    estimator : TransferabilityGAT
    task : Task
    seed : int
    start : dict of arrays or None
        Weights to start from, if they fit.
    context : callback context
    X, y
        What callbacks are given.
    """
    held_out = _hold_out(estimator, task.graph, seed) if estimator.early_stopping else None
    folds = _folds(estimator, task, held_out, seed)
    kernel = None
    if estimator.kernel_weight:
        strengths = choose_strengths(task.graph, task.features, task.target, seed)
        kernel = solve(task.graph, task.features, task.target, strengths)
    device = resolve_device(estimator.device)
    with own_modes(device):
        trainer = _trainer(estimator, task, folds, held_out, seed, start, device)
        with _checkpoint(estimator, task, trainer, seed, start) as checkpoint:
            with _threads(trainer.inputs):
                _run_epochs(estimator, trainer, task, kernel, context, X, y, checkpoint)
                trainer.restore_best()
                predictions = to_numpy(trainer.predictions()).astype(np.float64)
                if not (trainer.is_finite() and np.isfinite(predictions).all()):
                    _refuse(trainer, task.settings, checkpoint)
                if trainer.has_strayed():
                    warnings.warn(
                        f"The training loss ended at {trainer.losses[-1]:.3g}, far above the {trainer.losses[0]:.3g} "
                        "where it began: the networks' predictions are of little use. Try a smaller learning_rate than "
                        f"{task.settings['learning_rate']:.3g}.",
                        ConvergenceWarning,
                        stacklevel=4,
                    )
                trainer.finalize()
                fitted = _fitted(trainer, task, kernel)
            fitted |= _judge(estimator, task, folds, predictions, kernel, seed)
    if estimator.early_stopping:
        fitted["validation_scores_"] = trainer.scores
    return fitted


def _threads(inputs):
    """One thread for small graphs, which also lets a process that is forked afterwards go on without those threads."""
    return one_thread() if isinstance(inputs.edges, DenseEdges) else fair_share()


def _checkpoint(estimator, task, trainer, seed, start):
    """The checkpoint of this fit, from which the trainer goes on; a context of None where there is to be none."""
    if estimator.checkpoint_dir is None:
        return nullcontext()
    from .checkpoint import Checkpoint, fingerprint

    identity = fingerprint(estimator, task, seed, trainer.device, start)
    checkpoint = Checkpoint(estimator.checkpoint_dir, identity)
    checkpoint.resume(trainer)
    return checkpoint


def _refuse(trainer, settings, checkpoint):
    """Refuse a training that has come to numbers that are none."""
    if checkpoint is not None:
        # A fit that went on from here would come to the same end.
        checkpoint.drop()
    raise ValueError(
        f"Got learning_rate={settings['learning_rate']!r}, with which training diverged: after {len(trainer.losses)} "
        "epochs its losses, weights or predictions are not finite. Try a smaller learning_rate, or less of "
        f"weight_decay={settings['weight_decay']!r} and rank_weight={settings['rank_weight']!r} where these are large."
    )


def _folds(estimator, task, held_out, seed):
    """What each member does not hear of, or None: in the network of the paper, or where nothing would be left."""
    if estimator.conv == "gatconv":
        return None
    dataset_features = task.features["dataset"]
    folds = draw_folds(task.graph, estimator.n_estimators, estimator.target_transform, dataset_features, seed)
    if folds and held_out is not None and any((fold.held | held_out).all() for fold in folds):
        return None
    return folds


def _trainer(estimator, task, folds, held_out, seed, start, device):
    return Trainer(
        task.graph,
        task.features,
        task.near,
        task.target if folds is None else np.stack([fold.target for fold in folds]),
        task.config,
        task.settings,
        training_layout(fitting_layout(choose_layout, task.config), estimator.conv, seed),
        device,
        seed,
        weights=_matching(start, task.config, seed),
        validation=None if held_out is None else (held_out, task.target),
        folds=None if folds is None else np.stack([fold.held for fold in folds]),
    )


def _judge(estimator, task, folds, predictions, kernel, seed):
    """Errors on what each member did not hear of; on what it learned where nothing was held out."""
    graph, share, regressions = task.graph, task.config["kernel_weight"], None
    disagreement = (1.0 - share) ** 2 * predictions.var(axis=0)
    if kernel is not None:
        heard = folds or [Fold(np.zeros(graph.n_edges, dtype=bool), graph, task.target, task.scale)]
        told = [_tell(task, fold, kernel) for fold in heard]
        regressions = np.stack([head.predict_edges(graph, task.features["pair"]) for head in told])
        predictions = (1.0 - share) * predictions + share * regressions
    if folds is None:
        error = dict.fromkeys(CASES, normal_scale(task.target - predictions.mean(axis=0)))
        return {"noise_": error, "ranking_noise_": error}
    trial = try_folds(graph, task.target, task.scale, folds, predictions, disagreement)
    if kernel is not None and estimator.factor_weight:
        kernel, trial = _complete(task, trial, folds, predictions, regressions, kernel, estimator.factor_weight)
    grown, trial = _grow(task, trial, estimator.forest_weight, seed)
    forest, grove = {case: forest for case, (forest, _) in grown.items()}, None
    if estimator.forest_weight == "auto":
        grove, trial = _plant(task, trial, folds, seed)
        if not too_many_known(graph):
            forest, trial = _ask_of_known(task, trial, folds, grown)
    noise, ranking_noise = noise_of(trial)
    return {
        "noise_": noise,
        "ranking_noise_": ranking_noise,
        "kernel_": kernel,
        "forest_": {case: trees for case, trees in forest.items() if trees.has_say()} or None,
        "grove_": grove,
    }


def _complete(task, trial, folds, predictions, regressions, kernel, weight):
    """The regression with factors of what it leaves over, and the trial with them; as it was if they have no share."""
    graph = task.graph
    completed = []
    for fold, values, told in zip(folds, predictions, regressions, strict=True):
        factors = factors_of_rest(fold.graph, (fold.target - told)[~fold.held])
        completed.append(values + on_edges(graph, factors))
    off = errors_on_held(graph, task.target, task.scale, folds, completed)
    # They are added to what all members say, so what members disagree about stays as it is.
    agreed = replace(trial, apart=np.zeros_like(trial.apart))
    agreed, shares = blend(agreed, graph, {"pair": Rival.plain(off)}, weight)
    if shares["pair"]:
        rest = task.target - kernel.predict_edges(graph, task.features["pair"])
        # The regression itself has a part of the prediction only.
        kernel = kernel.completed(graph, rest, shares["pair"] / task.config["kernel_weight"])
    return kernel, replace(agreed, apart=trial.apart)


def _grow(task, trial, weight, seed):
    """The trees for unknown models, each with its ignorance, and the trial with them."""
    graph, grown, rivals = task.graph, {}, {}
    for case in ("model", "both") if weight else ():
        forest, ignorance = grow(graph, task.features, task.target, case, seed)
        if forest is None:
            break
        grown[case], rivals[case] = (forest, ignorance), _rival_of_trees(task, trial, forest, ignorance, case)
    trial, shares = blend(trial, graph, rivals, weight)
    grown = {case: (replace(forest, share=shares[case]), unheard) for case, (forest, unheard) in grown.items()}
    return grown, trial


def _ask_of_known(task, trial, folds, grown):
    """The same trees with a share where the model is known, and the trial with that."""
    graph, rivals = task.graph, {}
    need = np.concatenate([need_of(fold.graph)[graph.edge_models[fold.held]] for fold in folds])
    for name, (forest, ignorance) in grown.items():
        # Who has heard of the model has heard of the pair, unless it has not heard of the dataset.
        if name == "both":
            ignorance = replace(ignorance, of_models=None)
        rival = _rival_of_trees(task, trial, forest, ignorance, ASKED_OF_KNOWN[name])
        # They were told level and spread of the dataset.
        rivals[ASKED_OF_KNOWN[name]] = replace(rival, off=rival.off + trial.untold, trust=need)
    # Of unknown datasets trees may know more than the records of any model tell; of known ones those by heart do.
    alike = {case: replace(rival, trust=np.ones_like(need)) for case, rival in rivals.items() if case == "dataset"}
    trial, floors = blend_by_order(trial, graph, alike, 0.0)
    usual = grown["model"][0].share if grown else 0.0
    # Who does not know unknown models knows no more of one with a few records.
    trial, shares = blend_by_order(trial, graph, rivals if usual else {}, usual)
    asked = {}
    for name, (forest, _) in grown.items():
        # Where pairs have no features of their own, the answers are the same whenever they are asked.
        once = name == "model" and not task.features["pair"].shape[1]
        case, features = ASKED_OF_KNOWN[name], task.features if once else None
        asked[name] = forest.asked_of_known(graph, shares.get(case, 0.0), features, floors.get(case, 0.0))
    return asked, trial


def _rival_of_trees(task, trial, forest, ignorance, case):
    """How trees fare on what was held out in this case, each told by those which know as little."""
    graph = task.graph
    edges = np.unique(trial.edges[trial.cases == CASES.index(case)])
    codes = {side: getattr(graph, f"edge_{side}s")[edges] for side in SIDES}
    features = {side: task.features[side][codes[side]] for side in SIDES} | {"pair": task.features["pair"][edges]}
    said, spread = np.full((2, graph.n_edges), np.nan)
    said[edges], spread[edges] = forest.poll(
        features, codes["dataset"], ignorance.trees(codes["model"], codes["dataset"])
    )
    known = np.ones(graph.n_edges, dtype=bool)
    off = task.scale.errors(graph, task.target, said, task.scale, known)
    return Rival(off[trial.edges], np.nan_to_num(spread[trial.edges]), np.ones(len(trial.edges)))


def _plant(task, trial, folds, seed):
    """The trees for known pairs and the trial with them; None where they would have no say."""
    graph = task.graph
    trust = np.concatenate([trust_of(fold.graph)[graph.edge_datasets[fold.held]] for fold in folds])

    def join(of_edges, spread):
        # The same comparison as that of networks and regression: each fold's trees on what the fold does not hear of.
        off = errors_on_held(graph, task.target, task.scale, folds, of_edges)
        apart = np.concatenate([variance[fold.held] for fold, variance in zip(folds, spread, strict=True)])
        return blend(trial, graph, {"pair": Rival(off, apart, trust)})

    said, *told = plant(graph, task.features, folds, seed, lambda *told: join(*told)[1]["pair"] > 0)
    if said is None:
        return None, trial
    trial, shares = join(*told)
    grove = Grove(said, trust_of(graph), shares["pair"])
    return (grove if grove.share else None), trial


def _tell(task, fold, kernel):
    """The regression that heard of the fold's edges alone."""
    rows = ~fold.held
    features = task.features | {"pair": task.features["pair"][rows]}
    return solve(fold.graph, features, fold.target[rows], kernel.strengths, like=kernel)


def _run_epochs(estimator, trainer, task, kernel, context, X, y, checkpoint):
    patience, best = 0, -np.inf
    for score in trainer.scores:
        patience, best = _patience(estimator, score, patience, best)
    for number in range(len(trainer.losses) + 1, task.settings["max_iter"] + 1):
        epoch = context.subcontext(task_name="epoch")
        epoch.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        loss = trainer.epoch()
        if estimator.verbose and number % int(estimator.verbose) == 0:
            print(f"epoch {number:>4}  loss {loss:.5f}")
        stop = epoch.call_on_fit_task_end(
            estimator=estimator, X=X, y=y, reconstruction_attributes=lambda: _fitted(trainer, task, kernel)
        )
        if estimator.early_stopping:
            patience, best = _patience(estimator, trainer.validate(), patience, best)
            stop = stop or patience >= estimator.n_iter_no_change
        if stop:
            break
        if checkpoint is not None:
            checkpoint.keep(trainer)


def _patience(estimator, score, patience, best):
    """How many epochs there was no improvement, and the best score."""
    return 0 if score > best + estimator.tol else patience + 1, max(best, score)


def _fitted(trainer, task, kernel):
    trained = {side: getattr(task.graph, f"{side}s") for side in SIDES}
    return {
        "graph_": task.graph,
        "network_": _freeze(trainer.network, trainer.inputs, task, trained),
        "kernel_": kernel,
        "target_scale_": task.scale,
        "noise_": dict.fromkeys(CASES, 0.0),
        "ranking_noise_": dict.fromkeys(CASES, 0.0),
        "forest_": None,
        "grove_": None,
        "device_": str(trainer.device),
        "n_iter_": len(trainer.losses),
        "loss_curve_": list(trainer.losses),
    }


def _matching(start, config, seed):
    """The weights to start from, if the network has not changed its shape."""
    if start is None:
        return None
    fresh = make_network(config, make_generator(seed, "cpu")).state_dict()
    same = fresh.keys() == start.keys() and all(tuple(fresh[n].shape) == start[n].shape for n in fresh)
    return start if same else None


def _hold_out(estimator, graph, seed):
    """Edges to validate on: all those of some datasets, or some edges where there are few datasets."""
    rng = np.random.default_rng(seed)
    whole = graph.n_datasets >= 5
    units = graph.edge_datasets if whole else np.arange(graph.n_edges)
    n_units = graph.n_datasets if whole else graph.n_edges
    n_held = min(max(1, round(estimator.validation_fraction * n_units)), n_units - 1)
    return np.isin(units, rng.permutation(n_units)[:n_held])


def _all_visible(edges, task):
    target = edges.place(as_tensor(task.target, edges.device))[None]
    return target, edges.present.expand(task.config["n_estimators"], *edges.present.shape)


@torch.no_grad()
def _freeze(network, inputs, task, trained):
    """What prediction needs of a trained network, in numpy."""
    network.eval()
    edges = inputs.edges
    target, visible = _all_visible(edges, task)
    mean, effects, levels = network.encode(inputs, target, visible)
    terms = {side: network.terms(side, levels[side], effects[side]) for side in SIDES}
    blank = {side: task.config[f"blank_{side}"] for side in SIDES}
    if any(blank.values()):
        # What training did in this share of the steps: look at the records alone.
        _, _, blind = network.encode(inputs, target, visible, dict.fromkeys(ROLES, 0.0))
        for side in SIDES:
            blind_terms = network.terms(side, blind[side], effects[side])
            terms[side] = (1.0 - blank[side]) * terms[side] + blank[side] * blind_terms
    return FrozenNetwork(
        config=task.config,
        trained=trained,
        weights={name: to_numpy(value) for name, value in network.state_dict().items()},
        scaling=task.scaling,
        mean=to_numpy(mean),
        levels={side: to_numpy(levels[side]) for side in SIDES},
        terms={side: to_numpy(terms[side]) for side in SIDES},
        scarcity={
            "model": scarcity(np.bincount(task.graph.edge_models, minlength=task.graph.n_models)),
            "dataset": scarcity(np.bincount(task.graph.edge_datasets, minlength=task.graph.n_datasets)),
        },
        likeness=task.likeness,
    )


def _rebuild(estimator, graph):
    """The network of a fitted estimator and its inputs over a graph; on the CPU, where a single pass is at home."""
    frozen = estimator.network_
    task = prepare(estimator, graph, frozen.scaling, estimator.target_scale_, frozen.config)
    task.config.update(frozen.config)
    network = make_network(task.config, None)
    network.load_state_dict({name: torch.as_tensor(np.array(value)) for name, value in frozen.weights.items()})
    identity = {side: lookup_ids(frozen.trained[side], getattr(graph, f"{side}s")) for side in SIDES}
    edges = choose_layout(graph, "cpu")
    return network, Inputs(graph, task.features, task.near, edges, identity, "cpu"), task


@own_modes("cpu")
def refresh(estimator, graph):
    """The fitted attributes over a graph that has grown."""
    network, inputs, task = _rebuild(estimator, graph)
    with _threads(inputs):
        frozen = _freeze(network, inputs, task, estimator.network_.trained)
    kernel = estimator.kernel_
    if kernel is not None:
        kernel = solve(graph, task.features, task.target, kernel.strengths, like=kernel)
    trees = {"forest_": estimator.forest_, "grove_": estimator.grove_}
    if estimator.forest_ is not None:
        pair_features = task.features["pair"]
        trees["forest_"] = {
            case: forest.over(estimator.graph_, graph, pair_features) for case, forest in estimator.forest_.items()
        }
    if estimator.grove_ is not None:
        trees["grove_"] = estimator.grove_.moved(estimator.graph_, graph)
    return {"graph_": graph, "target_scale_": task.scale, "network_": frozen, "kernel_": kernel, **trees}


def attention_weights(estimator, graph):
    """Triples of the receivers' side, the layer and the weights of shape (n_heads of all members, n_edges)."""
    with own_modes("cpu"):
        network, inputs, task = _rebuild(estimator, graph)
        target, visible = _all_visible(inputs.edges, task)
        with _threads(inputs):
            triples = list(network.attention(inputs, target, visible))
    for side, layer, weights in triples:
        yield side, layer, to_numpy(weights).reshape(-1, graph.n_edges)
