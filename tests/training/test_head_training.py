"""Training the head: against a reference written by hand, early stopping, views, seeds, threads."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boatyard.core.errors import UserError
from boatyard.features.feature_files import Examples
from boatyard.models.network import head
from boatyard.params.schema import Train
from boatyard.training import head_training, history
from boatyard.training.history import Epoch
from boatyard.training.optimisation import Loss, balanced, epoch_seed, rate

PLAIN_LOSS = Loss(0.0, None)
SETTINGS = Train(
    epochs=20,
    patience=20,
    batch_size=8,
    optimiser="adam",
    lr=0.01,
    schedule="constant",
    warmup=0,
    weight_decay=0.0,
    label_smoothing=0.0,
    class_weights="none",
)


def settings(**changes: Any) -> Train:
    return Train.model_validate({**SETTINGS.model_dump(), **changes})


def examples(features: Any, labels: list[int]) -> Examples:
    """Features [n, width] of one view each, or [n, views, width]."""
    array = np.array(features, np.float32)
    return Examples(array if array.ndim == 3 else array[:, None], np.array(labels, np.int64))


def clouds(seed: int, count: int = 40, distance: float = 3.0) -> Examples:
    """Three classes around three corners of a triangle, two views of each photo."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    corners = distance * np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 1]])
    return examples(corners[labels][:, None] + draw.normal(size=(count, 2, 4)), labels.tolist())


