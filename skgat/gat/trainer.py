"""The training loop: what is hidden, what is supervised, when to stop, which state is kept. Knows no scikit-learn."""

__all__ = ["Trainer"]

import copy
import math
from functools import partial

import torch
import torch.nn.functional as nnf

from .inference import CASES
from .module import Inputs, make_network
from .runtime import as_tensor, make_generator

#: At least this share of the edges is hidden in a step when scores travel along edges: an edge that is supervised
#: must not be heard of, or the score would be an input to its own prediction.
_LEAST_HIDDEN = 0.1
_CALIBRATION_STEPS = 16


def _one_cycle(step, n_steps):
    """The step size as a share of the largest: up in the first fifth, down to nothing at the end, both by cosine."""
    rise = max(n_steps / 5, 1.0)
    if step < rise:
        return 0.04 + 0.96 * (1.0 - math.cos(math.pi * step / rise)) / 2
    fall = max(n_steps - rise, 1.0)
    return (1.0 + math.cos(math.pi * min((step - rise) / fall, 1.0))) / 2


class Trainer:
    """Trains the ensemble on one graph, one step an epoch.

    Parameters
    ----------
    graph : Graph
    features : dict of arrays
        Scaled features: ``model``, ``dataset`` (one row a node) and ``pair`` (one row an edge).
    near : dict of (indices, distances)
        The nearest nodes of the same kind, by side.
    target : array of shape (n_edges,)
        What is learned, standardised.
    config : dict
    settings : dict
        Learning rate and the like.
    layout : type or callable
        Makes the layout of the edges from the graph and the device.
    device : torch.device
    seed : int
    weights : dict of arrays, optional
        Where to start from.
    validation : boolean array of shape (n_edges,), optional
        Edges to hold out for early stopping.
    """

    def __init__(
        self, graph, features, near, target, config, settings, layout, device, seed, weights=None, validation=None
    ):
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
        self.target = edges.place(as_tensor(target, device))[None]
        held = torch.zeros(graph.n_edges, dtype=torch.bool, device=device)
        if validation is not None:
            held = as_tensor(validation, device, torch.bool)
        self.held = edges.place(held.float()) > 0
        self.training = edges.present & ~self.held
        self._leaks = config["edge_features"] or config["additive"]
        self._hides = self._leaks or settings["edge_dropout"] > 0
        self._start_optimizer()
        self.best_score, self.best_state, self.losses, self.scores = -float("inf"), None, [], []

    def _start_optimizer(self):
        settings = self.settings
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            betas=(0.9, 0.98) if settings["schedule"] else (0.9, 0.999),
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.schedule = None
        if settings["schedule"]:
            self.schedule = torch.optim.lr_scheduler.LambdaLR(
                self.optimizer, partial(_one_cycle, n_steps=settings["max_iter"])
            )

    def _share_hidden(self):
        most = self.settings["edge_dropout"]
        least = min(_LEAST_HIDDEN, most) if not self._leaks else _LEAST_HIDDEN
        draw = self._uniform(1)
        return least + (max(most, least) - least) * draw

    def _uniform(self, *shape):
        return torch.rand((self.config["n_estimators"], *shape), generator=self.generator, device=self.device)

    def draw_hidden(self):
        """Which edges each member is not told of in this step."""
        share = self._share_hidden()
        shape = self.training.shape
        hidden = self._uniform(*shape) < share.reshape((-1,) + (1,) * len(shape))
        sizes, whole = self.inputs.sizes, self.settings["node_dropout"]
        if whole:
            lost = {side: (self._uniform(sizes[side]) < whole).float() for side in sizes}
            hidden |= self.inputs.edges.spread(lost["model"], lost["dataset"]) > 0
        return hidden

    def epoch(self):
        """One step of the optimizer on freshly hidden edges; returns the loss."""
        self.network.train()
        if self._hides:
            hidden = self.draw_hidden()
            visible, supervised = self.training & ~hidden, self.training & hidden
        else:
            visible = supervised = self.training.expand(self.config["n_estimators"], *self.training.shape)
        out = self.network(self.inputs, self.target, visible, self.generator)
        losses = self._loss(out, supervised)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0 * len(losses))
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.losses.append(float(losses.detach().mean()))
        return self.losses[-1]

    def _loss(self, out, supervised):
        edges, settings = self.inputs.edges, self.settings
        weights = supervised * edges.weights
        mass = edges.total(weights, "model").sum(-1).clamp(min=1e-9)
        error = (out - self.target) * supervised
        if settings["loss"] == "huber":
            pointwise = nnf.huber_loss(error, torch.zeros_like(error), reduction="none", delta=0.5)
        else:
            pointwise = 0.5 * error.square()
        losses = edges.total(pointwise * weights, "model").sum(-1) / mass
        if settings["rank_weight"]:
            of_dataset = edges.total(error * weights, "dataset") / edges.total(weights, "dataset").clamp(min=1e-9)
            nothing = torch.zeros_like(edges.total(weights, "model"))
            centred = (error - edges.spread(nothing, of_dataset)) * supervised
            ranking = edges.total(0.5 * centred.square() * weights, "model").sum(-1) / mass
            losses = losses + settings["rank_weight"] * ranking
        return losses

    @torch.no_grad()
    def validate(self):
        """Score the held-out edges, higher is better, and keep the state if it is the best so far."""
        self.network.eval()
        members = self.config["n_estimators"]
        visible = self.training.expand(members, *self.training.shape)
        out = self.network(self.inputs, self.target, visible).mean(0, keepdim=True)
        score = -float(self._loss(out, self.held[None]).item())
        self.scores.append(score)
        if score > self.best_score:
            self.best_score, self.best_state = score, copy.deepcopy(self.network.state_dict())
        return score

    def restore_best(self):
        """Go back to the state that did best on the held-out edges."""
        if self.best_state is not None:
            self.network.load_state_dict(self.best_state)

    @torch.no_grad()
    def hidden_errors(self):
        """Root mean squared errors of the ensemble's mean on hidden edges, by what else is hidden.

        Returns
        -------
        errors, ranking_errors : dict of float
            Of the scores, and of the scores relative to the other hidden ones of their dataset; by the names in
            ``CASES``: only edges are hidden, or the dataset, the model or both have no record left.
        """
        self.network.eval()
        members, edges = self.config["n_estimators"], self.inputs.edges
        sums, ranking_sums = torch.zeros(2, len(CASES))
        counts, ranking_counts = torch.zeros(2, len(CASES))
        for _ in range(_CALIBRATION_STEPS):
            hidden, visible = self._split_for_errors()
            out = self.network(self.inputs, self.target, visible.expand(members, *visible.shape[1:])).mean(0)
            seen = {side: edges.total(visible.float(), side) > 0 for side in self.inputs.sizes}
            case = edges.spread(2 * (~seen["model"]).int(), (~seen["dataset"]).int())
            weights = hidden * edges.weights
            error = (out - self.target) * hidden
            of_dataset = edges.total(weights, "dataset").clamp(min=1e-9)
            nothing = torch.zeros_like(edges.total(weights, "model"))
            centred = error - edges.spread(nothing, edges.total(error * weights, "dataset") / of_dataset)
            # A mean over n takes one n-th of the freedom.
            freedom = weights - weights.square() / edges.spread(nothing, of_dataset)
            for number in range(len(CASES)):
                where = case == number
                sums[number] += (error.square() * weights * where).sum().cpu()
                counts[number] += (weights * where).sum().cpu()
                ranking_sums[number] += (centred.square() * weights * where).sum().cpu()
                ranking_counts[number] += (freedom * where).sum().cpu()
        errors = [(sums / counts).sqrt(), (ranking_sums / ranking_counts).sqrt()]
        return tuple(dict(zip(CASES, found.tolist(), strict=True)) for found in errors)

    def _split_for_errors(self):
        if not self._hides:
            # Nothing was ever hidden: what is left is how well the training scores are met.
            return self.training[None], self.training[None]
        hidden = self.draw_hidden()[:1] & self.training
        return hidden, self.training & ~hidden

    def finalize(self):
        """Drop the optimizer and what else only training needs."""
        self.optimizer = self.schedule = self.best_state = None
        self.network.eval()
