"""scikit-learn's own checks on every public estimator, found by walking the package's names."""

import pytest
from estimators import SMALL, instance, public_estimators
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    estimator_checks_generator,
    parametrize_with_checks,
)


def test_no_estimator_is_forgotten():
    names = {class_.__name__ for class_ in public_estimators()}
    assert {"BiasRegressor", "MatrixCompletion", "MetadataEncoder", "NearestDatasets", "TransferabilityGAT"} <= names
    assert set(SMALL) <= names


_INSTANCES = [instance(class_) for class_ in public_estimators()]


@pytest.mark.conformance
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning",
    # The checks' data repeat pairs and ask for unknown ones, which is worth a warning and no error.
    "ignore::skgat.exceptions.DuplicatePairWarning",
    "ignore::skgat.exceptions.UnknownEntityWarning",
)
@parametrize_with_checks([estimator for estimator in _INSTANCES if get_tags(estimator).input_tags.two_d_array])
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


@pytest.mark.conformance
@pytest.mark.parametrize(
    "estimator",
    [estimator for estimator in _INSTANCES if not get_tags(estimator).input_tags.two_d_array],
    ids=lambda estimator: type(estimator).__name__,
)
def test_the_rules_for_those_that_take_no_arrays(estimator):
    with pytest.warns(SkipTestWarning, match="Can't test estimator"):
        checks = [check for _, check in estimator_checks_generator(estimator)]
    assert checks
    for check in checks:
        check(estimator)
    for check in (
        check_estimator_repr,
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
    ):
        check(type(estimator).__name__, estimator)