def new_head(hidden: int = 0, dropout: float = 0.0, width: int = 4, classes: int = 3, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return head(width, hidden, dropout, classes)


def fit(
    classifier: nn.Module,
    train: Examples,
    validation: Examples,
    how: Train = SETTINGS,
    seed: int = 0,
    loss: Loss = PLAIN_LOSS,
) -> list[Epoch]:
    return list(head_training.fit(classifier, train, validation, loss, how, seed))


def state(classifier: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in classifier.state_dict().values())


def test_well_separated_classes_are_learned() -> None:
    classifier = new_head(hidden=16, dropout=0.4)
    run = fit(classifier, clouds(1, distance=12), clouds(2, distance=12), settings(epochs=60, patience=60, lr=0.02))
    assert run[-1].validation_top1 == 1.0
    assert head_training.evaluate(classifier, clouds(3, distance=12))[1] == 1.0
    assert history.best(run).validation_loss < 0.01 < run[0].validation_loss


def test_the_first_epoch_by_hand() -> None:
    classifier = new_head(width=2, classes=2)
    for parameter in classifier.parameters():
        nn.init.zeros_(parameter)
    corners = examples([[1, 0], [0, 1]], [0, 1])
    (epoch,) = fit(classifier, corners, corners, settings(epochs=1, lr=0.1))
    # Both classes at 1/2; then Adam's first step is lr against the sign of the gradient: logits ±0.1 apart by 0.2.
    assert epoch.train_loss == pytest.approx(math.log(2), abs=1e-6)
    assert epoch.validation_loss == pytest.approx(math.log(1 + math.exp(-0.2)), abs=1e-6)
    assert classifier.get_parameter("classes.weight").flatten().tolist() == pytest.approx(
        [0.1, -0.1, -0.1, 0.1], abs=1e-6
    )
    assert (epoch.epoch, epoch.phase, epoch.validation_top1, epoch.lr) == (1, "head", 1.0, 0.1)


def reference(classifier: nn.Module, train: Examples, validation: Examples, how: Train, seed: int) -> list[list[float]]:
    """Softmax regression with Adam and L2, written out in float64; losses and accuracies of every epoch."""
    weights = [parameter.detach().double().numpy().copy() for parameter in classifier.parameters()]
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    step, rows = 0, []

    def probabilities(features: NDArray[np.float64]) -> NDArray[np.float64]:
        logits = features @ weights[0].T + weights[1]
        powers = np.exp(logits - logits.max(1, keepdims=True))
        result: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return result

    for epoch in range(1, how.epochs + 1):
        features = train.features[:, (epoch - 1) % train.features.shape[1]].astype(np.float64)
        torch.manual_seed(epoch_seed(seed, epoch))
        order = torch.randperm(len(features)).numpy()
        losses, right = [], 0
        for start in range(0, len(order), how.batch_size):
            batch = order[start : start + how.batch_size]
            x, y = features[batch], train.labels[batch]
            p = probabilities(x)
            losses += list(-np.log(p[np.arange(len(y)), y]))
            right += (p.argmax(1) == y).sum()
            error = (p - np.eye(p.shape[1])[y]) / len(y)
            step += 1
            for i, gradient in enumerate((error.T @ x, error.sum(0))):
                gradient = gradient + how.weight_decay * weights[i]
                first[i] = 0.9 * first[i] + 0.1 * gradient
                second[i] = 0.999 * second[i] + 0.001 * gradient**2
                corrected = first[i] / (1 - 0.9**step), np.sqrt(second[i] / (1 - 0.999**step))
                weights[i] -= how.lr * corrected[0] / (corrected[1] + 1e-8)
        p = probabilities(validation.features[:, 0].astype(np.float64))
        loss = -np.log(p[np.arange(len(p)), validation.labels]).mean()
        top1 = (p.argmax(1) == validation.labels).mean()
        rows.append([np.mean(losses), loss, right / len(order), top1])
    return rows


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_every_epoch_against_a_reference(decay: float) -> None:
    train, validation, how = clouds(1, 43, 1.0), clouds(2, 20, 1.0), settings(epochs=6, weight_decay=decay)
    expected = reference(new_head(), train, validation, how, seed=5)
    run = fit(new_head(), train, validation, how, seed=5)
    got = [[epoch.train_loss, epoch.validation_loss, epoch.train_top1, epoch.validation_top1] for epoch in run]
    np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_it_stops_after_patience_epochs_and_keeps_the_best() -> None:
    # Validation says the opposite of training: each epoch makes it worse.
    train = clouds(1, distance=6)
    opposite = Examples(train.features[:, :1], (train.labels + 1) % 3)
    for patience in (1, 4):
        classifier = new_head()
        run = fit(classifier, train, opposite, settings(patience=patience))
        assert [epoch.epoch for epoch in run] == list(range(1, 2 + patience))
        assert history.best(run).epoch == 1
        once = new_head()
        fit(once, train, opposite, settings(epochs=1))
        assert state(classifier) == state(once)
        assert head_training.evaluate(classifier, opposite)[0] == run[0].validation_loss


def test_the_best_epoch_can_be_in_the_middle() -> None:
    train, validation = clouds(1, 30, 1.2), clouds(2, 60, 1.2)
    classifier = new_head(hidden=32)
    run = fit(classifier, train, validation, settings(epochs=200, patience=5, lr=0.02))
    best = history.best(run)
    assert 1 < best.epoch == len(run) - 5 < 195
    assert best.validation_loss == min(epoch.validation_loss for epoch in run)
    assert head_training.evaluate(classifier, validation) == (best.validation_loss, best.validation_top1)


def test_an_equal_loss_is_no_better() -> None:
    nothing = examples(np.zeros((4, 4)), [0, 0, 1, 2])  # the bias of three classes is all there is to learn

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, features: Tensor) -> Tensor:
            return torch.log_softmax(features[:, :3] + 0 * self.unused, 1)

    run = fit(Constant(), nothing, nothing, settings(patience=3))
    assert [epoch.validation_loss for epoch in run] == [pytest.approx(math.log(3))] * 4
    assert history.best(run).epoch == 1


