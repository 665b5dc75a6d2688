"""Other detectors on the same rows, inputs, calibration rows and threshold rule as the node. Needs the extra `bench`.

Each is `fit(training rows) -> score(rows)`; higher is stranger. Settings are the libraries' defaults, or named here.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Numbers = NDArray[np.float64]
Score = Callable[[Numbers], Numbers]
HIDDEN = 22


def zscore(train: Numbers, _seed: int) -> Score:
    """Mean squared z-score of the inputs, each on its own."""
    centre, spread = train.mean(0), train.std(0) + 1e-6
    return lambda x: np.asarray((((x - centre) / spread) ** 2).mean(1))


def one_class_svm(train: Numbers, _seed: int) -> Score:
    """RBF kernel, nu 0.05."""
    from sklearn.svm import OneClassSVM

    scale = _scaler(train)
    model = OneClassSVM(nu=0.05).fit(scale(train))
    return lambda x: -model.decision_function(scale(x))


def isolation_forest(train: Numbers, seed: int) -> Score:
    """100 trees."""
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(random_state=seed).fit(train)
    return lambda x: -model.score_samples(x)


def pca(train: Numbers, seed: int) -> Score:
    """Reconstruction error of as many components as the node has hidden units."""
    from sklearn.decomposition import PCA

    model = PCA(min(HIDDEN, train.shape[1] - 1, len(train) - 1), random_state=seed).fit(train)
    return lambda x: np.asarray(((x - model.inverse_transform(model.transform(x))) ** 2).mean(1))


def knn(train: Numbers, _seed: int) -> Score:
    """Squared distance to the fifth neighbour (PyOD's detector)."""
    from pyod.models.knn import KNN

    model = KNN(n_neighbors=5).fit(train)
    return lambda x: model.decision_function(x) ** 2


def k_means(train: Numbers, seed: int) -> Score:
    """Squared distance to the nearest of 16 centres."""
    from sklearn.cluster import KMeans

    model = KMeans(16, n_init=4, random_state=seed).fit(train)
    return lambda x: model.transform(x).min(1) ** 2


def autoencoder(train: Numbers, seed: int) -> Score:
    """n-22-n trained by backpropagation (Adam), sigmoid, standardised inputs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    scale = _scaler(train)
    model = MLPRegressor(
        hidden_layer_sizes=(HIDDEN,), activation="logistic", max_iter=500, learning_rate_init=0.01, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scale(train), scale(train))
    return lambda x: np.asarray(((scale(x) - model.predict(scale(x))) ** 2).mean(1))


def half_space_trees(train: Numbers, seed: int) -> Score:
    """River's, 25 trees of height 8, on inputs scaled to 0..1 by the training rows."""
    from river.anomaly import HalfSpaceTrees

    low, high = train.min(0), train.max(0)

    def rows(x: Numbers) -> list[dict[int, float]]:
        return [dict(enumerate(row)) for row in np.clip((x - low) / (high - low + 1e-9), 0, 1)]

    model = HalfSpaceTrees(n_trees=25, height=8, window_size=min(100, len(train) // 2), seed=seed)
    for row in rows(train):
        model.learn_one(row)
    return lambda x: np.array([model.score_one(row) for row in rows(x)])


def os_elm(train: Numbers, seed: int) -> Score:
    """The same autoencoder in float64, uniform weights, mean squared residual."""
    random = np.random.default_rng(seed)
    n = train.shape[1]
    alpha, bias = random.uniform(-1, 1, (n, HIDDEN)), random.uniform(-1, 1, HIDDEN)

    def hidden(x: Numbers) -> Numbers:
        return np.asarray(1 / (1 + np.exp(-(x @ alpha + bias))))

    a = hidden(train)
    beta = np.linalg.solve(a.T @ a + 0.01 * np.eye(HIDDEN), a.T @ train)
    return lambda x: np.asarray(((x - hidden(x) @ beta) ** 2).mean(1))


def _scaler(train: Numbers) -> Score:
    centre, spread = train.mean(0), train.std(0) + 1e-6
    return lambda x: np.asarray((x - centre) / spread)


PEERS: dict[str, tuple[Callable[[Numbers, int], Score], bool]] = {
    "one-class SVM": (one_class_svm, False),
    "isolation forest": (isolation_forest, False),
    "PCA": (pca, True),
    "kNN": (knn, True),
    "k-means": (k_means, True),
    "per-band z-score": (zscore, True),
    "backprop autoencoder": (autoencoder, True),
    "half-space trees": (half_space_trees, False),
    "OS-ELM float64": (os_elm, True),
}
"""Name, how to fit it, and whether its score is a squared distance, judged by its logarithm."""


def check() -> dict[str, Any]:
    """Versions of the libraries. Raises UsageError if they are not installed."""
    try:
        import pyod
        import river
        import sklearn
    except ImportError as error:
        raise UsageError(f"--peers needs {error.name}: run `make bench`, which installs the peers' libraries") from None
    return {"scikit-learn": sklearn.__version__, "pyod": str(pyod.__version__), "river": river.__version__}
