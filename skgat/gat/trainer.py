"""The training loop: what is hidden, what is supervised, when to stop, which state is kept. Knows no scikit-learn."""

__all__ = ["Trainer"]

import copy
import math

import numpy as np
import torch
from torch.optim.adamw import adamw

from .edges import by_member
from .losses import losses_of
from .module import Inputs, make_network
from .recording import Steps, make_recorder
from .runtime import as_tensor, make_generator, settle_threads, to_numpy

#: At least this share of the edges is hidden in a step when scores travel along edges: an edge that is supervised
#: must not be heard of, or the score would be an input to its own prediction.
_LEAST_HIDDEN = 0.1
#: A gradient longer than this, for each member, is shortened.
_LONGEST = 5.0
#: A loss that ends so many times above its beginning, or above 1, which is about that of no guess at all, has strayed.
_ASTRAY = 10.0


def _one_cycle(step, n_steps):
    """The step size as a share of the largest: up in the first fifth, down to nothing at the end, both by cosine."""
    rise = max(n_steps / 5, 1.0)
    if step < rise:
        return 0.04 + 0.96 * (1.0 - math.cos(math.pi * step / rise)) / 2
    fall = max(n_steps - rise, 1.0)
    return (1.0 + math.cos(math.pi * min((step - rise) / fall, 1.0))) / 2


def _as_one(parameters):
    """All parameters as one vector, of which they and their gradients become views.

    One step on the vector takes as long as one on each of them.
    """
    parameters = list(parameters)
    whole = torch.nn.Parameter(torch.nn.utils.parameters_to_vector(parameters).detach())
    whole.grad = torch.zeros_like(whole)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, values, gradient in zip(parameters, whole.data.split(sizes), whole.grad.split(sizes), strict=True):
        parameter.data, parameter.grad = values.view_as(parameter), gradient.view_as(parameter)
    return whole


def _group(state, group, fresh, device):
    """The arrays of a group as tensors like the fresh ones, None if there are none."""
    found = {name.partition("/")[2]: value for name, value in state.items() if name.startswith(f"{group}/")}
    if not found:
        return None
    if {name: value.shape for name, value in found.items()} != {name: tuple(v.shape) for name, v in fresh.items()}:
        raise ValueError("it holds another network")
    return {name: as_tensor(value, device, fresh[name].dtype) for name, value in found.items()}


