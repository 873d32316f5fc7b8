"""New models are scored against those of the board, before anything is copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.imx500_file import SUFFIX
from pocketsight.device.system.install_hint import install_command
from pocketsight.export.deploy.release import MODELS, Kept
from pocketsight.export.deploy.ssh import Board

PACKAGE_MODELS = "site/pocketsight/models"


def require_not_worse(
    board: Board, current: str, kept: Mapping[str, Kept], models: Sequence[Path], data: Sequence[Path]
) -> list[str]:
    """Compare each new model with that of the same task in `current`, the folder of the running release.

    `kept` are the models of that release by path; without one of the task the board runs the shipped one. Returns what
    was found, in words. Raises BoardError when a model is worse on a source of the images.
    """
    from pocketsight.device.inference.model_file import read_model_file

    try:
        from pocketsight.train.evaluation.comparison import compare_models, worse_sources
    except ImportError as error:
        raise BoardError(f"--check-on scores models here: {install_command('train')}") from error
    notes = []
    with TemporaryDirectory() as name:
        for new in (path for path in models if not path.name.endswith(SUFFIX)):  # the AI Camera's was proved at export
            task = read_model_file(new)[1].task
            path = f"{MODELS}{task}.tflite"
            if path in kept and kept[path].digest == sha256(new.read_bytes()).hexdigest():
                continue
            old = _fetch(board, current, path in kept, task, Path(name))
            comparison = compare_models(new, old, data)
            if worse := worse_sources(comparison):
                raise BoardError(
                    f"{new} is worse than the {task} of the board on {', '.join(worse)}; see: pocketsight evaluate "
                    f"{new} --against OLD; --allow-worse deploys it"
                )
            verdicts = [f"{row['source']}: {row['verdict']}" for row in comparison["sources"]]
            notes.append(f"{task} against that of the board: {', '.join(verdicts)}")
    return notes


def _fetch(board: Board, current: str, is_own: bool, task: str, into: Path) -> Path:
    """The model that the board runs, as a file here."""
    from pocketsight.device.inference.shipped import SHIPPED_MODELS

    folder, name = (MODELS, f"{task}.tflite") if is_own else (PACKAGE_MODELS, SHIPPED_MODELS[task].name)
    board.get(f"{current}/{folder}", into / folder)
    return into / folder / name
