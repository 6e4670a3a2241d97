"""Penalised softmax regression, fitted by L-BFGS where the features live."""

__all__ = ["fit_softmax"]

import numpy as np
from scipy.optimize import minimize

from ._arrays import class_sums, host, like, namespace


def fit_softmax(x, codes, n_classes, penalty, max_iter, tol=1e-6):
    """Minimise the mean cross entropy plus half the penalty times the squared weights.

    The loss is convex and the start is zero, so nothing depends on a seed.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
    codes : array of shape (n_samples,)
    n_classes : int
    penalty : float
    max_iter : int
    tol : float, default=1e-6
        Largest entry of the gradient at which the fit has converged.

    Returns
    -------
    weights : array of shape (n_features, n_classes)
    bias : array of shape (n_classes,)
    loss : float
    """
    n, d = x.shape
    xp = namespace(x)
    sums = class_sums(x, codes, n_classes).T / n
    shares = like(np.bincount(codes, minlength=n_classes) / n, x)

    def loss_and_gradient(flat):
        theta = like(flat.reshape(d + 1, n_classes), x)
        weights, bias = theta[:-1], theta[-1]
        logits = x @ weights + bias
        # The linear part of the loss depends on the class sums alone.
        loss = -float((weights * sums).sum() + (bias * shares).sum()) + 0.5 * penalty * float((weights**2).sum())
        top = xp.amax(logits, 1)
        logits -= top[:, None]
        xp.exp(logits, out=logits)
        totals = logits.sum(axis=1)
        loss += float((top + xp.log(totals)).mean())
        logits /= n * totals[:, None]
        gradient = [x.T @ logits - sums + penalty * weights, (logits.sum(axis=0) - shares)[None, :]]
        return loss, host(xp.concatenate(gradient)).ravel()

    found = minimize(
        loss_and_gradient,
        np.zeros((d + 1) * n_classes),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tol, "ftol": 1e-10},
    )
    theta = like(found.x.reshape(d + 1, n_classes), x)
    return theta[:-1], theta[-1], float(found.fun)
