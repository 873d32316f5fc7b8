"""The hidden names of the two tutorials: `train sentiment` and `evaluate --sentiment`."""

from click.testing import CliRunner

from pocketsight.device.cli.main import main


def output(*words: str) -> str:
    return CliRunner().invoke(main, list(words)).output


def test_train_sentiment_is_train_classifier() -> None:
    assert "Train a classifier of faces" in output("train", "sentiment", "--help")
    assert "sentiment" not in output("train", "--help")
    assert "No such command" in output("train", "feelings", "--help")


def test_evaluate_sentiment_is_evaluate_classifier() -> None:
    says = "--classifier is for: pocketsight evaluate pipeline"
    for option in (["--sentiment", "x"], ["--sentiment=x"], ["--classifier", "x"]):
        assert says in output("evaluate", "run", "--data", ".", *option)
    assert "sentiment" not in output("evaluate", "--help")
