"""The path of each artefact, relative to the repository's root, in one place.

dvc.yaml has the same paths; a test compares the two.
"""

from pathlib import Path

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")

# What the user provides.
INCOMING = Path("data/incoming")
WEIGHTS = Path("models/weights")

# data/: what the stages before the model make from it, and the state of fine-tuning.
RAW = Path("data/raw")
CATALOG = Path("data/catalog.csv")
REJECTED = Path("data/rejected.csv")
SPLITS = Path("data/splits.csv")
NEAR_DUPLICATES = Path("data/near_duplicates.csv")
LEAKS = Path("data/leaks.csv")
FEATURES = Path("data/features")
SUSPECTS = Path("data/suspects.csv")
FINETUNING_STATE = Path("data/finetuning_state.safetensors")

MODEL = Path("models/model.safetensors")
MODEL_BACKBONE = Path("models/backbone.safetensors")
ONNX = Path("models/model.onnx")
ONNX_DATA = Path("models/model.onnx_data")
MODEL_CARD = Path("models/MODEL_CARD.md")

# metrics/: one JSON file per stage, tracked by git.
DOWNLOAD_METRICS = Path("metrics/download.json")
FILTER_METRICS = Path("metrics/filter.json")
SPLIT_METRICS = Path("metrics/split.json")
CHECK_LABELS_METRICS = Path("metrics/check_labels.json")
TRAIN_METRICS = Path("metrics/train.json")
EVALUATE_METRICS = Path("metrics/evaluate.json")
TTA_METRICS = Path("metrics/tta_evaluate.json")

# plots/: CSV files tracked by git, and the report's PNG figures.
CLASS_COUNTS = Path("plots/class_counts.csv")
IMAGE_SIZES = Path("plots/image_sizes.csv")
HISTORY = Path("plots/history.csv")
LAYERS = Path("plots/layers.csv")
PREDICTIONS = Path("plots/predictions.csv")
PER_CLASS = Path("plots/per_class.csv")
RELIABILITY = Path("plots/reliability.csv")
TTA_PREDICTIONS = Path("plots/tta_predictions.csv")
TTA_PER_CLASS = Path("plots/tta_per_class.csv")
FIGURES = Path("plots/figures")

REPORT_HTML = Path("report/index.html")
REPORT_MARKDOWN = Path("report/report.md")

# Work folder: ignored by git, declared by no stage; deleting it costs only time.
WORK = Path(".work")
LOCKS = WORK / "locks"
DOWNLOADS = WORK / "downloads"
INSPECTIONS = WORK / "inspections"
FEATURE_ROWS = WORK / "features"
BACKBONES = WORK / "backbones"
GRAPHS = WORK / "graphs"
FINETUNING = WORK / "finetuning"
