"""Networks by their structure: what is traced, what words see, that families stand together, and good manners."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from architectures import Branching, ViT, alexnet, densenet, families, mobilenet, resnet, vgg
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.metrics import silhouette_score
from torch import nn

from skgat import make_records
from skgat.embedding import Archi2Vec, _documents
from skgat.embedding._drawing import Architecture
from skgat.embedding._operators import operator_name
from skgat.embedding._tracing import trace
from skgat.embedding._words import describe, words
from skgat.persistence import load, save

IMAGE = (1, 3, 224, 224)


@pytest.fixture(scope="module")
def zoo():
    return pd.Series({f"{family}/{depth}": network for (family, depth), network in families().items()})


@pytest.fixture(scope="module")
def fitted(zoo):
    return Archi2Vec(n_components=8).fit(zoo)


def _family(index):
    return index.str.partition("/").get_level_values(0).to_numpy()


@pytest.mark.parametrize(
    ("method", "n_components", "least"),
    [("wl", 8, 0.6), ("wl", 32, 0.5), ("graph2vec", 8, 0.5), ("graph2vec", 32, 0.5)],
)
def test_families_cluster_and_depth_orders_within(zoo, method, n_components, least):
    vectors = Archi2Vec(method=method, n_components=n_components).fit_transform(zoo)
    family = _family(vectors.index)
    assert silhouette_score(vectors, family) > least
    for name in set(family):
        table = vectors[family == name].to_numpy()
        depth = [int(label.partition("/")[2]) for label in vectors.index[family == name]]
        leading = np.linalg.svd(table - table.mean(axis=0))[2][0]
        assert abs(spearmanr(table @ leading, depth).statistic) == pytest.approx(1.0)


def test_an_unknown_network_stands_with_its_family(zoo, fitted):
    known = fitted.transform(zoo)
    new = fitted.transform(
        {"vgg": vgg([2, 3, 3, 3, 3]), "resnet": resnet([2, 3, 4, 2]), "vit": ViT(7), "alexnet": alexnet(0.5)}
    )
    for name, vector in new.iterrows():
        nearest = known.index[np.linalg.norm(known - vector, axis=1).argmin()]
        assert nearest.partition("/")[0] == name


ONE_OF_EACH = {
    "alexnet": alexnet(),
    "vgg": vgg([1, 2], norm=True),
    "resnet": resnet([2, 1]),
    "bottleneck": resnet([1, 2], bottleneck=True),
    "densenet": densenet([2, 2]),
    "mobilenet": mobilenet([1, 2]),
    "vit": ViT(2),
}


@pytest.mark.parametrize("network", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_all_ways_of_tracing_draw_the_same_graph(network):
    symbolic = trace(network)
    exported = trace(torch.export.export(copy.deepcopy(network).eval(), (torch.zeros(IMAGE),)))
    ready = trace(torch.fx.symbolic_trace(network))
    assert (symbolic.method, exported.method, ready.method) == ("fx", "export", "fx")
    for other in (exported, ready):
        assert symbolic.operators == other.operators
        assert_array_equal(symbolic.numbers, other.numbers)
        assert_array_equal(symbolic.sources, other.sources)
        assert_array_equal(symbolic.targets, other.targets)


def test_what_is_drawn_of_a_residual_block():
    drawn = trace(resnet([1]))
    assert drawn.operators[:8] == ("input", "conv", "batch_norm", "relu", "max_pool", "conv", "batch_norm", "relu")
    assert drawn.operators[8:] == ("conv", "batch_norm", "add", "relu", "avg_pool", "linear", "output")
    assert drawn.numbers[1].tolist() == [7, 2, 16, 1, 7 * 7 * 3 * 16]
    assert drawn.numbers[4].tolist() == [3, 2, 0, 0, 0]
    assert drawn.numbers[13].tolist() == [0, 0, 100, 0, 1700]
    join = drawn.operators.index("add")
    assert drawn.sources[drawn.targets == join].tolist() == [9, 4]
    assert drawn.depths().tolist() == list(range(15))


@pytest.mark.parametrize("network", [resnet([2, 1]), densenet([3, 2]), ViT(2)], ids=["resnet", "densenet", "vit"])
def test_parameters_are_all_there(network):
    assert trace(network).numbers[:, 4].sum() == sum(parameter.numel() for parameter in network.parameters())


def test_grouped_and_functional_operations():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(12, 3, 5, 5))

        def forward(self, x):
            x = nn.functional.conv2d(x, self.weight, None, 2, 1, 1, 2)
            return torch.concat([x.relu_(), nn.functional.adaptive_avg_pool2d(x, 1)], 1)

    drawn = trace(Functional())
    assert drawn.operators == ("input", "conv", "relu", "avg_pool", "cat", "output")
    assert drawn.numbers[1].tolist() == [5, 2, 12, 2, 12 * 3 * 25]
    assert not drawn.numbers[3].any()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("AdaptiveAvgPool2d", "avg_pool"),
        ("max_pool2d_with_indices", "max_pool"),
        ("_native_batch_norm_legit_no_training", "batch_norm"),
        ("BatchNorm1d", "batch_norm"),
        ("LazyConv2d", "conv"),
        ("ConvTranspose2d", "conv_transpose"),
        ("convolution.default", "conv"),
        ("aten::add_.Tensor", "add"),
        ("iadd", "add"),
        ("MultiheadAttention", "attention"),
        ("addmm", "linear"),
        ("ReLU", "relu"),
        ("conversion", "conversion"),
    ],
)
def test_names_of_operators(raw, name):
    assert operator_name(raw) == name


def test_the_fallbacks_are_recorded():
    networks = {"plain": resnet([1]), "branching": Branching()}
    alone = Archi2Vec().fit(networks)
    assert alone.trace_methods_ == {"plain": "fx", "branching": "modules"}
    assert list(alone.trace_errors_) == ["branching"]
    assert "control flow" in alone.trace_errors_["branching"]


@pytest.mark.parametrize("example", [(2, 3, 32, 32), torch.zeros(2, 3, 32, 32), {"x": torch.zeros(2, 3, 32, 32)}])
def test_export_takes_over_with_an_example(example):
    encoder = Archi2Vec(example_input=example).fit([Branching(), Branching(16)])
    assert encoder.trace_methods_ == {0: "export", 1: "export"}
    assert trace(Branching(), example).operators == ("input", "conv", "relu", "avg_pool", "linear", "output")


@pytest.mark.parametrize(
    ("name", "value"),
    [("example_input_array", torch.zeros(2, 3, 32, 32)), ("pretrained_cfg", {"input_size": (3, 32, 32)})],
)
def test_a_network_may_bring_its_example(name, value):
    network = Branching()
    setattr(network, name, value)
    assert trace(network).method == "export"


def test_a_leaf_with_parts_is_taken_apart():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    drawn = trace(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    block = ("attention", "linear", "linear", "layer_norm", "layer_norm")
    assert drawn.operators == ("input", *block, *block, "output")


class Hopeless(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_cannot_be_traced_is_named_and_does_not_stop_the_rest():
    networks = {"good": vgg([1]), "bad": Hopeless(), "wrong": "resnet50", "better": vgg([2])}
    message = r"2 network\(s\) cannot be found out.*'bad' cannot be traced, and has no submodules.*; 'wrong' got str"
    with pytest.warns(UserWarning, match=message):
        vectors = Archi2Vec().fit_transform(networks)
    assert vectors.isna().all(axis=1).tolist() == [False, True, True, False]
    assert not vectors.loc[["good", "better"]].isna().any(axis=None)
    with pytest.warns(UserWarning, match=r"1 network\(s\) cannot be found out, their vectors are NaN: 'bad'"):
        assert Archi2Vec().fit({"good": vgg([1])}).transform({"bad": Hopeless()}).isna().all(axis=None)
    with pytest.raises(ValueError, match="structure of network 'bad' cannot be found out: it cannot be traced"):
        Archi2Vec(errors="raise").fit(networks)
    with pytest.raises(ValueError, match="Got no network whose structure could be found out: 'bad' cannot"):
        Archi2Vec().fit({"bad": Hopeless()})


@pytest.mark.parametrize("X", [resnet([1]), "resnet", 3])
def test_only_collections_are_taken(X):
    with pytest.raises(TypeError, match=f"Got X of type {type(X).__name__}, but expected a dict"):
        Archi2Vec().fit(X)


@pytest.mark.parametrize("X", [[], {}])
def test_nothing_is_refused(X):
    with pytest.raises(ValueError, match="got no networks, but expected at least 1"):
        Archi2Vec().fit(X)


def test_the_numbering_of_nodes_does_not_matter():
    drawn = trace(densenet([2, 2]))
    order = np.random.default_rng(0).permutation(len(drawn.operators))
    place = np.argsort(order)
    operators = tuple(drawn.operators[i] for i in order)
    shuffled = Architecture(operators, drawn.numbers[order], place[drawn.sources], place[drawn.targets], "fx")
    for one, other in zip(words(drawn, 3), words(shuffled, 3), strict=True):
        assert_array_equal(one, other)


def _slow_words(architecture, n_iter):
    """Counts of the surroundings of operations, written as nested tuples."""
    n = len(architecture.operators)
    edges = list(zip(architecture.sources.tolist(), architecture.targets.tolist(), strict=True))
    labels, counts = list(architecture.operators), []
    for step in range(n_iter + 1):
        counts += sorted(map(labels.count, set(labels)))
        if step < n_iter:
            before = [sorted(labels[s] for s, t in edges if t == node) for node in range(n)]
            after = [sorted(labels[t] for s, t in edges if s == node) for node in range(n)]
            labels = [repr((labels[node], before[node], after[node])) for node in range(n)]
    return sorted(counts)


@pytest.mark.parametrize("network", [resnet([2, 1]), densenet([2, 2]), ViT(1)], ids=["resnet", "densenet", "vit"])
@pytest.mark.parametrize("n_iter", [0, 1, 3])
def test_words_tell_apart_what_nested_tuples_tell_apart(network, n_iter):
    drawn = trace(network)
    plain = Architecture(drawn.operators, np.zeros_like(drawn.numbers), drawn.sources, drawn.targets, "fx")
    expected = _slow_words(plain, n_iter)
    # Without numbers the two finer forms see what the first does: the last without its surroundings.
    twice = sorted([*expected, *expected, *_slow_words(plain, 0)])
    assert sorted(words(plain, n_iter)[1].tolist()) == twice


def test_sizes_of_a_graph():
    drawn = trace(resnet([2]))
    parameters, nodes, depth, skips, joins, width = np.expm1(describe(drawn)).round()
    assert (nodes, depth, skips, joins, width) == (22, 21, 2, 2, 100)
    assert parameters == drawn.numbers[:, 4].sum()


@pytest.mark.parametrize("method", ["wl", "graph2vec"])
def test_weights_mode_and_order_do_not_matter(zoo, method):
    some = zoo.iloc[::3]
    encoder = Archi2Vec(method=method, n_components=4).fit(some)
    vectors = encoder.transform(some)
    assert_allclose(encoder.transform(some.iloc[::-1]).iloc[::-1], vectors, rtol=1e-12, atol=1e-12)
    assert_allclose(encoder.transform(some.iloc[[2]]), vectors.iloc[[2]], rtol=1e-12, atol=1e-12)
    again = copy.deepcopy(some.iloc[2]).eval()
    nn.init.normal_(
        again[0].weight if hasattr(again, "__getitem__") and hasattr(again[0], "weight") else next(again.parameters())
    )
    assert_allclose(encoder.transform({"x": again}).iloc[0], vectors.iloc[2], rtol=1e-12, atol=1e-12)
    assert_array_equal(clone(encoder).fit_transform(some), encoder.fit_transform(some))


def test_networks_and_random_states_are_left_alone(zoo):
    network = densenet([1, 1])
    network[2].eval()
    modes = [module.training for module in network.modules()]
    weights, other = copy.deepcopy(network.state_dict()), Branching()
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Archi2Vec().fit({"a": network, "b": other, "c": zoo.iloc[0]})
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_symbolic_tracing_computes_nothing():
    class Counting(nn.Conv2d):
        def forward(self, x):
            assert not isinstance(x, torch.Tensor)
            return super().forward(x)

    Counting.__module__ = "torch.nn.modules.conv"
    with torch.device("meta"):
        network = nn.Sequential(Counting(3, 2**14, 3), nn.ReLU(), nn.Linear(2**14, 2**16))
    assert trace(network).numbers[:, 4].sum() == sum(parameter.numel() for parameter in network.parameters()) > 1e9


def test_forms_of_input_and_output(zoo, fitted):
    some = zoo.iloc[:3]
    frame = fitted.transform(some)
    assert frame.index.tolist() == some.index.tolist()
    assert frame.columns.tolist() == fitted.get_feature_names_out().tolist() == [f"archi{i}" for i in range(8)]
    for other in (list(some), some.to_numpy(), tuple(some)):
        array = fitted.transform(other)
        assert type(array) is np.ndarray
        assert_array_equal(array, frame)
    assert_array_equal(fitted.transform(dict(some)), frame)
    pandas = clone(fitted).set_output(transform="pandas").fit(some)
    assert pandas.transform(list(some)).columns.tolist() == ["archi0", "archi1"]


def test_vectors_are_metadata_of_models(zoo, fitted):
    some = zoo.iloc[:3]
    scores = pd.DataFrame({"model": some.index, "dataset": "x", "score": [0.1, 0.2, 0.3]})
    records = make_records(scores, models=fitted.transform(some))
    assert records.columns[3] == "model__archi0"
    assert records["model__archi0"].tolist() == fitted.transform(some)["archi0"].tolist()


@pytest.mark.parametrize("method", ["wl", "graph2vec"])
def test_saved_and_pickled(zoo, tmp_path, method):
    some = zoo.iloc[::4]
    encoder = Archi2Vec(method=method).fit(some)
    expected = encoder.transform(some)
    save(encoder, tmp_path / "encoder.skgat")
    for other in (load(tmp_path / "encoder.skgat"), pickle.loads(pickle.dumps(encoder))):
        assert_array_equal(other.transform(some), expected)
        assert other.trace_methods_ == encoder.trace_methods_


def test_one_network_is_enough():
    assert Archi2Vec().fit_transform([vgg([1])]).shape == (1, 1)


def test_singular_documents_are_principal_components():
    counts = np.random.default_rng(0).normal(size=(10, 30))
    vectors = _documents.SingularDocuments.fit(counts, 4).embed(counts)
    sizes = np.linalg.svd(counts - counts.mean(axis=0))[1]
    assert_allclose(vectors.T @ vectors, np.diag(sizes[:4] ** 2), atol=1e-9)


def test_learned_documents_are_optima():
    counts = np.random.default_rng(0).poisson(2.0, size=(8, 40)).astype(float)
    learned = _documents.LearnedDocuments.fit(counts, 3)
    for vector, row in zip(learned.embed(counts), counts, strict=True):
        scores = learned.words @ vector + learned.bias
        shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        assert_allclose((row - row.sum() * shares) @ learned.words, 0.1 * vector, atol=1e-4)


def test_bad_arguments():
    with pytest.raises(ValueError, match=re.escape("The 'method' parameter of Archi2Vec must be a str among")):
        Archi2Vec(method="node2vec").fit([vgg([1])])


def test_networks_of_transformers():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    small = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    networks = {}
    for layers in (2, 3):
        config = transformers.BertConfig(vocab_size=50, num_hidden_layers=layers, **small)
        networks[f"bert{layers}"] = transformers.BertModel(config)
        config = transformers.ViTConfig(image_size=32, patch_size=8, num_hidden_layers=layers, **small)
        networks[f"vit{layers}"] = transformers.ViTModel(config)
    encoder = Archi2Vec()
    vectors = encoder.fit_transform(networks)
    assert set(encoder.trace_methods_.values()) <= {"fx", "export"}
    assert silhouette_score(vectors, vectors.index.str[:3]) > 0.3


def test_networks_of_timm():
    timm = pytest.importorskip("timm", reason="timm is not installed")
    names = ["resnet18", "resnet34", "vgg11", "vgg13"]
    encoder = Archi2Vec()
    vectors = encoder.fit_transform({name: timm.create_model(name, pretrained=False) for name in names})
    assert set(encoder.trace_methods_.values()) <= {"fx", "export"}
    assert silhouette_score(vectors, vectors.index.str[:3]) > 0.3
