"""Read manifests of format 1, which run folders and model files had before version 0.2.0."""

from __future__ import annotations

from typing import Any

TOP = {
    "arch": "architecture",
    "size": "input_size",
    "threshold": "score_threshold",
    "overlap": "nms_iou_threshold",
    "margin": "crop_margin",
    "steadiness": "smoothing",
    "licence": "license",
    "compiled": "edgetpu",
    "needs": "min_runtime_version",
}
SMOOTHING = {"memory": "time_constant", "slack": "hysteresis", "dwell": "min_duration"}
TRAINING = {
    "train_pictures": "train_images",
    "val_pictures": "val_images",
    "votes": "soft_labels",
    "begun_from": "initial_weights",
    "picked": "threshold_choice",
}
RECIPE = {
    "pictures": "samples",
    "batch": "batch_size",
    "size": "input_size",
    "fall": "lr_decay",
    "average": "ema_momentum",
    "held_out": "val_fraction",
    "augment": "augmentation",
    "flip": "horizontal_flip",
    "upside": "vertical_flip",
    "grey": "grayscale",
    "light": "max_light_change",
    "dusk": "darken",
    "blemish": "degrade",
    "turn": "max_rotation",
    "zoom": "scale_range",
    "square": "square_window",
    "whole": "full_frame",
    "empty": "negative_share",
    "focus": "object_centered",
    "early": "low_res_share",
    "early_focus": "low_res_object_centered",
    "turned": "rotation_prob",
    "box_loss": "box_loss_weight",
    "shift": "max_shift",
    "scale": "max_scale_change",
    "smoothing": "label_smoothing",
    "cover": "occlusion",
    "mask": "mask_prob",
    "aligned": "align_faces",
    "margin": "crop_margin",
    "trust": "distill_weight",
}
CHOICE = {"asked": "target", "figures": "metrics"}
METRICS = {
    "false_alarms_per_hour": "false_positives_per_hour",
    "answered": "label_rate",
    "others_called": "reject_label_rate",
    "accuracy_when_sure": "labeled_accuracy",
}
CALIBRATION = {"pictures": "images", "balance": "class_counts", "certainty": "temperature_scaling"}
CLASS_COUNTS = {"not labelled": "unlabeled"}
PARITY = {"difference": "output_difference", "pictures": "images"}
DIFFERENCE = {"largest": "max_abs", "mean": "mean_abs"}
EDGETPU = {"compiler": "compiler_version", "from": "source_sha256", "mapped": "mapped_ops", "on_cpu": "cpu_ops"}


def upgrade(manifest: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of a manifest of format 1 to those of format 2. Unknown keys stay; the reader rejects them.

    Raises AttributeError or TypeError when a value that should be an object is not.
    """
    manifest = _rename(manifest, TOP) | {"format": 2}
    if manifest.get("task") == "sentiment":
        manifest["task"] = "classifier"
    _rename_at(manifest, "smoothing", SMOOTHING)
    _rename_at(manifest, "training", TRAINING)
    training = manifest.get("training", {})
    _rename_at(training, "recipe", RECIPE)
    _rename_at(training, "threshold_choice", CHOICE)
    choice = training.get("threshold_choice", {})
    _rename_at(choice, "metrics", METRICS)
    for old, new in METRICS.items():
        if "target" in choice:
            choice["target"] = str(choice["target"]).replace(old, new)
    _rename_at(manifest, "calibration", CALIBRATION)
    _rename_at(manifest.get("calibration", {}), "class_counts", CLASS_COUNTS)
    _rename_at(manifest.get("calibration", {}), "temperature_scaling", {"pictures": "images"})
    _rename_at(manifest, "parity", PARITY)
    differences = manifest.get("parity", {}).get("output_difference", {})
    for name in differences:
        _rename_at(differences, name, DIFFERENCE)
    _rename_at(manifest, "edgetpu", EDGETPU)
    manifest.get("edgetpu", {}).pop("for", None)
    return manifest


def _rename(fields: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}


def _rename_at(parent: dict[str, Any], name: str, names: dict[str, str]) -> None:
    if name in parent:
        parent[name] = _rename(parent[name], names)
