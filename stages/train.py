"""Train the head on cached features; keep the epoch with the lowest validation loss; save the whole network."""

import torch

from boatyard import errors, files, params, paths
from boatyard.data import splitting
from boatyard.model import backbones, checkpoint, features, training
from boatyard.model.header import Header
from boatyard.model.network import Classifier, embedder, head

COLUMNS = ["epoch", "train_loss", "validation_loss", "train_top1", "validation_top1", "lr"]


def main() -> None:
    settings = params.load("train")
    model, train = settings.model, settings.train
    rows = splitting.read_splits(paths.SPLITS)
    classes = splitting.class_names(rows)
    cached = features.read(paths.FEATURES, rows)
    torch.manual_seed(settings.seed)  # the same draws as in featurize, where model.weights is 'none'
    backbone = backbones.create(model.backbone, model.weights)
    preprocessing = backbone.preprocessing.adapted(settings.image)
    torch.manual_seed(settings.seed)
    top = head(backbone.width, model.head.hidden, model.head.dropout, len(classes))

    hyper = training.Settings(
        train.epochs, train.patience, train.batch_size, train.lr, train.weight_decay, settings.seed
    )
    history: list[training.Epoch] = []
    examples = features.examples(cached, classes, "train"), features.examples(cached, classes, "validation")
    for epoch in training.fit(top, *examples, hyper):
        history.append(epoch)
        print(
            f"epoch {epoch.epoch:3}  train loss {epoch.train_loss:.4f}  validation loss {epoch.validation_loss:.4f}"
            f"  validation top-1 {epoch.validation_top1:.4f}{'  best' if epoch.best else ''}",
            flush=True,
        )
    network = Classifier(embedder(backbone, preprocessing), top)
    about = Header(classes, model.backbone, model.head.hidden, model.head.dropout, preprocessing, params.dump(settings))
    checkpoint.save(paths.MODEL, network, about)

    best = max((epoch for epoch in history if epoch.best), key=lambda epoch: epoch.epoch)
    files.write_csv(paths.HISTORY, COLUMNS, [[getattr(epoch, name) for name in COLUMNS] for epoch in history])
    metrics = {
        "epochs": len(history),
        "best_epoch": best.epoch,
        "train_loss": best.train_loss,
        "validation_loss": best.validation_loss,
        "train_top1": best.train_top1,
        "validation_top1": best.validation_top1,
        "parameters": training.parameter_count(network),
        "parameters_trained": training.parameter_count(top),
    }
    files.write_json(paths.TRAIN_METRICS, metrics)
    print(
        f"best epoch {best.epoch} of {len(history)}: validation top-1 {best.validation_top1:.4f}; "
        f"{metrics['parameters_trained']:,} of {metrics['parameters']:,} parameters trained"
    )


if __name__ == "__main__":
    errors.run(main)
