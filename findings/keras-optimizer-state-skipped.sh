#!/usr/bin/env bash
# Keras 3.15.1: load_weights goes on without the optimizer's state when the numbers of its variables differ.
#
# `save_weights` stores the optimizer too. A model that was compiled with another option of the same optimizer, such as
# `use_ema`, `amsgrad` or the scale of the loss, takes the weights from the file. The moments and the step count stay
# at zero: there is a warning, no error, and a learning rate schedule starts again at its beginning. Whoever resumes a
# training should make the warning an error, as train/training/trainer.py does.
#
# Seen: 3 steps in the file, 0 after loading with use_ema, 3 without it; the weights are equal in both. Needs the package
# index. Exit status 1 if the behavior is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet keras==3.15.1 jax==0.10.2
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$work/venv/bin/python" - "$work/model.weights.h5" <<'PY'
import sys
import warnings

import keras
import numpy as np


def make(**options: bool) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(**options), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def resume(**options: bool) -> tuple[int, bool, list[str]]:
    model = make(**options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.load_weights(sys.argv[1])
    equal = all(map(np.array_equal, saved.get_weights(), model.get_weights()))
    return int(model.optimizer.iterations), equal, [str(each.message) for each in caught]


saved = make()
saved.fit(np.ones((24, 4)), np.ones((24, 2)), batch_size=8, verbose=0)
saved.save_weights(sys.argv[1])
same, other = resume(), resume(use_ema=True)
print(f"steps after loading: {same[0]} with the same options, {other[0]} with use_ema; {other[2]}")
skipped = any("Skipping variable loading for optimizer" in message for message in other[2])
sys.exit(0 if same == (3, True, []) and other[:2] == (0, True) and skipped else 1)
PY