class Trainer:
    """Trains the ensemble on one graph, one step an epoch.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled features: ``model``, ``dataset`` (one row a node) and ``pair`` (one row an edge).
    near : dict of (indices, distances)
        The nearest nodes of the same kind, by side.
    targets : array of shape (n_edges,) or (n_members, n_edges)
        What is learned, standardised; each member may learn its own.
    config : dict
    settings : dict
        Learning rate and the like.
    layout : type or callable
        Makes the layout of the edges from the graph and the device.
    device : torch.device
    seed : int
    weights : dict of arrays, optional
        Where to start from.
    validation : tuple of arrays of shape (n_edges,), optional
        Which edges to hold out for early stopping, and what is learned when nothing else is held out.
    folds : boolean array of shape (n_members, n_edges), optional
        Edges that a member never hears of, to see afterwards what it says of them.
    """

    def __init__(
        self, graph, features, near, targets, config, settings, layout, device, seed, weights=None, validation=None,
        folds=None,
    ):  # fmt: skip
        self.config, self.settings, self.device = config, settings, device
        # The draws that fix the weights come from the CPU, so that they are the same on every device.
        self.network = make_network(config, make_generator(seed, "cpu")).to(device)
        if weights is not None:
            state = {name: as_tensor(value, device) for name, value in weights.items()}
            self.network.load_state_dict(state)
        self.generator = make_generator(seed + 1, device)
        edges = layout(graph, device)
        identity = {"model": range(graph.n_models), "dataset": range(graph.n_datasets)}
        self.inputs = Inputs(graph, features, near, edges, identity, device)
        self.targets = edges.place(as_tensor(targets, edges.device).reshape(-1, graph.n_edges))
        held, truth = (None, None) if validation is None else validation
        self.held = self._mask(held)[0]
        self.truth = None if truth is None else edges.place(as_tensor(truth, edges.device)[None])
        self.training = edges.present & ~self.held & ~self._mask(folds)
        self._leaks = config["edge_features"] or config["additive"]
        self._hides = self._leaks or settings["edge_dropout"] > 0
        self._start_optimizer()
        recorder = make_recorder(device, edges, config)
        self._steps = None if recorder is None else Steps(self, recorder)
        self.best_score, self.best_state, self.losses, self.scores = -float("inf"), None, [], []

    def _mask(self, chosen):
        """Chosen edges (by member) on the edges; none are by default."""
        edges = self.inputs.edges
        if chosen is None:
            return torch.zeros_like(edges.present)[None]
        return edges.place(as_tensor(chosen, edges.device).reshape(-1, chosen.shape[-1])) > 0

    def _start_optimizer(self):
        self.vector = _as_one(self.network.parameters())
        self.moments = {name: torch.zeros_like(self.vector.detach()) for name in ("exp_avg", "exp_avg_sq")}
        self.moments["step"] = torch.zeros((), dtype=torch.float32, device=self.device)

    @torch.no_grad()
    def _step(self, rate):
        """One step of AdamW: torch's own function, for its class imports a compiler, which takes seconds."""
        settings, moments = self.settings, self.moments
        adamw(
            [self.vector],
            [self.vector.grad],
            [moments["exp_avg"]],
            [moments["exp_avg_sq"]],
            [],
            [moments["step"]],
            fused=self.device.type in ("cpu", "cuda"),
            amsgrad=False,
            beta1=0.9,
            beta2=0.98 if settings["schedule"] else 0.999,
            lr=rate,
            weight_decay=settings["weight_decay"],
            eps=1e-8,
            maximize=False,
        )

    def _pace(self):
        return _one_cycle(len(self.losses), self.settings["max_iter"]) if self.settings["schedule"] else 1.0

    def _share_hidden(self):
        most = self.settings["edge_dropout"]
        least = min(_LEAST_HIDDEN, most) if not self._leaks else _LEAST_HIDDEN
        draw = self._uniform((self.config["n_estimators"], 1))
        return least + (max(most, least) - least) * draw

    def _uniform(self, shape):
        return torch.rand(shape, generator=self.generator, dtype=torch.float32, device=self.device)

    def draw_hidden(self):
        """Which edges each member is not told of in this step."""
        edges, n_members = self.inputs.edges, self.config["n_estimators"]
        share = self._share_hidden().to(edges.device)
        hidden = edges.draw(self._uniform, n_members) < by_member(share, self.training)
        sizes, whole = self.inputs.sizes, self.settings["node_dropout"]
        if whole:
            lost = {
                side: (self._uniform((n_members, size)) < whole).float().to(edges.device)
                for side, size in sizes.items()
            }
            hidden |= edges.spread(lost["model"], lost["dataset"]) > 0
        return hidden

    def epoch(self):
        """One step of the optimizer on freshly hidden edges; returns the loss."""
        settle_threads()
        if not self.network.training:
            self.network.train()
        rate = self.settings["learning_rate"] * self._pace()
        losses = self.advance(rate) if self._steps is None else self._steps.take(rate)
        self.losses.append(float(losses.mean()))
        return self.losses[-1]

    def advance(self, rate):
        """What a step does on the device, of which nothing is read back meanwhile; returns the loss of each member."""
        if self._hides:
            hidden = self.draw_hidden()
            visible, supervised = self.training & ~hidden, self.training & hidden
        else:
            visible = supervised = self._all_in_training()
        described = self.network.describe(self.inputs, self.targets, visible, self.generator)
        self.vector.grad.zero_()
        edges = self.inputs.edges
        losses = edges.learn(self._judge, self.inputs, described, self.targets, supervised, self.vector)
        self._clip(_LONGEST * len(losses))
        self._step(rate)
        return losses

    def _clip(self, longest):
        """Shorten a gradient that is longer. torch's own function gathers lists of tensors first; here is one."""
        gradient = self.vector.grad
        gradient.mul_((longest / (torch.linalg.vector_norm(gradient) + 1e-6)).clamp_(max=1.0))

    def _all_in_training(self):
        return self.training.expand(self.config["n_estimators"], *self.training.shape[1:])

    def _judge(self, inputs, described, targets, supervised):
        return self._loss(inputs.edges, self.network.predict_edges(inputs, *described), targets, supervised)

    def _loss(self, edges, out, targets, supervised):
        return losses_of(edges, out, targets, supervised, self.settings["loss"], self.settings["rank_weight"])

    @torch.no_grad()
    def validate(self):
        """Score the held-out edges, higher is better, and keep the state if it is the best so far."""
        self.network.eval()
        out = self.network(self.inputs, self.targets, self._all_in_training()).mean(0, keepdim=True)
        score = -float(self._loss(self.inputs.edges, out, self.truth, self.held[None]).item())
        self.scores.append(score)
        if score > self.best_score:
            self.best_score, self.best_state = score, copy.deepcopy(self.network.state_dict())
        return score

    def restore_best(self):
        """Go back to the state that did best on the held-out edges."""
        if self.best_state is not None:
            self.network.load_state_dict(self.best_state)

    def is_finite(self):
        """Tell whether training has come to numbers; what followed on the best state does not count."""
        last = self.losses[-1] if self.best_state is None else 0.0
        return math.isfinite(last) and bool(self.vector.detach().isfinite().all())

    def has_strayed(self):
        """Tell whether training has made the networks worse, and by far, than they were at first."""
        return self.best_state is None and self.losses[-1] > _ASTRAY * max(self.losses[0], 1.0)

    @torch.no_grad()
    def predictions(self):
        """What each member says of every edge when it hears of those that it was trained on.

        Returns
        -------
        tensor of shape (n_members, n_edges)
        """
        self.network.eval()
        return self.inputs.edges.take(self.network(self.inputs, self.targets, self._all_in_training()))

    def state(self):
        """All that training needs to go on from here, as arrays by name."""
        state = {f"network/{name}": to_numpy(value) for name, value in self.network.state_dict().items()}
        state |= {f"optimizer/{name}": to_numpy(value) for name, value in self.moments.items()}
        for name, value in (self.best_state or {}).items():
            state[f"best/{name}"] = to_numpy(value)
        state["generator"] = to_numpy(self.generator.get_state())
        return state | {"losses": np.array(self.losses), "scores": np.array(self.scores)}

    def restore(self, state):
        """Go on from a state, or raise and stay as it was.

        Parameters
        ----------
        state : dict of arrays
            What :meth:`state` gave in a trainer of the same fit.
        """
        fresh = self.network.state_dict()
        network, best = (_group(state, group, fresh, self.device) for group in ("network", "best"))
        if network is None:
            raise ValueError("it has no weights")
        losses, scores = (np.asarray(state[name], dtype=float).tolist() for name in ("losses", "scores"))
        generator = make_generator(0, self.device)
        generator.set_state(torch.as_tensor(state["generator"]))
        moments = _group(state, "optimizer", self.moments, self.device)
        if moments is None:
            raise ValueError("it has no moments of the weights")
        # Whatever can be wrong with a state has been found by now.
        self.network.load_state_dict(network)
        self.generator, self.losses, self.scores, self.moments = generator, losses, scores, moments
        self.best_state, self.best_score = best, max((s for s in scores if s == s), default=-float("inf"))

    def finalize(self):
        """Drop the optimizer and what else only training needs."""
        self.moments = self.best_state = self._steps = None
        self.network.eval()