def test_the_same_seed_gives_the_same_bytes() -> None:
    train, validation, how = clouds(1), clouds(2), settings(epochs=4)

    def trained(seed: int, drawn_before: int) -> tuple[bytes, list[Epoch]]:
        classifier = new_head(hidden=8, dropout=0.4)
        torch.manual_seed(drawn_before)
        run = []
        for epoch in head_training.fit(classifier, train, validation, PLAIN_LOSS, how, seed):
            torch.rand(drawn_before)
            run.append(epoch)
        return state(classifier), run

    assert trained(0, 1) == trained(0, 2)
    assert trained(2**63 - 1, 1) == trained(2**63 - 1, 2)
    assert len({trained(seed, 1)[0] for seed in (0, 1, 2, 2**63 - 1)}) == 4


def test_the_number_of_threads_does_not_matter_and_is_left_as_it_was() -> None:
    train, validation, how = clouds(1, 600), clouds(2, 300), settings(epochs=3, batch_size=512)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            classifier = new_head(hidden=512)
            run = fit(classifier, train, validation, how)
            assert torch.get_num_threads() == threads
            results.append((state(classifier), run))
        stopped = head_training.fit(new_head(), train, validation, PLAIN_LOSS, how, 0)
        next(stopped)
        stopped.close()
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]


