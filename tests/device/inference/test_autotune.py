import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pocketsight.device.inference import autotune as module
from pocketsight.device.inference.autotune import autotune_threads, pick_threads, thread_counts


def test_another_thread_must_be_worth_it() -> None:
    assert pick_threads({1: 1.0, 2: 0.95, 3: 0.93}) == 1
    assert pick_threads({1: 1.0, 2: 0.6, 3: 0.58}) == 2
    assert pick_threads({1: 1.0, 2: 0.95, 3: 0.5}) == 3


def test_one_core_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, most in ((1, 1), (2, 1), (4, 3), (16, 4)):
        monkeypatch.setattr(module, "available_cores", lambda count=count: count)
        assert list(thread_counts()) == list(range(1, most + 1))


def test_it_is_measured_once_and_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 4)
    asked: list[int] = []

    def invoke(count: int) -> Callable[[], object]:
        asked.append(count)
        return lambda: time.sleep(0.004 / count)

    memory = tmp_path / "deep" / "threads.json"
    assert autotune_threads("model-a", invoke, memory) == 3 and asked == [1, 2, 3]
    assert autotune_threads("model-a", invoke, memory) == 3 and asked == [1, 2, 3]
    autotune_threads("model-b", invoke, memory)
    assert len(asked) == 6 and len(json.loads(memory.read_text())) == 2


def test_a_spoiled_memory_is_measured_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 3)
    memory = tmp_path / "threads.json"
    memory.write_text("[1, 2")
    assert autotune_threads("m", lambda count: lambda: None, memory) in (1, 2)
    assert json.loads(memory.read_text())