class Watching(nn.Module):
    """A head that notes what it is given, in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = new_head(width=2)
        self.seen: dict[bool, list[list[list[float]]]] = {True: [], False: []}

    def forward(self, features: Tensor) -> Tensor:
        self.seen[self.training].append(features.tolist())
        log_probabilities: Tensor = self.classifier(features)
        return log_probabilities


def test_each_epoch_uses_one_view_of_every_photo_in_turn() -> None:
    # A feature is its photo's number and its view's.
    numbered = np.array([[[photo, view] for view in range(3)] for photo in range(10)])
    train, validation = examples(numbered, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]), examples(numbered[:4] + 50, [0, 1, 2, 0])
    classifier = Watching()
    fit(classifier, train, validation, settings(epochs=7, batch_size=4))
    assert [len(batch) for batch in classifier.seen[True]] == [4, 4, 2] * 7
    epochs = [list(itertools.chain(*classifier.seen[True][start : start + 3])) for start in range(0, 21, 3)]
    assert [{view for _, view in epoch} for epoch in epochs] == [{0}, {1}, {2}, {0}, {1}, {2}, {0}]
    orders = [[photo for photo, _ in epoch] for epoch in epochs]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 7
    # Validation: the first view, all at once, in order.
    assert classifier.seen[False] == [[[50 + photo, 50] for photo in range(4)]] * 7


@pytest.mark.parametrize("spoilt", ["train", "validation"])
def test_a_loss_that_is_not_finite(spoilt: str) -> None:
    sets = {"train": clouds(1), "validation": clouds(2)}
    features = sets[spoilt].features.copy()
    features[3] = np.nan
    sets[spoilt] = Examples(features, sets[spoilt].labels)
    before = torch.get_num_threads()
    with pytest.raises(UserError, match=r"^the loss is not finite in epoch 1: lower train\.lr \(0\.01\)$"):
        fit(new_head(), sets["train"], sets["validation"])
    assert torch.get_num_threads() == before


def test_the_learning_rate_schedule() -> None:
    constant = [rate("constant", epoch, 5, 2) for epoch in range(1, 6)]
    assert constant == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])
    cosine = [rate("cosine", epoch, 6, 2) for epoch in range(1, 7)]
    assert cosine == pytest.approx([1 / 3, 2 / 3, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])
    run = fit(new_head(), clouds(1), clouds(2), settings(epochs=6, warmup=2, schedule="cosine", lr=0.5))
    assert [epoch.lr for epoch in run] == pytest.approx([0.5 * factor for factor in cosine])


def test_the_optimiser_uses_the_learning_rate_in_the_history() -> None:
    corners = examples([[1, 0], [0, 1]], [0, 1])
    classifier = new_head(width=2, classes=2)
    for parameter in classifier.parameters():
        nn.init.zeros_(parameter)
    (epoch,) = itertools.islice(
        head_training.fit(classifier, corners, corners, PLAIN_LOSS, settings(optimiser="sgd", lr=1.0, warmup=3), 0), 1
    )
    assert epoch.lr == 0.25
    # SGD with Nesterov's momentum 0.9: the first step is 1.9 · lr · gradient, which is ±1/4.
    step = 1.9 * 0.25 * 0.25
    assert classifier.get_parameter("classes.weight").flatten().tolist() == pytest.approx([step, -step, -step, step])


def test_the_loss_by_hand() -> None:
    log_probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]]).log()
    labels = torch.tensor([0, 1, 0])
    nll = [-math.log(0.5), -math.log(0.8), -math.log(0.25)]
    assert PLAIN_LOSS(log_probabilities, labels).item() == pytest.approx(sum(nll) / 3)
    # Weighted: each photo by its class's weight, over the sum of the weights.
    weighted = Loss(0.0, torch.tensor([2.0, 1.0, 5.0]))
    assert weighted(log_probabilities, labels).item() == pytest.approx((2 * nll[0] + nll[1] + 2 * nll[2]) / 5)
    # Smoothed: 0.3 of each label spread over the three classes.
    means = [-sum(math.log(p) for p in row) / 3 for row in ([0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5])]
    smoothed = sum(0.7 * one + 0.3 * mean for one, mean in zip(nll, means, strict=True)) / 3
    assert Loss(0.3, None)(log_probabilities, labels).item() == pytest.approx(smoothed)


def test_balanced_weights() -> None:
    # 6 photos, 3 classes: 6 / (3 · 3), 6 / (3 · 1), 6 / (3 · 2).
    assert balanced(torch.tensor([0, 0, 0, 1, 2, 2]), 3).tolist() == pytest.approx([2 / 3, 2, 1])


def test_balanced_weights_give_a_rare_class_the_same_influence() -> None:
    # Nothing but the bias can be learnt: the share of the second class, one photo in ten, or an even one.
    rare = examples(np.zeros((10, 2)), [0] * 9 + [1])
    how = settings(epochs=150, patience=150, lr=0.05, batch_size=10)
    for loss, share in ((PLAIN_LOSS, 0.1), (Loss(0.0, balanced(torch.from_numpy(rare.labels), 2)), 0.5)):
        classifier = new_head(width=2, classes=2)
        nn.init.constant_(classifier.get_parameter("classes.bias")[:1], 0.5)
        # Stopped at the last epoch, before the best one's weights come back.
        list(itertools.islice(head_training.fit(classifier, rare, rare, loss, how, 0), 150))
        assert classifier(torch.zeros(1, 2)).exp()[0, 1].item() == pytest.approx(share, abs=0.01)


def test_log_probabilities_are_those_that_evaluate_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    validation, classifier = clouds(2, 300), new_head(hidden=512)
    used = []
    classifier.register_forward_hook(lambda *_: used.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        outputs = head_training.log_probabilities(classifier.train(), validation)
        assert torch.get_num_threads() == 4
        loss, top1 = head_training.evaluate(classifier, validation)
    finally:
        torch.set_num_threads(before)
    assert used[0] == 1  # sums have one order on every number of cores
    assert outputs.shape == (300, 3)
    assert -outputs[np.arange(300), validation.labels].mean() == pytest.approx(loss, rel=1e-5)
    assert (outputs.argmax(axis=1) == validation.labels).mean() == pytest.approx(top1)


def test_evaluate_only_uses_the_first_view() -> None:
    classifier = new_head(width=2, classes=2)
    classifier.load_state_dict({"classes.weight": torch.eye(2), "classes.bias": torch.zeros(2)})
    # Logits (ln 3, 0) and (0, ln 3): probabilities 3/4 of the first and 1/4 of the label.
    features = [[[math.log(3), 0], [0, 99]], [[0, math.log(3)], [99, 0]]]
    loss, top1 = head_training.evaluate(classifier, examples(features, [0, 0]))
    assert loss == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert top1 == 0.5
